"""The router's configuration, made of an intent and of where its models are.

Our own format, as small as it can be: what the user wrote under ``router.settings``, and the
models with their addresses. It is validated as the router will validate it, and whatever is wrong
is told by the path in the intent that has to be changed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from wayside.deploy.intent import Cloud, Intent, SecretKey
from wayside.manifests.mounted import Mounted, distinct
from wayside.manifests.router_config import digest, merge, of_kinds, written
from wayside.settings import RouterSettings
from wayside.settings.load import fill
from wayside.settings.problems import problems_from, suggest
from wayside.vocab.errors import ConfigError, Problem

Places = Mapping[str, str]
"""The base URL of each model's servers: ``http://vllm-model-a.ns.svc.cluster.local:8000``."""
FILE: Final = "config.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a router reads."""

    text: str
    """Of ``config.yaml``."""
    digest: str
    """Of ``text``; a router tells the same of what it has read (``/info/config``)."""
    settings: RouterSettings
    secrets: tuple[Mounted, ...] = ()
    """Keys of Secrets that its pods have to mount. Nobody here ever sees a value."""


def configuration(
    intent: Intent,
    places: Places,
    *,
    also: Mapping[str, Any] | None = None,
    elsewhere: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    embedded_tiers: bool = False,
) -> Configuration:
    """The configuration of a router whose models are at ``places``.

    ``also`` is laid over everything (settings of the target: headers, listeners). ``elsewhere``
    are further endpoints of models, such as those of other clusters that stand by
    (:func:`wayside.deploy.parts.clusters.standing_by`). ``embedded_tiers`` has the router itself
    hold clients to ``intent.tiers``; without it somebody in front does.

    Raises :class:`ConfigError` with paths in the intent. A model that is neither in ``places`` nor
    a cloud's is a mistake of the target, and a ``KeyError``.
    """
    secrets: list[Mounted] = []
    models: dict[str, Any] = {}
    for name, model in intent.models.items():
        own = copy.deepcopy(model.settings)
        if model.cloud is not None:
            own = merge(own, _cloud(model.cloud, f"models.{name}.cloud", secrets))
        else:
            others = (elsewhere or {}).get(name, ())
            own = merge(own, {"endpoints": [places[name], *others]})
        if embedded_tiers and model.tiers is not None:
            own["tiers"] = list(model.tiers)
        models[name] = own
    made = copy.deepcopy(intent.router.settings)
    made = merge(made, {"models": models}) if models else made
    if intent.default_model is not None:
        made = merge(made, {"routing": {"default_model": intent.default_model}})
    if embedded_tiers and intent.tiers is not None:
        table = [tier.model_dump(mode="json", exclude_unset=True) for tier in intent.tiers]
        made = merge(made, {"maas": {"tiers": table}})
    made = merge(made, also or {})
    settings = checked(intent, made)
    head = (
        f"Made by `wayside deploy` for {intent.namespace}/{intent.name}.",
        "Change the intent: this is written anew.",
    )
    text = written(made, head)
    return Configuration(
        text=text, digest=digest(text), settings=settings, secrets=distinct(secrets)
    )


def checked(intent: Intent, made: Mapping[str, Any]) -> RouterSettings:
    """The settings as the router's own loader reads them, without any environment: a variable
    that is not set in the pod is told here rather than there."""
    problems: list[Problem] = []
    default = intent.default_model
    if default is not None and default not in intent.models:
        fix = suggest(default, intent.models, "models")
        problems.append(Problem(f"there is no model {default!r}", "default_model", fix))
    try:
        settings = RouterSettings.model_validate(fill(dict(made), {}))
    except ValidationError as error:
        problems += problems_from(error, RouterSettings)
    except ConfigError as error:
        problems += error.problems
    else:
        problems += of_kinds(settings)
    if problems:
        raise ConfigError([in_the_intent(intent, problem) for problem in problems])
    return settings


def in_the_intent(intent: Intent, problem: Problem) -> Problem:
    """The same problem, by the path in the intent that makes it."""
    where = problem.where
    if where == "default_model":
        return problem
    for name, model in intent.models.items():
        if not where.startswith(f"models.{name}."):
            continue
        rest = where.removeprefix(f"models.{name}.")
        key = rest.partition(".")[0].partition("[")[0]
        if key in model.settings:
            return Problem(problem.what, f"models.{name}.settings.{rest}", problem.fix)
        if model.cloud is not None:
            named = {"endpoints": "url", "credential": "key", "tls": "ca"}.get(key, key)
            return Problem(problem.what, f"models.{name}.cloud.{named}", problem.fix)
        return Problem(problem.what, f"models.{name}.{rest}", problem.fix)
    return Problem(problem.what, f"router.settings.{where}".rstrip("."), problem.fix)


def _cloud(cloud: Cloud, where: str, secrets: list[Mounted]) -> dict[str, Any]:
    """A model of a provider. What its key and certificates have to be mounted from is added to
    ``secrets``."""
    made: dict[str, Any] = {"provider": cloud.provider, "endpoints": [cloud.url]}

    def mounted(key: SecretKey, at: str) -> str:
        use = Mounted(key.secret, key.key, where=f"{where}.{at}")
        secrets.append(use)
        return use.file

    if cloud.key is not None:
        made["credential"] = {"file": mounted(cloud.key, "key")}
    if cloud.ca is not None:
        made["tls"] = {"ca_file": mounted(cloud.ca, "ca")}
    return made
