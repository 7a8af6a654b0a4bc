"""A controller as a whole: caches, a leader, workers, and the pages that tell how it is.

A standby keeps its caches warm and writes nothing; every write is checked, at the last moment
before it is sent, against the Lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from wayside.kube.access import Access
from wayside.kube.cache import Cache, Held
from wayside.kube.client import Client
from wayside.kube.lease import Elector, Terms, somebody
from wayside.kube.pace import Pace
from wayside.kube.watch import Key, Log
from wayside.net.pages import METRICS_TYPE, PageServer
from wayside.operator.body import Owned
from wayside.operator.children import Children
from wayside.operator.controller import Controller
from wayside.operator.events import Events
from wayside.operator.gauges import Gauges
from wayside.operator.keeping import Tools
from wayside.operator.looks import Asker, Lookers
from wayside.operator.own import OwnWrites
from wayside.operator.prober import Prober
from wayside.resources import Kind, Object
from wayside.vocab.errors import ConfigError
from wayside.vocab.resource import Resource

FOREIGN_S: Final = 10.0
"""Kinds that are only read are waited for so long: one whose server is ill holds nobody up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a controller runs. Addresses are host and port; ``None`` serves no such page."""

    access: Access
    manager: str
    """Our name: of what we apply, in Events, and as the source of them."""
    lease: str
    elects: bool = False
    lease_namespace: str = ""
    terms: Terms = field(default_factory=Terms)
    namespace: str | None = None
    """The only one that is watched; ``None`` for all."""
    metrics: tuple[str, int] | None = None
    health: tuple[str, int] | None = None
    workers: int = 4
    """For each kind."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What :meth:`wayside.resources.World.setting` says."""
    version: str = ""
    install: str = ""
    """The command that installs our CRDs."""
    pace: Pace | None = None


class Program:
    """Looks after the objects of ``kinds`` while :meth:`run` runs."""

    def __init__(self, options: Options, kinds: Iterable[Kind], log: Log) -> None:
        """Raises :class:`ConfigError` for certificates that cannot be used."""
        self.options, self.log, self.identity = options, log, somebody()
        self.gauges = Gauges(
            version=options.version, objects=self._objects, leads=lambda: self.leads
        )
        access, heard = options.access, self.gauges.answered
        self._reader = Client(access, timeout_s=60.0, answered=heard)
        self._writer = Client(access, answered=heard, may_write=lambda: self.leads)
        self._lease = Client(access, timeout_s=5.0, answered=heard)
        pace = {} if options.pace is None else {"pace": options.pace}
        self.cache = Cache(
            self._reader,
            manager=options.manager,
            namespace=options.namespace,
            changed=self._changed,
            told=self._told,
            log=log,
            **pace,
        )
        self._owned, self._lookers = Owned(), Lookers()
        self._events = Events(self._writer, options.manager, self.identity, log=log)
        self._prober = Prober(self._enqueue)
        self._elector: Elector | None = None
        if options.elects:
            self.gauges.lease = options.lease
            self._elector = Elector(
                self._lease,
                options.lease,
                options.lease_namespace or access.namespace,
                identity=self.identity,
                terms=options.terms,
                log=log,
            )
        self._by_uid: dict[str, Asker] = {}
        self._working = False
        self._own = OwnWrites(self.cache, self._by_uid.get, self._enqueue)
        tools = Tools(
            client=self._writer,
            cache=self.cache,
            children=Children(
                self._writer,
                self.cache,
                self._owned,
                options.manager,
                own=self._own,
                lives=self._by_uid.__contains__,
            ),
            lookers=self._lookers,
            prober=self._prober,
            tell=self._events.tell,
            figures=self.gauges.figures,
            log=log,
            manager=options.manager,
            own=self._own,
            asked=self.gauges.asked.add,
            settings=options.settings,
        )
        self._kept = {
            k.kind: Controller(k, self.gauges, tools, log, options.workers) for k in kinds
        }
        self._primary = {kept.kind.resource: kept for kept in self._kept.values()}
        self._needed = {r for k in self._kept.values() for r in (k.kind.resource, *k.kind.owns)}
        reads = {r for k in self._kept.values() for r in k.kind.reads}
        for resource in sorted(self._needed | reads, key=str):
            self.cache.copy(resource)
        self.metrics_page = PageServer({"/metrics": self._metrics})
        self.health_page = PageServer({"/healthz": self._healthz, "/readyz": self._readyz})

    @property
    def leads(self) -> bool:
        """Whether this process may write."""
        return self._elector is None or self._elector.leads

    @property
    def ready(self) -> bool:
        """Whether all that we need has been listed, or is known not to be there."""
        return all(
            copy.settled.is_set() for copy in self.cache.copies() if copy.resource in self._needed
        )

    async def run(self) -> None:
        """Run until cancelled. Raises :class:`ConfigError` for addresses that are taken."""
        try:
            await self._listen()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.cache.run())
                if self._elector is not None:
                    tasks.create_task(self._elector.while_leading(self._work))
                else:
                    tasks.create_task(self._work())
        finally:
            await self.metrics_page.stop()
            await self.health_page.stop()
            for client in (self._reader, self._writer, self._lease):
                client.close()

    # --- work ----------------------------------------------------------------------------------

    async def _work(self) -> None:
        """What only the leader does."""
        await self._settle()
        self._tell_leader()
        self._working = True
        try:
            for kept in self._kept.values():
                copy = self.cache.copy(kept.kind.resource)
                for key in copy.store if copy is not None else ():
                    kept.queue.add(key)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._events.run())
                for kept in self._kept.values():
                    for _ in range(self.options.workers):
                        tasks.create_task(kept.work())
        finally:
            self._working = False
            for kept in self._kept.values():
                kept.queue.clear()
                for _, namespace, name in self._of(kept.kind.kind):
                    kept.keeping.forget(namespace, name)
            await self._prober.stop()

    async def _settle(self) -> None:
        foreign_ends = _now() + FOREIGN_S
        for copy in list(self.cache.copies()):
            if copy.resource in self._needed:
                await copy.settled.wait()
            elif (left := foreign_ends - _now()) > 0:
                await asyncio.wait(
                    [task := asyncio.create_task(copy.settled.wait())], timeout=left
                )
                task.cancel()
        for kept in self._kept.values():
            copy_of = self.cache.copy(kept.kind.resource)
            if copy_of is not None and copy_of.known == "absent":
                resource = kept.kind.resource
                self.log(
                    "waiting for a CRD",
                    level="warning",
                    crd=f"{resource.plural}.{resource.group}",
                    fix=self.options.install,
                )

    # --- what happens --------------------------------------------------------------------------

    def _changed(self, resource: Resource, key: Key, old: Held | None, new: Held | None) -> None:
        """An object is another one than before."""
        self._owned.changed(resource, key, old, new)
        primary = self._primary.get(resource)
        if primary is not None:
            asker = (primary.kind.kind, *key)
            if old is not None and (new is None or new.uid != old.uid):
                self._by_uid.pop(old.uid, None)
            if new is not None:
                self._by_uid[new.uid] = asker
        if not self._working:
            return
        askers = self._lookers.of(resource, *key, old, new)
        if primary is not None:
            askers.add((primary.kind.kind, *key))
        for held in (old, new):
            if held is not None and held.owner in self._by_uid:
                askers.add(self._by_uid[held.owner])
        writer = self._own.told((resource, *key), new.version if new is not None else "")
        if writer is not None:
            askers.discard(writer)
        self._enqueue(askers)

    def _told(self, resource: Resource) -> None:
        """A kind has come or gone, or its server has."""
        self._enqueue(self._lookers.of_state(resource))

    def _enqueue(self, askers: Iterable[Asker]) -> None:
        if self._working:
            for kind, namespace, name in askers:
                self._kept[kind].queue.add((namespace, name))

    # --- how it is -----------------------------------------------------------------------------

    def _tell_leader(self) -> None:
        if self._elector is None:
            return
        lease: Object = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._elector.name, "namespace": self._elector.namespace},
        }
        self._events.tell(lease, "Normal", "LeaderElected", f"{self.identity} became leader")

    async def _listen(self) -> None:
        for page, where, flag in (
            (self.metrics_page, self.options.metrics, "--metrics-bind-address"),
            (self.health_page, self.options.health, "--health-probe-bind-address"),
        ):
            if where is None:
                continue
            try:
                await page.start(*where)
            except OSError as error:
                what = f"cannot listen on {where[0]}:{where[1]}: {error.strerror or error}"
                raise ConfigError.one(what, where=flag, fix="choose another port") from error

    async def _metrics(self, authorization: str) -> tuple[int, str, bytes]:
        return 200, METRICS_TYPE, self.gauges.text(self._events.lost)

    async def _healthz(self, authorization: str) -> tuple[int, str, bytes]:
        return 200, "text/plain", b"ok"

    async def _readyz(self, authorization: str) -> tuple[int, str, bytes]:
        if self.ready:
            return 200, "text/plain", b"ok"
        waiting = sorted(str(c.resource) for c in self.cache.copies() if not c.settled.is_set())
        return 503, "text/plain", f"not listed yet: {', '.join(waiting)}".encode()

    def _objects(self) -> Iterator[tuple[str, Object]]:
        for kept in self._kept.values():
            copy = self.cache.copy(kept.kind.resource)
            for held in list(copy.store.values()) if copy is not None else ():
                yield kept.kind.kind, held.object()

    def _of(self, kind: str) -> list[Asker]:
        return [asker for asker in self._by_uid.values() if asker[0] == kind]


def _now() -> float:
    return asyncio.get_running_loop().time()
