"""What the router controller makes, used: its ConfigMaps in the hands of real routers, with
simulated servers behind (A3-04 to A3-08, A3-12 to A3-15, A3-37, A3-38)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import Kubectl
from tests.production_stack.processes import Process, eventually, started
from tests.production_stack.test_dynamic_config import ConfigMap, known
from tests.production_stack.test_routing import MODEL, servers
from tests.resources.production_stack import conditions, endpoints, made, pod, put, service
from tests.resources.worlds import FakeWorld
from wayside.kube.client import Client
from wayside.manifests.production_stack_static import FILES
from wayside.resources import Object
from wayside.resources.inference_gateway import InferenceGatewayKeeper
from wayside.resources.static_route import StaticRouteKeeper
from wayside.sim import SimModel, SimServer, serve_sim
from wayside.vocab.resource import ENDPOINT_SLICES, PODS, SERVICES

OTHER = "meta-llama/Llama-3.1-8B-Instruct"
ROLE = "llm-d.ai/role"


# --- StaticRoute -------------------------------------------------------------------------------


def route(urls: list[str], models: list[str], **spec: Any) -> dict[str, str]:
    """The data of the ConfigMap that a StaticRoute becomes."""
    said = {"staticBackends": ",".join(urls), "staticModels": ",".join(models), **spec}
    (found,) = StaticRouteKeeper().desired(made("StaticRoute", "r", **said), FakeWorld()).children
    data: dict[str, str] = found["data"]
    return data


def test_a_router_serves_by_a_static_route_and_follows_it(tmp_path: Path) -> None:
    """A3-37, A3-38: the printed example with its hosts, ``http://localhost:PORT``: three
    backends, the models by position, in turn; a change is in force without a restart."""
    with servers(2) as mine, servers(1, OTHER) as others:
        urls = [u.replace("127.0.0.1", "localhost") for u in (mine[0], others[0], mine[1])]
        name = FILES[0]
        mounted = ConfigMap(tmp_path / "etc", route(urls, [MODEL, OTHER, MODEL])[name], name)
        words = ["vllm-router", "--host", "127.0.0.1", "--port", "0",
                 "--service-discovery", "static", "--static-backends", "http://127.0.0.1:9",
                 "--static-models", "old", "--routing-logic", "roundrobin",
                 "--dynamic-config-json", mounted.path, "--log-format", "json"]  # fmt: skip
        with started(tmp_path, *words) as process:
            assert known(process) == {MODEL, OTHER}
            for _ in range(4):
                assert process.chat("hi", MODEL)[0] == 200
            assert process.chat("hi", OTHER)[0] == 200
            went = process.went(5)
            assert went[0:2] == went[2:4] and set(went[:2]) == {urls[0], urls[2]}
            assert went[4] == urls[1]
            data = route([urls[2]], [MODEL], routingLogic="least_loaded")
            mounted.write(data[name])
            eventually(lambda: known(process) == {MODEL})
            assert process.chat("hi", MODEL)[0] == 200 and process.went(6)[-1] == urls[2]
            assert process.ask("/health")[1]["dynamic_config"] == json.loads(data[FILES[1]])


# --- InferenceGateway --------------------------------------------------------------------------


@contextlib.contextmanager
def simulated(*several: SimServer) -> Iterator[list[str]]:
    """URLs of servers, on a loop of their own."""
    ready, stop = threading.Event(), asyncio.Event()
    urls: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with serve_sim(list(several)) as sims:
            urls.extend(sim.url.removesuffix("/v1") for sim in sims)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield urls
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(20)


def gateway(world: FakeWorld, **spec: Any) -> str:
    """The configuration of a gateway with one route, as it is in its ConfigMap."""
    routes = [{"model": "llama3-70b", "inferenceServiceRef": "chatbot"}]
    found = made("InferenceGateway", "llm-gateway", **{"routes": routes, **spec})
    put(world, found)
    desired = InferenceGatewayKeeper().desired(found, world)
    assert conditions(desired)["ResolvedRefs"][0] == "True", desired.conditions
    (child,) = (c for c in desired.children if c["kind"] == "ConfigMap")
    text: str = child["data"]["config.yaml"]
    return text


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def say(text: str, *more: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": t} for i, t in enumerate((text, *more))]


def went_to(process: Process, messages: list[dict[str, str]], **headers: str) -> str:
    """Where one request went."""
    before = len(process.routed())
    body = {"model": "llama3-70b", "messages": messages, "max_tokens": 2}
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    status, answer = process.ask("/v1/chat/completions", body, sent)
    assert status == 200, answer
    return str(eventually(lambda: process.routed()[before:])[0]["url"])


async def in_cluster(admin: Client, namespace: str, urls: list[str]) -> None:
    """A Service with a slice for each server, since they differ in their ports."""
    found = _of("v1", "Service", service("llama3"))
    await admin.apply(SERVICES, found, namespace, manager="test")
    for i, url in enumerate(urls):
        one = endpoints("llama3", ("127.0.0.1", f"llama-{i}"), number=port_of(url))
        one["metadata"]["name"] = f"llama3-{i}"
        found = _of("discovery.k8s.io/v1", "EndpointSlice", one)
        await admin.apply(ENDPOINT_SLICES, found, namespace, manager="test")


def _of(version: str, kind: str, found: Object) -> Object:
    meta = {k: v for k, v in found["metadata"].items() if k not in ("uid", "namespace")}
    return {**found, "apiVersion": version, "kind": kind, "metadata": meta}


async def test_the_readmes_gateway_routes_as_it_says(
    tmp_path: Path, kubeconfig: Path, admin: Client, namespace: str, kubectl: Kubectl
) -> None:
    """A3-04 to A3-08, A3-13 to A3-15: GPU load, prefixes and conversations, with servers that are
    followed in a genuine cluster, a semantic cache, and a guard."""
    name = "llama3-70b"
    filters = {
        "semanticCache": {"threshold": 0.9, "ttlSeconds": 60},
        "promptGuard": {"blockedPatterns": ["(?i)secret plans"]},
        "maxTokens": 5000,
    }
    models = (SimModel("meta-llama/Llama-3-70B", itl_s=0.0, ttft_s=0.0),)
    with simulated(*(SimServer(models, replica=i) for i in range(3))) as urls, gpus(urls) as page:
        await in_cluster(admin, namespace, urls[:2])
        world = FakeWorld(service("llama3"), settings={"GPU_METRICS_ENDPOINT": page.url})
        put(world, made("InferenceService", "chatbot", modelName="meta-llama/Llama-3-70B",
                        backendRef="llama3", nlpFilters=filters))  # fmt: skip
        text = gateway(world, schedulingPolicy="gpu-load-aware", routeStrategy="PrefixHash",
                       sessionAffinity=True)  # fmt: skip
        document = yaml.safe_load(text)
        document["models"][name]["discover"]["kubernetes"]["namespace"] = namespace
        document["fleet"]["gpu_metrics"]["interval_s"] = 0.1
        document["production_stack"]["engines"] = True  # so that the test sees them
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(document))
        env = {"KUBECONFIG": str(kubeconfig)}
        words = ["serve", "--config", str(path), "--address", "127.0.0.1", "--port", "0"]
        with started(tmp_path, *words, env=env) as process:

            def engines() -> set[str]:
                return {e["url"] for e in process.ask("/engines")[1]}

            eventually(lambda: engines() == set(urls[:2]))
            assert process.ask("/ready")[0] == process.ask("/health")[0] == 200
            await asyncio.to_thread(_by_gpus, process, page, urls)
            home = await asyncio.to_thread(_by_prefix_and_session, process, urls)
            await asyncio.to_thread(_filters, process)
            # One more pod: it is found, and what was at home somewhere stays there.
            await in_cluster(admin, namespace, urls)
            eventually(lambda: engines() == set(urls))
            assert went_to(process, say("x" * 600, "a", "again"), x_session_id="ann") == home
            # The pod of the conversation goes: it fails over, and stays where it came to.
            gone = urls.index(home)
            await admin.delete(ENDPOINT_SLICES, f"llama3-{gone}", namespace)
            eventually(lambda: engines() == set(urls) - {home})
            after = went_to(process, say("y" * 9, "b", "and"), x_session_id="ann")
            assert after != home
            assert went_to(process, say("z" * 9, "c", "on"), x_session_id="ann") == after
            said = process.ask("/metrics")[1]
            assert 'wayside_pick_cached_tokens_total{model="llama3-70b"}' in said
            assert "wayside_endpoint_gpu_utilization" in said


async def test_a_gateway_with_nothing_behind_it_says_503(
    tmp_path: Path, kubeconfig: Path, namespace: str
) -> None:
    """A3-08: it was applied first; its pods are ready, and the model may come."""
    found = made("InferenceGateway", "g", routes=[{"model": "m", "inferenceServiceRef": "s"}])
    children = InferenceGatewayKeeper().desired(found, FakeWorld()).children
    (child,) = (c for c in children if c["kind"] == "ConfigMap")
    path = tmp_path / "config.yaml"
    path.write_text(child["data"]["config.yaml"])
    words = ["serve", "--config", str(path), "--address", "127.0.0.1", "--port", "0"]
    with started(tmp_path, *words, env={"KUBECONFIG": str(kubeconfig)}) as process:
        assert process.ask("/ready")[0] == 200
        assert process.chat("hi", "m")[0] == 503
        assert process.chat("hi", "other")[0] == 404
        # Nobody who reaches it puts model servers to sleep, or is told where they are.
        assert process.ask("/engines")[0] == process.ask("/is_sleeping?id=x")[0] == 404
        assert process.ask("/sleep?id=x", {})[0] == process.ask("/wake_up?id=x", {})[0] == 404


def _by_gpus(process: Process, page: Page, urls: list[str]) -> None:
    """A3-05, A3-13: what nobody has seen goes where the GPUs are idle."""
    for busy, idle in ((0, 1), (1, 0)):
        page.busy = {f"llama-{busy}": 95, f"llama-{idle}": 3}

        def known(name: str = f"llama-{busy}") -> bool:
            for line in process.ask("/metrics")[1].splitlines():
                if line.startswith("wayside_endpoint_gpu_utilization") and name in line:
                    return float(line.rpartition(" ")[2]) > 0.9
            return False

        eventually(known)
        news = [say(f"{idle}{i} " + chr(65 + i) * 500) for i in range(4)]
        assert {went_to(process, one) for one in news} == {urls[idle]}


def _by_prefix_and_session(process: Process, urls: list[str]) -> str:
    """A3-06, A3-07: the same beginning, the same server; a conversation, its own."""
    home = went_to(process, say("x" * 600), x_session_id="ann")
    again = {went_to(process, say("x" * 600, "a", f"q{i}")) for i in range(3)}
    assert again == {home}
    assert went_to(process, say("something else"), x_session_id="ann") == home
    return home


def _filters(process: Process) -> None:
    """A3-04: the second answer is the cache's; a blocked prompt is refused."""
    body = {"model": "llama3-70b", "messages": say("What is the capital of France?")}
    first, second = (process.ask("/v1/chat/completions", body) for _ in range(2))
    assert first[0] == second[0] == 200
    assert first[1]["id"] != second[1]["id"] and "cache" in second[1]["id"]
    refused = process.chat("Tell me the SECRET PLANS", "llama3-70b")
    assert refused[0] == 403 and "prompt guard" in refused[1]["error"]["message"]


class Page:
    """A GPU exporter: utilisation in percent by pod."""

    def __init__(self) -> None:
        self.url = ""
        self.busy: dict[str, int] = {}

    def text(self) -> bytes:
        lines = [
            f'DCGM_FI_DEV_GPU_UTIL{{gpu="{i}",UUID="GPU-{i}",Hostname="n",pod="{pod}"}} {value}\n'
            for i, (pod, value) in enumerate(self.busy.items())
        ]
        return "".join(lines).encode()


@contextlib.contextmanager
def gpus(urls: list[str]) -> Iterator[Page]:
    """An exporter, served on a thread."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    page = Page()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page.text()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    page.url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
    try:
        yield page
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_prompts_are_read_by_one_pod_and_answered_by_another(tmp_path: Path) -> None:
    """A3-12, A3-09: the chain of three kinds, two steps through simulators; what the decode
    server has cached to the threshold is not read apart."""
    model = (SimModel("m", itl_s=0.0, ttft_s=0.0),)
    several = (SimServer(model, role="prefill"), SimServer(model, replica=1, role="decode"))
    with simulated(*several) as urls:
        world = FakeWorld(service("llama"))
        for i, (url, role) in enumerate(zip(urls, ("prefill", "decode"), strict=True)):
            one = endpoints("llama", ("127.0.0.1", role), number=port_of(url))
            one["metadata"]["name"] = f"llama-{i}"
            world.put(ENDPOINT_SLICES, one)
            world.put(PODS, pod(role, {ROLE: role, "zone": "rack1"}))
        hint = {"nodeSelector": {"zone": "rack1"}}
        refs = {"backendRef": "llama", "inferenceCacheRef": "c"}
        policy = {"thresholdHitRate": 0.5}
        put(
            world,
            made("InferenceService", "chatbot", modelName="m", **refs),
            made("InferenceCache", "c", modelName="m", pddRef="p", kvCacheTransferPolicy=policy),
            made("PrefillDecodingDisaggregation", "p", modelName="m", topologyHint=hint),
        )
        path = tmp_path / "config.yaml"
        path.write_text(gateway(world, routes=[{"model": "m", "inferenceServiceRef": "chatbot"}]))
        words = ["serve", "--config", str(path), "--address", "127.0.0.1", "--port", "0"]
        with started(tmp_path, *words) as process:

            def decided() -> dict[str, float]:
                lines = process.ask("/metrics")[1].splitlines()
                found = [x for x in lines if x.startswith("wayside_disaggregation_total{")]
                return {x.split('"')[1]: float(x.rpartition(" ")[2]) for x in found}

            assert process.chat("w" * 2000, "m")[0] == 200
            assert decided() == {"remote": 1}
            assert process.chat("w" * 2000, "m")[0] == 200
            assert decided() == {"remote": 1, "decode_short": 1}
            assert process.chat("v" * 2000, "m")[0] == 200
            assert decided() == {"remote": 2, "decode_short": 1}
