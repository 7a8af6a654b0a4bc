"""Asks every replica of every model something, each at its own pace: health, models."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Final

from wayside.fleet.page import Pages
from wayside.fleet.pool import Pool
from wayside.fleet.replica import Replica
from wayside.fleet.resolve import Resolver
from wayside.settings.address import Address
from wayside.settings.model import ModelSettings

if TYPE_CHECKING:
    from wayside.fleet import Fleet

TICK_S: Final = 0.25
"""How often it is looked who is due, at least."""
MOST_AT_ONCE: Final = 64
JITTER: Final = 0.1


def pools(fleet: Fleet) -> Iterator[tuple[str, Pool]]:
    """Every pool with its model's name; that of servers that read prompts after its own."""
    for model, pool in fleet.pools.items():
        yield model, pool
        if pool.prefill is not None:
            yield model, pool.prefill


class Visit:
    """What is kept of one replica between two questions."""

    __slots__ = ("address", "misses", "next_at", "pages", "successes", "task", "troubled")

    def __init__(self, pages: Pages, address: Address, next_at: float) -> None:
        self.pages, self.address, self.next_at = pages, address, next_at
        self.successes = self.misses = 0
        self.troubled = False
        """Whether its last answer was none; whoever asks sets it."""
        self.task: asyncio.Task[None] | None = None

    def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
        self.pages.close()


Ask = Callable[[str, ModelSettings, Replica, Visit], Awaitable[None]]


class Rounds:
    """Calls ``ask`` for every replica of the models that ``every`` gives an interval for.

    ``port`` is where pages are if not at the endpoint's own. Who comes is asked at once, then
    about every interval, not all at the same time. Who goes, or whose model is asked no more, is
    told to ``gone``.
    """

    def __init__(
        self,
        fleet: Fleet,
        every: Callable[[ModelSettings], float | None],
        ask: Ask,
        gone: Callable[[Replica], None],
        *,
        port: Callable[[ModelSettings], int | None] = lambda _: None,
        dice: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self._fleet, self._every, self._ask, self._gone = fleet, every, ask, gone
        self._port, self._dice = port, dice
        self._visits: dict[tuple[str, Replica], Visit] = {}
        self._slots = asyncio.Semaphore(MOST_AT_ONCE)
        self._doubtful = asyncio.Semaphore(MOST_AT_ONCE)
        """Of those in trouble: many that hang hold up each other only."""

    async def run(self) -> None:
        """For as long as the task lives."""
        try:
            while True:
                await asyncio.sleep(self.look(asyncio.get_running_loop().time()))
        finally:
            for visit in self._visits.values():
                visit.close()

    def look(self, now: float) -> float:
        """Begin to ask whoever is due; seconds until it is worth looking again."""
        pause = TICK_S
        there = set()
        for model, pool in self._fleet.pools.items():
            every = self._every(pool.settings)
            if every is None:
                continue
            pause = min(pause, every / 2)
            for replica in pool.everybody:
                there.add((model, replica))
                visit = self._visit(model, pool.settings, replica, self._fleet.resolver)
                if visit.next_at <= now and (visit.task is None or visit.task.done()):
                    if visit.next_at:
                        visit.next_at = now + every * (1 + JITTER * (2 * self._dice() - 1))
                    else:  # all come at once where a process begins, and spread from there
                        visit.next_at = now + every * (0.1 + 0.9 * self._dice())
                    visit.task = asyncio.create_task(
                        self._asked(model, pool.settings, replica, visit)
                    )
        for key in [key for key in self._visits if key not in there]:
            self._visits.pop(key).close()
            self._gone(key[1])
        return pause

    def _visit(
        self, model: str, settings: ModelSettings, replica: Replica, resolver: Resolver
    ) -> Visit:
        address = at_port(replica.address, self._port(settings))
        visit = self._visits.get((model, replica))
        if visit is not None and visit.address == address:
            return visit
        if visit is not None:
            visit.close()
        made = Visit(Pages(address, replica.secure, resolver), address, 0.0)
        self._visits[(model, replica)] = made
        return made

    async def _asked(
        self, model: str, settings: ModelSettings, replica: Replica, visit: Visit
    ) -> None:
        async with self._doubtful if visit.troubled else self._slots:
            await self._ask(model, settings, replica, visit)


def at_port(address: Address, port: int | None) -> Address:
    """The same host at another port."""
    if port is None or port == address.port:
        return address
    return Address(address.scheme, address.host, port, address.base_path)
