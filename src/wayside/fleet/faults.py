"""Bugs in strategies: each costs a choice and never a request, is counted, and is told now and
then."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any, Final, Protocol

from wayside.telemetry.metrics import Metrics

EVERY_S: Final = 10.0
"""How often the log tells of a model's: a strategy that fails once fails for every request."""


class Say(Protocol):
    """A log: constant events with fields."""

    def __call__(self, event: str, *, level: str = "info", **fields: Any) -> None: ...


class Faults:
    """Told of every exception that a strategy raised, with the model whose servers it chose
    among."""

    __slots__ = ("_clock", "_count", "_log", "_told")

    def __init__(
        self, metrics: Metrics, log: Say, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._clock = log, clock
        self._told: dict[str, float] = {}
        self._count = metrics.counter(
            "wayside_pick_faults_total",
            "Bugs in strategies that choose servers; another way of choosing took their place.",
            "model",
        )

    def __call__(self, model: str, bug: Exception) -> None:
        self._count.add((model,))
        now = self._clock()
        if now - self._told.get(model, float("-inf")) < EVERY_S:
            return
        if len(self._told) >= 4096:  # models of long ago
            self._told.clear()
        self._told[model] = now
        why = "".join(traceback.format_exception(bug))
        self._log("strategy failed", level="error", model=model, traceback=why)
