"""Requests wait for a pool that is full, each no longer than it may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, Literal

from wayside.epp.lanes import Lanes, Waiting
from wayside.epp.refusals import (
    NO_CANDIDATES,
    SATURATED,
    SHUTTING_DOWN,
    TTL_EXPIRED,
    Refusal,
)
from wayside.epp.saturation import Detector
from wayside.vocab.endpoint import Roster

FULL: Final = Refusal("ResourceExhausted", "the flow control queue is full", SATURATED)
EXPIRED: Final = Refusal("ServiceUnavailable", "the request waited as long as it may", TTL_EXPIRED)
STOPPING: Final = Refusal(
    "ServiceUnavailable", "the endpoint picker is shutting down", SHUTTING_DOWN
)
TICK_S: Final = 0.005
"""How often a full pool is looked at again while somebody waits."""

Outcome = Literal["Dispatched", "RejectedCapacity", "EvictedTTL", "EvictedContextCancelled",
                  "RejectedShutdown"]  # fmt: skip


class FlowControl:
    """Lets requests on in their turn while the detector says that there is room.

    ``ttl_s`` is how long one waits at most, ``patience_s`` how long where there is no endpoint at
    all, 0 for not at all. ``told`` hears how long each waited, and how that ended.
    """

    def __init__(
        self,
        lanes: Lanes,
        detector: Detector,
        roster: Callable[[], Roster],
        clock: Callable[[], float],
        *,
        ttl_s: float = 60.0,
        patience_s: float = 0.0,
        told: Callable[[Waiting, float, Outcome], None] = lambda waiting, seconds, outcome: None,
    ) -> None:
        self.lanes, self._detector = lanes, detector
        self._roster, self._clock = roster, clock
        self._ttl_s, self.patience_s = ttl_s, patience_s
        self._told = told
        self._timer: asyncio.Handle | None = None
        self._closed = False

    def admit(
        self,
        *,
        priority: int,
        fairness: str,
        size: int,
        candidates: Roster,
        due_s: float | None = None,
    ) -> Refusal | Awaitable[Refusal | None] | None:
        """``None`` for at once; an awaitable where it has to wait its turn."""
        if self._closed:
            return STOPPING
        if not len(candidates) and not self.patience_s:
            return NO_CANDIDATES
        now = self._clock()
        waiting = Waiting(priority=priority, flow=fairness, size=size, since=now)
        if not self.lanes.count and self._room():
            self._told(waiting, 0.0, "Dispatched")
            return None
        waiting.deadline = now + (self._ttl_s if len(candidates) else self.patience_s)
        if due_s is not None:
            waiting.due = now + due_s
        return _Turn(self, waiting)

    def left(self) -> None:
        """There may be room."""
        if not self.lanes.count or self._closed:
            return
        if isinstance(self._timer, asyncio.TimerHandle):
            self._timer.cancel()
            self._timer = None
        self._soon()

    def close(self) -> None:
        """Refuse those who wait, and all who come."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiting in self.lanes.empty():
            self._answer(waiting, STOPPING, "RejectedShutdown")

    async def wait(self, waiting: Waiting) -> Refusal | None:
        """Stand in line; ``None`` when its turn has come."""
        if self._closed:
            return STOPPING
        waiting.handle = asyncio.get_running_loop().create_future()
        if not self.lanes.put(waiting):
            self._told(waiting, 0.0, "RejectedCapacity")
            return FULL
        self._soon()
        try:
            refusal: Refusal | None = await waiting.handle
        except (asyncio.CancelledError, GeneratorExit):  # cancelled, or closed without a word
            if self.lanes.leave(waiting):
                self._told(waiting, self._clock() - waiting.since, "EvictedContextCancelled")
            else:
                self.left()  # its turn had come: somebody else may have it
            raise
        self.left()  # the next, once this one has been placed, which its caller does at once
        return refusal

    def _room(self) -> bool:
        return self._detector.saturation(self._roster()) < 1.0

    def _soon(self) -> None:
        """Look again once whoever was let on has been placed, which counts."""
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._timer = None
        for waiting in self.lanes.late(self._clock()):
            self._answer(waiting, EXPIRED, "EvictedTTL")
        if not self.lanes.count:
            return
        if self._room():
            waiting_next = self.lanes.take()
            assert waiting_next is not None
            self._answer(waiting_next, None, "Dispatched")
            return
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._look)

    def _answer(self, waiting: Waiting, refusal: Refusal | None, outcome: Outcome) -> None:
        self._told(waiting, self._clock() - waiting.since, outcome)
        if not waiting.handle.done():
            waiting.handle.set_result(refusal)


class _Turn:
    """A place in line, taken when somebody awaits it: a client that is gone before holds none."""

    __slots__ = ("_flow", "_waiting")

    def __init__(self, flow: FlowControl, waiting: Waiting) -> None:
        self._flow, self._waiting = flow, waiting

    def __await__(self) -> Generator[Any, None, Refusal | None]:
        return self._flow.wait(self._waiting).__await__()
