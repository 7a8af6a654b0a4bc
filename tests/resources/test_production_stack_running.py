"""The six kinds under the running controller, on a genuine API server: what is applied, repaired,
left alone and told (A3-03, A3-08, A3-10, A3-29 to A3-36)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

import wayside.resources
from tests.kube.collector import collecting
from tests.kube.genuine import install
from wayside.catalog import discover
from wayside.kube.client import Client
from wayside.kube.errors import NotFound
from wayside.kube.pace import Pace
from wayside.manifests.crd import crd
from wayside.manifests.production_stack import API_VERSION, KINDS
from wayside.operator.program import Options, Program
from wayside.resources import Object, kinds
from wayside.vocab.resource import CONFIG_MAPS, DEPLOYMENTS, SERVICES, Resource

FAST = Pace(first_s=0.05, longest_s=0.3, refused_first_s=0.2, refused_longest_s=0.5, steady_s=0.2)


class Running:
    """One namespace that the controller looks after."""

    def __init__(self, admin: Client, namespace: str) -> None:
        self.admin, self.namespace = admin, namespace

    async def apply(self, kind: str, name: str, **spec: Any) -> None:
        found = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        await self.admin.apply(KINDS[kind], found, self.namespace, manager="test", force=True)

    async def get(self, resource: Resource, name: str) -> Object | None:
        try:
            return await self.admin.get(resource, name, self.namespace)
        except NotFound:
            return None

    async def status(self, kind: str, name: str) -> Object:
        found = await self.get(KINDS[kind], name)
        return dict((found or {}).get("status", {}))

    async def condition(self, kind: str, name: str, of: str) -> Object:
        """A condition, as soon as the newest spec is told of."""
        found = await self.get(KINDS[kind], name) or {}
        status = found.get("status", {})
        if status.get("observedGeneration") != found.get("metadata", {}).get("generation"):
            return {}
        return next((c for c in status.get("conditions", ()) if c["type"] == of), {})

    async def becomes(self, kind: str, name: str, of: str, status: str, reason: str) -> Object:
        async def so() -> Object | None:
            found = await self.condition(kind, name, of)
            return (
                found if (found.get("status"), found.get("reason")) == (status, reason) else None
            )

        found: Object = await until(so)
        return found

    async def config(self, name: str) -> dict[str, str]:
        found = await self.get(CONFIG_MAPS, name)
        data: dict[str, str] = (found or {}).get("data", {})
        return data


async def until(what: Callable[[], Awaitable[Any]], seconds: float = 15) -> Any:
    """The first true answer."""
    ends = asyncio.get_running_loop().time() + seconds
    while not (found := await what()):
        assert asyncio.get_running_loop().time() < ends, "it never came true"
        await asyncio.sleep(0.02)
    return found


@pytest.fixture
async def running(admin: Client, namespace: str) -> AsyncIterator[Running]:
    discover(wayside.resources)
    several = kinds("router-controller")
    for kind in several:
        await install(admin, crd(kind))
    options = Options(
        access=admin.access, manager="router-controller", lease="rc", lease_namespace=namespace,
        namespace=namespace, pace=FAST, install="kubectl apply -f config/crd/bases/",
    )  # fmt: skip
    program = Program(options, list(several), lambda *_, **__: None)
    task = asyncio.create_task(program.run())
    try:
        while not program.ready:
            assert not task.done(), task.exception()
            await asyncio.sleep(0.01)
        async with collecting(admin, namespace):
            yield Running(admin, namespace)
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def backend() -> AsyncIterator[tuple[str, dict[str, int]]]:
    """A server whose ``/health`` answers what is set."""
    says = {"status": 200}

    async def health(_: web.Request) -> web.Response:
        return web.Response(status=says["status"])

    app = web.Application()
    app.router.add_get("/health", health)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", says
    await runner.cleanup()


async def test_the_life_of_a_static_route(
    running: Running, backend: tuple[str, dict[str, int]]
) -> None:
    """A3-31 to A3-36."""
    url, says = backend
    check = {"periodSeconds": 1, "failureThreshold": 1}
    spec = {"staticBackends": url, "staticModels": "m", "healthCheck": check}
    await running.apply("StaticRoute", "r", **spec)
    await running.becomes("StaticRoute", "r", "Ready", "True", "Ready")
    status = await running.status("StaticRoute", "r")
    first = status["lastAppliedTime"]
    assert status["configMapRef"] == "r-config" and first.endswith("Z")
    data = await running.config("r-config")
    assert json.loads(data["static_config.json"])["static_backends"] == url
    assert data["static_config.json"] == data["dynamic_config.json"]

    says["status"] = 503
    failed = await running.becomes("StaticRoute", "r", "HealthCheckFailed", "True",
                                   "HealthCheckFailed")  # fmt: skip
    assert url in failed["message"]
    assert (await running.condition("StaticRoute", "r", "HealthCheckSucceeded"))[
        "status"
    ] == "False"
    assert (await running.status("StaticRoute", "r"))["lastAppliedTime"] == first
    says["status"] = 200
    await running.becomes("StaticRoute", "r", "Ready", "True", "Ready")

    await running.admin.delete(CONFIG_MAPS, "r-config", running.namespace)
    await until(lambda: running.config("r-config"))
    assert (await running.status("StaticRoute", "r"))["lastAppliedTime"] == first
    await asyncio.sleep(1.0)  # times are told in whole seconds
    await running.apply("StaticRoute", "r", **{**spec, "routingLogic": "least_loaded"})

    async def applied() -> bool:
        said = (await running.config("r-config")).get("static_config.json", "")
        moved = (await running.status("StaticRoute", "r")).get("lastAppliedTime") != first
        return "least_loaded" in said and moved

    await until(applied)
    await running.admin.delete(KINDS["StaticRoute"], "r", running.namespace)

    async def gone() -> bool:
        return await running.get(CONFIG_MAPS, "r-config") is None

    await until(gone)


async def test_a_config_map_of_somebody_else_stays_as_it_is(running: Running) -> None:
    """A3-36: told with an Event, as production-stack's controller called it."""
    theirs = {"metadata": {"name": "theirs"}, "data": {"static_config.json": "{}"}}
    await running.admin.create(CONFIG_MAPS, theirs, running.namespace)
    await running.apply("StaticRoute", "r", staticBackends="http://127.0.0.1:9",
                        staticModels="m", configMapName="theirs")  # fmt: skip
    await running.becomes("StaticRoute", "r", "Applied", "False", "NameTaken")
    assert await running.config("theirs") == {"static_config.json": "{}"}
    assert "configMapRef" not in await running.status("StaticRoute", "r")
    await running.apply("StaticRoute", "r", staticBackends="http://127.0.0.1:9",
                        staticModels="m", configMapName="mine")  # fmt: skip
    await running.becomes("StaticRoute", "r", "Applied", "True", "Applied")
    assert (await running.status("StaticRoute", "r"))["configMapRef"] == "mine"
    assert await running.config("theirs") == {"static_config.json": "{}"}


async def test_a_chain_heals_from_its_ends(running: Running) -> None:
    """A3-03, A3-08, A3-10: made from the top down; what appears or changes anywhere reaches the
    gateway's ConfigMap, and a mistake changes nothing."""
    routes = [{"model": "llama", "inferenceServiceRef": "chatbot"}]
    await running.apply("InferenceGateway", "door", routes=routes, routeStrategy="PrefixHash")
    await running.becomes("InferenceGateway", "door", "ResolvedRefs", "False", "RefNotFound")
    assert await running.get(DEPLOYMENTS, "door") and await running.get(SERVICES, "door")
    await running.apply("InferenceService", "chatbot", modelName="llama", backendRef="llama",
                        inferenceCacheRef={"kind": "InferenceCache", "name": "cache"})  # fmt: skip
    await running.becomes("InferenceGateway", "door", "ResolvedRefs", "False", "BackendNotFound")
    service = {"metadata": {"name": "llama"},
               "spec": {"selector": {"app": "llama"}, "ports": [{"port": 8000}]}}  # fmt: skip
    await running.admin.create(SERVICES, service, running.namespace)
    await running.becomes("InferenceGateway", "door", "ResolvedRefs", "False", "RefNotFound")
    await running.apply("InferenceCache", "cache", modelName="llama", sdRef="sd")
    await running.apply("SpeculativeDecoding", "sd", draftModel="small")
    await running.becomes("InferenceGateway", "door", "ResolvedRefs", "True", "ResolvedRefs")
    await running.becomes("SpeculativeDecoding", "sd", "InUse", "True", "Referenced")

    async def told(*what: str) -> bool:
        said = (await running.config("door-config")).get("config.yaml", "")
        return all(w in said for w in what)

    await until(lambda: told("draft: small", "least_share: 0.8"))
    await running.apply("SpeculativeDecoding", "sd", draftModel="tiny")
    await until(lambda: told("draft: tiny"))

    async def engine_told() -> bool:
        return '"model":"tiny"' in (await running.config("chatbot-engine"))["vllm.yaml"]

    await until(engine_told)

    bad = {"modelName": "llama", "kvCacheTransferPolicy": {"thresholdHitRate": "most"}}
    await running.apply("InferenceCache", "cache", **bad)
    await running.becomes("InferenceCache", "cache", "Accepted", "False", "InvalidSpec")
    await running.becomes("InferenceGateway", "door", "ResolvedRefs", "False", "RefInvalid")
    before = await running.config("door-config")
    await running.apply(
        "InferenceGateway", "door", routes=[{**routes[0], "inferenceServiceRef": 7}]
    )
    await running.becomes("InferenceGateway", "door", "Accepted", "False", "InvalidSpec")
    assert await running.config("door-config") == before
    assert await running.get(DEPLOYMENTS, "door") and await running.get(SERVICES, "door")
    await running.admin.delete(SERVICES, "llama", running.namespace)
    await running.becomes("InferenceService", "chatbot", "BackendReady", "False",
                          "BackendNotFound")  # fmt: skip
