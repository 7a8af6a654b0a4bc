"""A picker that runs: its pool followed, its endpoints' metrics read, its three ports served."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from wayside.epp import gauges
from wayside.epp.build import Picker
from wayside.epp.certificates import Certificates
from wayside.epp.door import Door
from wayside.epp.health import HealthServer, PickerServer
from wayside.epp.metrics import EppMetrics
from wayside.epp.metrics_http import MetricsServer, anybody
from wayside.epp.options import Options
from wayside.epp.reviews import Reviews
from wayside.epp.sources import Cluster, File, Fixed, Source, seats
from wayside.epp.store import Store
from wayside.extproc.session import Say
from wayside.fleet.kv_events import Hearer, KvEvents, hearers
from wayside.fleet.scrape import Scraper, Target
from wayside.fleet.tokenize import Tokenizers
from wayside.kube.lease import Elector
from wayside.settings.address import Address
from wayside.settings.fleet import ScrapeSettings
from wayside.telemetry.metrics import Metrics
from wayside.vocab.endpoint import Endpoint
from wayside.vocab.errors import ConfigError

LAME_S: Final = 5.0
"""How long requests are taken as before while health says that none should come."""
LAST_WORDS_S: Final = 0.5
"""Those who wait in line are told so long before connections are cut."""
_SYNC_LOOK_S: Final = 0.2
_LEASE: Final = "epp-{}-{}.gateway-api-inference-extension.sigs.k8s.io"
"""By namespace and pool: the name that llm-d's picker uses, so that the two can take turns while
one replaces the other."""


class Epp:
    """Use :meth:`start`, then :meth:`stop`. ``now`` is the loop's clock, in seconds."""

    def __init__(self, options: Options, log: Say) -> None:
        """Raises :class:`ConfigError`."""
        self.options, self._log = options, log
        self._now = asyncio.get_running_loop().time
        self.store = Store(options.pool[0] if options.pool else "")
        self.registry = Metrics()
        self.metrics = EppMetrics(self.registry, self.store, self._now)
        self.picker = Picker(
            options.config,
            self.store,
            self.metrics,
            clock=self._now,
            dice=random.random,
            scores=options.scores,
            subsets=options.subsets,
        )
        self.door = Door(
            self.picker.director,
            self.metrics,
            clock=self._now,
            max_body_bytes=options.max_body_bytes,
            conformance=options.conformance or options.config.testing,
            skips=options.skips,
            verbose=options.verbose,
            log=log,
        )
        self.health = HealthServer(self._ready, self._leads if options.elects else None, log=log)
        self.server = PickerServer(self.door, self.health)
        if options.max_message_bytes:
            self.server.max_message = options.max_message_bytes
        self._source = self._made_source()
        self.elector: Elector | None = None
        if options.elects:
            cluster = self._cluster("who leads", "--ha-enable-leader-election")
            self.elector = Elector(
                cluster.client,
                _LEASE.format(cluster.namespace, cluster.name),
                cluster.namespace,
                changed=self.health.tell_watchers,
                log=log,
            )
            gauges.election(self.registry, self.elector.name, self._leads)
        allow = anybody
        if options.metrics_auth:
            cluster = self._cluster("who may read metrics", "--metrics-endpoint-auth")
            allow = Reviews(cluster.client).allow
        self.exposed = MetricsServer(self.registry.text, allow=allow)
        self._scraper = Scraper(
            self._targets,
            lambda: scrape,
            refreshed=self._refreshed,
            restarted=self._restarted,
            failed=self.metrics.poll_failed,
            clock=self._now,
            dice=random.random,
        )
        scrape = ScrapeSettings(
            interval_s=max(0.01, options.scrape_s),
            stale_after_s=options.stale_s,
            timeout_s=max(1.0, options.scrape_s),
        )
        self._events: KvEvents | None = None
        if "kv_events" in self.picker.reads:
            self._events = KvEvents(
                self._hearers,
                tokenizers=Tokenizers(),
                told=self.metrics.kv_message,
                failed=lambda where, why: log("no events", level="warning", server=where, why=why),
            )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve. Raises ``OSError`` for a port that is taken."""
        o = self.options
        tls = None
        if o.secure:
            certificates = Certificates(
                o.cert_path, minimum=o.tls_minimum, ciphers=o.ciphers, log=self._log
            )
            tls = certificates.context
            if o.reload_certs:
                self._run(certificates.follow())
        await self.health.start(host=o.host, port=o.health_port)
        await self.server.start(host=o.host, port=o.grpc_port, tls=tls)
        secured = None
        if o.metrics_certs is not None:
            metrics = Certificates(o.metrics_certs, client_ca=o.metrics_client_ca, log=self._log)
            secured = metrics.context
            secured.set_alpn_protocols(["http/1.1"])
            self._run(metrics.follow())
        await self.exposed.start(o.host, o.metrics_port, tls=secured)
        self._run(self._source.run())
        self._run(self._watch_sync())
        if o.config.scrapes and not self.picker.reads.isdisjoint(("vitals", "capacity")):
            self._run(self._scraper.run())
        if self._events is not None:
            self._run(self._events.run())
        if self.elector is not None:
            self._standing = asyncio.create_task(self._stand(self.elector))
            self._tasks.append(self._standing)

    async def until_broken(self) -> None:
        """Ends only when something did that never should; raises what it was."""
        done, _ = await asyncio.wait(
            [t for t in self._tasks if not t.done()], return_when=asyncio.FIRST_EXCEPTION
        )
        for task in done:
            task.result()

    async def stop(self) -> None:
        """Say that nobody should come, serve those who do for a while, then end."""
        self.health.draining = True
        self.health.tell_watchers()
        # At once: those who still come are served beside the next leader.
        giving_up = asyncio.create_task(self._give_up())
        drain_s = self.options.drain_s
        self._log("draining", seconds=drain_s)
        # Who reads our health, or the cluster's list of endpoints, needs time to hear of it.
        until = self._now() + min(LAME_S, drain_s / 3)
        while self.server.connections and self._now() < until:
            await asyncio.sleep(0.02)
        left_s = max(0.0, drain_s - min(LAME_S, drain_s / 3))
        stopping = asyncio.create_task(self.server.stop(left_s))
        await asyncio.wait([stopping], timeout=max(0.0, left_s - LAST_WORDS_S))
        self.picker.close()
        await stopping
        await self.health.stop(0.0)
        await self.exposed.stop()
        await giving_up
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._source.close()
        self._scraper.close()

    # --- inner workings ------------------------------------------------------------------------

    def _cluster(self, what: str, where: str) -> Cluster:
        if not isinstance(self._source, Cluster):
            raise ConfigError.one(
                f"{what} is the cluster's to say, and there is none",
                where=where,
                fix=f"give {where}=false",
            )
        return self._source

    async def _stand(self, elector: Elector) -> None:
        """Nobody leads who does not know the pool while another may."""
        while not self._ready():
            await asyncio.sleep(_SYNC_LOOK_S)
        await elector.run()

    def _leads(self) -> bool:
        return self.elector is not None and self.elector.leads

    async def _give_up(self) -> None:
        if self.elector is not None:
            self._standing.cancel()
            await asyncio.gather(self._standing, return_exceptions=True)
            await self.elector.release()

    def _made_source(self) -> Source:
        o = self.options
        if o.endpoints:
            return Fixed(self.store, seats(o.endpoints, "--endpoints"))
        if o.config.file:
            return File(self.store, Path(o.config.file), self._log)
        return Cluster(
            self.store,
            pool=o.pool,
            selected=o.selected,
            kubeconfig=o.kubeconfig,
            log=self._log,
        )

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _ready(self) -> bool:
        source = self._source
        if isinstance(source, Cluster):
            return source.watch.synced
        return self.store.synced

    async def _watch_sync(self) -> None:
        """Those who watch health hear that the pool is known."""
        was = False
        while True:
            ready = self._ready()
            if ready != was:
                was = ready
                self._log("pool known" if ready else "pool unknown", endpoints=len(self._here))
                self.health.tell_watchers()
            await asyncio.sleep(_SYNC_LOOK_S)

    @property
    def _here(self) -> Sequence[object]:
        return self.store.roster.endpoints

    def _targets(self) -> Iterable[Sequence[Target]]:
        found = []
        for endpoint in self.store.roster.endpoints:
            host, _, port = endpoint.host_port.rpartition(":")
            where = self.options.metrics_of_servers
            address = Address("http", host.strip("[]"), where.port or int(port), "")
            found.append(Target(endpoint, address, where.path))
        return [found]

    def _hearers(self) -> Iterable[tuple[Hearer, Sequence[Endpoint]]]:
        endpoints = self.store.roster.endpoints
        for profile in self.picker.profiles.values():
            for hearer in hearers(profile.parts):
                yield hearer, endpoints

    def _refreshed(self) -> None:
        self.store.refresh()
        if self.picker.flow is not None:
            self.picker.flow.left()

    def _restarted(self, endpoint: Endpoint) -> None:
        for tell in self.store.on_gone:
            tell(endpoint)
