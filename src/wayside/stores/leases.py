"""Single flight: of those who ask the same thing at once, one asks the model and the rest wait."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

LEASE_S = 30.0
"""A leader who has not answered by then leads no more."""
MAX_LEASES = 100_000
"""Led at once; beyond that everybody goes alone."""

At = tuple[str, str]
"""A partition and a key of it."""


class _Lease:
    __slots__ = ("note", "until", "waiting")

    def __init__(self, until: float) -> None:
        self.until = until
        self.note = ""
        self.waiting: set[asyncio.Future[None]] = set()

    def end(self) -> None:
        for future in self.waiting:
            if not future.done():
                future.set_result(None)


class Leases:
    """Who leads what, in this process."""

    def __init__(self) -> None:
        self._led: OrderedDict[At, _Lease] = OrderedDict()
        self.clock = time.monotonic

    def __len__(self) -> int:
        return len(self._led)

    def lead(self, at: At) -> bool:
        """Take the lead, unless somebody has it."""
        now = self.clock()
        self._sweep(now)
        if at in self._led or len(self._led) >= MAX_LEASES:
            return False
        self._led[at] = _Lease(now + LEASE_S)
        return True

    def led(self, at: At) -> bool:
        """Whether somebody leads, so that waiting may be worth while."""
        return at in self._led

    def note(self, at: At, note: str) -> None:
        """Write something on a lease."""
        if at in self._led:
            self._led[at].note = note

    def noted(self, at: At) -> str:
        """What was written on it, if anything was."""
        lease = self._led.get(at)
        return lease.note if lease else ""

    async def wait(self, at: At, wait_s: float) -> None:
        """Until the leader has an answer or gave up, but no longer than ``wait_s``."""
        lease = self._led.get(at)
        if lease is None:
            return
        future = asyncio.get_running_loop().create_future()
        lease.waiting.add(future)
        try:
            await asyncio.wait({future}, timeout=min(wait_s, lease.until - self.clock()))
        finally:
            lease.waiting.discard(future)
            future.cancel()

    def end(self, at: At) -> None:
        """The leader is done: whoever waits goes on."""
        lease = self._led.pop(at, None)
        if lease is not None:
            lease.end()

    def clear(self) -> None:
        while self._led:
            self._led.popitem()[1].end()

    def _sweep(self, now: float) -> None:
        """All leases last equally long, so that the oldest ends first."""
        while self._led and next(iter(self._led.values())).until <= now:
            self._led.popitem(last=False)[1].end()
