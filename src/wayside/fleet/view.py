"""One view of the fleet, kept current: who the servers are, whether they are well, how loaded.

What is asked of servers beside requests, each part by the settings that ask for it: metrics where
`picking` goes by them, exporters of GPUs, KV cache events, health checks, lists of models,
discovery. A part that has nothing to do sends nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from wayside.fleet import discovery, gauges
from wayside.fleet.gpu_poll import ENV, GpuPoller, page_of
from wayside.fleet.kv_events import Hearer, KvEvents, hearers
from wayside.fleet.models_seen import ModelsSeen
from wayside.fleet.page import beside
from wayside.fleet.probe import Prober
from wayside.fleet.replica import Replica, Secure
from wayside.fleet.resolve import Lookup
from wayside.fleet.rounds import at_port, pools
from wayside.fleet.scrape import Scraper, Target
from wayside.fleet.sources import Source
from wayside.fleet.tokenize import Tokenizers
from wayside.settings import CredentialSettings
from wayside.settings.fleet import FleetSettings, KubernetesSettings, ScrapeSettings
from wayside.settings.model import ModelSettings
from wayside.vocab.endpoint import Endpoint
from wayside.vocab.outcome import Credential

if TYPE_CHECKING:
    from wayside.fleet import Fleet
    from wayside.telemetry import Log
    from wayside.telemetry.metrics import Metrics

Keys = Callable[[CredentialSettings, str], Credential]


class View:
    """Runs beside the shells, for as long as they do; follows ``fleet`` over reloads."""

    def __init__(
        self,
        fleet: Fleet,
        settings: Callable[[], FleetSettings],
        *,
        log: Log,
        metrics: Metrics,
        keys: Keys,
        env: Mapping[str, str],
        dice: Callable[[], float],
        also: Callable[[], Collection[str]] = frozenset,
        lookup: Lookup | None = None,
        kubernetes: Callable[[KubernetesSettings], Source] | None = None,
    ) -> None:
        """``settings`` gives those in force; ``keys`` finds the keys that servers want; ``also``
        gives the models whose metrics somebody else goes by than `picking`; ``kubernetes`` makes
        the source of a cluster's servers."""
        self._fleet, self._settings, self._log = fleet, settings, log
        self._keys, self._env = keys, env
        self._said: set[str] = set()
        self._context: ssl.SSLContext | None = None
        self._also = also
        errors = gauges.errors(metrics)

        def failed(source: str, reason: str) -> None:
            errors.add((source, reason))

        def told(source: str, word: str) -> None:
            if word not in ("ok", "restart"):
                failed(source, word)

        self.scraper = Scraper(
            self.targets,
            lambda: settings().scrape,
            refreshed=self._refresh,
            resolver=fleet.resolver,
            restarted=self._restarted,
            failed=partial(failed, "metrics"),
            dice=dice,
        )
        self.seldom = Scraper(
            partial(self.targets, seldom=True),
            lambda: _seldom(settings().scrape),
            refreshed=self._refresh,
            resolver=fleet.resolver,
            restarted=self._restarted,
            failed=partial(failed, "metrics"),
            dice=dice,
        )
        """Reads those of which only is wanted what hardly ever changes."""
        self._gpus = GpuPoller(
            self._replicas,
            lambda: settings().gpu_metrics,
            self._gpu_url,
            secured=self._secured,
            refreshed=self._refresh,
            resolver=fleet.resolver,
            failed=partial(failed, "gpu"),
        )
        self._prober = Prober(fleet, tell=self._tell, failed=partial(failed, "health"), dice=dice)
        self._models = ModelsSeen(
            fleet,
            headers=self._headers,
            tell=self._tell,
            failed=partial(failed, "models"),
            dice=dice,
        )
        self._discovery = discovery.Discovery(fleet, log, lookup=lookup, kubernetes=kubernetes)
        self._kv_events = KvEvents(
            self._hearers,
            tokenizers=Tokenizers(partial(told, "tokenize")),
            told=partial(told, "kv_events"),
            failed=lambda where, why: self._once(f"KV cache events of {where}: {why}"),
        )
        gauges.show_vitals(
            metrics, lambda: fleet, lambda: {**self.seldom.ages(), **self.scraper.ages()}
        )

    async def run(self) -> None:
        """For as long as the task lives. Each part survives what servers do to it."""
        parts = (
            self._discovery,
            self.scraper,
            self.seldom,
            self._gpus,
            self._prober,
            self._models,
            self._kv_events,
        )
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(self._forever(type(part).__name__, part.run))

    async def _forever(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await run()
            except Exception as bug:  # noqa: BLE001 - a bug here must not stop requests
                self._log("fleet view failed", level="error", part=name, why=repr(bug))
            await asyncio.sleep(1.0)

    def targets(self, *, seldom: bool = False) -> Iterator[Sequence[Target]]:
        """The servers whose metrics somebody goes by, by model: of this moment, or ``seldom``."""
        also = self._also()
        for model, pool in pools(self._fleet):
            reads = pool.profile.reads if pool.profile is not None else frozenset()
            often = model in also or "vitals" in reads
            if often is seldom or not (often or "capacity" in reads):
                continue
            page = pool.settings.metrics
            yield [
                Target(
                    r,
                    at_port(r.address, page.port),
                    beside(r.address.base_path, page.path) if page.port is None else page.path,
                    r.secure,
                )
                for r in pool.replicas
            ]

    def _hearers(self) -> Iterator[tuple[Hearer, Sequence[Endpoint]]]:
        for _, pool in pools(self._fleet):
            for hearer in hearers(pool.profile.parts if pool.profile else ()):
                yield hearer, pool.replicas

    def _replicas(self) -> Iterator[Replica]:
        for _, pool in pools(self._fleet):
            yield from pool.replicas

    def _refresh(self) -> None:
        for _, pool in pools(self._fleet):
            pool.refresh()

    def _restarted(self, endpoint: Endpoint) -> None:
        """Its process is a new one, and its caches are empty."""
        for model, pool in pools(self._fleet):
            if pool.profile is not None and endpoint in pool.replicas:
                pool.profile.forget(endpoint)
                self._log("server restarted", model=model, endpoint=endpoint.name)

    def _gpu_url(self) -> str | None:
        settings = self._settings().gpu_metrics
        if settings.url is not None:
            return settings.url
        told = self._env.get(ENV, "").strip()
        if told:
            try:
                page_of(told)
            except ValueError as error:
                self._once(f"{ENV} is not read: {error}")
                return None
            return told
        for model, pool in pools(self._fleet):
            reads = frozenset() if pool.profile is None else pool.profile.reads
            if "gpu" in reads and not any(r.gpu_metrics for r in pool.replicas):
                self._once(
                    f"models.{model}.picking goes by GPUs, and nobody tells of them: it goes by "
                    f"the servers' own load. Set fleet.gpu_metrics, or {ENV}"
                )
        return None

    def _once(self, what: str) -> None:
        if what not in self._said and len(self._said) < 1024:
            self._said.add(what)
            self._log("fleet", level="warning", what=what)

    def _secured(self, host: str) -> Secure:
        if self._context is None:
            self._context = ssl.create_default_context()
        return Secure(self._context, host)

    def _headers(self, model: str, settings: ModelSettings) -> Mapping[str, str]:
        if settings.credential is None:
            return settings.headers
        credential = self._keys(settings.credential, f"models.{model}.credential")
        if not credential.value:  # its Secret has not been read yet
            return settings.headers
        name, value = credential.pair()
        return {**settings.headers, name: value}

    def _tell(self, what: str, model: str, replica: Replica, why: str) -> None:
        level = "info" if what == "server is back" else "warning"
        self._log(what, level=level, model=model, endpoint=replica.name, why=why)


SELDOM_S = 2.0
"""Seconds between two readings of what hardly ever changes: also how long a server that came back
empty is taken for the one that it was."""


def _seldom(settings: ScrapeSettings) -> ScrapeSettings:
    interval = max(SELDOM_S, settings.interval_s)
    stale = max(3 * interval, settings.stale_after_s)
    return settings.model_copy(update={"interval_s": interval, "stale_after_s": stale})
