"""What would have sent a prompt elsewhere: found by really deciding again, with one change each
time, or with the few that are needed together.

Nothing is read again: signals say what they said, but for what is changed.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from wayside.console.shapes import Otherwise
from wayside.decisions.projections import NONE
from wayside.flow import Choice, Recipe
from wayside.net.turns import Turns
from wayside.runtime import Runtime
from wayside.runtime.changes import Alternative, turned
from wayside.runtime.limits import Limits, limits, number, threshold
from wayside.settings import Condition
from wayside.settings.projections import PROJECTION
from wayside.signals import Reading, Signal
from wayside.vocab.access import Caller
from wayside.vocab.errors import RequestError
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import NO, SignalRef, Verdict, Verdicts

TRIED: Final = 36
"""Changes that are tried, those that are nearest first."""
TIERS: Final = 8
"""Tiers that are tried."""
SHOWN: Final = 12
OF_EACH: Final = 3
"""Ways to the same outcome that are told."""
ONE_OF: Final = frozenset({"domain", "language"})
"""Kinds of which a prompt is of one: where another of its rules matches, those that did do not."""
_IS: Final = frozenset({"domain", "language", "modality", "complexity", "preference"})
"""Kinds whose names say what a prompt is."""


class Changed(NamedTuple):
    """What the changed signals say, in words, and how far that is: the number of changes, and the
    sum of their distances (each 0..1)."""

    text: str
    verdicts: Verdicts
    size: tuple[int, float]


class Fixed:
    """A signal that says what it is told to."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def read(self, prompt: Prompt) -> Reading:
        return self._reading


class Other(NamedTuple):
    """Whose rights would count instead: for people, and as a caller."""

    text: str
    caller: Caller


async def otherwise(
    runtime: Runtime,
    prompt: Prompt,
    choice: Choice,
    found: Sequence[Alternative],
    caller: Caller,
    others: Sequence[Other] = (),
) -> list[Otherwise]:
    """Other outcomes, those that need least first. ``found`` are those that
    :func:`~wayside.runtime.changes.searching` came to."""
    turns = Turns()
    bounds = {ref: limits(rule) for ref, rule in choice.recipe.rules.items()}
    base = await _went(runtime, _with(choice, {}), prompt, caller)
    told: list[Otherwise] = []
    outcomes: Counter[str] = Counter()
    for change in _changes(choice, found, bounds)[:TRIED]:
        await turns.rest()
        recipe = _with(choice, _exclusive(choice.verdicts, change.verdicts))
        went = await _went(runtime, recipe, prompt, caller)
        if went is None or base is None or went[0] == base[0]:
            continue
        if outcomes[went[0]] < OF_EACH:
            outcomes[went[0]] += 1
            told.append({"change": change.text, "decision": went[0], "model": went[1]})
    for other in others[:TIERS]:
        await turns.rest()
        there = choice.recipe.identity.told(prompt, {}, other.caller)
        went = await _went(runtime, _with(choice, {}, asks=("authz",)), there, other.caller)
        if went is not None and went != base:
            told.insert(0, {"change": other.text, "decision": went[0], "model": went[1]})
    return told[:SHOWN]


async def _went(
    runtime: Runtime, recipe: Recipe, prompt: Prompt, caller: Caller
) -> tuple[str, str] | None:
    """The decision and the model; ``None`` where the request would be refused."""
    try:
        choice = await runtime.decide(recipe, prompt, caller)
    except RequestError:
        return None
    return choice.match.decision.name if choice.match else "", choice.option.served.target.name


def _with(choice: Choice, changed: Verdicts, asks: tuple[str, ...] = ()) -> Recipe:
    """The recipe, whose signals say what they said but for what is ``changed``; those of the kinds
    ``asks`` are asked again. Projections are worked out anew unless they are changed themselves.
    """
    recipe = choice.recipe
    fixed = any(ref.kind == PROJECTION for ref in changed)
    readings: dict[str, dict[str, Verdict]] = {}
    for ref, verdict in {**choice.verdicts, **changed}.items():
        if ref.kind != PROJECTION or fixed:
            readings.setdefault(ref.kind, {})[ref.name] = verdict
    signals: dict[str, tuple[Signal, tuple[str, ...]]] = {
        kind: (_as_signal(Fixed(reading)), tuple(reading)) for kind, reading in readings.items()
    }
    for kind in asks:
        signals.pop(kind, None)
        if kind in recipe.signals:
            signals[kind] = recipe.signals[kind]
    projections = NONE if fixed else recipe.projections
    return dataclasses.replace(recipe, signals=signals, projections=projections)


def _changes(
    choice: Choice, found: Sequence[Alternative], bounds: Mapping[SignalRef, Limits]
) -> list[Changed]:
    """What is worth trying, the least change first: what leads to each other decision, and each
    signal that a decision reads the other way round."""
    said = choice.verdicts
    all_: dict[frozenset[tuple[SignalRef, bool]], Changed] = {}
    for one in found:
        texts = [
            phrase(ref, said.get(ref, NO), change.verdict, bounds.get(ref, {}))
            for ref, change in one.way.items()
        ]
        verdicts = {ref: change.verdict for ref, change in one.way.items()}
        size = len(one.way), sum(change.gap for change in one.way.values())
        all_[_key(verdicts)] = Changed(", and ".join(texts), verdicts, size)
    for ref in dict.fromkeys(r for d in choice.recipe.decider.decisions for r in d.refs):
        was = said.get(ref, NO)
        change = turned(Condition(signal=str(ref)), not was.matched, was, bounds.get(ref, {}))
        if change is not None:
            verdicts = {ref: change.verdict}
            text = phrase(ref, was, change.verdict, bounds.get(ref, {}))
            all_.setdefault(_key(verdicts), Changed(text, verdicts, (1, change.gap)))
    return sorted(all_.values(), key=lambda change: (change.size, change.text))


def _key(verdicts: Verdicts) -> frozenset[tuple[SignalRef, bool]]:
    return frozenset((ref, verdict.matched) for ref, verdict in verdicts.items())


def _exclusive(said: Verdicts, changed: Verdicts) -> Verdicts:
    """``changed``, and what cannot be true beside it."""
    kinds = {ref.kind for ref, v in changed.items() if v.matched} & ONE_OF
    beside = {
        ref: msgspec.structs.replace(verdict, matched=False, confidence=0.0)
        for ref, verdict in said.items()
        if ref.kind in kinds and verdict.matched and ref not in changed
    }
    return {**beside, **changed}


def phrase(ref: SignalRef, was: Verdict, after: Verdict, bounds: Limits) -> str:
    """A change in words: ``without the keyword urgent``, ``if the domain were law (now 0.41, needs
    0.50)``."""
    kind = ref.kind.replace("_", " ")
    if was.unknown:
        verb = "matched" if after.matched else "did not match"
        return f"if the {kind} {ref.name} were known and {verb}"
    if after.matched == was.matched:  # it is its value that a rule compares
        now, then = _value(was), _value(after)
        return f"if the {kind} {ref.name} were at {number(then)} (now {number(now)})"
    if not after.matched:
        return f"without the {kind} {ref.name}"
    needed = threshold(bounds)
    far = ""
    if was.value is not None and needed is not None and was.value < needed:
        far = f" (now {number(was.value)}, needs {number(needed)})"
    if ref.kind in _IS:
        return f"if the {kind} were {ref.name}{far}"
    return f"with the {kind} {ref.name}{far}"


def _value(verdict: Verdict) -> float:
    return verdict.confidence if verdict.value is None else verdict.value


def _as_signal(fixed: Any) -> Signal:
    """`Signal` promises a constructor, which nobody calls here."""
    signal: Signal = fixed
    return signal
