"""Settlements that cannot be made at once: they wait in line, off every request's way.

A store that is away gets them when it is back. What waits is bounded, in number and in time: a
hold that nobody knows any more cannot be settled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from wayside.maas.counters import Counters
from wayside.vocab.errors import AskFailed

MOST: Final = 50_000
"""Settlements that wait; the oldest go first."""
AT_ONCE: Final = 32
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
PATIENCE_S: Final = 3_600.0
"""After which a settlement is given up: its hold has lapsed long ago, and gone."""


class _One(NamedTuple):
    account: str
    id: str
    took: Mapping[str, int] | None
    since: float


class Settlements:
    """``counters`` are those in force; ``lost`` is told of each that will never be made."""

    def __init__(
        self,
        counters: Callable[[], Counters],
        clock: Callable[[], float],
        lost: Callable[[str], None],
    ) -> None:
        self._counters, self._clock, self._lost = counters, clock, lost
        self._waiting: deque[_One] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, account: str, id: str, took: Mapping[str, int] | None) -> None:
        """Settle, now or as soon as it can be."""
        counters = self._counters()
        if counters.at_once:
            counters.settle(account, id, took)
            return
        if len(self._waiting) >= MOST:
            self._waiting.popleft()
            self._lost("too many wait for the store")
        self._waiting.append(_One(account, id, took, self._clock()))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        pause = FIRST_PAUSE_S
        while self._waiting:
            count = min(AT_ONCE, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            try:
                failed = await self._settle(batch)
            except asyncio.CancelledError:
                self._waiting.extendleft(reversed(batch))
                raise
            self._waiting.extendleft(reversed(failed))
            if failed:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                pause = FIRST_PAUSE_S

    async def _settle(self, batch: list[_One]) -> list[_One]:
        """Those that are to be tried again."""
        counters = self._counters()

        async def one(it: _One) -> bool:
            try:
                settling: Awaitable[None] | None = counters.settle(it.account, it.id, it.took)
                if settling is not None:
                    await settling
            except AskFailed as failed:
                if self._clock() - it.since < PATIENCE_S:
                    return False
                self._lost(str(failed))
            except Exception as error:  # noqa: BLE001 - one settlement must not stop the others
                self._lost(f"{type(error).__name__}: {error}")
            return True

        done = await asyncio.gather(*[one(it) for it in batch])
        return [it for it, settled in zip(batch, done, strict=True) if not settled]

    async def close(self, patience_s: float) -> None:
        """Wait for what waits, but no longer than that."""
        task = self._task
        if task is not None and not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task}, timeout=patience_s)
                task.cancel()
        for _ in self._waiting:
            self._lost("the router stops")
        self._waiting.clear()
