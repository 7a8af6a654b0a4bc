"""Long work on the event loop of requests, in slices: they have their turn in between.

All such work of a process shares one quarter of the processor, however much of it there is: its
slices stand one after another, with rests between them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

SLICE_S: Final = 0.002
"""The most that one slice takes, if whoever works asks often enough."""
REST: Final = 3.0
"""How many times as long as a slice took nothing is done after it."""
LONGEST_S: Final = 0.05
"""The longest rest after one slice, however long that took."""


class Share:
    """What all long work shares: when the next slice may begin."""

    __slots__ = ("free_at",)

    def __init__(self) -> None:
        self.free_at = 0.0

    def slot(self, now: float, took: float, slice_s: float) -> float:
        """When whoever has worked for ``took`` seconds may go on; the time until the end of that
        slice is theirs."""
        begins = max(now, self.free_at) + min(REST * took, LONGEST_S)
        self.free_at = begins + slice_s
        return begins


_EVERYBODYS: Final = Share()


class Turns:
    """Made where the work begins; :meth:`rest` is asked after each small piece of it."""

    __slots__ = ("_began", "_clock", "_share", "_slice_s")

    def __init__(
        self,
        slice_s: float = SLICE_S,
        clock: Callable[[], float] = time.perf_counter,
        share: Share = _EVERYBODYS,
    ) -> None:
        self._slice_s, self._clock, self._share = slice_s, clock, share
        self._began = clock()

    async def rest(self) -> None:
        """Where this slice is over, wait for the next one. Else nothing."""
        now = self._clock()
        took = now - self._began
        if took >= self._slice_s:
            await asyncio.sleep(self._share.slot(now, took, self._slice_s) - now)
            self._began = self._clock()
