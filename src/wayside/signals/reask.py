"""Whether the user asks the same again: the quiet way of saying that the answer was no good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading
from wayside.vocab.ask import Embed, Failure, Flow, Vector, ask_each
from wayside.vocab.likeness import share, shown, unknown
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict


class ReaskRule(Settings):
    """Example: ``{threshold: 0.8, lookback: 1}``"""

    threshold: Annotated[float, Field(ge=-1, le=1)] = 0.8
    """The least cosine between the question and each of the turns before it."""
    lookback: Annotated[int, Field(ge=1, le=16)] = 1
    """How many of the user's turns before it the question must repeat, in a row."""
    engine: Annotated[EngineName, EngineOf("embed")] = "embedding"
    """The embedder that compares."""


@catalog.register("signal", "reask", settings=ReaskRule, stability="stable")
class ReaskSignal:
    """Matches when the question repeats what the user asked just before."""

    def __init__(self, rules: Mapping[str, ReaskRule]) -> None:
        self._rules = rules
        self._lookback: dict[str, int] = {}
        for rule in rules.values():
            self._lookback[rule.engine] = max(rule.lookback, self._lookback.get(rule.engine, 0))

    def read(self, prompt: Prompt) -> Flow[Reading]:
        turns = _turns(prompt)
        if len(turns) < 2:
            return {}
        questions = {
            engine: Embed(tuple(turns[: lookback + 1]), engine)
            for engine, lookback in self._lookback.items()
        }
        found = yield from ask_each(questions)
        streaks = {
            engine: vectors if isinstance(vectors, Failure) else _cosines(vectors)
            for engine, vectors in found.items()
        }
        reading = {}
        for name, rule in self._rules.items():
            cosines = streaks[rule.engine]
            if isinstance(cosines, Failure):
                reading[name] = unknown(cosines)
            elif len(cosines) >= rule.lookback:
                reading[name] = _judge(rule, cosines, turns)
        return _longest(reading, self._rules)


def _turns(prompt: Prompt) -> list[str]:
    """What the user said, the last first; turns without words are passed over."""
    if not prompt.question.strip():
        return []
    return [m.text for m in reversed(prompt.messages) if m.role == "user" and m.text.strip()]


def _cosines(vectors: tuple[Vector, ...]) -> list[float]:
    """Of the first vector to each of the others."""
    now = vectors[0]
    return [sum([a * b for a, b in zip(now, before, strict=True)]) for before in vectors[1:]]


def _judge(rule: ReaskRule, cosines: list[float], turns: list[str]) -> Verdict:
    least = min(cosines[: rule.lookback])
    before = turns[1 + cosines.index(least)]
    because = f"{least:.2f} like {shown(before)!r}"
    matched = least >= rule.threshold
    return Verdict(matched, share(least) if matched else 0.0, because, least)


def _longest(reading: dict[str, Verdict], rules: Mapping[str, ReaskRule]) -> Reading:
    """Of the rules that match, only those that look back furthest (spec: vSR's choice)."""
    furthest = max((rules[name].lookback for name, v in reading.items() if v.matched), default=0)
    for name, verdict in reading.items():
        if verdict.matched and rules[name].lookback < furthest:
            because = f"{verdict.because}, but a rule that looks back further matches"
            reading[name] = Verdict(False, 0.0, because, verdict.value)
    return reading
