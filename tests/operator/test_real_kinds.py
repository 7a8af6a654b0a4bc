"""The kinds that people use, on bad days: whatever happens, the same comes about as on a good one,
and once it is there nothing is written (A1-83, A1-85, A1-105)."""

from __future__ import annotations

import asyncio
import json
import random
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytest

import wayside.resources
from tests.kube.genuine import crd as any_crd
from tests.kube.genuine import install
from wayside.catalog import discover
from wayside.kube.cache import owner_of
from wayside.manifests.crd import crd
from wayside.operator.program import Program
from wayside.resources import Kind, Object, kinds
from wayside.vocab.resource import (
    CRDS,
    ENDPOINT_SLICES,
    NAMESPACES,
    SERVICE_MONITORS,
    SERVICES,
    Resource,
)

from .conftest import Cluster
from .proxy import Asked, Fault

STACK = "production-stack.vllm.ai/v1alpha1"


@dataclass(frozen=True)
class Scene:
    """Objects of ours, and what of other people's they are about."""

    program: str
    manager: str
    foreign: Sequence[tuple[Resource, Object]]
    objects: Sequence[tuple[str, str, Object]]
    """Kind, name and spec."""
    every: int
    """Each so many-th of its writes is a crash, once for each way of crashing."""

    def kinds(self) -> list[Kind]:
        discover(wayside.resources)
        wanted = {kind for kind, _, _ in self.objects}
        return [k for k in kinds() if k.program == self.program and k.kind in wanted]


SERVICE = {
    "metadata": {"name": "llama"},
    "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]},
}
SLICE = {
    "metadata": {"name": "llama-x", "labels": {"kubernetes.io/service-name": "llama"}},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["10.0.0.9"], "conditions": {"ready": True}}],
    "ports": [{"port": 80, "protocol": "TCP"}],
}
MODEL = {
    "name": "llama",
    "model": "llama3-8b",
    "backend": {"type": "service", "service": {"name": "llama", "port": 80}},
}
ROUTER = Scene(
    "operator",
    "semantic-router-operator",
    [(SERVICES, SERVICE), (ENDPOINT_SLICES, SLICE)],
    [
        (
            "SemanticRouter",
            "demo",
            {
                "vllmEndpoints": [MODEL],
                "config": {"prompt_guard": {"enabled": True}},
                "persistence": {"enabled": False},
            },
        )
    ],
    every=1,
)
CHAIN = Scene(
    "router-controller",
    "router-controller",
    [(SERVICES, SERVICE), (ENDPOINT_SLICES, SLICE)],
    [
        ("SpeculativeDecoding", "sd", {"draftModel": "small"}),
        ("InferenceCache", "cache", {"modelName": "llama", "sdRef": "sd"}),
        (
            "InferenceService",
            "chatbot",
            {
                "modelName": "llama",
                "backendRef": "llama",
                "inferenceCacheRef": {"kind": "InferenceCache", "name": "cache"},
            },
        ),
        (
            "InferenceGateway",
            "door",
            {
                "routes": [{"model": "llama", "inferenceServiceRef": "chatbot"}],
                "routeStrategy": "PrefixHash",
            },
        ),
    ],
    every=3,
)


MONITORED: Mapping[str, Any] = {"serviceMonitor": {"enabled": True}}


class Stage:
    """A scene in a namespace of its own, seen through the proxy that all share."""

    def __init__(self, scene: Scene, cluster: Cluster, namespace: str) -> None:
        self.scene = scene
        self.cluster = replace(cluster, namespace=namespace)
        self.namespace = namespace

    @classmethod
    async def set(cls, scene: Scene, cluster: Cluster) -> Stage:
        """With what is other people's; names have one length, as they are in what is made."""
        namespace = f"t-{uuid.uuid4().hex[:8]}"
        await cluster.admin.create(NAMESPACES, {"metadata": {"name": namespace}})
        for resource, found in scene.foreign:
            await cluster.admin.create(resource, found, namespace)
        return cls(scene, cluster, namespace)

    async def begin(self) -> None:
        """Make the objects that we look after."""
        by_kind = {kind.kind: kind.resource for kind in self.scene.kinds()}
        for kind, name, spec in self.scene.objects:
            resource = by_kind[kind]
            body = {"apiVersion": resource.api_version, "kind": kind, "spec": spec}
            made = {**body, "metadata": {"name": name}}
            await self.cluster.admin.create(resource, made, self.namespace)

    def operating(self) -> AbstractAsyncContextManager[Program]:
        return self.cluster.operating(self.scene.kinds(), manager=self.scene.manager)

    def writes(self) -> list[Asked]:
        here = f"/namespaces/{self.namespace}/"
        return [a for a in self.cluster.proxy.asked if a.writes and here in a.path]

    async def state(self) -> str:
        """Our objects' statuses and all of their children, but for times, uids, versions and
        digests (of what is said here in full)."""
        found: list[Object] = []
        for kind in self.scene.kinds():
            for ours in (await self.cluster.admin.list(kind.resource, self.namespace))[0]:
                finalizers = ours["metadata"].get("finalizers")
                found.append({"of": kind.kind, "status": ours.get("status"), "f": finalizers})
        for resource in sorted({r for k in self.scene.kinds() for r in k.owns}, key=str):
            try:
                children, _ = await self.cluster.admin.list(resource, self.namespace)
            except Exception:  # a kind that this cluster does not have
                continue
            found += [{"of": str(resource), **bare(c)} for c in children if owner_of(c)]
        said = json.dumps(found, sort_keys=True).replace(self.namespace, "NS")
        said = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID", said)
        said = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", said)
        return re.sub(r"[0-9a-f]{12,}", "HEX", said)

    async def becomes(self, state: str) -> None:
        """Wait for ``state``, which then stays; also over a restart nothing is written."""
        now = ""
        ends = asyncio.get_running_loop().time() + 30
        while (now := await self.state()) != state:
            assert asyncio.get_running_loop().time() < ends, difference(state, now)
            await asyncio.sleep(0.05)

    async def quiet(self, seconds: float = 0.2) -> None:
        before = len(self.writes())
        await asyncio.sleep(seconds)
        assert self.writes()[before:] == []


def bare(found: Object) -> Object:
    meta = found["metadata"]
    kept = {k: meta.get(k) for k in ("name", "labels", "annotations", "ownerReferences")}
    rest = {k: v for k, v in found.items() if k not in ("metadata", "status")}
    spec = rest.get("spec")
    if isinstance(spec, dict):
        rest["spec"] = {k: v for k, v in spec.items() if not k.startswith("clusterIP")}
    return {"metadata": kept, **rest}


def difference(a: str, b: str) -> str:
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
    return f"...{a[max(0, at - 200) : at + 200]}... became ...{b[max(0, at - 200) : at + 200]}..."


@pytest.fixture(params=[ROUTER, CHAIN], ids=["SemanticRouter", "chain"])
def scene(request: pytest.FixtureRequest) -> Scene:
    scene: Scene = request.param
    return scene


@pytest.fixture
async def good(scene: Scene, cluster: Cluster) -> tuple[Stage, str]:
    """A good day, and what there is at its end."""
    for kind in scene.kinds():
        await install(cluster.admin, crd(kind))
    stage = await Stage.set(scene, cluster)
    await stage.begin()
    async with stage.operating():
        await settled(stage)
    return stage, await stage.state()


async def settled(stage: Stage) -> None:
    """Every object tells of its newest spec, and nothing has been written for a while."""

    async def told() -> bool:
        for kind in stage.scene.kinds():
            for found in (await stage.cluster.admin.list(kind.resource, stage.namespace))[0]:
                if found.get("status", {}).get("observedGeneration") is None:
                    return False
        return True

    await stage.cluster.until(told)
    count = -1
    while count != len(stage.writes()):
        count = len(stage.writes())
        await asyncio.sleep(0.25)


async def test_a_second_pass_and_a_restart_write_nothing(good: tuple[Stage, str]) -> None:
    """A1-83, A1-85: also when everything is told again, twice and in any order; a restart asks
    nothing but GETs."""
    stage, state = good
    proxy = stage.cluster.proxy
    before = len(proxy.asked)
    async with stage.operating() as program:
        await stage.quiet(0.3)
        dice = random.Random(1)
        told = [(copy, key) for copy in program.cache.copies() for key in copy.store]
        assert len(told) >= 8
        dice.shuffle(told)
        for copy, key in told * 2:
            held = copy.store[key]
            copy._put(key, None)  # as a watch that was cut and listed anew might tell it
            copy._put(key, held)
        await stage.quiet(0.3)
    assert {a.method for a in proxy.asked[before:]} == {"GET"}, "not even an Event"
    assert await stage.state() == state


async def test_a_crash_between_any_two_writes(good: tuple[Stage, str], cluster: Cluster) -> None:
    """Before a write is done, and after it is done with its answer lost: the next process leaves
    what an undisturbed one leaves."""
    first, state = good
    count = len(first.writes())
    assert count >= 7, first.writes()
    crashing: dict[str, Callable[[Asked], Fault]] = {}

    def fault(asked: Asked) -> Fault:
        for namespace, crash in crashing.items():
            if f"/namespaces/{namespace}/" in asked.path:
                return crash(asked)
        return ""

    cluster.proxy.fault = fault
    free = asyncio.Semaphore(3)

    async def day(last: int, how: Fault) -> None:
        async with free:
            stage = await Stage.set(first.scene, cluster)
            crash = Crash(last, how)
            crashing[stage.namespace] = crash
            async with stage.operating():
                await stage.begin()
                await asyncio.wait_for(crash.happened.wait(), 20)
            del crashing[stage.namespace]
            assert (await stage.state()) != state or (last, how) == (count, "lost")
            async with stage.operating():
                await stage.becomes(state)
                await stage.quiet(0.15)

    ends = range(1, count + 1, first.scene.every)
    days: list[Awaitable[None]] = [day(n, how) for n in ends for how in ("dead", "lost")]
    await asyncio.gather(*days)


class Crash:
    """The ``last`` write of a process is done or not, and nothing after it."""

    def __init__(self, last: int, how: Fault) -> None:
        self.happened = asyncio.Event()
        self._left, self._how = last, how

    def __call__(self, asked: Asked) -> Fault:
        if not asked.writes:
            return ""
        self._left -= 1
        if self._left > 0:
            return ""
        self.happened.set()
        return self._how if self._left == 0 else "dead"


async def test_a_storm_and_a_freeze(good: tuple[Stage, str], cluster: Cluster) -> None:
    """A1-105: the first ten writes are conflicts; then nobody answers for a while, with writes
    under way; and the watches break."""
    first, state = good
    stage = await Stage.set(first.scene, cluster)
    refused = 0

    def storm(asked: Asked) -> Fault:
        nonlocal refused
        if asked.writes and refused < 10:
            refused += 1
            return 409
        return ""

    cluster.proxy.fault = storm
    async with stage.operating():
        await stage.begin()
        await cluster.until(_true(lambda: refused == 10))
        cluster.proxy.thawed.clear()
        await asyncio.sleep(0.3)
        cluster.proxy.cut()
        cluster.proxy.thawed.set()
        await stage.becomes(state)
        await stage.quiet(0.15)


async def test_a_kind_that_comes_later(cluster: Cluster) -> None:
    """A1-105: without the CRD of ServiceMonitors all else is made, and the condition says
    so; with it, ours appears, and nobody is asked to restart."""
    for kind in ROUTER.kinds():
        await install(cluster.admin, crd(kind))
    monitored = {**ROUTER.objects[0][2], **MONITORED}
    stage = await Stage.set(
        replace(ROUTER, objects=[("SemanticRouter", "demo", monitored)]), cluster
    )
    name = f"{SERVICE_MONITORS.plural}.{SERVICE_MONITORS.group}"
    async with stage.operating():
        await stage.begin()
        await settled(stage)
        [kind] = stage.scene.kinds()
        found = await cluster.admin.get(kind.resource, "demo", stage.namespace)
        said = json.dumps(found["status"]["conditions"])
        assert "ServiceMonitor" in said, said
        try:
            await install(cluster.admin, any_crd(SERVICE_MONITORS, "ServiceMonitor"))
            await cluster.until(_true_of(stage, SERVICE_MONITORS))
            await settled(stage)

            async def told() -> bool:
                ours = await cluster.admin.get(kind.resource, "demo", stage.namespace)
                return "ServiceMonitor" not in json.dumps(ours["status"]["conditions"])

            await cluster.until(told)
        finally:
            await cluster.admin.delete(CRDS, name)


def _true(what: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return what()

    return so


def _true_of(stage: Stage, resource: Resource) -> Callable[[], Awaitable[Any]]:
    async def there() -> bool:
        found, _ = await stage.cluster.admin.list(resource, stage.namespace)
        return bool(found)

    return there
