"""Models that Models-as-a-Service publishes, as models of a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, Final

from wayside.kube.published import Published
from wayside.settings.providers import PROVIDERS
from wayside.translate.found import Found

KEY: Final = "api-key"
"""The key of an ExternalModel's Secret, as its CRD documents it."""
_CALLED: Final = {"vertex": "vertex-ai", "bedrock-openai": "bedrock"}
"""Providers that MaaS calls otherwise."""


def found(models: Iterable[Published], keys: str, left: list[str]) -> Iterator[Found]:
    """Each model, by the name that it is published under. What cannot be asked is added to
    ``left``: an ExternalModel of a provider that we do not know, or without ``keys``, the folder
    with its Secret."""
    for model in models:
        by = f"MaaSModelRef {model.namespace}/{model.name}"
        settings: dict[str, Any] = {"upstream_name": model.model}
        url = model.url.rstrip("/")
        based = "/" in url.partition("://")[2]
        if model.external is not None:
            provider = _CALLED.get(model.external.provider, model.external.provider)
            if provider not in PROVIDERS:
                left.append(f"{by}: no provider {provider[:80]!r}")
                continue
            if not keys:
                left.append(f"{by}: its Secret is mounted nowhere; name a folder: published.keys")
                continue
            settings["provider"] = provider
            secret = PurePath(model.external.secret).name
            settings["credential"] = {"file": str(PurePath(keys) / secret / KEY)}
            path = PROVIDERS[provider].path
            if "{" in path:
                left.append(f"{by}: {provider} needs a location, which a MaaSModelRef has not")
                continue
            url = url if based else f"{url}{path}"
        elif based:
            url = f"{url}/v1"
        yield Found(model.name, {"url": url, "name": model.name}, by, settings)
