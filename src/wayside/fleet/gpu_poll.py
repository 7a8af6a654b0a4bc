"""Asks exporters how busy GPUs are, again and again, and tells endpoints.

The exporter is optional: without one, or while it is silent, ``gpu`` of an endpoint is ``None``,
and strategies go by the servers' own load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from msgspec.structs import replace

from wayside.fleet.gpu import Gpu, Load, join, load, read_gpus
from wayside.fleet.page import PageError, Pages
from wayside.fleet.replica import Replica, Secure
from wayside.fleet.resolve import Resolver
from wayside.settings.address import Address, parse_address
from wayside.settings.fleet import GpuMetricsSettings
from wayside.vocab.endpoint import NEVER

ENV: Final = "GPU_METRICS_ENDPOINT"
MOST_EXPORTERS: Final = 256
"""Addresses of one name: one exporter runs on each node."""
AT_ONCE: Final = 64
Secured = Callable[[str], Secure]


def page_of(url: str) -> tuple[Address, str]:
    """Where a page is: `http://host:9400` alone means its `/metrics`. Raises ``ValueError``."""
    address = parse_address(url)
    path = address.base_path or "/metrics"
    return Address(address.scheme, address.host, address.port), path


class GpuPoller:
    """Keeps ``gpu`` and ``gpu_memory`` of replicas' vitals current.

    ``url`` is one for all servers (`fleet.gpu_metrics`); an endpoint's own page comes first.
    ``failed`` gets a word per page that could not be read.
    """

    def __init__(
        self,
        replicas: Callable[[], Iterable[Replica]],
        settings: Callable[[], GpuMetricsSettings],
        url: Callable[[], str | None],
        *,
        secured: Secured,
        refreshed: Callable[[], None],
        resolver: Resolver | None = None,
        failed: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._replicas, self._settings, self._url = replicas, settings, url
        self._secured, self._refreshed, self._failed = secured, refreshed, failed
        self._resolver = resolver or Resolver()
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._pages: dict[tuple[str, str], Pages] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """For as long as the task lives."""
        try:
            while True:
                began = self._clock()
                await self.round()
                await asyncio.sleep(max(0.01, began + self._settings().interval_s - self._clock()))
        finally:
            self.close()

    async def round(self) -> None:
        """Ask every exporter once, then tell what is known by now."""
        settings = self._settings()
        replicas = list(dict.fromkeys(self._replicas()))
        own: dict[str, list[Replica]] = {}
        rest = []
        for replica in replicas:
            if replica.gpu_metrics is not None:
                own.setdefault(replica.gpu_metrics, []).append(replica)
            else:
                rest.append(replica)
        asked: set[tuple[str, str]] = set()
        url = self._url()
        chores = [self._own(page, its, settings, asked) for page, its in own.items()]
        if url and rest:
            chores.append(self._shared(url, rest, settings, asked))
        told: dict[Replica, Load] = {}
        for loads in await asyncio.gather(*chores):
            told.update(loads)
        for gone in [key for key in self._pages if key not in asked]:
            self._pages.pop(gone).close()
        if self._tell(replicas, told, settings):
            self._refreshed()

    def close(self) -> None:
        """Close the connections that are kept."""
        for pages in self._pages.values():
            pages.close()
        self._pages.clear()

    async def _own(
        self,
        url: str,
        replicas: list[Replica],
        settings: GpuMetricsSettings,
        asked: set[tuple[str, str]],
    ) -> dict[Replica, Load]:
        """An endpoint's own page is about its GPUs; where it tells of other pods' as well, only
        those count that are its own by their labels."""
        gpus = await self._gpus(url, "", settings, asked)
        if not gpus:
            return {}
        fitting = join(gpus, replicas, settings.by)
        everything = load(gpus)
        return {replica: fitting.get(replica, everything) for replica in replicas}

    async def _shared(
        self,
        url: str,
        replicas: list[Replica],
        settings: GpuMetricsSettings,
        asked: set[tuple[str, str]],
    ) -> dict[Replica, Load]:
        address, _ = page_of(url)
        try:
            async with asyncio.timeout(settings.timeout_s):
                hosts = await self._resolver.addresses(address.host, address.port)
        except (OSError, TimeoutError):
            self._failed("connect")
            return {}
        hosts = sorted(hosts)[:MOST_EXPORTERS]
        found = await asyncio.gather(*(self._gpus(url, host, settings, asked) for host in hosts))
        return join([gpu for gpus in found for gpu in gpus], replicas, settings.by)

    async def _gpus(
        self, url: str, host: str, settings: GpuMetricsSettings, asked: set[tuple[str, str]]
    ) -> list[Gpu]:
        """Those that ``host``, one address of the URL's, tells of; none if it does not answer.
        One page is read in a turn of the event loop: all at once would take it for long."""
        asked.add((url, host))
        address, path = page_of(url)
        pages = self._pages.get((url, host))
        if pages is None:
            secure = self._secured(address.host) if address.scheme == "https" else None
            at = Address(address.scheme, host or address.host, address.port)
            pages = self._pages[(url, host)] = Pages(at, secure, self._resolver)
        try:
            async with self._slots:
                most = settings.max_bytes
                page = await pages.text(path, timeout_s=settings.timeout_s, most=most)
        except PageError as error:
            self._failed(error.reason)
            return []
        async with self._turn:
            found = read_gpus(page)
            await asyncio.sleep(0)
        return found

    def _tell(
        self, replicas: list[Replica], told: dict[Replica, Load], settings: GpuMetricsSettings
    ) -> bool:
        """Whether anything is known now that was not, or no longer."""
        now = self._clock()
        news = False
        for replica in replicas:
            vitals, said = replica.vitals, told.get(replica)
            if said is not None and said.busy is not None:
                replica.vitals = replace(vitals, gpu=said.busy, gpu_memory=said.memory, gpu_at=now)
                news = True
            elif vitals.gpu is not None and now - vitals.gpu_at > settings.stale_after_s:
                replica.vitals = replace(vitals, gpu=None, gpu_memory=None, gpu_at=NEVER)
                news = True
        return news
