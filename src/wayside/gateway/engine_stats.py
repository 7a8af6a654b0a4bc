"""What servers say of their queues and prefix caches, for production-stack's dashboards: read now
and then, whatever strategy picks them. Strategies read what they go by themselves, and oftener.

Both generations of vLLM's names are read: ``vllm:gpu_prefix_cache_hits_total`` of V0, and
``vllm:prefix_cache_hits_total``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from wayside.fleet import Fleet, Replica
from wayside.fleet.exposition import families
from wayside.fleet.page import PageError, Pages, beside
from wayside.gateway.engines_api import engines
from wayside.telemetry.production_stack import Server

AT_ONCE: Final = 16
TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 2 << 20
STALE: Final = 3
"""Intervals after which what a server said is no longer told."""
_WAITING: Final = (b"vllm:num_requests_waiting", b"sglang:num_queue_reqs")
_SWAPPED: Final = (b"vllm:num_requests_swapped",)
_HITS: Final = (b"vllm:prefix_cache_hits_total", b"vllm:gpu_prefix_cache_hits_total")
_QUERIES: Final = (b"vllm:prefix_cache_queries_total", b"vllm:gpu_prefix_cache_queries_total")
_WANTED: Final = frozenset((*_WAITING, *_SWAPPED, *_HITS, *_QUERIES))


class EngineStats:
    """``interval_s`` gives the settings in force."""

    def __init__(self, fleet: Fleet, interval_s: Callable[[], float]) -> None:
        self._fleet, self._interval_s = fleet, interval_s
        self._pages: dict[str, Pages] = {}
        self._said: dict[str, tuple[float, Server]] = {}

    async def run(self) -> None:
        """For as long as the task lives."""
        try:
            while True:
                await self.round()
                await asyncio.sleep(self._interval_s())
        finally:
            for pages in self._pages.values():
                pages.close()

    async def round(self) -> None:
        """Read every server once."""
        found = engines(self._fleet)
        for url in [url for url in self._pages if url not in found]:
            self._pages.pop(url).close()
            self._said.pop(url, None)
        gate = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(
            *(self._read(url, engine.places[0][2], gate) for url, engine in found.items())
        )

    def known(self) -> Mapping[str, Server]:
        """By URL, what servers said lately."""
        oldest = asyncio.get_running_loop().time() - STALE * self._interval_s()
        return {url: server for url, (at, server) in self._said.items() if at >= oldest}

    async def _read(self, url: str, replica: Replica, gate: asyncio.Semaphore) -> None:
        pages = self._pages.get(url)
        if pages is None:
            pages = Pages(replica.address, replica.secure, self._fleet.resolver)
            self._pages[url] = pages
        async with gate:
            try:
                path = beside(replica.address.base_path, "/metrics")
                page = await pages.text(path, timeout_s=TIMEOUT_S, most=MAX_BYTES)
            except PageError:
                return  # what it said last goes stale
        self._said[url] = (asyncio.get_running_loop().time(), read(page))


def read(page: bytes) -> Server:
    """A server's page; what it does not have is not known."""
    found = families(page, _WANTED)

    def total(names: tuple[bytes, ...]) -> float | None:
        for name in names:
            if samples := found.get(name):
                return sum(sample.value for sample in samples)
        return None

    return Server(
        waiting=total(_WAITING),
        swapped=total(_SWAPPED),
        hits=total(_HITS),
        queries=total(_QUERIES),
    )
