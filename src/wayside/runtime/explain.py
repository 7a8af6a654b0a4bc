"""Why a prompt goes where it goes, as plain data for people, the CLI and the API."""

from __future__ import annotations

from typing import Any

from wayside.decisions import Decision, Match, Trace, Truth, trace
from wayside.flow import Choice
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import NO, SignalRef, Verdict, Verdicts

_SHOWN = 2_000  # characters of the question that an explanation repeats


def explanation(prompt: Prompt, choice: Choice) -> dict[str, Any]:
    """Signals with their values, every decision with its rule, and what was chosen.

    A decision is ``nearly`` when its rule does not hold although part of it does.
    """
    verdicts = choice.verdicts
    matches = {m.decision.name: m for m in choice.recipe.decider.matches(verdicts)}
    candidate = choice.option.candidate
    refs = (
        SignalRef(kind, n) for kind, (_, names) in choice.recipe.signals.items() for n in names
    )
    seen = {**dict.fromkeys(refs, NO), **verdicts}  # a signal that is silent says no
    return {
        "requested": prompt.model,
        "question": prompt.question[:_SHOWN],
        "tokens": prompt.tokens,
        "recipe": choice.recipe.name,
        "signals": [_signal(str(ref), verdict) for ref, verdict in sorted(seen.items())],
        "decisions": [
            _decision(d, verdicts, matches.get(d.name), choice.match)
            for d in choice.recipe.decider.decisions
        ],
        "decision": choice.match.decision.name if choice.match else None,
        "confidence": round(choice.match.confidence, 4) if choice.match else None,
        "algorithm": choice.algorithm,
        "candidates": [c.model for c in choice.match.decision.candidates] if choice.match else [],
        "model": choice.option.served.target.name,
        "lora": candidate.lora,
        "reasoning": candidate.reasoning,
        "effort": choice.option.effort if candidate.reasoning else None,
        "plugins": list(choice.match.decision.settings.plugins) if choice.match else [],
        "why": why(choice),
    }


def why(choice: Choice) -> str:
    """One sentence."""
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
        return (
            f"{decision.name} holds{because}; it names no model, so the default {model} answers."
        )
    among = len(decision.candidates)
    how = f", chosen by {choice.algorithm} among {among}" if among > 1 else ""
    return f"{decision.name} holds{because}; {model} answers{how}."


def _signal(ref: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "signal": ref,
        "matched": verdict.matched,
        "confidence": round(verdict.confidence, 4),
        "value": None if verdict.value is None else round(verdict.value, 4),
        "because": verdict.because,
        "unknown": verdict.unknown,
    }


def _decision(
    decision: Decision, verdicts: Verdicts, match: Match | None, winner: Match | None
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
        "models": [c.model for c in decision.candidates],
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
    found: dict[str, Any] = {"rule": node.text, "holds": _truth(node.truth)}
    if node.truth is not None and node.truth >= 0:
        found["confidence"] = round(node.truth, 4)
    if node.because:
        found["because"] = node.because
    if node.children:
        found["of"] = [_tree(child) for child in node.children]
    return found


def _truth(truth: Truth) -> bool | None:
    return None if truth is None else truth >= 0
