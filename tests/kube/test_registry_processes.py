"""Routers as people start them, with models and rules in a genuine cluster (AX-02, AX-03)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from tests.production_stack.processes import Process, eventually, started
from tests.production_stack.test_dynamic_config import known
from wayside.cli.serve import _unless
from wayside.kube.client import Client

from .genuine import start
from .test_registry import crds as crds


@asynccontextmanager
async def model_server(model: str) -> AsyncIterator[int]:
    """What answers ``/v1/models`` and chats; its port."""

    async def models(_: web.Request) -> web.Response:
        data = [{"id": model}, {"id": f"{model}-lora", "parent": model}, {"id": "auto"}]
        return web.json_response({"data": data})

    async def chat(request: web.Request) -> web.Response:
        message = {"role": "assistant", "content": (await request.json())["model"]}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return web.json_response({"id": "x", "object": "chat.completion", "choices": choices})

    served = web.Application()
    served.router.add_get("/v1/models", models)
    served.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(served)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def file(folder: Path, namespace: str, **document: Any) -> str:
    registry = {"namespace": namespace, **document.pop("registry")}
    path = folder / "wayside.yaml"
    base = {"listen": {"port": 0}, "management": {"enabled": False}, "registry": registry}
    path.write_text(yaml.safe_dump({**base, **document}))
    return str(path)


def said(process: Process, model: str) -> Any:
    """What the server was asked for, or the status."""
    status, body = process.chat("hi", model)
    return body["choices"][0]["message"]["content"] if status == 200 else status


async def test_vllm_router_starts_before_any_pod_and_finds_those_that_come(
    kubeconfig: Path, admin: Client, namespace: str, tmp_path: Path
) -> None:
    """As production-stack's own does; no dynamic configuration is given. Adapters are models;
    a model that is called as what routes is left out, and the rest is in force."""
    async with model_server("m") as port:
        words = ["vllm-router", "--host", "127.0.0.1", "--port", "0", "--service-discovery", "k8s",
                 "--k8s-namespace", namespace, "--k8s-label-selector", "app=x",
                 "--k8s-port", str(port), "--routing-logic", "roundrobin",
                 "--log-format", "json"]  # fmt: skip

        def use() -> None:
            with started(tmp_path, *words, env={"KUBECONFIG": str(kubeconfig)}) as process:
                assert process.ask("/health")[0] == 200 and known(process) == set()
                assert said(process, "m") == 404
                asyncio.run_coroutine_threadsafe(pod(), loop).result(20)
                eventually(lambda: {"m", "m-lora"} <= known(process))
                assert said(process, "m") == "m" and said(process, "m-lora") == "m-lora"

        async def pod() -> None:
            await start(admin, namespace, "vllm-1", "127.0.0.1")

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(use)


@contextmanager
def waiting(folder: Path, *words: str, env: dict[str, str]) -> Iterator[Process]:
    """``wayside WORDS``, which may never serve."""
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "wayside", *words], stderr=stream, env={**os.environ, **env}
        )
        try:
            yield Process(process, log)
        finally:
            process.kill()
            process.wait(10)


@pytest.mark.usefixtures("crds")
def test_a_router_that_waits_is_alive_says_for_what_and_can_be_stopped(
    kubeconfig: Path, namespace: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    """Else a liveness probe ends it before anybody has written the pool, and SIGTERM, which a
    container's first process does not hear by itself, does not."""
    path = file(tmp_path, namespace, registry={"routes": True}, models={})
    port = str(unused_tcp_port)
    words = ["serve", "--config", path, "--port", port]
    with waiting(tmp_path, *words, env={"KUBECONFIG": str(kubeconfig)}) as process:
        eventually(lambda: "no IntelligentPool in namespace" in process.text, 40)
        process.url = f"http://127.0.0.1:{port}"
        assert process.ask("/health") == (200, {"status": "healthy"})
        status, why = process.ask("/ready")
        assert status == 503 and "no IntelligentPool" in why
        process.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.process.wait(20) == 0
        assert time.monotonic() - began < 10


async def test_what_starts_workers_can_be_stopped_before_they_serve() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    assert not await _unless(stop, asyncio.sleep(60))
    assert await _unless(asyncio.Event(), asyncio.sleep(0))


async def test_workers_follow_the_cluster_each(
    kubeconfig: Path, admin: Client, namespace: str, tmp_path: Path
) -> None:
    """The file by itself need not be whole: its decision names a model that is found."""
    async with model_server("m") as port:
        await start(admin, namespace, "vllm-1", "127.0.0.1")
        routing = {"decisions": [], "default_model": "m"}
        registry = {"pods": {"selector": "app=x", "port": port}}
        path = file(tmp_path, namespace, registry=registry, routing=routing)

        def use() -> None:
            words = ["serve", "--config", path, "--workers", "2"]
            with started(tmp_path, *words, env={"KUBECONFIG": str(kubeconfig)}) as process:
                assert {said(process, "m") for _ in range(8)} == {"m"}
                assert said(process, "auto") == "m"

        await asyncio.to_thread(use)


async def test_envoy_gets_clusters_of_models_that_come_later(
    kubeconfig: Path, admin: Client, namespace: str, tmp_path: Path
) -> None:
    pytest.importorskip("envoy")
    async with model_server("m") as port:
        registry = {"pods": {"selector": "app=x", "port": port}}
        path = file(tmp_path, namespace, registry=registry, models={})
        loop = asyncio.get_running_loop()

        async def pod() -> None:
            await start(admin, namespace, "vllm-1", "127.0.0.1")

        def use() -> None:
            words = ["serve", "--config", path, "--envoy"]
            with started(tmp_path, *words, env={"KUBECONFIG": str(kubeconfig)}) as process:
                assert said(process, "m") in (404, 503)
                asyncio.run_coroutine_threadsafe(pod(), loop).result(20)
                eventually(lambda: said(process, "m") == "m")

        await asyncio.to_thread(use)
