"""production-stack's external providers: models of others' APIs, beside one's own servers."""

from __future__ import annotations

from typing import Any

from wayside.settings.address import parse_address
from wayside.translate.reading import Reader
from wayside.vocab.headers import CREDENTIALS, header_name, header_value

KEY = "external_providers"
"""Where the list stands in ``--external-providers-config``."""


def providers(root: Reader, models: dict[str, Any], *, wanted: bool) -> None:
    """Add the models of each provider. ``wanted``: there is to be nothing else."""
    root.set_aside(
        "external_providers_config",
        f"name the file on the command line, or write what is in it here, as {KEY}",
        "refused",
    )
    found = root.each(KEY)
    if wanted and not found:
        said = f"external-only needs {KEY}, or --external-providers-config"
        root.note(said, "refused", key="service_discovery")
    for provider in found:
        _provider(provider, models)


def _provider(provider: Reader, models: dict[str, Any]) -> None:
    provider.remark("name")
    kind = provider.text("type")
    if kind not in (None, "openai"):
        said = f"{kind!r} is not openai; give its models under models, in a configuration of ours"
        provider.note(said, "refused", key="type")
    shared = _shared(provider)
    url = provider.text("api_base") or ""
    try:
        address = str(parse_address(url))
    except ValueError as error:
        provider.note(f"{error}; left out", "refused", key="api_base" if url else "")
        address = ""
    for model in provider.each("models"):
        name = model.text("id") or ""
        kind = model.text("type")
        if kind is not None:
            model.note("it is asked whatever the client asks", "ignored", key="type")
        aliases = [alias for alias in model.texts("aliases") if 0 < len(alias) <= 256]
        taken = {*models, *(a for made in models.values() for a in made.get("aliases", ()))}
        if not name or len(name) > 256 or not taken.isdisjoint({name, *aliases}):
            model.note("it has no name of its own; left out", "refused")
        elif not address:
            model.note("its provider has no address; left out", "refused", key="id")
        else:
            models[name] = {"endpoints": [{"url": address}], **shared}
            if aliases:
                models[name]["aliases"] = list(dict.fromkeys(aliases))


def _shared(provider: Reader) -> dict[str, Any]:
    """What all models of a provider have."""
    shared: dict[str, Any] = {"effort_at_top_level": True}
    env = provider.text("api_key_env_var")
    if env is not None:
        if env.isascii() and env.isidentifier():
            shared["credential"] = {"env": env}
        else:
            provider.note("not the name of an environment variable", "refused",
                          key="api_key_env_var")  # fmt: skip
    timeout = provider.number("timeout", low=0.01, high=86_400)
    if timeout is not None:
        shared["timeouts"] = {"first_byte_s": timeout}
    retries = provider.whole("max_retries", low=0, high=9)
    if retries is not None:
        shared["retries"] = {"attempts": retries + 1}
    headers = provider.inner("custom_headers")
    sent = {}
    for name in headers:
        value = headers.text(name) or ""
        try:
            if header_name(name) in CREDENTIALS:
                raise ValueError("carries a key: name its variable in api_key_env_var")
            sent[name] = header_value(value)
        except ValueError as error:
            headers.note(f"{error}; left out", "refused", key=name)
    if sent:
        shared["headers"] = sent
    return shared
