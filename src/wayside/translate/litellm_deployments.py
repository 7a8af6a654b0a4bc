"""One entry of LiteLLM's ``model_list``: whose API it is, where, with which key, at what price.

The provider is what stands before the first ``/`` of ``litellm_params.model``, or
``custom_llm_provider``. Keys are taken by reference alone: ``os.environ/NAME``, or the variable
that LiteLLM reads for that provider where the entry names none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from wayside.settings.address import parse_address
from wayside.settings.providers import PROVIDERS
from wayside.translate.reading import Reader, env_name
from wayside.translate.servers import read_headers
from wayside.vocab.headers import header_value

_VARIABLE: Final = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")
_REGION: Final = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
_COUNTED: Final = re.compile(r"[0-9a-fA-F-]*")
"""Ids that nobody gave: numbers, digests."""
_NO_KEY: Final = frozenset(
    ("none", "null", "empty", "fake", "dummy", "anything", "fake-key", "dummy-key", "no-key",
     "not-needed", "not_needed", "na", "n/a", "placeholder")
)  # fmt: skip
"""What people write where a server of their own wants no key."""


class _Known(NamedTuple):
    """A provider of LiteLLM's. ``ours`` is its name here; ``""`` for servers of one's own, whose
    address has to be named unless ``url`` knows it."""

    ours: str = ""
    key: str = ""
    """The environment variable that its key is read from."""
    url: str = ""


_PROVIDERS: Final[Mapping[str, _Known]] = {
    "openai": _Known("openai", "OPENAI_API_KEY"),
    "anthropic": _Known("anthropic", "ANTHROPIC_API_KEY"),
    "azure": _Known("azure-openai", "AZURE_API_KEY"),
    "bedrock": _Known("bedrock", "AWS_BEARER_TOKEN_BEDROCK"),
    "gemini": _Known("gemini", "GEMINI_API_KEY"),
    "vertex_ai": _Known("vertex-ai"),
    "minimax": _Known("minimax", "MINIMAX_API_KEY"),
    "openrouter": _Known("openrouter", "OPENROUTER_API_KEY"),
    "groq": _Known("groq", "GROQ_API_KEY"),
    "mistral": _Known("mistral", "MISTRAL_API_KEY"),
    "deepseek": _Known("deepseek", "DEEPSEEK_API_KEY"),
    "together_ai": _Known("together", "TOGETHERAI_API_KEY"),
    "fireworks_ai": _Known("fireworks", "FIREWORKS_API_KEY"),
    "xai": _Known("xai", "XAI_API_KEY"),
    "cohere": _Known("cohere", "COHERE_API_KEY"),
    "cohere_chat": _Known("cohere", "COHERE_API_KEY"),
    "cerebras": _Known("cerebras", "CEREBRAS_API_KEY"),
    "hosted_vllm": _Known(),
    "custom_openai": _Known(),
    "openai_like": _Known(),
    "litellm_proxy": _Known(),
    "lm_studio": _Known(),
    "llamafile": _Known(url="http://127.0.0.1:8080/v1"),
    "xinference": _Known(),
    "ollama": _Known(url="http://localhost:11434"),
    "ollama_chat": _Known(url="http://localhost:11434"),
    "nvidia_nim": _Known(key="NVIDIA_NIM_API_KEY", url="https://integrate.api.nvidia.com/v1"),
}
_BARE: Final = (
    (("gpt-", "o1", "o3", "o4", "chatgpt-", "text-embedding-"), "openai"),
    (("claude-",), "anthropic"),
)
"""Names without a provider that LiteLLM knows whose they are."""
_SIGNED: Final = (
    "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_session_name",
    "aws_profile_name", "aws_role_name", "aws_web_identity_token", "aws_sts_endpoint",
)  # fmt: skip
_AZURE_AD: Final = ("azure_ad_token", "tenant_id", "client_id", "client_secret",
                    "azure_username", "azure_password", "azure_scope")  # fmt: skip
_ASKED: Final = (
    "temperature", "max_tokens", "max_completion_tokens", "top_p", "top_k", "n", "seed", "stop",
    "presence_penalty", "frequency_penalty", "response_format", "tools", "tool_choice",
    "extra_body", "thinking", "reasoning_effort", "user", "stream", "logit_bias", "dimensions",
)  # fmt: skip
"""Fields of a request that LiteLLM adds where the client does not say them."""
_PRICES: Final = (
    ("input_cost_per_token", "prompt_per_1m"),
    ("output_cost_per_token", "completion_per_1m"),
    ("cache_read_input_token_cost", "cached_input_per_1m"),
    ("cache_creation_input_token_cost", "cache_write_per_1m"),
)


@dataclass(slots=True)
class Deployment:
    """What one entry says. ``shared`` is what all endpoints of a model have in common; what may
    differ between endpoints stands in the other fields."""

    group: str
    label: str
    """What it is called where its group has several sorts of deployments."""
    params: Reader
    shared: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    """Its address; ``""`` for the provider's own."""
    timeouts: dict[str, float] = field(default_factory=dict)
    retries: int | None = None
    at_once: int | None = None
    order: int = 1
    """1 is asked first; what has a greater number only when nobody before it can answer."""


def read_deployment(
    entry: Reader, credentials: Mapping[str, Mapping[str, Any]]
) -> Deployment | None:
    """``None``, with a note, for what no request could be sent to."""
    params, info = entry.inner("litellm_params"), entry.inner("model_info")
    group = entry.text("model_name") or ""
    model = params.text("model") or ""
    fault = _fault(group, model, entry)
    provider, upstream = _provider(params, model)
    known = _PROVIDERS.get(provider)
    if not fault and known is not None and not upstream:
        fault = f"litellm_params.model: {model!r} names no model of {provider}"
    if not fault and known is None:
        fault = (
            f"provider {provider or model!r} is not known here; where it has an address that "
            "speaks OpenAI's API, write model: openai/NAME and api_base"
        )
    if fault or known is None:
        entry.leave_out(fault, "refused")
        return None
    name = info.text("id") or ""
    found = Deployment(group, model if _COUNTED.fullmatch(name) else name, params)
    _merge(params, credentials)
    if not _where(params, provider, known, upstream, found):
        entry.leave_out("it has no address that can be used", "refused")
        return None
    _key(params, provider, known, found)
    _told(params, info, found)
    _times(params, found)
    _idle(params)
    entry.remark("model_group", "description")
    return found


def variable(text: str) -> str | None:
    """``NAME`` of ``os.environ/NAME`` or ``${NAME}``."""
    found = _VARIABLE.fullmatch(text.strip())
    return found[1] if found else env_name(text)


def _fault(group: str, model: str, entry: Reader) -> str:
    if not group or len(group) > 256:
        return "it has no model_name; left out"
    if "*" in group or "*" in model:
        return "a wildcard names no model; write an entry for each model that clients ask for"
    if not model:
        return "litellm_params.model says what is asked; left out"
    return ""


def _provider(params: Reader, model: str) -> tuple[str, str]:
    """LiteLLM's name of the provider, and the model's name there."""
    named = params.text("custom_llm_provider")
    head, slash, rest = model.partition("/")
    if named:
        return named, rest if slash and head == named else model
    if slash and head in _PROVIDERS:
        return head, rest
    if not slash:
        for beginnings, provider in _BARE:
            if model.startswith(beginnings):
                return provider, model
        if "api_base" in params:
            return "openai", model
    return head if slash else "", rest or model


def _merge(params: Reader, credentials: Mapping[str, Mapping[str, Any]]) -> None:
    """What a named credential holds, where the entry does not say it itself."""
    name = params.text("litellm_credential_name")
    if name is None:
        return
    if name not in credentials:
        params.note("no credential_list entry has this name", "refused",
                    key="litellm_credential_name")  # fmt: skip
        return
    params.lend(credentials[name])


def _where(params: Reader, provider: str, known: _Known, upstream: str, found: Deployment) -> bool:
    """Its address and what it is called there; whether there is one."""
    shared = found.shared
    said = params.text("api_base") or params.text("base_url") or known.url
    if known.ours and not (provider == "openai" and said):
        shared["provider"] = known.ours
    name = _VARIABLE.fullmatch(said.strip()) if said else None
    if name:
        found.url = f"${{{name[1]}}}"
        params.note(f"filled in from {name[1]} when it is read", "mapped", key="api_base")
    elif said:
        try:
            address = parse_address(said)
            found.url = said.strip().rstrip("/") if "://" in said else str(address)
        except ValueError as error:
            params.note(f"{error}; left out", "refused", key="api_base")
            return False
    elif not known.ours or not PROVIDERS[known.ours].url:
        params.note("api_base says where it is; write it", "refused")
        return False
    if provider.startswith("ollama"):
        params.note("asked by OpenAI's API, which Ollama has under /v1", "mapped", key="model")
    if provider == "azure":
        if version := _plain(params, "api_version"):
            shared["api_version"] = version
        params.set_aside("base_model", "prices are not looked up by it", "ignored")
    else:
        params.set_aside("api_version", "only Azure has versions", "ignored")
    if not _place(params, provider, upstream, found):
        return False
    shared.setdefault("upstream_name", upstream)
    return True


def _place(params: Reader, provider: str, upstream: str, found: Deployment) -> bool:
    """Regions, of the providers that have them."""
    shared = found.shared
    if provider == "bedrock":
        for way in ("converse/", "invoke/", "converse_like/"):
            upstream = upstream.removeprefix(way)
        head, slash, rest = upstream.partition("/")
        region = _plain(params, "aws_region_name")
        if slash and _REGION.fullmatch(head):
            region, upstream = region or head, rest
        if not region:
            params.note("aws_region_name says where it runs; write it", "refused")
            return False
        shared |= {"location": region, "upstream_name": upstream}
        said = "asked at Bedrock's OpenAI-compatible address, which not every model has"
        params.note(said, "mapped", key="model")
    elif provider == "vertex_ai":
        project, where = _plain(params, "vertex_project"), _plain(params, "vertex_location")
        if not project:
            params.note("vertex_project says whose it is; write it", "refused")
            return False
        shared |= {"project": project, "location": where or "global"}
        shared["upstream_name"] = upstream if "/" in upstream else f"google/{upstream}"
        params.set_aside(
            "vertex_credentials",
            "no token is fetched here; keep one in a file: credential: {file: PATH}",
            "refused",
        )
    for whose, keys in _PLACES.items():
        for key in () if whose == provider else keys:
            params.set_aside(key, f"{provider} has no such place", "ignored")
    return True


_PLACES: Final = {
    "bedrock": ("aws_region_name",),
    "vertex_ai": ("vertex_project", "vertex_location", "vertex_credentials"),
}
_PLACE: Final = re.compile(r"[A-Za-z0-9:._-]{1,64}")


def _plain(params: Reader, key: str) -> str | None:
    """A short name; a variable's is not known yet, so it is refused."""
    text = params.text(key)
    if text is None or _PLACE.fullmatch(text):
        return text
    params.note("write its value: it is part of an address", "refused", key=key)
    return None


def _key(params: Reader, provider: str, known: _Known, found: Deployment) -> None:
    literal = params.secret("api_key")
    named = variable(literal) if literal else None
    if named:
        found.shared["credential"] = {"env": named}
    elif literal and literal.strip().lower() in _NO_KEY:
        params.note("stands for no key", "ignored", key="api_key")
    elif literal:
        params.note(
            "a key in the document itself is not copied; put it into a variable, and write "
            "api_key: os.environ/NAME",
            "refused",
            key="api_key",
        )
    elif known.key and (known.ours != "openai" or "provider" in found.shared):
        found.shared["credential"] = {"env": known.key}
        params.note(f"no api_key; taken from {known.key}, as LiteLLM does", "defaulted")
    for key in _SIGNED:
        said = "requests are not signed here; a Bedrock API key goes into api_key"
        params.set_aside(key, said, "refused")
    for key in _AZURE_AD:
        params.set_aside(key, "no token is fetched here; an API key goes into api_key", "refused")
    if provider == "vertex_ai":
        params.note("Vertex wants a token: add credential: {file: PATH}", "unsupported",
                    key="model")  # fmt: skip


def _told(params: Reader, info: Reader, found: Deployment) -> None:
    """Headers, prices, and what is known of the model."""
    headers = read_headers(params, "extra_headers")
    if organization := params.text("organization"):
        named = variable(organization)
        try:
            headers["openai-organization"] = f"${{{named}}}" if named else header_value(
                organization)  # fmt: skip
        except ValueError as error:
            params.note(f"{error}; left out", "refused", key="organization")
    if headers:
        found.shared["headers"] = headers
    price: dict[str, float] = {}
    for theirs, ours in _PRICES:
        for reader in (params, info):
            cost = reader.number(theirs, low=0, high=1)
            if cost is not None:
                price.setdefault(ours, round(cost * 1_000_000, 9))
    if price:
        found.shared["price"] = price
    window = info.whole("max_input_tokens", low=1)
    if window:
        found.shared["context_window"] = window
    if description := info.text("description"):
        found.shared["description"] = description
    info.set_aside("max_output_tokens", "an answer is as long as its server lets it be", "ignored")
    info.set_aside("max_tokens", "max_input_tokens is what context_window is made of", "ignored")
    info.set_aside("base_model", "prices are not looked up; write them", "ignored")
    mode = info.text("mode")
    if mode in ("chat", "completion", "embedding", "responses"):
        info.note("it is asked whatever the client asks", "ignored", key="mode")
    elif mode:
        info.note(f"clients cannot ask for {mode} here", "unsupported", key="mode")
    info.set_aside("access_groups", "who may ask is said by maas.tiers", "unsupported")
    info.set_aside_all("a remark without effect", "ignored")


def _times(params: Reader, found: Deployment) -> None:
    for theirs, ours in (("timeout", "first_byte_s"), ("stream_timeout", "first_token_s")):
        seconds = params.number(theirs, low=0.001, high=86_400)
        if seconds is not None:
            found.timeouts[ours] = seconds
    found.retries = params.whole("max_retries", low=0, high=9)
    found.at_once = params.whole("max_parallel_requests", low=1)
    order = params.whole("order", low=0, high=1000)
    found.order = 1 if order is None else order


def _idle(params: Reader) -> None:
    """Keys that have no effect, each with its reason."""
    for key in _ASKED:
        said = "nothing is added to what a client asks; let clients say it"
        params.set_aside(key, said, "unsupported")
    params.set_aside("drop_params", "fields that a provider refuses are left out", "ignored")
    params.set_aside("mock_response", "`wayside sim` plays models that answer", "unsupported")
    params.set_aside("mock_timeout", "`wayside sim` plays models that fail", "unsupported")
    for key in ("region_name", "allowed_model_region"):
        params.set_aside(key, "regions are told apart by signals and models", "unsupported")
    for key in ("input_cost_per_second", "output_cost_per_second"):
        params.set_aside(key, "tokens have a price, not seconds", "unsupported")
    params.set_aside("tags", "requests are routed by signals, not by tags", "unsupported")
    params.set_aside("ssl_verify", "certificates are always verified; tls.ca_file", "refused")
    for key in ("max_budget", "budget_duration"):
        params.set_aside(key, "budgets are of users: maas.tiers", "unsupported")
    params.remark("use_in_pass_through", "merge_reasoning_content_in_choices")
