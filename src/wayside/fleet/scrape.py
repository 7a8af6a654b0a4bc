"""Reads what model servers say of themselves, again and again, for whoever chooses among them.

Rounds follow each other at an interval; in each, every server is read once, over a connection of
its own that is kept, the readings spread over the first half of the interval so that requests are
not held up. Who does not answer is left for the rounds after, and never holds up the others.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import thread_time
from typing import Final, NamedTuple

from msgspec.structs import replace

from wayside.fleet.page import PageError, Pages
from wayside.fleet.replica import Secure
from wayside.fleet.resolve import Resolver
from wayside.fleet.vitals import read, typical
from wayside.settings.address import Address
from wayside.settings.fleet import ScrapeSettings
from wayside.vocab.endpoint import NEVER, UNKNOWN, Endpoint, Vitals

JITTER: Final = 0.1
"""Intervals are this share longer or shorter, so that routers do not ask in step."""
BATCH: Final = 4
"""Readings begun at once: about a millisecond's work where their pages are large."""
PATIENCE_S: Final = 1.0
"""A server that failed is asked again after this at the latest."""
DEAR_S: Final = 0.005
SHARE: Final = 0.05
"""A page that takes longer than that to understand may take this share of the time: servers have
none, and one that does must not take the event loop from requests."""


class Target(NamedTuple):
    """A server, and where its metrics are."""

    endpoint: Endpoint
    address: Address
    path: str = "/metrics"
    secure: Secure | None = None


Groups = Callable[[], Iterable[Sequence[Target]]]
"""The servers to read now, those that are compared with each other together. Servers come and go
between two calls; the same address in two groups is read once."""


class Scraper:
    """Keeps ``vitals`` of endpoints current.

    A server that was not read for ``stale_after_s``, or not yet, gets the median of its group's
    others, with an ``at`` of ``NEVER``: an unknown server is neither the best nor the worst.
    What others know of it (its GPUs, its adapters where its page names none) stays.

    ``refreshed`` is called once per round in which something became known; ``restarted`` when a
    server's page says that its process is a new one; ``failed`` with a word per reading that
    failed, none of which raises.
    """

    def __init__(
        self,
        groups: Groups,
        settings: Callable[[], ScrapeSettings],
        *,
        refreshed: Callable[[], None],
        resolver: Resolver | None = None,
        restarted: Callable[[Endpoint], None] = lambda _: None,
        failed: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] | None = None,
        dice: Callable[[], float] = lambda: 0.5,
    ) -> None:
        """``settings`` gives those in force; ``dice`` is uniform in [0, 1)."""
        self._groups, self._settings = groups, settings
        self._refreshed, self._restarted, self._failed = refreshed, restarted, failed
        self._resolver = resolver or Resolver()
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._dice = dice
        self._servers: dict[_Place, _Server] = {}
        self._news = False
        self._slots = self._doubtful = asyncio.Semaphore(1)
        self._room = 0

    async def run(self) -> None:
        """For as long as the task lives."""
        try:
            while True:
                began = self._clock()
                await self.round()
                pause = self._settings().interval_s * (1 + JITTER * (2 * self._dice() - 1))
                await asyncio.sleep(max(0.001, began + pause - self._clock()))
        finally:
            self.close()

    async def round(self) -> None:
        """Read every server once that is not being read still, for an interval at most."""
        settings = self._settings()
        began = self._clock()
        groups = [list(group) for group in self._groups()]
        self._follow(groups)
        if self._room != settings.concurrency:
            self._room = settings.concurrency
            self._slots = asyncio.Semaphore(self._room)
            self._doubtful = asyncio.Semaphore(self._room)
        reading: set[asyncio.Task[None]] = set()
        due = [s for s in self._servers.values() if s.next_at <= began and not s.busy]
        pause = 0.5 * settings.interval_s * BATCH / max(1, len(due))
        for i in range(0, len(due), BATCH):
            for server in due[i : i + BATCH]:
                server.task = asyncio.create_task(self._read(server, settings))
                reading.add(server.task)
            if i + BATCH < len(due):
                await asyncio.sleep(pause)
        if reading:
            left = began + settings.interval_s - self._clock()
            await asyncio.wait(reading, timeout=max(0.0, left))
        self._judge(groups, settings)
        if self._news:
            self._news = False
            self._refreshed()

    def ages(self) -> Mapping[Endpoint, float]:
        """Seconds since each endpoint was read; those that never were are not in it."""
        now = self._clock()
        return {
            endpoint: now - server.read_at
            for server in self._servers.values()
            for endpoint in server.endpoints
            if server.read_at != NEVER
        }

    def close(self) -> None:
        """Stop what is under way, and close connections."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()

    def _follow(self, groups: Sequence[Sequence[Target]]) -> None:
        there: dict[_Place, list[Endpoint]] = {}
        targets = {}
        for target in (target for group in groups for target in group):
            secure = target.secure
            # A renewed CA file is another context.
            proof = None if secure is None else (secure.context, secure.server_name)
            place = (target.address, target.path, proof)
            targets[place] = target
            there.setdefault(place, []).append(target.endpoint)
        read_on = {endpoint for endpoints in there.values() for endpoint in endpoints}
        for gone in [place for place in self._servers if place not in there]:
            server = self._servers.pop(gone)
            server.close()
            for endpoint in server.endpoints:
                if endpoint not in read_on:  # nobody goes by it any more, nor should
                    endpoint.vitals = _with(endpoint.vitals, UNKNOWN)
        for place, endpoints in there.items():
            known = self._servers.get(place)
            if known is None:
                target = targets[place]
                pages = Pages(target.address, target.secure, self._resolver)
                known = self._servers[place] = _Server(pages, target.path)
            known.endpoints = endpoints

    async def _read(self, server: _Server, settings: ScrapeSettings) -> None:
        # Those that failed last wait for each other: many that hang must not hold up the others.
        async with self._doubtful if server.failures else self._slots:
            try:
                page = await server.pages.text(
                    server.path, timeout_s=settings.timeout_s, most=settings.max_bytes
                )
            except PageError as error:
                self._missed(server, settings, error.reason)
                return
        began = thread_time()
        found = read(page, self._clock())
        took = thread_time() - began
        if found is None:
            self._missed(server, settings, "content", took)
            return
        self._news = True
        server.failures = 0
        server.next_at = self._clock() + took / SHARE if took > DEAR_S else NEVER
        server.read_at = found.vitals.at
        for endpoint in server.endpoints:
            endpoint.vitals = _with(endpoint.vitals, found.vitals)
        if found.started > server.started:
            if server.started:
                for endpoint in server.endpoints:
                    self._restarted(endpoint)
            server.started = found.started

    def _missed(
        self, server: _Server, settings: ScrapeSettings, reason: str, took: float = 0.0
    ) -> None:
        server.failures += 1
        pause = settings.interval_s * 2 ** min(server.failures - 1, 10)
        server.next_at = self._clock() + max(min(pause, PATIENCE_S), took / SHARE)
        self._failed(reason)

    def _judge(self, groups: Sequence[Sequence[Target]], settings: ScrapeSettings) -> None:
        """Tell of servers that nothing is known of as of the others."""
        oldest = self._clock() - settings.stale_after_s
        for group in groups:
            lost = [t.endpoint for t in group if t.endpoint.vitals.at < oldest]
            if not lost:
                continue
            fresh = [t.endpoint.vitals for t in group if t.endpoint.vitals.at >= oldest]
            stand_in = typical(fresh)
            for endpoint in lost:
                known = endpoint.vitals
                cache = replace(stand_in, blocks=known.blocks, block_size=known.block_size)
                vitals = _with(known, cache)
                if vitals != endpoint.vitals:
                    endpoint.vitals = vitals
                    self._news = True


def _with(known: Vitals, said: Vitals) -> Vitals:
    """What a page said, with what others know."""
    adapters = known.loras if not known.max_loras and not said.max_loras else said.loras
    return replace(
        said, gpu=known.gpu, gpu_memory=known.gpu_memory, gpu_at=known.gpu_at, loras=adapters
    )


_Place = tuple[Address, str, tuple[ssl.SSLContext, str] | None]


class _Server:
    """One address, for all the endpoints that it is."""

    __slots__ = ("endpoints", "failures", "next_at", "pages", "path", "read_at", "started", "task")

    def __init__(self, pages: Pages, path: str) -> None:
        self.pages, self.path = pages, path
        self.endpoints: list[Endpoint] = []
        self.task: asyncio.Task[None] | None = None
        self.read_at = self.next_at = NEVER
        self.started = 0.0
        self.failures = 0

    @property
    def busy(self) -> bool:
        return self.task is not None and not self.task.done()

    def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
        self.pages.close()
