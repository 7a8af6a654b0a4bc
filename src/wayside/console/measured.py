"""What may be evaluated, and what is said of one labelled text: by a signal, or by decisions."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from wayside.console.inside import Inside
from wayside.console.playing import ANYBODY
from wayside.console.shapes import Choices
from wayside.flow import Recipe, read_signals
from wayside.gateway.api import ApiError
from wayside.runtime.limits import limits, threshold
from wayside.settings.problems import suggest
from wayside.signals import Signal
from wayside.vocab.errors import RequestError
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.tokens import estimate_tokens
from wayside.vocab.verdict import NO, SignalRef, Verdict

DECISION: Final = "decision"
NONE: Final = "(none)"
"""No rule of the kind matches, or no decision holds."""
UNKNOWN: Final = "(unknown)"
"""Nobody could tell."""
YES, NO_ = "yes", "no"


class Said(NamedTuple):
    """A label, and how sure; ``None`` where there is no number."""

    label: str
    score: float | None


class Measured(NamedTuple):
    """What is evaluated. ``threshold`` is that of the rule in force, ``scored``: its numbers may
    be compared with other thresholds."""

    labels: tuple[str, ...]
    scored: bool
    threshold: float | None
    ask: Callable[[str], Awaitable[Said]]


def choices(inside: Inside) -> list[Choices]:
    """By the recipe that is asked for first: its decisions, kinds of signal, and rules."""
    recipe = recipe_of(inside)
    found: list[Choices] = []
    names = [d.name for d in recipe.decider.decisions]
    if names:
        found.append({"id": DECISION, "labels": [*names, NONE], "scored": False})
    for kind, (_, rules) in sorted(recipe.every_signal.items()):
        if len(rules) > 1:
            found.append({"id": kind, "labels": [*rules, NONE], "scored": False})
        for rule in rules:
            scored = _threshold(recipe, SignalRef(kind, rule)) is not None
            found.append({"id": f"{kind}:{rule}", "labels": [YES, NO_], "scored": scored})
    return found


def measured(inside: Inside, id: str) -> Measured:
    """Raises :class:`ApiError` for what there is not."""
    there = {choice["id"]: choice for choice in choices(inside)}
    if id not in there:
        said = suggest(id[:128], tuple(there), "things that can be evaluated")
        raise ApiError(400, "INVALID_INPUT", f"signal: no {id[:128]!r}; {said}")
    recipe, labels = recipe_of(inside), tuple(there[id]["labels"])
    if id == DECISION:
        return Measured(labels, False, None, lambda text: _decided(inside, recipe, text))
    kind, _, name = id.partition(":")
    signals = {kind: recipe.every_signal[kind]}
    if not name:
        return Measured(labels, False, None, lambda text: _surest(inside, signals, text))
    ref = SignalRef(kind, name)
    bound = _threshold(recipe, ref)
    return Measured(
        labels, bound is not None, bound, lambda text: _matched(inside, signals, ref, text)
    )


def recipe_of(inside: Inside) -> Recipe:
    """The recipe that is evaluated: the one that is asked for first."""
    policy = inside.runtime.policy
    recipes = list(policy.virtual.values()) or list(policy.recipes.values())
    if not recipes:
        raise ApiError(400, "INVALID_INPUT", "signal: this configuration routes nothing")
    return recipes[0]


def _threshold(recipe: Recipe, ref: SignalRef) -> float | None:
    return threshold(limits(recipe.rules.get(ref)))


def _prompt(text: str) -> Prompt:
    return Prompt(
        model="",
        messages=(Message("user", text),),
        question=text,
        tokens=estimate_tokens(text),
    )


async def _decided(inside: Inside, recipe: Recipe, text: str) -> Said:
    try:
        choice = await inside.runtime.decide(recipe, _prompt(text), ANYBODY)
    except RequestError:
        return Said(UNKNOWN, None)
    if choice.match is None:
        return Said(NONE, None)
    return Said(choice.match.decision.name, round(choice.match.confidence, 4))


Signals = Mapping[str, tuple[Signal, tuple[str, ...]]]


async def _read(inside: Inside, signals: Signals, text: str) -> dict[SignalRef, Verdict]:
    flow: Any = read_signals(signals, _prompt(text))
    found: dict[SignalRef, Verdict] = await inside.runtime.run(flow)
    return found


async def _surest(inside: Inside, signals: Signals, text: str) -> Said:
    verdicts = await _read(inside, signals, text)
    matched = [(v.confidence, ref.name) for ref, v in verdicts.items() if v.matched]
    if matched:
        confidence, name = max(matched)
        return Said(name, round(confidence, 4))
    return Said(UNKNOWN if any(v.unknown for v in verdicts.values()) else NONE, None)


async def _matched(inside: Inside, signals: Signals, ref: SignalRef, text: str) -> Said:
    verdict = (await _read(inside, signals, text)).get(ref, NO)
    if verdict.unknown:
        return Said(UNKNOWN, None)
    score = verdict.confidence if verdict.value is None else verdict.value
    return Said(YES if verdict.matched else NO_, score if math.isfinite(score) else None)
