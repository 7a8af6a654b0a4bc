"""A real Envoy with our router and then our picker in one listener, and requirement 004's calls.

As its manifests have it: the router's filter BUFFERED over plaintext, the picker's
FULL_DUPLEX_STREAMED over TLS that nobody verifies, the pool's cluster following the picker, and
another route for OpenAI that the picker is no part of. Rows A4-31, A4-34.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.extproc.stand_ins import Answer, ask, envoy
from tests.running import chat
from wayside.cli.app import App
from wayside.cli.files import read
from wayside.epp.options import Options
from wayside.epp.serve import Epp
from wayside.extproc import serve_extproc
from wayside.sim import Sim, SimModel, SimServer, TlsFiles, serve_sim
from wayside.telemetry import Log
from wayside.translate.endpoint_picker_config import read as read_picker

pytest.importorskip("envoy")

KEY = "sk-test-0123456789"
LINUX = "Linux is said to be an open source kernel because "
SUMS = "2+2 is  "
REST = {"max_tokens": 100, "temperature": 0}
SEED = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, weight: 1}
  - {pluginRef: kv-cache-utilization-scorer, weight: 1}
  - {pluginRef: prefix-cache-scorer, weight: 1}
"""
ROUTER: dict[str, Any] = {
    "models": {"llama3-8b": {}, "gpt-4o-mini": {}},
    "management": {"enabled": False},
    "routing": {
        "default_model": "llama3-8b",
        "signals": {
            "domain": {
                "computer science": {"labels": ["computer science"], "threshold": 0.4},
                "math": {"labels": ["math"], "threshold": 0.4},
            }
        },
        "decisions": [
            {"name": "cs", "when": "domain:computer science", "models": ["llama3-8b"]},
            {"name": "math", "when": "domain:math", "models": ["gpt-4o-mini"]},
        ],
    },
}
TYPE = "type.googleapis.com/envoy."


def typed(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": TYPE + kind, **fields}}


def ext_proc(name: str, cluster: str, mode: dict[str, str], **more: Any) -> dict[str, Any]:
    return typed(
        name,
        "extensions.filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": cluster}, "timeout": "0s"},
        message_timeout="300s",
        processing_mode={"request_header_mode": "SEND", "response_header_mode": "SEND", **mode},
        **more,
    )


def cluster(name: str, address: dict[str, Any], **more: Any) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    assignment = {"cluster_name": name, "endpoints": endpoints}
    return {"name": name, "load_assignment": assignment, "connect_timeout": "5s", **more}


def tcp(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


HTTP2 = {
    "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
}


def unverified(**more: Any) -> dict[str, Any]:
    socket = typed("tls", "extensions.transport_sockets.tls.v3.UpstreamTlsContext", **more)
    return {"transport_socket": socket}


def pool(how: str, ports: list[int]) -> dict[str, Any]:
    """The pool's cluster: where the header says, or one of its hosts by header or metadata."""
    if how == "ORIGINAL_DST":
        config = {"use_http_header": True, "http_header_name": "x-gateway-destination-endpoint"}
        return {
            "name": "pool", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED",
            "original_dst_lb_config": config, "connect_timeout": "5s",
        }  # fmt: skip
    key = "x-gateway-destination-endpoint"
    source = {"header": key} if how == "override by header" else {
        "metadata": {"key": "envoy.lb", "path": [{"key": key}]}
    }  # fmt: skip
    fallback = typed("r", "extensions.load_balancing_policies.round_robin.v3.RoundRobin")
    policy = typed(
        "o",
        "extensions.load_balancing_policies.override_host.v3.OverrideHost",
        override_host_sources=[source],
        fallback_policy={"policies": [{"typed_extension_config": fallback}]},
    )
    found = cluster("pool", tcp(ports[0]), type="STATIC")
    found["load_balancing_policy"] = {"policies": [{"typed_extension_config": policy}]}
    hosts = [{"endpoint": {"address": tcp(port)}} for port in ports]
    found["load_assignment"]["endpoints"] = [{"lb_endpoints": hosts}]
    return found


def bootstrap(
    port: int, router: Path, epp_port: int, pool_cluster: dict[str, Any], openai: int
) -> dict[str, Any]:
    untyped = {"untyped": ["envoy.lb"]}
    filters = [
        ext_proc(
            "router",
            "router",
            {"request_body_mode": "BUFFERED", "response_body_mode": "NONE"},
            allow_mode_override=True,
            failure_mode_allow=True,
        ),
        ext_proc(
            "picker",
            "picker",
            {
                "request_body_mode": "FULL_DUPLEX_STREAMED",
                "request_trailer_mode": "SEND",
                "response_body_mode": "FULL_DUPLEX_STREAMED",
                "response_trailer_mode": "SEND",
            },
            metadata_options={"forwarding_namespaces": untyped, "receiving_namespaces": untyped},
        ),
        typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router"),
    ]

    def match(model: str) -> dict[str, Any]:
        header = {"name": "x-selected-model", "string_match": {"exact": model}}
        return {"prefix": "/", "headers": [header]}

    off = {"@type": TYPE + "extensions.filters.http.ext_proc.v3.ExtProcPerRoute", "disabled": True}
    bearer = {"header": {"key": "authorization", "value": f"Bearer {KEY}"}}
    routes = [
        {"match": match("llama3-8b"), "route": {"cluster": "pool", "timeout": "300s"}},
        {
            "match": match("gpt-4o-mini"),
            "route": {"cluster": "openai", "host_rewrite_literal": "localhost"},
            "request_headers_to_add": [bearer],
            "typed_per_filter_config": {"picker": off},
        },
        {
            "match": {"prefix": "/"},
            "direct_response": {"status": 404},
            "typed_per_filter_config": {"picker": off},
        },
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="x",
        route_config={"virtual_hosts": hosts},
        http_filters=filters,
    )
    listener = {"name": "l", "address": tcp(port), "filter_chains": [{"filters": [manager]}],
                "per_connection_buffer_limit_bytes": 4 << 20}  # fmt: skip
    return {
        "static_resources": {
            "listeners": [listener],
            "clusters": [
                cluster("router", {"pipe": {"path": str(router)}}, **HTTP2),
                cluster("picker", tcp(epp_port), **HTTP2, **unverified()),
                cluster("openai", tcp(openai), **unverified(sni="localhost")),
                pool_cluster,
            ],
        }
    }


class Stage:
    """Everything, and how to ask it."""

    def __init__(self, port: int, epp: Epp, sims: list[Sim]) -> None:
        self.port, self.epp = port, epp
        self.llamas, self.openai = sims[:2], sims[2]

    async def post(self, text: str, model: str, **more: Any) -> Answer:
        body = json.dumps(chat(text, model, **REST, **more), indent=1).encode()
        headers = {"content-type": "application/json"}
        return await ask(self.port, body, headers=headers)

    def seen(self) -> list[int]:
        return [len(sim.requests) for sim in (*self.llamas, self.openai)]


@contextlib.asynccontextmanager
async def stage(
    folder: Path, how: str = "ORIGINAL_DST", config: str = SEED, **more: Any
) -> AsyncIterator[Stage]:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(key)
    servers = [
        SimServer((SimModel("llama3-8b"),)),
        SimServer((SimModel("llama3-8b"),)),
        SimServer((SimModel("gpt-4o-mini"),), provider="openai", api_keys=(KEY,),
                  tls=TlsFiles(cert, key)),
    ]  # fmt: skip
    socket = folder / "router.sock"
    document = {**ROUTER, "extproc": {"unix": str(socket)}}
    loaded = read(yaml.safe_dump(document).encode(), "test.yaml", env={})
    app = App(loaded, env={}, log=Log(io.StringIO()), needs_endpoints=False)
    async with contextlib.AsyncExitStack() as stack:
        sims = await stack.enter_async_context(serve_sim(servers))
        router = await serve_extproc(
            app.settings.extproc, app.runtime, app.telemetry, app.settings.limits, log=app.log
        )
        stack.push_async_callback(app.close)
        stack.push_async_callback(router.stop, 0.2)
        addresses = [sim.url.removeprefix("http://") for sim in sims[:2]]
        options = Options(
            config=read_picker(config), endpoints=tuple(addresses), host="127.0.0.1",
            grpc_port=0, health_port=0, metrics_port=0, drain_s=0.2, **more,
        )  # fmt: skip
        epp = Epp(options, lambda *a, **k: None)
        await epp.start()
        stack.push_async_callback(epp.stop)
        probe = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = probe.sockets[0].getsockname()[1]
        probe.close()
        await probe.wait_closed()
        ports = [int(a.rpartition(":")[2]) for a in addresses]
        openai = int(sims[2].url.rpartition(":")[2])
        made = bootstrap(port, socket, epp.server.port, pool(how, ports), openai)
        await stack.enter_async_context(envoy(made, folder))
        yield Stage(port, epp, sims)


HOWS = ["ORIGINAL_DST", "override by header", "override by metadata"]


@pytest.mark.parametrize("phases", ["all", "needed"])
@pytest.mark.parametrize("how", HOWS)
async def test_the_four_calls_of_requirement_004(how: str, phases: str, folder: Path) -> None:
    """A4-31, A4-34."""
    async with stage(folder, how, skips=phases == "needed") as s:
        answer = await s.post(LINUX, "llama3-8b")
        assert answer.status == 200, answer.body
        assert answer.json()["model"] == "llama3-8b"
        (seen,) = [r for sim in s.llamas for r in sim.requests]
        assert seen.body == json.dumps(chat(LINUX, "llama3-8b", **REST), indent=1).encode()
        assert seen.header("x-selected-model") == "llama3-8b"
        assert (answer.headers.get("x-went-into-resp-headers") == "true") == (phases == "all")

        answer = await s.post(LINUX, "auto")
        assert (answer.status, answer.json()["model"]) == (200, "llama3-8b")
        assert sum(s.seen()[:2]) == 2 and not s.openai.requests

        for model in ("gpt-4o-mini", "auto"):
            answer = await s.post(SUMS, model)
            assert answer.status == 200, answer.body
            assert answer.json()["model"] == "gpt-4o-mini-2024-07-18"
            assert answer.json()["id"].startswith("chatcmpl-")
            assert s.openai.requests[-1].header("authorization") == f"Bearer {KEY}"
        assert s.seen()[2] == 2 and sum(s.seen()[:2]) == 2
        text = s.epp.registry.text().decode()
        assert text.count("llm_d_epp_request_total{") == 1
        assert 'model_name="llama3-8b"' in text


@pytest.mark.parametrize("how", HOWS)
async def test_a_conversation_goes_back_to_the_server_that_has_its_prefix(
    how: str, folder: Path
) -> None:
    async with stage(folder, how) as s:
        text = "The same long beginning of every turn. " * 40
        for turn in range(6):
            answer = await s.post(text + f"Turn {turn}.", "llama3-8b")
            assert answer.status == 200
        assert sorted(s.seen()[:2]) == [0, 6], "the prefix decides"


async def test_a_stream_arrives_as_a_stream_and_long_prompts_whole(folder: Path) -> None:
    async with stage(folder) as s:
        got: list[bytes] = []
        body = json.dumps(chat(LINUX, "llama3-8b", stream=True)).encode()
        await ask(s.port, body, on_bytes=got.append)
        events = [line for line in got if line.startswith(b"data: ")]
        assert len(events) > 2 and events[-1].startswith(b"data: [DONE]")
        long = "x" * 300_000
        answer = await s.post(long, "llama3-8b")
        assert answer.status == 200
        seen = max((r for sim in s.llamas for r in sim.requests), key=lambda r: len(r.body))
        assert json.loads(seen.body) == chat(long, "llama3-8b", **REST)


async def test_refusals_reach_the_client_in_the_pickers_words(folder: Path) -> None:
    async with stage(folder) as s:
        s.epp.store.seat([])
        answer = await s.post(LINUX, "llama3-8b")
        assert answer.status == 503
        assert answer.headers["x-llm-d-request-dropped-reason"] == "rejected-no-endpoints"
        assert answer.body == (
            b"inference error: ServiceUnavailable - "
            b"failed to find endpoint candidates for serving the request"
        )


async def test_requests_in_flight_are_known_to_end(folder: Path) -> None:
    config = SEED.replace("kv-cache-utilization-scorer", "active-request-scorer")
    async with stage(folder, config=config, skips=True) as s:
        await asyncio.gather(*(s.post(LINUX + str(i), "llama3-8b") for i in range(6)))
        async with asyncio.timeout(5):
            while any(e.in_flight for e in s.epp.store.roster.endpoints):
                await asyncio.sleep(0.01)
        assert sum(s.seen()[:2]) == 6


@pytest.mark.parametrize("how", HOWS)
async def test_no_client_says_where_its_request_goes(how: str, folder: Path) -> None:
    """Neither by the headers that we write, nor by those that make servers call somebody."""
    async with stage(folder, how) as s:
        openai = s.openai.url.rpartition("/")[2]
        forged = {
            "x-gateway-destination-endpoint": openai,
            "x-gateway-destination-endpoint-subset": openai,
            "x-gateway-destination-endpoint-served": openai,
            "x-prefiller-host-port": openai,
            "x-data-parallel-host-port": openai,
            "x-llm-d-inference-objective": "urgent",
            "x-llm-d-inference-fairness-id": "somebody",
            "x-request-id": "forged id",
            "content-type": "application/json",
        }
        body = json.dumps(chat(LINUX, "llama3-8b", **REST)).encode()
        answer = await ask(s.port, body, headers=forged)
        assert answer.status == 200
        assert sum(s.seen()[:2]) == 1 and not s.openai.requests
        (seen,) = [r for sim in s.llamas for r in sim.requests]
        assert [name for name in forged if name.startswith("x-") and seen.header(name)] in (
            ["x-gateway-destination-endpoint", "x-request-id"],
            ["x-request-id"],
        )
        assert seen.header("x-gateway-destination-endpoint") != openai
        for header in ("x-prefiller-host-port", "x-gateway-destination-endpoint-served"):
            assert header not in answer.headers


async def test_clients_that_go_away_at_any_time_leave_nothing_behind(folder: Path) -> None:
    config = SEED.replace("kv-cache-utilization-scorer", "active-request-scorer")
    async with stage(folder, config=config) as s:
        body = json.dumps(chat(LINUX, "llama3-8b", stream=True)).encode()
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        whole = head + body
        cuts = [len(head) // 2, len(head), len(head) + 20, len(whole) - 1, len(whole)]

        async def client(i: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write(whole[: cuts[i % 5]])
            if i % 5 == 4:
                await reader.read(1 + i * 10)  # some of the answer, perhaps
            else:
                await asyncio.sleep(i / 1000)
            writer.transport.abort()

        await asyncio.gather(*(client(i) for i in range(60)))
        async with asyncio.timeout(20):
            while (
                any(e.in_flight for e in s.epp.store.roster.endpoints)
                or any(s.epp.metrics.running.values())
                or s.epp.door.held
            ):
                await asyncio.sleep(0.02)
        assert (await s.post(LINUX, "llama3-8b")).status == 200


async def test_a_picker_that_dies_is_no_clients_silence(folder: Path) -> None:
    """Streams under way go on or end, requests that follow are refused at once (FailClose)."""
    async with stage(folder) as s:
        body = json.dumps(chat(LINUX, "llama3-8b", stream=True, max_tokens=500)).encode()
        got: list[bytes] = []
        streaming = asyncio.create_task(ask(s.port, body, on_bytes=got.append))
        async with asyncio.timeout(10):
            while not got:
                await asyncio.sleep(0.005)
        for connection in list(s.epp.server.connections):
            connection.abort()
        await s.epp.server.stop(0.0)
        async with asyncio.timeout(20):
            await asyncio.gather(streaming, return_exceptions=True)
            answer = await s.post(LINUX, "llama3-8b")
        assert answer.status in (500, 503)
        async with asyncio.timeout(5):
            assert (await s.post(SUMS, "gpt-4o-mini")).status == 200, "no part of that route"
