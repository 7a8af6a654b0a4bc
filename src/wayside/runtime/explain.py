"""Why a prompt goes where it goes, as plain data for people, the CLI and the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wayside.decisions import Decision, Match, Trace, Truth, trace
from wayside.flow import Choice, Recipe
from wayside.flow.rights import allowed
from wayside.runtime.changes import Alternative, alternatives
from wayside.runtime.costs import Costs, KindCost
from wayside.runtime.limits import Limits, limits, threshold
from wayside.runtime.projected import projected
from wayside.settings.projections import PROJECTION
from wayside.vocab.access import Caller
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import NO, SignalRef, Verdict, Verdicts

_SHOWN = 2_000  # characters of the question that an explanation repeats
_NONE: Costs = {}


def explanation(
    prompt: Prompt,
    choice: Choice,
    costs: Costs = _NONE,
    *,
    changes: bool = True,
    caller: Caller | None = None,
    found: Sequence[Alternative] | None = None,
) -> dict[str, Any]:
    """Signals with their values and costs, every decision with its rule, and what was chosen.

    A decision is ``nearly`` when its rule does not hold although part of it does.
    ``would_change`` are the other outcomes, with what each needed, nearest first; the decision is
    ``None`` for the default model; without ``changes`` nobody looks for them, which is most of the
    work, and ``found`` is what somebody has found already. ``cost_us`` is that of a signal's kind,
    all rules together. Models that ``caller`` may not use are not named.
    """
    verdicts = choice.verdicts
    recipe = choice.recipe
    bounds = {ref: limits(rule) for ref, rule in recipe.rules.items()}
    matches = {m.decision.name: m for m in recipe.decider.matches(verdicts)}
    candidate = choice.option.candidate
    refs = (SignalRef(kind, n) for kind, (_, names) in recipe.signals.items() for n in names)
    seen = {**dict.fromkeys(refs, NO), **verdicts}  # a signal that is silent says no
    read = [(ref, seen[ref]) for ref in sorted(seen) if ref.kind != PROJECTION]
    return {
        "requested": prompt.model,
        "question": prompt.question[:_SHOWN],
        "tokens": prompt.tokens,
        "recipe": recipe.name,
        "signals": [
            _signal(ref, verdict, bounds.get(ref, {}), costs.get(ref.kind))
            for ref, verdict in read
        ],
        "costs": [_cost(kind, cost, recipe) for kind, cost in costs.items()],
        "projections": projected(recipe.projections, verdicts),
        "decisions": [
            _decision(d, verdicts, matches.get(d.name), choice.match, caller)
            for d in recipe.decider.decisions
        ],
        "decision": choice.match.decision.name if choice.match else None,
        "confidence": round(choice.match.confidence, 4) if choice.match else None,
        "algorithm": choice.algorithm,
        "reason": choice.why,
        "candidates": _models(choice.match.decision, caller) if choice.match else [],
        "model": choice.option.served.target.name or None,
        "lora": candidate.lora,
        "reasoning": candidate.reasoning,
        "effort": choice.option.effort if candidate.reasoning else None,
        "plugins": list(choice.match.decision.settings.plugins) if choice.match else [],
        "why": why(choice),
        "would_change": _would_change(recipe, verdicts, bounds, caller, found)
        if changes or found is not None
        else [],
    }


def _models(decision: Decision, caller: Caller | None) -> list[str]:
    return [c.model for c in allowed(decision.candidates, caller)]


def why(choice: Choice) -> str:
    """One sentence."""
    if choice.denied is not None:
        return str(choice.denied)
    model = choice.option.served.target.name
    if choice.match is None:
        return f"No decision matched, so the default model {model} answers."
    decision = choice.match.decision
    seen = [
        f"{ref} ({verdict.because})" if verdict.because else str(ref)
        for ref in decision.refs
        if (verdict := choice.verdicts.get(ref)) is not None and verdict.matched
    ]
    because = f" because {', '.join(seen)}" if seen else ""
    if not decision.candidates:
        if not model:
            return f"{decision.name} holds{because}; it answers by itself, without a model."
        return (
            f"{decision.name} holds{because}; it names no model, so the default {model} answers."
        )
    if choice.algorithm == "default":
        return f"{decision.name} holds{because}; {model} answers: {choice.why}."
    among = len(decision.candidates)
    how = f", chosen by {choice.algorithm} among {among}" if among > 1 else ""
    if how and choice.why:
        how += f" ({choice.why})"
    return f"{decision.name} holds{because}; {model} answers{how}."


def _signal(
    ref: SignalRef, verdict: Verdict, bounds: Limits, cost: KindCost | None
) -> dict[str, Any]:
    return {
        "signal": str(ref),
        "matched": verdict.matched,
        "confidence": round(verdict.confidence, 4),
        "value": None if verdict.value is None else round(verdict.value, 4),
        "threshold": threshold(bounds),
        "limits": dict(bounds),
        "because": verdict.because,
        "unknown": verdict.unknown,
        "cost_us": None if cost is None else round(cost.total_us, 1),
    }


def _cost(kind: str, cost: KindCost, recipe: Recipe) -> dict[str, Any]:
    return {
        "kind": kind,
        "rules": len(recipe.signals[kind][1]) if kind in recipe.signals else 0,
        "total_us": round(cost.total_us, 1),
        "read_us": round(cost.read_us, 1),
        "asks_us": round(cost.asks_us, 1),
        "asks": [{"ask": what, "us": round(us, 1)} for what, us in cost.asked],
    }


def _would_change(
    recipe: Recipe,
    verdicts: Verdicts,
    bounds: Mapping[SignalRef, Limits],
    caller: Caller | None,
    found: Sequence[Alternative] | None,
) -> list[dict[str, Any]]:
    if found is None:
        found = alternatives(recipe.decider, verdicts, bounds)
    return [
        {
            "decision": one.decision.name if one.decision else None,
            "needs": [change.text for change in one.way.values()],
            "models": _models(one.decision, caller) if one.decision else [],
        }
        for one in found
    ]


def _decision(
    decision: Decision,
    verdicts: Verdicts,
    match: Match | None,
    winner: Match | None,
    caller: Caller | None,
) -> dict[str, Any]:
    tree = trace(decision.settings.when, verdicts)
    holds = match is not None and not match.unknown
    chosen = winner is not None and winner.decision is decision
    return {
        "decision": decision.name,
        "priority": decision.priority,
        "tier": decision.tier,
        "holds": holds,
        "chosen": chosen,
        "nearly": not holds and _partly(decision, verdicts),
        "confidence": round(match.confidence, 4) if match else None,
        "rule": _tree(tree),
        "models": _models(decision, caller),
    }


def _partly(decision: Decision, verdicts: Verdicts) -> bool:
    """Some positive leaf holds, or came with a value that is not far from holding."""
    if any(verdicts[ref].matched for ref in decision.refs if ref in verdicts):
        return True
    return any(
        verdicts[ref].unknown or verdicts[ref].confidence >= 0.25
        for ref in decision.refs
        if ref in verdicts
    )


def _tree(node: Trace) -> dict[str, Any]:
    """A node of a rule: whether it holds, and why it does or does not."""
    found: dict[str, Any] = {"rule": node.text, "holds": _truth(node.truth)}
    if node.truth is not None and node.truth >= 0:
        found["confidence"] = round(node.truth, 4)
    found["because"] = _because(node)
    if node.children:
        found["of"] = [_tree(child) for child in node.children]
    return found


def _because(node: Trace) -> str:
    holds = _truth(node.truth)
    if node.text == "always":
        return "it has no condition"
    if node.text == "not":
        (child,) = node.children
        return f"{child.text} {_SAYS[_truth(child.truth)]}"
    if node.text not in ("all", "any"):
        return node.because or ("matched" if holds else "did not match")
    if not node.children:
        return "it lists nothing"
    deciding = [child.text for child in node.children if _truth(child.truth) is holds]
    if len(deciding) == len(node.children) and len(deciding) > 1:
        return _OF_ALL[holds].format(len(deciding))
    more = f" and {len(deciding) - 1} more" if len(deciding) > 1 else ""
    verb = "hold" if more else "holds"
    return (
        f"{deciding[0]}{more} "
        + {
            True: verb,
            False: f"{'do' if more else 'does'} not hold",
            None: f"{'are' if more else 'is'} unknown",
        }[holds]
    )


_SAYS = {True: "holds", False: "does not hold", None: "is unknown"}
_OF_ALL = {True: "all {} hold", False: "none of {} holds", None: "all {} are unknown"}


def _truth(truth: Truth) -> bool | None:
    return None if truth is None else truth >= 0
