"""A real router whose models and rules are in a genuine cluster (AX-02, AX-03)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

import wayside.resources
from tests.cluster import Kubectl, serving
from wayside.catalog import discover
from wayside.cli.app import App
from wayside.cli.files import read
from wayside.cli.registry import app_of
from wayside.cli.serve import over_http
from wayside.kube.client import Client
from wayside.kube.kubeconfig import find_access
from wayside.manifests.crd import crd
from wayside.resources import kinds
from wayside.vocab.resource import (
    INTELLIGENT_POOLS,
    INTELLIGENT_ROUTES,
    KSERVE_LLMS,
    NAMESPACES,
    Resource,
)

from .genuine import crd as stand_in
from .genuine import install, start

Object = dict[str, Any]


@pytest.fixture
async def crds(admin: Client) -> None:
    discover(wayside.resources)
    for kind in kinds("router"):
        await install(admin, crd(kind))


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 15) -> None:
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(0.05)


class Router:
    """A router that follows ``namespace``, as ``wayside serve`` runs it."""

    def __init__(self, kubeconfig: Path, namespace: str, folder: Path, **document: Any) -> None:
        self.env = {"KUBECONFIG": str(kubeconfig)}
        registry = {"namespace": namespace, **document.pop("registry")}
        base = {
            "listen": {"port": 0},
            "management": {"enabled": False},
            "registry": registry,
            **document,
        }
        self.path = folder / "wayside.yaml"
        self.path.write_text(yaml.safe_dump(base))
        self.app: App | None = None
        self.url = ""

    async def run(self) -> None:
        loaded = read(self.path.read_bytes(), str(self.path), env=self.env)

        def make(loaded: Any, **more: Any) -> App:
            return App(loaded, env=self.env, **more)

        async with app_of(loaded, make, env=self.env) as (app, followed):
            assert followed
            chores = asyncio.create_task(app.housekeeping())
            async with over_http(app) as url:
                self.app, self.url = app, url
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    chores.cancel()

    async def up(self) -> None:
        async def is_up() -> bool:
            return bool(self.url)

        await until(is_up)

    async def models(self) -> list[str]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/v1/models") as got:
            names = {model["id"] for model in (await got.json())["data"]}
            return sorted(names - {"auto", "MoM"})


@asynccontextmanager
async def routing(*given: Any, **document: Any) -> AsyncIterator[Router]:
    router = Router(*given, **document)
    task = asyncio.create_task(router.run())
    try:
        yield router
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def pool(*models: str, name: str = "p", **more: Any) -> Object:
    return {
        "apiVersion": "vllm.ai/v1alpha1",
        "kind": "IntelligentPool",
        "metadata": {"name": name},
        "spec": {"defaultModel": models[0], "models": [{"name": m} for m in models], **more},
    }


def route(model: str, word: str = "urgent", signal: str = "w") -> Object:
    keyword = {"name": "w", "operator": "OR", "keywords": [word]}
    when = {"operator": "OR", "conditions": [{"type": "keyword", "name": signal}]}
    decision = {"name": "d", "signals": when, "modelRefs": [{"model": model}]}
    return {
        "apiVersion": "vllm.ai/v1alpha1",
        "kind": "IntelligentRoute",
        "metadata": {"name": "r"},
        "spec": {"signals": {"keywords": [keyword]}, "decisions": [decision]},
    }


async def said(admin: Client, resource: Resource, namespace: str, name: str) -> tuple[str, str]:
    """Reason and message of an object's Ready condition."""
    found = await admin.get(resource, name, namespace)
    for condition in (found.get("status") or {}).get("conditions", ()):
        if condition["type"] == "Ready":
            assert (condition["status"] == "True") == (condition["reason"] == "Ready")
            if condition["observedGeneration"] == found["metadata"]["generation"]:
                return condition["reason"], condition["message"]
    return "", ""


BOTH = {
    "small": {"endpoints": ["127.0.0.1:1"]},
    "big": {"endpoints": ["127.0.0.1:2"]},
}


@pytest.mark.usefixtures("crds")
async def test_pool_and_route_are_the_configuration(
    kubeconfig: Path, kubectl: Kubectl, admin: Client, namespace: str, tmp_path: Path
) -> None:
    """AX-02, AX-03: waits, is in force, is refused, conflicts, recovers; made anew it counts."""

    async def reason(resource: Resource, name: str, wanted: str, says: str = "") -> None:
        async def holds() -> bool:
            found = await said(admin, resource, namespace, name)
            return found[0] == wanted and says in found[1]

        await until(holds)

    document = {"registry": {"routes": True}, "models": BOTH}
    async with routing(kubeconfig, namespace, tmp_path, **document) as router:
        kubectl.apply(pool("small", "big"), namespace=namespace)
        await reason(
            INTELLIGENT_POOLS, "p", "ValidationFailed", "no IntelligentRoute in namespace"
        )
        assert not router.url
        kubectl.apply(route("big"), namespace=namespace)
        await router.up()
        await reason(INTELLIGENT_POOLS, "p", "Ready")
        await reason(INTELLIGENT_ROUTES, "r", "Ready")
        app = router.app
        assert app is not None and app.settings.routing.default_model == "small"
        shown = kubectl("-n", namespace, "get", "iroute,ipool")
        assert "True" in shown and "small" in shown and "DECISIONS" in shown

        kubectl.apply(route("huge"), namespace=namespace)
        says = "decision d references unknown model: huge"
        await reason(INTELLIGENT_ROUTES, "r", "ValidationFailed", says)
        assert app.settings.routing.decisions[0].models[0].model == "big"  # the last good one

        kubectl.apply(route("small", word="now"), namespace=namespace)
        await reason(INTELLIGENT_ROUTES, "r", "Ready")
        assert app.settings.routing.decisions[0].models[0].model == "small"

        kubectl.apply(pool("big", name="another"), namespace=namespace)
        await reason(INTELLIGENT_POOLS, "p", "Conflict", "found 2 IntelligentPools")
        await reason(INTELLIGENT_POOLS, "another", "Conflict", "expected exactly 1")
        kubectl("-n", namespace, "delete", "ipool", "another")
        await reason(INTELLIGENT_POOLS, "p", "Ready")
        await reason(INTELLIGENT_ROUTES, "r", "Ready")

        kubectl("-n", namespace, "delete", "iroute", "r")
        kubectl.apply(route("big", word="anew"), namespace=namespace)  # generation 1 again
        await reason(INTELLIGENT_ROUTES, "r", "Ready")

        async def is_new() -> bool:
            return "anew" in str(app.settings.routing.signals)

        await until(is_new)
        # What is valid and cannot be put in force says so, and what was in force stays.
        kubectl.apply(pool("small", "nowhere"), namespace=namespace)
        kubectl.apply(route("nowhere"), namespace=namespace)
        await reason(INTELLIGENT_ROUTES, "r", "UpdateFailed", "nowhere")
        assert "anew" in str(app.settings.routing.signals)
        # What has no counterpart here is said, and the rest is in force.
        strange = route("small", word="strange")
        strange["spec"]["decisions"][0]["algorithm"] = {"type": "no_such_algorithm"}
        kubectl.apply(pool("small", "big"), strange, namespace=namespace)
        await reason(INTELLIGENT_ROUTES, "r", "Ready", "no_such_algorithm")
        assert "strange" in str(app.settings.routing.signals)


@pytest.mark.usefixtures("crds")
async def test_a_status_is_written_once(
    kubeconfig: Path, kubectl: Kubectl, admin: Client, namespace: str, tmp_path: Path
) -> None:
    kubectl.apply(pool("small", "big"), route("big"), namespace=namespace)
    document = {"registry": {"routes": True}, "models": BOTH}
    for _ in range(2):
        async with routing(kubeconfig, namespace, tmp_path, **document) as router:
            await router.up()

            async def is_ready() -> bool:
                return (await said(admin, INTELLIGENT_ROUTES, namespace, "r"))[0] == "Ready"

            await until(is_ready)
            first = await admin.get(INTELLIGENT_ROUTES, "r", namespace)
            await asyncio.sleep(0.5)
            again = await admin.get(INTELLIGENT_ROUTES, "r", namespace)
            assert first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]


async def test_models_come_and_go_with_llm_inference_services(
    kubeconfig: Path, admin: Client, namespace: str, tmp_path: Path
) -> None:
    """A2-42: add and remove."""
    await install(admin, stand_in(KSERVE_LLMS, "LLMInferenceService"))
    document = {"registry": {"llms": True}, "models": BOTH}
    async with routing(kubeconfig, namespace, tmp_path, **document) as router:
        await router.up()
        assert await router.models() == ["big", "small"]
        for name in ("one", "two"):
            body = {
                "apiVersion": KSERVE_LLMS.api_version,
                "kind": "LLMInferenceService",
                "metadata": {"name": name},
                "spec": {"model": {"name": "Qwen/Q"}},
                "status": {"url": f"http://{name}.{namespace}.svc:8000"},
            }
            await admin.create(KSERVE_LLMS, body, namespace)
        app = router.app
        assert app is not None

        async def has_both() -> bool:
            found = app.settings.models.get("Qwen/Q")
            return found is not None and len(found.endpoints) == 2

        await until(has_both)
        assert await router.models() == ["Qwen/Q", "big", "small"]
        for name in ("one", "two"):
            await admin.delete(KSERVE_LLMS, name, namespace)

        async def are_gone() -> bool:
            return await router.models() == ["big", "small"]

        await until(are_gone)


async def test_a_service_that_is_not_ready_and_a_cluster_that_is_away(
    binary: Path, tmp_path: Path
) -> None:
    """A2-42: an LLMInferenceService without an address is no model yet; one that is not ready for
    a while stays one, as health checks and fallbacks know better. A2-44: without the API server
    everything stays as it was."""
    with serving(tmp_path) as server:
        kube = Client(find_access(str(server.kubeconfig)))
        try:
            await install(kube, stand_in(KSERVE_LLMS, "LLMInferenceService"))
            await kube.create(NAMESPACES, {"metadata": {"name": "models"}})
            body: Object = {
                "apiVersion": KSERVE_LLMS.api_version,
                "kind": "LLMInferenceService",
                "metadata": {"name": "slow"},
                "spec": {"model": {"name": "Slow"}},
            }
            await kube.create(KSERVE_LLMS, body, "models")
            document = {"registry": {"llms": True}, "models": BOTH}
            async with routing(server.kubeconfig, "models", tmp_path, **document) as router:
                await router.up()
                assert await router.models() == ["big", "small"]
                unready = [{"type": "Ready", "status": "False"}]
                at = {"url": "http://slow.models.svc:8000", "conditions": unready}
                await kube.merge(KSERVE_LLMS, "slow", {"status": at}, "models")

                async def is_there() -> bool:
                    return await router.models() == ["Slow", "big", "small"]

                await until(is_there)
                assert server.process is not None
                server.process.kill()
                await asyncio.sleep(0.5)
                assert await is_there()
        finally:
            kube.close()
            await asyncio.sleep(0)


async def test_pods_are_asked_what_they_serve(
    kubeconfig: Path, admin: Client, namespace: str, tmp_path: Path
) -> None:
    from aiohttp import web

    async def models(_: web.Request) -> web.Response:
        data = [{"id": "found-model"}, {"id": "an-adapter", "parent": "found-model"}]
        return web.json_response({"data": data})

    served = web.Application()
    served.router.add_get("/v1/models", models)
    runner = web.AppRunner(served)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        await start(admin, namespace, "vllm-1", "127.0.0.1")
        document = {"registry": {"pods": {"selector": "app=x", "port": port}}, "models": {}}
        async with routing(kubeconfig, namespace, tmp_path, **document) as router:
            await router.up()
            assert "found-model" in await router.models()
            assert router.app is not None
            (endpoint,) = router.app.settings.models["found-model"].endpoints
            assert (endpoint.name, endpoint.url) == ("vllm-1", f"http://127.0.0.1:{port}")
    finally:
        await runner.cleanup()
