"""The configuration of the split layout's router, made of an intent: in the guide's format where
that can say everything, in our own where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wayside.deploy import Object
from wayside.deploy.intent import Intent
from wayside.deploy.parts import clusters, config, meta, split_config, split_places
from wayside.deploy.parts.config import Configuration
from wayside.deploy.parts.split_config import Place
from wayside.deploy.parts.split_options import SplitOptions
from wayside.manifests.router_config import digest
from wayside.settings import RouterSettings

CONFIG: Final = "semantic-router-config"
"""The ConfigMap, as the guide calls it."""


def configured(
    intent: Intent, wish: SplitOptions, places: Mapping[str, Place], cluster: str = ""
) -> Configuration:
    """The configuration with models at these places, in the format that is wished for;
    ``cluster`` is the one of several that it is for."""
    routed = set(split_config.MODELS) <= places.keys() and not own_routing(intent)
    default = intent.default_model or next(iter(intent.models), "")
    urls = {name: split_places.url(place) for name, place in places.items()}
    if routed and wish.format != "wayside" and not beyond_the_guide(intent):
        found = split_config.document(places, default)
        head = (
            f"Made by `wayside deploy` for {intent.namespace}/{intent.name}.",
            "Change the intent: this is written anew.",
        )
        text = split_config.written(found, head)
        ours = split_config.settings(urls, default)
        return Configuration(
            text=text, digest=digest(text), settings=RouterSettings.model_validate(ours)
        )
    own = intent
    if routed:
        ours = split_config.settings(urls, default)
        families = {"reasoning_family": "qwen3"}
        models = {
            name: model.model_copy(update={"settings": {**families, **model.settings}})
            if name in split_config.MODELS
            else model
            for name, model in intent.models.items()
        }
        rest = {k: v for k, v in ours.items() if k != "models"}
        merged = {**rest, **intent.router.settings}
        own = intent.model_copy(
            update={
                "models": models,
                "router": intent.router.model_copy(update={"settings": merged}),
            }
        )
    return config.configuration(own, urls, elsewhere=clusters.standing_by(intent, cluster))


def config_map(intent: Intent, configuration: Configuration) -> Object:
    """``semantic-router-config``, under the guide's key."""
    return meta.object_(
        intent, "v1", "ConfigMap", CONFIG, data={split_config.KEY: configuration.text}
    )


def own_routing(intent: Intent) -> bool:
    """Whether the intent itself says how prompts are routed."""
    return bool(intent.router.settings.get("routing") or intent.router.config)


def beyond_the_guide(intent: Intent) -> list[str]:
    """What of the intent the guide's format has no word for, by path."""
    found = [name for name in ("settings", "config") if getattr(intent.router, name)]
    said = [f"router.{name}" for name in found]
    for name, model in intent.models.items():
        for field in ("cloud", "settings", "tiers"):
            if getattr(model, field) not in (None, {}):
                said.append(f"models.{name}.{field}")
    if intent.clusters:
        said.append("clusters")
    if not set(split_config.MODELS) <= intent.models.keys():
        said.append(f"models other than {' and '.join(split_config.MODELS)} alone")
    return said
