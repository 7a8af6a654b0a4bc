"""vSR's decisions as ours: rule trees, candidates, algorithms, plugins.

A decision whose rule needs something this release does not have is left out, whole: routing on
half a rule is wrong. Only an OR may lose branches, because each of its branches is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wayside.translate.algorithms import read_algorithm
from wayside.translate.keeping import Keeping
from wayside.translate.notes import Severity
from wayside.translate.plugins import BLOCKED, read_plugins
from wayside.translate.reading import Reader
from wayside.translate.servers import EFFORTS
from wayside.translate.signals import Signals, read_numbers


@dataclass(slots=True)
class Routing:
    """What decisions may refer to. ``whole``: the document defines everything it refers to."""

    signals: Signals
    models: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Model -> its adapters."""
    whole: bool = True
    pending: list[tuple[str, str, Severity]] = field(default_factory=list)
    """Notes that count only if the decision is kept."""
    keeping: Keeping = field(default_factory=Keeping)
    guarded: list[str] = field(default_factory=list)
    """Decisions before which jailbreaks are stopped."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A rule that cannot be kept, and why."""

    why: str
    severity: Severity = "unsupported"


Rule = dict[str, Any] | str | Lost | None
"""Ours, or lost; ``None`` always holds."""


def read_decisions(
    owner: Reader, routing: Routing, key: str = "decisions"
) -> list[dict[str, Any]]:
    """Every decision that can be kept, in the order written."""
    kept: list[dict[str, Any]] = []
    for decision in owner.each(key):
        routing.pending = []
        name = decision.text("name")
        if not name or len(name) > 256:
            decision.leave_out("a decision needs a name", "refused")
        elif any(k["name"] == name for k in kept):
            decision.leave_out(f"a second decision named {name!r}", "refused")
        else:
            made = _decision(decision, name, routing)
            if isinstance(made, Lost):
                why = f"decision {name!r} {made.why}; the decision is left out"
                decision.leave_out(why, made.severity)
            else:
                if name in routing.guarded:
                    kept.append(jailbreak_decision(made, routing.signals))
                kept.append(made)
                for note in routing.pending:
                    decision.ledger.add(*note)
    return kept


def jailbreak_decision(before: dict[str, Any], signals: Signals) -> dict[str, Any]:
    """A decision that stops jailbreaks where ``before`` would hold, and goes before it."""
    name = f"{before['name'][:200]} (jailbreak)"
    signals.add("jailbreak", "guard", {})
    rule: Any = "jailbreak:guard"
    if "when" in before:
        rule = {"all": [before["when"], rule]}
    made = {"name": name, "priority": before.get("priority", 0) + 1, "when": rule}
    if "tier" in before:
        made["tier"] = before["tier"]
    return {**made, "plugins": {"fast_response": {"message": BLOCKED}}}


def _decision(decision: Reader, name: str, routing: Routing) -> dict[str, Any] | Lost:
    rules = decision.inner("signals" if "rules" not in decision else "rules")
    when = _rule(rules, routing, negated=False) if rules else None
    if isinstance(when, Lost):
        return when
    candidates = _candidates(decision, routing)
    if isinstance(candidates, Lost):
        return candidates
    plugins = read_plugins(decision, routing.keeping)
    out: dict[str, Any] = {"name": name}
    if description := decision.text("description"):
        out["description"] = description
    if priority := decision.whole("priority", low=-(2**53)):
        out["priority"] = priority
    if tier := decision.whole("tier"):
        out["tier"] = tier
    if when is not None:
        out["when"] = when
    if candidates:
        out["models"] = candidates
    known = routing.models if routing.whole else {}
    select = read_algorithm(decision, candidates, known, routing.signals.models)
    if select != "static":
        out["select"] = select
    if plugins.made:
        out["plugins"] = plugins.made
    if plugins.stops_jailbreaks:
        routing.guarded.append(name)
    for key in (
        "candidateIterations",
        "adaptations",
        "emits",
        "output_contract",
        "output_contract_spec",
    ):
        decision.set_aside(key, "not supported yet")
    decision.remark("annotations")
    return out


def _rule(node: Reader, routing: Routing, *, negated: bool) -> Rule:
    """``{operator, conditions}`` or a leaf; under a NOT, nothing may be dropped."""
    if "operator" not in node and "conditions" not in node:
        return _leaf(node, routing)
    operator = (
        (node.choice("operator", ("and", "or", "not")) or "") if "operator" in node else "and"
    )
    inside = negated or operator == "not"
    children = node.each("conditions")
    rules = [(child, _rule(child, routing, negated=inside)) for child in children]
    lost = [(child, rule) for child, rule in rules if isinstance(rule, Lost)]
    kept = [_always(rule) for _, rule in rules if not isinstance(rule, Lost)]
    if operator == "":
        return Lost("has a rule whose operator is none of AND, OR, NOT", "refused")
    if operator == "not":
        if len(rules) != 1:
            return Lost("has a NOT without exactly one condition: it would never match", "refused")
        return lost[0][1] if lost else {"not": kept[0]}
    if operator == "or":
        return _or(lost, kept, negated=negated, routing=routing)
    if lost:
        return lost[0][1]
    if not kept:
        return None if not negated else {"all": []}
    return kept[0] if len(kept) == 1 else {"all": kept}


def _or(
    lost: list[tuple[Reader, Lost]], kept: list[Any], *, negated: bool, routing: Routing
) -> Rule:
    if lost and (negated or not kept):
        return lost[0][1]
    if not kept:
        return Lost("has an OR without conditions: it would never match", "refused")
    for child, why in lost:
        note = f"{why.why}; dropped from its OR"
        routing.pending.append((child.path, note, "unsupported"))
    return kept[0] if len(kept) == 1 else {"any": kept}


def _always(rule: dict[str, Any] | str | None) -> dict[str, Any] | str:
    return {"all": []} if rule is None else rule


def _leaf(leaf: Reader, routing: Routing) -> Rule:
    kind = (leaf.text("type") or "").lower().replace("-", "_")
    name = leaf.text("name") or ""
    numbers = read_numbers(leaf.inner("predicate"))
    if not leaf:
        return None
    if not kind or not name:
        return Lost("has a condition without type and name", "refused")
    signals = routing.signals
    if kind == "complexity" and ":" not in name:
        leaf.note("no level is named, so hard is meant", "defaulted", key="name")
        name = f"{name}:hard"
    if why := signals.lost(kind, name):
        return Lost(why)
    if kind == "classifier":
        name = _labelled(leaf, name, signals)
    else:
        leaf.set_aside("label", "only classifiers have labels", "ignored")
    unknown = _on_unknown(leaf)
    if name not in signals.known.get(kind, {}) and not (kind == "domain" and signals.domain(name)):
        if routing.whole:
            return Lost(f"refers to {kind} {name!r}, which nothing defines", "refused")
        leaf.note(f"{kind} {name!r} is not defined in this document", "unsupported")
    ref = f"{kind}:{name}"
    made: dict[str, Any] | str = ref
    if numbers or unknown:
        made = {"signal": ref, **numbers, **unknown}
    composer = signals.composed.get(name.partition(":")[0]) if kind == "complexity" else None
    if composer is None:
        return made
    signals.composed_used.add(name.partition(":")[0])
    where = _rule(composer, routing, negated=True)
    return where if isinstance(where, Lost) else {"all": [made, _always(where)]}


def _on_unknown(leaf: Reader) -> dict[str, str]:
    """``on_error`` or ``on_unknown`` of a leaf: what a signal that gave no answer means there."""
    for key in ("on_unknown", "on_error"):
        said = leaf.choice(key, ("no_match", "match", "fail_request", "allow", "block"))
        if said:
            return {"on_unknown": {"allow": "no_match", "block": "match"}.get(said, said)}
    return {}


def _labelled(leaf: Reader, name: str, signals: Signals) -> str:
    """A leaf on one label of a classifier is a rule of its own, of the same engine."""
    label = leaf.text("label")
    rule = signals.known.get("classifier", {}).get(name)
    if not label or rule is None:
        return name
    named = f"{name}:{label}"
    signals.add("classifier", named, {**rule, "labels": [label]})
    return named


def _candidates(decision: Reader, routing: Routing) -> list[Any] | Lost:
    refs = decision.each("modelRefs")
    kept = [made for ref in refs if (made := _candidate(ref, routing)) is not None]
    if refs and not kept:
        return Lost("names only models that nothing defines", "refused")
    return kept


def _candidate(ref: Reader, routing: Routing) -> Any:
    model, lora = ref.text("model") or "", ref.text("lora_name")
    ref.remark("reasoning_description")
    owner = next((m for m, loras in routing.models.items() if model in loras), None)
    if model not in routing.models and owner is not None:
        ref.note(f"is an adapter of {owner!r}", "mapped", key="model")
        model, lora = owner, model
    if not model or len(model) > 256:
        ref.leave_out("a candidate needs a model", "refused")
        return None
    if model not in routing.models:
        if routing.whole:
            ref.leave_out(f"nothing defines model {model!r}; left out", "refused")
            return None
        ref.note(f"model {model!r} is not defined in this document", "unsupported", key="model")
    elif lora and lora not in routing.models[model]:
        ref.note(f"{model!r} has no adapter {lora!r}; left out", "refused", key="lora_name")
        lora = None
    out: dict[str, Any] = {"model": model}
    if lora:
        out["lora"] = lora
    if (weight := ref.number("weight", low=0, high=1_000_000)) is not None and weight != 1:
        out["weight"] = weight
    if (reasoning := ref.flag("use_reasoning")) is not None:
        out["reasoning"] = reasoning
    if effort := ref.choice("reasoning_effort", EFFORTS):
        out["effort"] = effort
    return out if len(out) > 1 else model
