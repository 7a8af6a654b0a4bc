"""Long work on the event loop of requests, in slices: they have their turn in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

SLICE_S: Final = 0.002
"""The most that one slice takes, if whoever works asks often enough."""
LONGEST_S: Final = 0.02
"""The longest rest after one slice, however long that took."""


class Turns:
    """Made where the work begins; :meth:`rest` is asked after each small piece of it."""

    __slots__ = ("_began", "_clock", "_slice_s")

    def __init__(
        self, slice_s: float = SLICE_S, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._slice_s, self._clock = slice_s, clock
        self._began = clock()

    async def rest(self) -> None:
        """Where this slice is over: sleep for as long as it took, so that the work has half of
        the processor at most. Else nothing."""
        took = self._clock() - self._began
        if took >= self._slice_s:
            await asyncio.sleep(min(took, LONGEST_S))
            self._began = self._clock()
