"""Pods as they are made, run: the real router and a real Envoy with exactly those files."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import yaml

from tests.cluster import SHARED
from tests.resources.semantic_router.made import (
    NAME,
    NAMESPACE,
    container,
    desired,
    endpoint,
    keeper,
    router,
    world,
)
from tests.resources.semantic_router.pods import Pod, running
from tests.resources.worlds import FakeWorld
from wayside.resources import Desired
from wayside.resources.semantic_router import proxy, service
from wayside.settings import RouterSettings
from wayside.sim import SimModel, SimServer, serve_sim
from wayside.vocab.resource import KSERVE_SERVICES, SERVICES

SAMPLE = "data/vsr-configs/operator-samples/vllm.ai_v1alpha1_semanticrouter_simple.yaml"
GATEWAY = {"existingRef": {"name": "ingress", "namespace": "istio-system"}}


def free(count: int) -> list[int]:
    """Ports that nobody has; all different."""
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """``spec.service`` with free ports, and those of ours free, too: pods of several tests may
    run on one machine, which has one network."""
    api, grpc_port, metrics, alias, *own = free(7)
    names = ("management", "router_api", "admin")
    monkeypatch.setattr(service, "_LOOPBACK", dict(zip(names, own, strict=True)))
    monkeypatch.setattr(service, "ALIAS", alias)
    return {
        "api": {"targetPort": api},
        "grpc": {"targetPort": grpc_port},
        "metrics": {"targetPort": metrics},
        "alias": alias,
    }


def spec_of(ports: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in ports.items() if key != "alias"}


def host(name: str, namespace: str = NAMESPACE) -> dict[str, str]:
    return {f"{name}.{namespace}.svc.cluster.local": "127.0.0.1"}


def chat(text: str = "What is 2+2?", model: str = "auto", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


async def asks_it_all(session: aiohttp.ClientSession, url: str, model: str) -> None:
    """What a user of a router does first."""
    async with session.post(f"{url}/v1/chat/completions", json=chat()) as answer:
        assert answer.status == 200, await answer.text()
        assert (await answer.json())["choices"][0]["message"]["content"]
        assert answer.headers["x-vsr-selected-model"] == model
    async with session.post(f"{url}/v1/chat/completions", json=chat(stream=True)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = (await answer.text()).split("\n\n")
        assert len(events) > 2
        assert events[-2] == "data: [DONE]"
    async with session.get(f"{url}/v1/models") as answer:
        assert model in [one["id"] for one in (await answer.json())["data"]]
    body = {"text": "What is the derivative of x squared?"}
    async with session.post(f"{url}/api/v1/classify/intent", json=body) as answer:
        assert answer.status == 200
        assert (await answer.json())["classification"]["category"] == "math"
    for path in ("/health", "/ready", "/startup-status", "/info/models", "/openapi.json"):
        async with session.get(url + path) as answer:
            assert answer.status == 200, path
    for path in ("/metrics", "/v1/router_replay", "/v1/memory", "/api/v1/response-cache/stats"):
        async with session.get(url + path) as answer:
            assert answer.status >= 400, path


@pytest.mark.shared
async def test_the_simple_sample_answers(tmp_path: Path, ports: dict[str, Any]) -> None:
    """A1-13, A1-23, A1-32, A1-38, A1-39: from the sample's YAML to an answer, by the two
    containers as they are made."""
    if not (SHARED / SAMPLE).exists():
        pytest.skip(f"{SAMPLE} is not here")
    found = yaml.safe_load((SHARED / SAMPLE).read_text())
    found["metadata"]["uid"] = "u"
    found["spec"]["service"] = spec_of(ports)
    async with serve_sim([SimModel("llama3-8b")]) as (sim,), aiohttp.ClientSession() as session:
        seen = world("unused")
        there = {"metadata": {"name": "llama-3-8b", "namespace": "default"}}
        ready = {"type": "Ready", "status": "True"}
        seen.put(KSERVE_SERVICES, {**there, "status": {"conditions": [ready]}})
        predictor = {"name": "llama-3-8b-predictor", "namespace": "default"}
        seen.put(
            SERVICES,
            {
                "metadata": predictor,
                "spec": {"ports": [{"name": "http", "port": sim.port}]},
            },
        )
        made = keeper().desired(found, seen)
        hosts = host("llama-3-8b-predictor", "default")
        async with running(made, tmp_path, hosts):
            for port in (ports["api"]["targetPort"], ports["alias"]):
                await asks_it_all(session, f"http://127.0.0.1:{port}", "llama3-8b")
            where = f"127.0.0.1:{ports['grpc']['targetPort']}"
            async with grpc.aio.insecure_channel(where) as channel:
                check = channel.unary_unary("/grpc.health.v1.Health/Check")
                assert await check(b"") == b"\x08\x01"  # SERVING
            metrics = f"http://127.0.0.1:{ports['metrics']['targetPort']}"
            async with session.get(f"{metrics}/info/config") as answer:
                assert (await answer.json())["applied"] is True
            async with session.get(f"{metrics}/metrics") as answer:
                assert 'model="llama3-8b"' in await answer.text()


async def test_before_there_is_a_backend(tmp_path: Path, ports: dict[str, Any]) -> None:
    """A1-20 (D8): pods are ready, classify, and refuse with words; no crash, no open proxy."""
    made = desired(router(endpoint("small"), service=spec_of(ports)), FakeWorld())
    url = f"http://127.0.0.1:{ports['api']['targetPort']}"
    async with running(made, tmp_path, {}), aiohttp.ClientSession() as session:
        async with session.post(f"{url}/v1/chat/completions", json=chat()) as answer:
            assert answer.status == 503
            error = (await answer.json())["error"]
            assert error["code"] == "no_healthy_endpoint"
            assert "No server of any model is known" in error["message"]
        body = {"text": "What is the derivative of x squared?"}
        async with session.post(f"{url}/api/v1/classify/intent", json=body) as answer:
            assert (await answer.json())["classification"]["category"] == "math"


def two(first: int, second: int, ports: dict[str, Any], *more: Any, **spec: Any) -> Desired:
    """Two servers of one model, the second of twice the weight."""
    endpoints = [endpoint("small", "one", weight=1), endpoint("small", "two", weight=2), *more]
    for listed, port in zip(endpoints, (first, second, *[first] * len(more)), strict=True):
        listed["backend"]["service"]["port"] = port
    seen = world("unused")
    for name, port in (
        ("one", first),
        ("two", second),
        ("vllm-large", first),
        ("vllm-slow", first),
    ):
        seen.put(
            SERVICES,
            {
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"ports": [{"port": port}]},
            },
        )
    return desired(router(*endpoints, service=spec_of(ports), **spec), seen)


HOSTS = {**host("one"), **host("two"), **host("vllm-large"), **host("vllm-slow")}


async def test_weights_a_new_model_and_a_graceful_end(
    tmp_path: Path, ports: dict[str, Any]
) -> None:
    """A1-26, A1-84: two thirds of the requests go where the weight is 2; a model that is added
    answers without any process being started; what is under way when the pod goes is finished."""
    small = SimModel("small")
    three = SimServer(models=(small, SimModel("large"), SimModel("slow", itl_s=0.05)))
    slow = endpoint("slow")
    url = f"http://127.0.0.1:{ports['api']['targetPort']}/v1/chat/completions"
    async with (
        serve_sim([three, small]) as (one, other),
        aiohttp.ClientSession() as session,
        running(two(one.port, other.port, ports, slow), tmp_path, HOSTS) as pod,
    ):
        for _ in range(60):
            async with session.post(url, json=chat(model="small")) as answer:
                assert answer.status == 200
        share = other.stats.completed / 60
        assert 0.5 < share < 0.83
        async with session.post(url, json=chat(model="large")) as answer:
            assert answer.status >= 400
        before = {name: p.pid for name, p in pod.processes.items()}
        pod.mount(two(one.port, other.port, ports, slow, endpoint("large")))
        until = time.monotonic() + 20
        while True:
            async with session.post(url, json=chat(model="large")) as answer:
                if answer.status == 200:
                    break
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        assert before == {name: p.pid for name, p in pod.processes.items()}
        await ends_gracefully(pod, session, url)


async def ends_gracefully(pod: Pod, session: aiohttp.ClientSession, url: str) -> None:
    """What the kubelet does to a pod: preStop of Envoy, then SIGTERM; SIGTERM to the router at
    once. A stream that has begun is finished."""
    envoy, own = pod.processes["envoy-proxy"], pod.processes["semantic-router"]
    (hook,) = (
        c["lifecycle"]["preStop"]["exec"]["command"]
        for c in pod.spec["containers"]
        if "lifecycle" in c
    )
    hook = [part.replace("sleep 5", "sleep 0.2") for part in hook]
    body = chat("Count slowly.", model="slow", stream=True, max_tokens=30)
    async with session.post(url, json=body) as answer:
        await answer.content.readline()
        began = time.monotonic()
        leaving = await asyncio.create_subprocess_exec(*hook, stdout=asyncio.subprocess.DEVNULL)
        own.terminate()
        text = (await answer.content.read()).decode()
        assert text.rstrip().endswith("data: [DONE]")
        assert time.monotonic() - began > 0.5, "it was under way when the pod was told to go"
    assert await asyncio.wait_for(leaving.wait(), 10) == 0
    assert own.returncode is None, "the router outlives its Envoy"
    envoy.terminate()
    await asyncio.wait_for(envoy.wait(), 10)
    assert await asyncio.wait_for(own.wait(), 10) == 0


async def test_behind_a_gateway_the_router_answers_itself(
    tmp_path: Path, ports: dict[str, Any]
) -> None:
    """A1-46, A1-48, A1-50: one process, one port: chat, streams, models, classification."""
    async with (
        serve_sim([SimModel("small")]) as (sim,),
        aiohttp.ClientSession() as session,
    ):
        one = endpoint("small")
        one["backend"]["service"]["port"] = sim.port
        seen = world("unused")
        seen.put(
            SERVICES,
            {
                "metadata": {"name": "vllm-small", "namespace": NAMESPACE},
                "spec": {"ports": [{"port": sim.port}]},
            },
        )
        made = desired(router(one, gateway=GATEWAY, service=spec_of(ports)), seen)
        async with running(made, tmp_path, host("vllm-small")) as pod:
            assert list(pod.processes) == ["semantic-router"]
            url = f"http://127.0.0.1:{ports['api']['targetPort']}"
            await asks_it_all(session, url, "small")


async def test_in_a_pod_with_an_ipv6_address(tmp_path: Path, ports: dict[str, Any]) -> None:
    """A0-31, A1-38: clients, Envoy, router and probes by IPv6."""
    with socket.socket(socket.AF_INET6) as found:
        try:
            found.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    async with serve_sim([SimModel("small")]) as (sim,), aiohttp.ClientSession() as session:
        one = endpoint("small")
        one["backend"]["service"]["port"] = sim.port
        seen = world("unused", KUBERNETES_SERVICE_HOST="fd00::1")
        seen.put(
            SERVICES,
            {
                "metadata": {"name": "vllm-small", "namespace": NAMESPACE},
                "spec": {"ports": [{"port": sim.port}]},
            },
        )
        made = desired(router(one, service=spec_of(ports)), seen)
        async with running(made, tmp_path, host("vllm-small")):
            url = f"http://[::1]:{ports['api']['targetPort']}/v1/chat/completions"
            async with session.post(url, json=chat()) as answer:
                assert answer.status == 200, await answer.text()


# --- what Envoy is told ------------------------------------------------------------------------


def test_envoy_waits_for_decisions_that_ask_several_models() -> None:
    """A1-38: such a decision takes longer than Envoy waits otherwise."""
    models = {name: {"endpoints": [f"http://{name}:8000"]} for name in ("a", "b")}
    decision = {"name": "d", "models": ["a", "b"], "select": {"confidence": {"timeout_s": 77}}}
    found = RouterSettings.model_validate(
        {"models": models, "routing": {"default_model": "a", "decisions": [decision]}}
    )
    assert proxy.patient(found).extproc.message_timeout_s == 78
    plain = RouterSettings.model_validate({"models": models})
    assert proxy.patient(plain) is plain


def test_no_page_of_envoys_is_open() -> None:
    made = desired(router())
    (files,) = (
        one["data"] for one in made.children if one["metadata"]["name"] == f"{NAME}-envoy-config"
    )
    admin = json.loads(files["envoy.yaml"])["admin"]["address"]["socket_address"]
    assert admin["address"] == "127.0.0.1"
    exposed = [p["containerPort"] for p in container(made, "envoy-proxy")["ports"]]
    assert admin["port_value"] not in exposed
