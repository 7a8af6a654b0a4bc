"""What reading one prompt cost, kind by kind. Only an explanation pays for knowing.

The kinds of a recipe are wrapped for one reading: each measures its own work, and the runtime
measures the answers to what it asked. A question that two kinds put is answered once and counted
for both, so the sum over kinds may exceed the whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import GeneratorType
from typing import Any

from wayside.signals import Reading, Signal
from wayside.vocab.ask import Ask, Flow
from wayside.vocab.prompt import Prompt

Clock = Callable[[], int]
"""Nanoseconds since some moment."""
MAX_NS = 50_000_000
"""Readings are repeated only until they took this long together."""
SLOW_NS = 1_000_000_000
"""A first reading that takes this long is not repeated: somebody else does the work."""


@dataclass(frozen=True, slots=True)
class KindCost:
    """One kind of signal, all its rules together; microseconds."""

    read_us: float
    """Its own work on the prompt and on the answers."""
    asks_us: float
    """Until what it asked was answered."""
    asked: tuple[tuple[str, float], ...]
    """Each question: who answered it, and how long that took."""

    @property
    def total_us(self) -> float:
        return self.read_us + self.asks_us


Costs = Mapping[str, KindCost]
"""By kind of signal."""


@dataclass(slots=True)
class Meter:
    """Collects the times of one reading."""

    clock: Clock = time.perf_counter_ns
    read: dict[str, int] = field(default_factory=dict)
    """Nanoseconds of each kind's own work."""
    asked: dict[str, list[Ask[Any]]] = field(default_factory=dict)
    answered: dict[Ask[Any], int] = field(default_factory=dict)
    """Nanoseconds until each question was answered."""

    def costs(self) -> Costs:
        return {kind: self._of(kind) for kind in self.read}

    def spent(self) -> int:
        """Nanoseconds, all in all."""
        return sum(self.read.values()) + sum(self.answered.values())

    def _of(self, kind: str) -> KindCost:
        questions = dict.fromkeys(self.asked.get(kind, ()))
        asked = tuple((called(q), self.answered.get(q, 0) / 1e3) for q in questions)
        return KindCost(self.read[kind] / 1e3, sum(us for _, us in asked), asked)


class Timed:
    """A signal whose readings are measured by ``meter``; it says what the signal says."""

    __slots__ = ("_kind", "_meter", "_signal")

    def __init__(self, kind: str, signal: Signal, meter: Meter) -> None:
        self._kind, self._signal, self._meter = kind, signal, meter

    def read(self, prompt: Prompt) -> Reading | Flow[Reading]:
        clock = self._meter.clock
        began = clock()
        said = self._signal.read(prompt)
        self._meter.read[self._kind] = clock() - began
        return self._followed(said) if isinstance(said, GeneratorType) else said

    def _followed(self, flow: Flow[Reading]) -> Flow[Reading]:
        meter, kind = self._meter, self._kind
        answers: Any = None
        while True:
            began = meter.clock()
            try:
                batch = flow.send(answers)
            except StopIteration as stop:
                reading: Reading = stop.value
                return reading
            finally:
                meter.read[kind] += meter.clock() - began
            meter.asked.setdefault(kind, []).extend(batch)
            answers = yield batch


def timed(
    signals: Mapping[str, tuple[Signal, tuple[str, ...]]], meter: Meter
) -> dict[str, tuple[Signal, tuple[str, ...]]]:
    """``signals``, each measured by ``meter``."""
    return {
        kind: (_as_signal(Timed(kind, signal, meter)), names)
        for kind, (signal, names) in signals.items()
    }


def least(readings: list[Costs]) -> Costs:
    """Of each kind the cheapest reading: the others were disturbed, or had caches to warm."""
    best: dict[str, KindCost] = {}
    for costs in readings:
        for kind, cost in costs.items():
            if kind not in best or cost.total_us < best[kind].total_us:
                best[kind] = cost
    return best


def called(question: Ask[Any]) -> str:
    """A question for people: ``classify domain``. Never what it is about."""
    engine = getattr(question, "head", None) or getattr(question, "engine", None)
    if engine is None and hasattr(question, "bank"):
        engine = question.bank.engine
    return " ".join(filter(None, [type(question).__name__.lower(), engine]))


def _as_signal(timed: Any) -> Signal:
    """`Signal` promises a constructor, which nobody calls here."""
    signal: Signal = timed
    return signal
