"""What an IntelligentPool and an IntelligentRoute must keep before they are put in force.

Pure checks, in the words that vSR uses, and a few that it leaves out; what is wrong with a rule by
itself is found when the configuration is validated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wayside.vocab.objects import section, sections, text

_LISTS = {
    "keyword": "keywords",
    "embedding": "embeddings",
    "domain": "domains",
    "fact_check": "factCheckRules",
    "context": "contextRules",
    "structure": "structure",
    "conversation": "conversation",
    "event": "events",
}
"""Condition type -> where its rules are listed. Other kinds stand under their own names."""
_FREE = frozenset({"fact_check", "context", "modality", "user_feedback"})
"""Kinds of which a condition may name a verdict that no rule declares."""


def problems(pool: Mapping[str, Any], route: Mapping[str, Any]) -> list[str]:
    """Why the two do not go together; empty when they do."""
    models = section(pool, "spec").get("models")
    return [*_of_pool(section(pool, "spec")), *_of_route(section(route, "spec"), sections(models))]


def conflict(kind: str, count: int, namespace: str) -> str:
    """Why ``count`` objects of a kind are none."""
    return (
        f"found {count} {kind}s in namespace {namespace}, expected exactly 1; "
        f"delete all but one, or give each router a namespace of its own"
    )


def _of_pool(pool: Mapping[str, Any]) -> Iterator[str]:
    names = [text(model.get("name")) for model in sections(pool.get("models"))]
    for name in _repeated(names):
        yield f"duplicate model name: {name}"
    default = text(pool.get("defaultModel"))
    if default and default not in names:
        yield f"defaultModel {default} is not among models: {', '.join(names) or 'none'}"


def _of_route(route: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    known: dict[str, set[str]] = {}
    signals = section(route, "signals")
    kinds = {where: kind for kind, where in _LISTS.items()}
    for where, rules in signals.items():
        kind = kinds.get(where, where)
        names = [text(rule.get("name")) for rule in sections(rules)]
        known[kind] = set(names)
        for name in _repeated(names):
            yield f"duplicate {kind} signal name: {name}"
    loras = {
        text(model.get("name")): {text(lora.get("name")) for lora in sections(model.get("loras"))}
        for model in models
    }
    decisions = sections(route.get("decisions"))
    for name in _repeated([text(d.get("name")) for d in decisions]):
        yield f"duplicate decision name: {name}"
    for decision in decisions:
        yield from _of_decision(decision, known, loras)


def _of_decision(
    decision: Mapping[str, Any],
    known: Mapping[str, set[str]],
    loras: Mapping[str, set[str]],
) -> Iterator[str]:
    called = f"decision {text(decision.get('name'))}"
    rules = section(decision, "signals") or section(decision, "rules")
    for kind, name in _conditions(rules):
        if kind not in _FREE and name not in known.get(kind, ()):
            yield f"{called} references unknown {kind} signal: {name}"
    for ref in sections(decision.get("modelRefs")):
        model, lora = text(ref.get("model")), text(ref.get("loraName"))
        if model not in loras:
            yield f"{called} references unknown model: {model}"
        elif lora and lora not in loras[model]:
            yield f"{called} references unknown LoRA {lora} for model {model}"


def _conditions(rules: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and name of the conditions of a rule and the rules within it."""
    for condition in sections(rules.get("conditions")):
        if "conditions" in condition:
            yield from _conditions(condition)
        else:
            yield text(condition.get("type")), text(condition.get("name"))


def unknown_families(pool: Mapping[str, Any], families: Sequence[str]) -> list[str]:
    """Models whose family the base configuration does not have, where it has any."""
    if not families:
        return []
    return [
        f"model {text(model.get('name'))} references unknown reasoning family: {family}"
        for model in sections(section(pool, "spec").get("models"))
        if (family := text(model.get("reasoningFamily"))) and family not in families
    ]


def _repeated(names: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    again: dict[str, None] = {}
    for name in names:
        if name in seen:
            again[name] = None
        seen.add(name)
    return list(again)


Verdict = tuple[str, str]
"""Reason (``Ready``, ``Conflict``, ``ValidationFailed``) and message."""


def judge(
    pools: Sequence[Mapping[str, Any]],
    routes: Sequence[Mapping[str, Any]],
    namespace: str,
    families: Sequence[str] = (),
) -> tuple[Verdict, Verdict]:
    """What becomes of the pools and of the routes of a namespace; each has to be one.
    ``families`` are those that the base configuration declares."""
    pool = _alone("IntelligentPool", pools, namespace)
    route = _alone("IntelligentRoute", routes, namespace)
    if pool[0] != "Ready" or route[0] != "Ready":
        lacking = pool[1] if pool[0] != "Ready" else route[1]
        waits: Verdict = ("ValidationFailed", lacking)
        return (
            pool if pool[0] != "Ready" else waits,
            route if route[0] != "Ready" else waits,
        )
    of_pool = [*_of_pool(section(pools[0], "spec")), *unknown_families(pools[0], families)]
    if of_pool:
        verdict: Verdict = ("ValidationFailed", "; ".join(of_pool))
        return verdict, ("ValidationFailed", f"the IntelligentPool is not valid: {of_pool[0]}")
    of_route = problems(pools[0], routes[0])
    if of_route:
        return pool, ("ValidationFailed", "; ".join(of_route))
    return pool, route


def _alone(kind: str, found: Sequence[Mapping[str, Any]], namespace: str) -> Verdict:
    if len(found) == 1:
        return "Ready", "in force"
    if not found:
        return "ValidationFailed", f"no {kind} in namespace {namespace}: create one"
    return "Conflict", conflict(kind, len(found), namespace)


def statistics(route: Mapping[str, Any]) -> dict[str, int]:
    """What ``kubectl get`` shows of a route."""
    spec = section(route, "spec")
    signals = section(spec, "signals")
    counted = {name: len(sections(signals.get(name))) for name in ("keywords", "embeddings")}
    return {
        "decisions": len(sections(spec.get("decisions"))),
        **counted,
        "domains": len(sections(signals.get("domains"))),
    }
