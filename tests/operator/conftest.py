"""A program that looks after toys in one namespace of a genuine API server, behind a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.kube.collector import collecting
from tests.kube.genuine import install
from wayside.kube.client import Client, Object
from wayside.kube.errors import Conflict, NotFound
from wayside.kube.pace import Pace
from wayside.operator.program import Options, Program
from wayside.resources import Kind
from wayside.vocab.resource import CONFIG_MAPS, CRDS, DEPLOYMENTS, Resource

from .proxy import Proxy, proxying
from .toy import MANAGER, TOYS, crd, toy, toy_kind

FAST = Pace(first_s=0.05, longest_s=0.3, refused_first_s=0.2, refused_longest_s=0.5, steady_s=0.2)


@dataclass
class Cluster:
    """One namespace, as an administrator and as the program see it."""

    admin: Client
    proxy: Proxy
    namespace: str
    logged: list[tuple[str, dict[str, Any]]]

    async def apply(self, name: str = "demo", **spec: Any) -> Object:
        """Make a toy, or replace its spec."""
        while True:
            try:
                there = await self.admin.get(TOYS, name, self.namespace)
                return await self.admin.replace(TOYS, {**there, "spec": spec}, self.namespace)
            except NotFound:
                return await self.admin.create(TOYS, toy(name, **spec), self.namespace)
            except Conflict:  # its status was written meanwhile
                continue

    async def get(self, resource: Resource, name: str = "demo") -> Object | None:
        try:
            return await self.admin.get(resource, name, self.namespace)
        except NotFound:
            return None

    async def status(self, name: str = "demo") -> Object:
        return (await self.admin.get(TOYS, name, self.namespace)).get("status", {})

    async def condition(self, kind: str, name: str = "demo") -> Object:
        for condition in (await self.status(name)).get("conditions", ()):
            if condition["type"] == kind:
                return dict(condition)
        return {}

    async def until(self, what: Callable[[], Awaitable[Any]], seconds: float = 30) -> Any:
        """Wait until ``what()`` is true, and give it."""
        ends = asyncio.get_running_loop().time() + seconds
        while not (found := await what()):
            assert asyncio.get_running_loop().time() < ends, f"not within {seconds} s"
            await asyncio.sleep(0.02)
        return found

    async def converged(self, name: str = "demo") -> Object:
        """Wait until the toy's status tells of its newest spec, and its children are there."""

        async def done() -> Any:
            found = await self.get(TOYS, name)
            if found is None or "deletionTimestamp" in found["metadata"]:
                return None
            seen = found.get("status", {}).get("observedGeneration")
            there = await self.get(CONFIG_MAPS, name) and await self.get(DEPLOYMENTS, name)
            return found if seen == found["metadata"]["generation"] and there else None

        found: Object = await self.until(done)
        return found

    async def quiet(self, seconds: float = 0.4) -> list[str]:
        """The writes that come in ``seconds``."""
        before = len(self.proxy.writes())
        await asyncio.sleep(seconds)
        return [f"{a.method} {a.path}" for a in self.proxy.writes()[before:]]

    def options(self, **more: Any) -> Options:
        given = {
            "access": self.proxy.access,
            "manager": MANAGER,
            "lease": "toy",
            "lease_namespace": self.namespace,
            "namespace": self.namespace,
            "pace": FAST,
            "install": "kubectl apply -f toys.yaml",
            **more,
        }
        return Options(**given)

    @asynccontextmanager
    async def operating(
        self, kind: Kind | Sequence[Kind] = (), **more: Any
    ) -> AsyncIterator[Program]:
        """The program, running meanwhile; for toys where no ``kind`` is said."""
        several = [kind] if isinstance(kind, Kind) else kind or [toy_kind()]
        program = Program(self.options(**more), several, self._log)
        task = asyncio.create_task(program.run())
        try:
            while not program.ready and not task.done():
                await asyncio.sleep(0.01)
            yield program
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _log(self, event: str, *, level: str = "info", **fields: Any) -> None:
        self.logged.append((event, {"level": level, **fields}))


@pytest.fixture
async def cluster(admin: Client, namespace: str) -> AsyncIterator[Cluster]:
    try:
        await admin.get(CRDS, crd()["metadata"]["name"])
    except NotFound:
        await install(admin, crd())
    async with proxying(admin.access) as proxy, collecting(admin, namespace):
        yield Cluster(admin, proxy, namespace, [])


def signed_in(cluster: Cluster, token: Any) -> Cluster:
    """The same, with a program that shows another token."""
    access = replace(cluster.proxy.access, token=token)
    return replace(cluster, proxy=replace(cluster.proxy, access=access))
