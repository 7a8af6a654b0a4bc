"""Where models are served: addresses, weights, keys and headers, as the vSR formats write them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from wayside.settings.address import Address, parse_address, strict_ip_problem
from wayside.translate.reading import Reader, env_name
from wayside.vocab.headers import header_name, header_value

EFFORTS = ("minimal", "low", "medium", "high")

_FAMILIES: dict[str, dict[str, str]] = {
    "qwen3": {"type": "chat_template_kwargs", "parameter": "enable_thinking"},
    "deepseek": {"type": "chat_template_kwargs", "parameter": "thinking"},
    "gpt": {"type": "reasoning_effort", "parameter": "reasoning_effort"},
    "gpt-oss": {"type": "reasoning_effort", "parameter": "reasoning_effort"},
}
"""What vSR's documentation gives these names (v0.1 installation/configuration.md)."""

_FAMILY_TYPES = (
    "chat_template_kwargs",
    "reasoning_effort",
    "top_level_reasoning_effort",
    "thinking",
)
_KEY_HEADERS = {"anthropic": "x-api-key", "azure_openai": "api-key"}
"""Providers that do not take ``Authorization: Bearer`` (spec: vSR 1.5)."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_HEADERS = ("authorization", "cookie", "key", "token", "secret")


@dataclass(slots=True)
class Server:
    """One replica, and what its requests carry."""

    url: str
    name: str = ""
    weight: float | None = None
    credential: dict[str, str] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    reader: Reader | None = None

    @property
    def endpoint(self) -> dict[str, Any]:
        out: dict[str, Any] = {"url": self.url}
        if self.name:
            out["name"] = self.name
        if self.weight is not None and self.weight != 1:
            out["weight"] = self.weight
        return out


def read_backend(ref: Reader) -> Server | None:
    """A v0.3 ``backend_refs`` entry, or the nested ``endpoints`` entry of v0.1's command line."""
    name = ref.text("name") or ""
    weight = ref.number("weight", low=0, high=1_000_000)
    protocol = ref.choice("protocol", ("http", "https")) or "http"
    ref.set_aside("type", "says nothing that routing needs", "ignored")
    provider = (ref.text("provider") or "").lower().replace("-", "_")
    if provider not in ("", "openai", "vllm", "anthropic"):
        ref.note(
            "requests are sent in OpenAI's format to the address given; for what this provider "
            "does otherwise write models.<name>.provider",
            "unsupported",
            key="provider",
        )
    ref.set_aside("api_version", "write models.<name>.provider: azure-openai and api_version")
    credential = read_credential(ref, provider)
    headers = read_headers(ref, "extra_headers")
    address = _base_url(ref) if "base_url" in ref else _endpoint(ref, protocol)
    if address is None:
        return None
    return Server(str(address), name, weight, credential, headers, ref)


def read_flat_endpoint(ref: Reader) -> Server | None:
    """A ``vllm_endpoints`` entry: ``address`` without scheme, path or port, and ``port``.

    IP addresses are held to vSR v0.1's own rules; DNS names, which it refused, are accepted.
    """
    name = ref.text("name") or ""
    weight = ref.number("weight", low=0, high=1_000_000)
    protocol = ref.choice("protocol", ("http", "https")) or "http"
    ref.set_aside("type", "says nothing that routing needs", "ignored")
    ref.set_aside("provider_profile", "provider profiles are not supported yet")
    credential = read_credential(ref, "")
    address = (ref.expanded("address") or "").strip()
    port = ref.whole("port", low=1, high=65535)
    problem = strict_ip_problem(address)
    if problem is not None and "invalid IP" in problem:
        problem = _dns_problem(address)
    if problem is not None:
        ref.leave_out(f"{_unquoted(problem, address)}; the endpoint is left out", "refused")
        return None
    if port is None:
        port = 443 if protocol == "https" else 80
        ref.note(f"no usable port; {port} is taken", "defaulted", key="port")
    return Server(str(Address(protocol, address, port)), name, weight, credential, {}, ref)


def _dns_problem(address: str) -> str | None:
    try:
        parsed = parse_address(address)
    except ValueError as error:
        return str(error)
    return None if parsed.host == address else "write a bare IP address or DNS name, and port"


def _unquoted(problem: str, address: str) -> str:
    """``problem`` without the address when that may carry a password."""
    return problem.partition(", got:")[0] if "@" in address or "?" in address else problem


def _endpoint(ref: Reader, protocol: str) -> Address | None:
    """``host:port`` with an optional scheme; a path is stripped, as vSR does."""
    text = ref.expanded("endpoint")
    if not text or not text.strip():
        ref.leave_out("neither endpoint nor base_url; the backend is left out", "refused")
        return None
    text = text.strip()
    address = _parse(ref, text if "://" in text else f"{protocol}://{text}")
    if address is not None and address.base_path:
        ref.note("the path is stripped, as vSR does; base_url keeps one", "mapped", key="endpoint")
        address = replace(address, base_path="")
    return address


def _base_url(ref: Reader) -> Address | None:
    """A provider's URL. Its path takes the place of the request's own ``/v1``."""
    ref.set_aside("endpoint", "base_url is taken instead", "ignored")
    chat_path = ref.text("chat_path")
    address = _parse(ref, (ref.expanded("base_url") or "").strip())
    if address is None or chat_path is None:
        return address
    base = f"{address.base_path}/{chat_path.strip('/')}".removesuffix("/chat/completions")
    if chat_path.rstrip("/").endswith("chat/completions") and base:
        return _parse(ref, str(replace(address, base_path=base)))
    taken = f"{address.base_path or '/v1'}/chat/completions"
    what = f"requests go to {taken}; other paths are not supported yet"
    ref.note(what, "unsupported", key="chat_path")
    return address


def _parse(ref: Reader, text: str) -> Address | None:
    try:
        return parse_address(text)
    except ValueError as error:
        ref.leave_out(f"{error}; the backend is left out", "refused")
        return None


def read_credential(ref: Reader, provider: str) -> dict[str, str] | None:
    """The key by reference. A key written in the document itself is refused, never copied."""
    header = (ref.text("auth_header") or _KEY_HEADERS.get(provider, "authorization")).lower()
    prefix = ref.text("auth_prefix")
    env = ref.secret("api_key_env")
    if env is not None and not _VARIABLE.fullmatch(env):
        ref.note("not the name of a variable; left out", "refused", key="api_key_env")
        env = None
    for key in ("api_key", "access_key"):
        literal = ref.secret(key)
        if literal is None:
            continue
        if env is None and (named := env_name(literal)) is not None:
            env = named
            ref.note(f"read from the environment variable {named}", "mapped", key=key)
        elif env is None:
            ref.note(
                "a key in the document itself is not copied; put it into a variable or file and "
                "write credential: {env: NAME} or {file: PATH}",
                "refused",
                key=key,
            )
        else:
            ref.note("api_key_env is taken instead; remove the key here", "refused", key=key)
    if not env:
        for key in ("auth_header", "auth_prefix"):
            ref.set_aside(key, "there is no key to send", "ignored")
        return None
    if prefix is None:
        prefix = "Bearer" if header == "authorization" else ""
    prefix = f"{prefix.strip()} " if prefix.strip() else ""
    out = {"env": env}
    if header != "authorization":
        out["header"] = header
    if prefix != "Bearer ":
        out["prefix"] = prefix
    return out


def read_headers(ref: Reader, key: str) -> dict[str, str]:
    """Fixed headers; one that looks like a secret is refused, never copied."""
    inner = ref.inner(key)
    out = {}
    for name in inner:
        value = inner.secret(name)
        if any(word in name.lower() for word in _SECRET_HEADERS):
            inner.note("a secret is not copied; use credential", "refused", key=name)
            continue
        try:
            out[header_name(name)] = header_value(value or "")
        except ValueError as error:
            inner.note(f"{error}; left out", "refused", key=name)
    return out


def shared_servers(servers: list[Server], model: Reader) -> dict[str, Any]:
    """``endpoints``, ``credential`` and ``headers`` of one model.

    A model has one credential here, and vSR one per backend. A backend that is sent another key
    (or none) is left out: the first backend's key must not travel to it.
    """
    if not servers:
        model.note("the model has no endpoint", "unsupported")
        return {}
    first = servers[0]
    kept = []
    base = parse_address(first.url).base_path or "/v1"
    for server in servers:
        same = (server.credential, server.headers) == (first.credential, first.headers)
        if same and (parse_address(server.url).base_path or "/v1") == base:
            kept.append(server.endpoint)
        elif server.reader is not None:
            server.reader.leave_out(
                "its key, headers or path differ from the first backend's, and a model has one "
                "of each; the backend is left out. Make it a model of its own"
            )
    out: dict[str, Any] = {"endpoints": kept}
    if first.credential:
        out["credential"] = first.credential
    if first.headers:
        out["headers"] = first.headers
    return out


def read_upstream_name(model: Reader, name: str) -> str | None:
    """``provider_model_id``, or the first of ``external_model_ids``."""
    upstream = model.text("provider_model_id")
    ids = model.inner("external_model_ids")
    for provider in ids:
        value = ids.text(provider)
        if upstream is None and value:
            upstream = value
        elif value and value != upstream:
            ids.note(f"{upstream!r} is sent to every endpoint", "unsupported", key=provider)
    return upstream if upstream and upstream != name else None


def read_price(model: Reader) -> dict[str, Any] | None:
    """``pricing`` per million tokens."""
    pricing = model.inner("pricing")
    out: dict[str, Any] = {}
    if (currency := pricing.text("currency")) is not None:
        out["currency"] = currency
    for key in (
        "prompt_per_1m",
        "cached_input_per_1m",
        "cache_write_per_1m",
        "completion_per_1m",
    ):
        if (value := pricing.number(key, low=0)) is not None:
            out[key] = value
    return out or None


def read_loras(
    owner: Reader, taken: Collection[str], known: Collection[str] = ()
) -> list[dict[str, str]]:
    """``loras: [{name, description}]``. Clients ask for adapters by name, so names are unique;
    ``known`` are the model's own already, and said once."""
    out: list[dict[str, str]] = []
    for lora in owner.each("loras"):
        name = lora.text("name")
        if not name or len(name) > 256:
            lora.leave_out("an adapter needs a name", "refused")
            continue
        if name in known:
            lora.remark("description")
            continue
        if name in taken or any(name == other["name"] for other in out):
            lora.leave_out(f"{name!r} already names a model or another's adapter", "refused")
            continue
        entry = {"name": name}
        if description := lora.text("description"):
            entry["description"] = description
        out.append(entry)
    return out


def read_families(owner: Reader, key: str = "reasoning_families") -> dict[str, dict[str, str]]:
    """``{name: {type, parameter}}``."""
    out: dict[str, dict[str, str]] = {}
    for name, family in owner.named(key):
        kind = family.choice("type", _FAMILY_TYPES)
        parameter = family.text("parameter")
        if kind is None or not parameter:
            family.leave_out("a reasoning family needs type and parameter", "refused")
        else:
            out[name] = {"type": kind, "parameter": parameter}
    return out


def family_of(
    model: Reader, key: str, families: dict[str, dict[str, str]], *, whole: bool
) -> str | None:
    """The model's family; one that vSR documents is added if the document names it undefined."""
    name = model.text(key)
    if not name:
        return None
    if name not in families:
        if name in _FAMILIES:
            families[name] = dict(_FAMILIES[name])
            model.note(f"{name!r} is not defined here; vSR's own is taken", "defaulted", key=key)
        else:
            what = "nothing defines this reasoning family; left out"
            model.note(what, "refused" if whole else "unsupported", key=key)
            return None
    return name


_RETRIED = {
    "connect-failure": ("connect",),
    "refused-stream": ("connect",),
    "reset": ("reset",),
    "reset-before-request": ("connect", "reset"),
    "5xx": ("connect", "reset", "timeout", "500", "502", "503", "504"),
    "gateway-error": ("502", "503", "504"),
    "retriable-4xx": (),
    "retriable-status-codes": ("429", "502", "503", "504"),
}
"""Envoy's ``retry_on`` -> what we try again after."""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


def read_duration(owner: Reader, key: str) -> float | None:
    """``30s``, ``250ms`` or a number of seconds."""
    text = owner.text(key)
    if not text:
        return None
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        owner.note(f"{text!r} is no duration such as 30s; left out", "refused", key=key)
        return None
    return float(found[1]) * _SECONDS[found[2] or ""] or None


def read_reliability(model: Reader) -> dict[str, Any]:
    """Envoy's retries and outlier detection, as a model's ``retries`` and ``breaker``."""
    reliability = model.inner("reliability")
    retries: dict[str, Any] = {}
    breaker: dict[str, Any] = {}
    if (count := reliability.whole("retry_count", high=9)) is not None:
        retries["attempts"] = count + 1
    said = reliability.text("retry_on")
    if said:
        words = [word.strip() for word in said.split(",") if word.strip()]
        for word in [word for word in words if not _RETRIED.get(word)]:
            why = f"{word!r} is no reason to try again here; left out"
            reliability.note(why, "unsupported", key="retry_on")
        on = dict.fromkeys(trouble for word in words for trouble in _RETRIED.get(word, ()))
        if on:
            retries["retry_on"] = list(on)
    if (errors := reliability.whole("consecutive_5xx")) is not None:
        breaker["errors"] = errors
    if pause := read_duration(reliability, "base_ejection_time"):
        breaker["pause_s"] = pause
        if pause > LONGEST_PAUSE_S:
            breaker["longest_pause_s"] = pause
    if (most := reliability.number("max_ejection_percent", low=0, high=100)) is not None:
        breaker["most_out"] = round(most / 100, 4)
    reliability.set_aside(
        "lb_policy", "the better of two servers drawn at random is taken", "ignored"
    )
    for key in ("health_check_path", "health_check_interval", "health_check_timeout"):
        reliability.set_aside(key, "servers are judged by the requests they get", "ignored")
    return {name: made for name, made in (("retries", retries), ("breaker", breaker)) if made}


LONGEST_PAUSE_S = 30.0
"""The longest pause of a server unless the settings say another."""


def read_api_format(model: Reader) -> dict[str, Any]:
    """``api_format``: which API its servers speak."""
    said = model.text("api_format")
    if said in (None, "openai"):
        return {}
    if said == "anthropic":
        return {"protocol": "anthropic"}
    model.note(f"no API {said!r} here; OpenAI's is spoken", "unsupported", key="api_format")
    return {}
