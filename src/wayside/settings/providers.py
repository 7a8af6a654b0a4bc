"""Who serves a model, and what that means: address, path, header of the key, API.

A provider's name stands for settings that could all be written out; whatever is written out wins.
Sources: each provider's own page on its OpenAI-compatible API (Azure: data-plane reference;
Gemini: "OpenAI compatibility"; Vertex AI: "Using OpenAI libraries"; Bedrock: "Invoke with the
OpenAI Chat Completions API"), and Anthropic's API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from pydantic import Field, field_validator, model_validator

from wayside.settings.address import parse_address
from wayside.settings.base import Settings

ProviderName = Literal[
    "openai", "anthropic", "azure-openai", "bedrock", "gemini", "vertex-ai", "minimax",
    "openrouter", "groq", "mistral", "deepseek", "together", "fireworks", "xai", "cohere",
    "cerebras",
]  # fmt: skip


class Provider(NamedTuple):
    """What a provider's name stands for. In ``url`` and ``path`` ``{location}``, ``{project}`` and
    ``{upstream_name}`` are the model's settings of that name."""

    url: str
    """Where it is; ``""`` where every customer has an address of their own."""
    path: str = "/v1"
    """What stands before ``/chat/completions`` there, for endpoints that name no path."""
    header: str = "authorization"
    prefix: str = "Bearer "
    """How the key is sent."""
    protocol: Literal["openai", "anthropic", "responses"] = "openai"
    strict: bool = False
    """Whether it refuses fields that OpenAI's API does not have."""
    usage: Literal["end", "asked"] = "end"
    """``asked``: it refuses ``stream_options``."""


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider("https://api.openai.com", strict=True),
    "anthropic": Provider(
        "https://api.anthropic.com", header="x-api-key", prefix="", protocol="anthropic"
    ),
    "azure-openai": Provider("", "/openai/v1", header="api-key", prefix="", strict=True),
    "bedrock": Provider("https://bedrock-runtime.{location}.amazonaws.com", "/openai/v1"),
    "gemini": Provider("https://generativelanguage.googleapis.com", "/v1beta/openai", strict=True),
    "vertex-ai": Provider(
        "https://{location}-aiplatform.googleapis.com",
        "/v1/projects/{project}/locations/{location}/endpoints/openapi",
        strict=True,
    ),
    "minimax": Provider("https://api.minimax.io"),
    "openrouter": Provider("https://openrouter.ai", "/api/v1"),
    "groq": Provider("https://api.groq.com", "/openai/v1", strict=True),
    # Its streams say their usage unasked, in the event that ends the text.
    "mistral": Provider("https://api.mistral.ai", strict=True, usage="asked"),
    "deepseek": Provider("https://api.deepseek.com"),
    "together": Provider("https://api.together.xyz"),
    "fireworks": Provider("https://api.fireworks.ai", "/inference/v1"),
    "xai": Provider("https://api.x.ai"),
    "cohere": Provider("https://api.cohere.ai", "/compatibility/v1"),
    "cerebras": Provider("https://api.cerebras.ai"),
}
AZURE_STREAM_OPTIONS = "2024-09-01"
"""The ``api_version`` since which Azure takes ``stream_options``."""
DEPLOYMENT_PATH = "/openai/deployments/{upstream_name}"
"""Azure's path where an ``api_version`` is named."""


_ONLY_FOR = {
    "location": ("bedrock", "vertex-ai"),
    "project": ("vertex-ai",),
    "api_version": ("azure-openai",),
}


class ProviderSettings(Settings):
    """The part of a model's settings that says who serves it."""

    provider: ProviderName | None = None
    """Whose service it is: gives `endpoints`, `protocol` and the header of the `credential` their
    defaults. Unset for servers of your own."""
    protocol: Literal["openai", "anthropic", "responses"] = "openai"
    """The API that its servers speak: OpenAI's chat completions, Anthropic's Messages API, or
    (`responses`) OpenAI's Responses API."""
    location: str = Field("", max_length=64, pattern=r"^[A-Za-z0-9-]*$")
    """Where it runs, for bedrock and vertex-ai: `us-east-1`, `europe-west4`, `global`."""
    project: str = Field("", max_length=128, pattern=r"^[A-Za-z0-9:._-]*$")
    """The Google Cloud project, for vertex-ai."""
    api_version: str = Field("", max_length=64, pattern=r"^[A-Za-z0-9.-]*$")
    """For azure-openai: `2024-10-21` asks the deployment called `upstream_name` under
    `/openai/deployments`, as that version of the API wants it. Unset, `/openai/v1` is asked."""
    accept_user_keys: bool = False
    """Whether a client may bring a key of its own for this provider (`x-user-openai-key` and the
    like), which then takes the place of the `credential`. Such headers go no further than here
    otherwise."""

    @property
    def known(self) -> Provider:
        """What its provider's name stands for."""
        return PROVIDERS[self.provider] if self.provider else Provider("")

    @model_validator(mode="before")
    @classmethod
    def _as_its_provider_does(cls, value: Any) -> Any:
        return with_defaults(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> ProviderSettings:
        for name, whose in _ONLY_FOR.items():
            if getattr(self, name) and self.provider not in whose:
                raise ValueError(f"{name} is for provider: {' or '.join(whose)}")
        return self

    @field_validator("accept_user_keys")
    @classmethod
    def _whose_keys(cls, value: bool, info: Any) -> bool:
        if value and info.data.get("provider") is None:
            raise ValueError("name the provider, so that users' keys go to nobody else")
        return value


def with_defaults(said: dict[str, Any]) -> dict[str, Any]:
    """A model's settings as written, with what its provider's name stands for.

    Raises ``ValueError`` where an address cannot be put together.
    """
    provider = PROVIDERS.get(str(said.get("provider")))
    if provider is None:
        return said
    found = {
        "protocol": provider.protocol,
        "effort_at_top_level": True,
        "usage": provider.usage,
        **said,
    }
    path = provider.path
    if said.get("provider") == "azure-openai" and said.get("api_version"):
        path = DEPLOYMENT_PATH
        if str(said["api_version"]) < AZURE_STREAM_OPTIONS:
            found["usage"] = said.get("usage", "asked")
    endpoints = said.get("endpoints") or ([provider.url] if provider.url else [])
    if isinstance(endpoints, list | tuple):
        found["endpoints"] = [_endpoint(endpoint, path, said) for endpoint in endpoints]
    credential = said.get("credential")
    if isinstance(credential, dict) and "header" not in credential:
        sent = {"header": provider.header, "prefix": provider.prefix}
        found["credential"] = {**sent, **credential}
    return found


def _endpoint(endpoint: Any, path: str, said: dict[str, Any]) -> Any:
    """An endpoint with the provider's path, unless it names one."""
    url = endpoint.get("url") if isinstance(endpoint, dict) else endpoint
    if not isinstance(url, str):
        return endpoint
    url = _filled(url, said)
    try:
        address = parse_address(url)
    except ValueError:
        return endpoint  # told where endpoints are checked
    if not address.base_path:
        url = url.rstrip("/") + _filled(path, said)
    return {**endpoint, "url": url} if isinstance(endpoint, dict) else url


def _filled(template: str, said: dict[str, Any]) -> str:
    for name in ("location", "project", "upstream_name"):
        if f"{{{name}}}" in template:
            value = said.get(name)
            if not isinstance(value, str) or not value:
                raise ValueError(f"{said.get('provider')} needs {name} to be set")
            if value == "global" and template.startswith("https://{location}-"):
                template = template.replace("{location}-", "")  # it has no region in its name
            template = template.replace(f"{{{name}}}", quote(value, safe=":._-"))
    return template
