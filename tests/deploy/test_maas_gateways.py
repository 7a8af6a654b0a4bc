"""What the rendered routes and filters do in a gateway: a real Envoy plays it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.extproc.stand_ins import Answer, ModelServer, ask, door, envoy
from wayside.deploy.intent import Intent
from wayside.deploy.parts import maas_entry, maas_gateway
from wayside.deploy.parts.maas import MaasOptions
from wayside.envoy.bootstrap import bootstrap
from wayside.envoy.words import typed
from wayside.extproc.framed import FramedServer
from wayside.settings import RouterSettings

from .gateway_double import config, with_patches

pytest.importorskip("envoy")
HOST = "evil.example"
"""What the client of ``tests.extproc`` says in its Host header: the gateway's name here."""
Object = dict[str, Any]
MAAS = [
    {
        "spec": {
            "hostnames": [HOST],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/v1/models"}}],
                    "backendRefs": [{"name": "maas-api", "port": 8080}],
                },
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/maas-api"}}],
                    "filters": [
                        {
                            "type": "URLRewrite",
                            "urlRewrite": {
                                "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}
                            },
                        }
                    ],
                    "backendRefs": [{"name": "maas-api", "port": 8080}],
                },
            ],
        }
    },
    {
        "spec": {
            "hostnames": [HOST],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/llm/model-a"}}],
                    "backendRefs": [{"name": "model-a", "port": 8000}],
                }
            ],
        }
    },
]
"""As MaaS and KServe route their own paths (3.3)."""


async def free_port() -> int:
    probe = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port: int = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    return port


# --- two gateways ------------------------------------------------------------------------------


async def test_a2_01_a2_11_a2_12_each_path_has_its_own_and_headers_stay_outside(
    tmp_path: Path,
) -> None:
    """A2-01: `/maas-api/*` and a model's own paths are MaaS's, `/v1/chat/*` is the router's.
    A2-11: nothing else is. A2-12: no header by which a client could pretend that the router had
    decided, or to be somebody else, ever reaches the router; everything else does."""
    api, model, router = ModelServer("maas-api"), ModelServer("model-a"), ModelServer("router")
    servers = (api, model, router)
    for server in servers:
        await server.start()
    route = maas_entry.route(Intent(), MaasOptions(), host=HOST, service="semantic-router-kserve")
    services = {
        "maas-api:8080": api.port,
        "model-a:8000": model.port,
        "semantic-router-kserve:8801": router.port,
    }
    port = await free_port()
    try:
        async with envoy(config([*MAAS, route], services, port), tmp_path):
            for path, by in (
                ("/maas-api/v1/tokens", api),
                ("/v1/models", api),
                ("/llm/model-a/v1/chat/completions", model),
                ("/v1/chat/completions", router),
            ):
                answer = await ask(port, b"{}", path=path)
                assert answer.json() == {"served_by": by.name}, path
            assert api.seen[0].line == "POST /v1/tokens HTTP/1.1"
            for path in ("/v1/chatter", "/v1/completions", "/metrics", "/"):
                assert (await ask(port, b"{}", path=path)).status == 404
            forged = {name: "Model-B" for name in maas_entry.STRIPPED}
            forged |= {"X-Selected-Model": "Model-B", "authorization": "Bearer t", "x-other": "1"}
            await ask(port, b"{}", headers=forged)
            seen = router.seen[-1].headers
            assert not set(seen) & set(maas_entry.STRIPPED)
            assert seen["authorization"] == "Bearer t" and seen["x-other"] == "1"
    finally:
        for server in servers:
            await server.stop()


async def test_a2_11_all_openai_paths_where_they_are_asked_for(tmp_path: Path) -> None:
    """D40: `paths: all`."""
    router = ModelServer("router")
    await router.start()
    options = MaasOptions(paths="all")
    route = maas_entry.route(Intent(), options, host=HOST, service="semantic-router-kserve")
    port = await free_port()
    services = {"semantic-router-kserve:8801": router.port}
    try:
        async with envoy(config([route], services, port), tmp_path):
            for path in ("/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"):
                assert (await ask(port, b"{}", path=path)).status == 200
    finally:
        await router.stop()


# --- one gateway -------------------------------------------------------------------------------

INTENT = Intent.model_validate(
    {
        "models": {
            "small": {"run": "simulator", "kserve": "small"},
            "large": {"run": "simulator", "kserve": "large"},
        }
    }
)
ANCHORS = (
    "envoy.filters.http.wasm",
    "extensions.istio.io/wasmplugin/openshift-ingress.kuadrant-maas-default-gateway",
)


def the_filter() -> Object:
    settings = RouterSettings.model_validate(
        {"models": {"small": {"endpoints": ["http://small:8000"]}}}
    )
    return maas_gateway.envoy_filter(INTENT, settings, route="maas-api/maas-api-route", rules=4)


def test_a2_39_order_priority_and_who_is_left_alone() -> None:
    """A2-39: between Kuadrant's own EnvoyFilter (0) and MaaS's payload processing (10), on that
    gateway alone, before the wasm under either of its names, fail closed; MaaS's own API never
    goes through the router."""
    made = the_filter()
    assert made["metadata"]["namespace"] == "openshift-ingress"
    assert 0 < made["spec"]["priority"] < 10
    labels = made["spec"]["workloadSelector"]["labels"]
    assert labels == {"gateway.networking.k8s.io/gateway-name": "maas-default-gateway"}
    for anchor in ANCHORS:
        chain = with_patches([{"name": anchor}, {"name": "router"}], made)
        assert [f["name"] for f in chain] == [
            maas_gateway.SELECT, maas_gateway.MODEL, anchor, "router",
        ]  # fmt: skip
    select = with_patches([{"name": ANCHORS[0]}], made)[0]["typed_config"]
    assert select["failure_mode_allow"] is False
    assert select["grpc_service"]["envoy_grpc"]["cluster_name"] == (
        "outbound|50051||semantic-router.vllm-semantic-router-system.svc.cluster.local"
    )
    modes = select["processing_mode"]
    assert modes["request_body_mode"] == modes["response_body_mode"] == "FULL_DUPLEX_STREAMED"
    assert modes["request_trailer_mode"] == modes["response_trailer_mode"] == "SEND"
    off = [p for p in made["spec"]["configPatches"] if p["applyTo"] == "HTTP_ROUTE"]
    names = [p["match"]["routeConfiguration"]["vhost"]["route"]["name"] for p in off]
    assert names == [f"maas-api.maas-api-route.{i}" for i in range(4)]
    for patch in off:
        (only,) = patch["patch"]["value"]["typed_per_filter_config"].items()
        assert only[0] == maas_gateway.SELECT and only[1]["disabled"] is True


def policy(model: str) -> Object:
    """What stands where Kuadrant's wasm does: whoever asks another model than this is refused."""
    header = {"name": "x-gateway-model-name", "string_match": {"exact": model}}
    rules = {
        "action": "ALLOW",
        "policies": {
            "model": {"permissions": [{"header": header}], "principals": [{"any": True}]}
        },
    }
    return typed(ANCHORS[0], "extensions.filters.http.rbac.v3.RBAC", rules=rules)


@contextlib.asynccontextmanager
async def single(folder: Path, *, up: bool = True) -> AsyncIterator[tuple[int, Any, Any, Any]]:
    """The gateway with the rendered filters and routes, word for word but for the name of the
    router's cluster."""
    small, large = ModelServer("small"), ModelServer("large")
    await small.start()
    await large.start()
    server = FramedServer(door())
    socket = str(folder / "p.sock")
    if up:
        await server.start(unix=socket)
    made = copy.deepcopy(the_filter())
    name = maas_gateway.cluster(INTENT)
    settings = RouterSettings.model_validate(
        {"models": {"small": {"endpoints": [f"http://127.0.0.1:{small.port}"]}}}
    )
    ours = bootstrap(settings, extproc_socket=socket)["static_resources"]["clusters"]
    router = next(c for c in ours if c["name"] == "wayside_extproc")
    router["name"] = router["load_assignment"]["cluster_name"] = name
    services = {"small-svc:8000": small.port, "large-svc:8000": large.port}
    backends = {"small": ("small-svc", 8000), "large": ("large-svc", 8000)}
    routes = list(maas_gateway.routes(INTENT, backends, host=HOST, paths=("/v1/chat",)))
    port = await free_port()
    chain = with_patches([policy("large")], made)
    try:
        async with envoy(config(routes, services, port, filters=chain, clusters=[router]), folder):
            yield port, small, large, server
    finally:
        await server.stop(0.5)
        await small.stop()
        await large.stop()


ASKED = b'{"model":"auto","messages":[{"role":"user","content":"%b"}]}'


async def test_a2_39_a2_40_policies_hold_for_the_model_that_was_chosen(tmp_path: Path) -> None:
    """A2-39, A2-40: the model is chosen before the policies; they see which one it is, and a
    client that names another one in its header convinces nobody. What is refused reaches no
    model."""
    async with single(tmp_path) as (port, small, large, _):
        answer = await ask(port, ASKED % b"some math")
        assert (answer.status, answer.json()) == (200, {"served_by": "large"})
        seen = large.seen[-1]
        assert seen.body == (ASKED % b"some math").replace(b'"auto"', b'"large-upstream"')
        assert not set(seen.headers) & set(maas_entry.STRIPPED)
        forged = {"x-gateway-model-name": "large", "x-selected-model": "large"}
        answer: Answer = await ask(port, ASKED % b"hello", headers=forged)
        assert answer.status == 403 and not small.seen and len(large.seen) == 1


async def test_a2_30_answers_come_through_as_they_were(tmp_path: Path) -> None:
    """A2-30: bytes and the order of events, through the gateway with the router in it."""
    async with single(tmp_path) as (port, _, large, _):
        pieces: list[bytes] = []
        body = b'{"model":"auto","stream":true,"messages":[{"role":"user","content":"math"}]}'
        answer = await ask(port, body, on_bytes=pieces.append)
        assert answer.status == 200 and answer.headers["content-type"] == "text/event-stream"
        data = [p.strip() for p in pieces if p.startswith(b"data: ")]
        assert data == [b"data: one", b"data: two", b"data: [DONE]"] and len(large.seen) == 1


async def test_a2_39_without_the_router_nobody_gets_to_a_model(tmp_path: Path) -> None:
    async with single(tmp_path, up=False) as (port, small, large, _):
        forged = {"x-gateway-model-name": "large", "x-selected-model": "large"}
        answer = await ask(port, ASKED % b"math", headers=forged)
        assert answer.status == 503 and not small.seen and not large.seen


def test_many_models_have_several_routes() -> None:
    backends = {f"m{i}": (f"m{i}", 8000) for i in range(33)}
    made = list(maas_gateway.routes(INTENT, backends, host=HOST, paths=("/v1/chat",)))
    assert [r["metadata"]["name"] for r in made] == ["vsr-route", "vsr-route-2", "vsr-route-3"]
    assert [len(r["spec"]["rules"]) for r in made] == [16, 16, 1]
