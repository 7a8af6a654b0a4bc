"""How full a pool is: 1 and more means that it can take nothing further without waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from wayside.vocab.endpoint import Roster

EMPTY: Final = 1.0
"""A pool without endpoints takes nothing."""


class Detector(Protocol):
    """Says how full the endpoints of a roster are together."""

    counts: bool
    """Whether it goes by requests under way, so that their end makes room at once."""

    def saturation(self, roster: Roster) -> float: ...


class Utilization:
    """By what servers say: the mean over them of max(waiting / ``queue``, KV cache / ``kv``).

    One that has said nothing for ``stale_s`` seconds counts as full (spec 3.5).
    """

    counts = False

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        queue: float = 5.0,
        kv: float = 0.8,
        stale_s: float = 0.2,
    ) -> None:
        self._clock, self._queue, self._kv, self._stale_s = clock, queue, kv, stale_s

    def saturation(self, roster: Roster) -> float:
        endpoints = roster.endpoints
        if not endpoints:
            return EMPTY
        oldest = self._clock() - self._stale_s
        total = 0.0
        for endpoint in endpoints:
            vitals = endpoint.vitals
            if vitals.at < oldest:
                total += 1.0
            else:
                total += max(vitals.waiting / self._queue, vitals.kv / self._kv)
        return total / len(endpoints)


class Concurrency:
    """By the requests of ours that are there, against what each server takes at once."""

    counts = True

    def __init__(self, most: int = 100) -> None:
        self._most = most

    def saturation(self, roster: Roster) -> float:
        endpoints = roster.endpoints
        if not endpoints:
            return EMPTY
        return sum([e.in_flight for e in endpoints]) / (self._most * len(endpoints))
