"""The models of a router's configuration, and what becomes of it where some are nowhere.

A model that was declared and is not found stays declared: a decision that names it is right, and
must not start to mean something else. Its other candidates answer; a decision that has no other
refuses with 503, because the prompts it is for may be such as no other model shall see.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from wayside.resources.semantic_router.backends import Backend
from wayside.resources.semantic_router.secrets import SecretUse

Rule = dict[str, Any]


def placed(backends: Iterable[Backend]) -> tuple[dict[str, Rule], list[SecretUse]]:
    """``models.<name>`` of every model that is somewhere, in the order of the spec, and what its
    servers' keys and certificates have to be mounted from."""
    models: dict[str, Rule] = {}
    secrets: list[SecretUse] = []
    for backend in backends:
        if not backend.url:
            continue
        made = models.setdefault(backend.model, {})
        for key, value in (backend.provider or {}).items():
            made.setdefault(key, value)
        endpoint: Rule = {"url": backend.url, "name": backend.name}
        if backend.weight != 1:
            endpoint["weight"] = backend.weight
        made.setdefault("endpoints", []).append(endpoint)
        if backend.key is not None:
            made["credential"] = {"file": backend.key.file}
            secrets.append(backend.key)
        if backend.url.startswith("https:"):
            if backend.ca is not None:
                made.setdefault("tls", {})["ca_file"] = backend.ca.file
                secrets.append(backend.ca)
            if backend.server_name:
                made.setdefault("tls", {})["server_name"] = backend.server_name
    return models, secrets


def default_model(wanted: str, declared: Iterable[str], found: Collection[str]) -> tuple[str, str]:
    """Who answers where no decision matches, and a remark about that.

    Whoever named one gets that one or a refusal. Where nobody did, it is the first of the list
    that is somewhere: never by alphabet, and the same for as long as the spec and the cluster are.
    """
    names = list(dict.fromkeys(declared))
    if wanted:
        if wanted in found or wanted not in names:
            return wanted, ""
        return "", (
            f"spec.defaultModel: {wanted} has no backend; until it has, prompts that no decision "
            "takes are refused"
        )
    first = next((name for name in names if name in found), "")
    if first and first != names[0]:
        return first, (
            f"spec.vllmEndpoints: {names[0]} has no backend; until it has, {first} answers where "
            "no decision matches (set spec.defaultModel to have such prompts refused instead)"
        )
    return first, ""


def without(settings: Rule, missing: Collection[str], rest: str) -> Iterator[str]:
    """Take models out of ``settings``, in place, and say what that means for each decision.

    ``rest`` is the decision that takes what no other does; it goes when there is no default.
    """
    for name in missing:
        settings.get("models", {}).pop(name, None)
    parts: Mapping[str, Rule] = {"": settings.get("routing", {}), **settings.get("recipes", {})}
    for routing in parts.values():
        if "default_model" not in routing and "decisions" in routing:
            routing["decisions"] = [d for d in routing["decisions"] if d["name"] != rest]
        for decision in routing.get("decisions", ()):
            yield from _decision(decision, missing)


def unserved(settings: Rule) -> None:
    """For a router none of whose models is anywhere, in place: a last decision refuses what no
    other takes. So its pods run, tell what they decide, and begin to answer without a restart."""
    settings.setdefault("models", {})  # without it the file would be taken for one of vSR's
    routing = settings.setdefault("routing", {})
    decisions = routing.setdefault("decisions", [])
    taken = {decision["name"] for decision in decisions}
    name = "no_backend"
    while name in taken:
        name += "_"
    last: Rule = {"name": name, "plugins": {"fast_response": _refusal("any model")}}
    if decisions:
        last["priority"] = min(decision.get("priority", 0) for decision in decisions) - 1
        if any(decision.get("tier") for decision in decisions):
            last["tier"] = max(decision.get("tier", 0) for decision in decisions) + 1
    decisions.append(last)


def _refusal(models: str) -> Rule:
    message = f"No server of {models} is known to the router yet."
    return {"message": message, "as": "error", "status": 503, "code": "no_healthy_endpoint"}


def _decision(decision: Rule, missing: Collection[str]) -> Iterator[str]:
    before = decision.get("models", [])
    kept = [c for c in before if _model(c) not in missing]
    if len(kept) == len(before):
        return
    gone = ", ".join(dict.fromkeys(_model(c) for c in before if c not in kept))
    if kept:
        decision["models"] = kept
        select = decision.get("select")
        if select is not None and (len(kept) == 1 or _names(select, missing)):
            del decision["select"]
        yield f"decision {decision['name']!r}: {gone} has no backend; the others answer"
        return
    for key in ("models", "select"):
        decision.pop(key, None)
    decision["plugins"] = {"fast_response": _refusal(gone)}
    yield f"decision {decision['name']!r}: {gone} has no backend; its prompts are refused with 503"


def _model(candidate: Any) -> str:
    return str(candidate["model"] if isinstance(candidate, Mapping) else candidate)


def _names(value: Any, models: Collection[str]) -> bool:
    """Whether one of the models is named anywhere in settings of an algorithm."""
    if isinstance(value, Mapping):
        return any(k in models or _names(v, models) for k, v in value.items())
    if isinstance(value, list | tuple):
        return any(_names(item, models) for item in value)
    return isinstance(value, str) and value in models
