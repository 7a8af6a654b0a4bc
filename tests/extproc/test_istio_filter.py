"""The ext_proc filter of deploy/kubernetes/istio/envoyfilter.yaml, as a real Envoy runs it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from wayside.envoy.bootstrap import bootstrap
from wayside.extproc.framed import FramedServer

from .stand_ins import ContentRouter, ModelServer, ask, door, envoy
from .test_real_envoy import AUTO, EXPLICIT, Stage, _settings

pytest.importorskip("envoy")
FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes" / "istio"
ROUTER = "semantic-router.vllm-semantic-router-system.svc.cluster.local"


def loaded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text("utf-8"))
    return found


def the_filter() -> dict[str, Any]:
    (patch,) = loaded("envoyfilter.yaml")["spec"]["configPatches"]
    value: dict[str, Any] = patch["patch"]["value"]
    return value


@contextlib.asynccontextmanager
async def as_in_istio(
    folder: Path, *, up: bool = True, message_timeout: str | None = None
) -> AsyncIterator[Stage]:
    """Envoy with the manifest's filter word for word, but for the name of the cluster."""
    small, large = ModelServer("small"), ModelServer("large")
    await small.start()
    await large.start()
    probe = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    router = ContentRouter()
    shared = door(router, max_body=300_000)
    server = FramedServer(shared)
    if up:
        await server.start(unix=str(folder / "p.sock"))
    config = bootstrap(
        _settings(port, small.port, large.port), extproc_socket=str(folder / "p.sock")
    )
    ours = the_filter()
    ours["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] = "wayside_extproc"
    if message_timeout is not None:
        ours["typed_config"]["message_timeout"] = message_timeout
    listener = config["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"][0] = ours
    listener["per_connection_buffer_limit_bytes"] = 300_000
    try:
        async with envoy(config, folder):
            yield Stage(port, router, shared.telemetry, server, small, large)  # type: ignore[arg-type]
    finally:
        await server.stop(0.5)
        await small.stop()
        await large.stop()


def test_a4_16_the_filter_is_scoped_to_the_gateway_and_closed() -> None:
    spec = loaded("envoyfilter.yaml")["spec"]
    labels = spec["workloadSelector"]["labels"]
    gateway = loaded("gateway.yaml")["metadata"]["name"]
    assert labels == {"gateway.networking.k8s.io/gateway-name": gateway}
    (patch,) = spec["configPatches"]
    assert patch["applyTo"] == "HTTP_FILTER" and patch["match"]["context"] == "GATEWAY"
    assert patch["patch"]["operation"] == "INSERT_FIRST"
    config = the_filter()["typed_config"]
    assert config["failure_mode_allow"] is False and config["allow_mode_override"] is True
    assert config["message_timeout"] == "300s"
    cluster = config["grpc_service"]["envoy_grpc"]["cluster_name"]
    assert cluster == f"outbound|50051||{ROUTER}"


def test_a4_15_the_destination_rule_names_the_same_service_in_clear_text() -> None:
    spec = loaded("destinationrule.yaml")["spec"]
    assert spec["host"] == ROUTER and spec["trafficPolicy"]["tls"]["mode"] == "DISABLE"
    assert "ISTIO_MUTUAL" in (FOLDER / "destinationrule.yaml").read_text("utf-8")
    services = list(yaml.safe_load_all((FOLDER / "service.yaml").read_text("utf-8")))
    assert {s["metadata"]["name"] for s in services} == {
        "semantic-router",
        "semantic-router-metrics",
    }
    assert 50051 in [p["port"] for p in services[0]["spec"]["ports"]]


async def test_a4_17_headers_are_sent_bodies_buffered_and_answers_left_alone(
    folder: Path,
) -> None:
    modes = the_filter()["typed_config"]["processing_mode"]
    assert modes == {
        "request_header_mode": "SEND",
        "response_header_mode": "SEND",
        "request_body_mode": "BUFFERED",
        "response_body_mode": "NONE",
        "request_trailer_mode": "SKIP",
        "response_trailer_mode": "SKIP",
    }
    async with as_in_istio(folder) as s:
        answer = await s.post(AUTO % b"some math", headers={"x-selected-model": "small"})
        assert (answer.status, answer.json()) == (200, {"served_by": "large"})
        assert s.large.seen[-1].headers["x-selected-model"] == "large"
        assert (await s.post(EXPLICIT)).json() == {"served_by": "small"}
        assert s.small.seen[-1].body == EXPLICIT


async def test_a4_18_a_body_in_many_pieces_arrives_whole(folder: Path) -> None:
    async with as_in_istio(folder) as s:
        for cut in (1, 7, 20):
            pieces = [EXPLICIT[i : i + cut] for i in range(0, len(EXPLICIT), cut)]
            assert (await s.post(pieces)).status == 200
            assert s.small.seen[-1].body == EXPLICIT


async def test_a4_19_without_the_router_nothing_is_routed(folder: Path) -> None:
    async with as_in_istio(folder, up=False) as s:
        answer = await ask(s.port, EXPLICIT, headers={"x-selected-model": "large"})
        assert answer.status == 503
        assert not s.small.seen and not s.large.seen


async def test_a4_19_a_router_that_hangs_is_given_up_on(folder: Path) -> None:
    async with as_in_istio(folder, message_timeout="0.3s") as s:
        answer = await s.post(AUTO % b"never ends")
        assert answer.status in (503, 504)
        assert not s.small.seen and not s.large.seen
