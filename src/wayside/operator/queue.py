"""Work by key: each is worked on by one at a time, once for all that happened meanwhile.

The rules are those of client-go's rate-limited work queue, in one event loop.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

FIRST_S: Final = 0.5
LONGEST_S: Final = 300.0
"""A key whose work fails waits twice as long each time, between these, and up to a quarter less
at random."""
K = TypeVar("K")


class Queue(Generic[K]):
    """Keys that are waiting, being worked on, or due later.

    A key that is added while it is worked on waits for that to end. ``waited`` and ``worked``
    hear how long, in seconds.
    """

    def __init__(
        self,
        *,
        waited: Callable[[float], None] | None = None,
        worked: Callable[[float], None] | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.adds = self.retries = 0
        self._waited, self._worked, self._dice = waited, worked, dice
        self._ready: deque[K] = deque()
        self._dirty: dict[K, float] = {}
        self._busy: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._news = asyncio.Event()

    def add(self, key: K) -> None:
        """As soon as somebody is free."""
        if key in self._dirty:
            return
        self.adds += 1
        self._dirty[key] = _now()
        if key not in self._busy:
            self._push(key)

    def after(self, key: K, seconds: float) -> None:
        """In ``seconds``, unless it is worked on before. The sooner of two counts."""
        loop = asyncio.get_running_loop()
        timer = self._later.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._later[key] = loop.call_later(seconds, self._due, key)

    def retry(self, key: K, at_least_s: float = 0.0) -> int:
        """Its work failed: again after a pause; how often it has failed in a row."""
        self.retries += 1
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(LONGEST_S, FIRST_S * 2 ** min(failures - 1, 20))
        self.after(key, max(at_least_s, pause * (1 - self._dice() / 4)))
        return failures

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    def succeeded(self, key: K) -> None:
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The key that has waited longest. Everyone who got one says :meth:`done`."""
        while not self._ready:
            self._news.clear()
            await self._news.wait()
        key = self._ready.popleft()
        now = self._busy[key] = _now()
        since = self._dirty.pop(key)
        if (timer := self._later.pop(key, None)) is not None:
            timer.cancel()
        if self._waited is not None:
            self._waited(now - since)
        return key

    def done(self, key: K) -> None:
        since = self._busy.pop(key)
        if self._worked is not None:
            self._worked(_now() - since)
        if key in self._dirty:
            self._push(key)

    def clear(self) -> None:
        """Forget all that waits or is due; what is worked on ends by itself."""
        for timer in self._later.values():
            timer.cancel()
        for forgotten in (self._ready, self._dirty, self._failures, self._later):
            forgotten.clear()

    def __len__(self) -> int:
        """How many wait for somebody to be free."""
        return len(self._ready)

    @property
    def busy(self) -> list[float]:
        """For how long each key that is worked on has been, in seconds."""
        now = _now()
        return [now - since for since in self._busy.values()]

    def _push(self, key: K) -> None:
        self._ready.append(key)
        self._news.set()

    def _due(self, key: K) -> None:
        self._later.pop(key, None)
        self.add(key)


def _now() -> float:
    return asyncio.get_running_loop().time()
