"""What clients may see of the management API: on a listener of its own, and on the data plane."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from wayside.cli.app import App
from wayside.cli.beside import Beside, beside, gone, leave, metrics_only, served
from wayside.cli.files import read
from wayside.cli.serve import over_http
from wayside.gateway.management import Part
from wayside.settings.address import parse_address
from wayside.telemetry import Log
from wayside.vocab.errors import ConfigError

CONFIG = b"""
listen: {port: 0}
models: {m: {endpoints: ["http://127.0.0.1:1"]}}
routing: {default_model: m}
"""
LOOPBACK_ONLY = (
    "/v1/router_replay",
    "/api/v1/observability/replays",
    "/v1/memory",
    "/v1/router/outcomes",
    "/api/v1/passages",
    "/api/v1/response-cache/stats",
    "/api/v1/response-cache/flush",
    "/metrics/classification",
    "/catalog",
)
"""What others asked and what was remembered of them, and what takes things away."""
INTENT = "/api/v1/classify/intent"


def app() -> App:
    return App(read(CONFIG, "x.yaml", env={}), env={}, log=Log(io.StringIO()))


def paths(part: Part) -> set[str]:
    return {path for endpoint in app().management.endpoints(part) for path in endpoint.paths}


def free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_what_clients_may_see() -> None:
    """A1-32: models, health and the classification API; nothing that was asked before."""
    seen, everything = paths("clients"), paths("all")
    assert {"/v1/models", "/health", "/ready", "/startup-status", "/openapi.json", "/docs"} < seen
    assert {INTENT, "/api/v1/eval", "/api/v1/embeddings", "/info/models"} < seen
    assert seen < everything
    assert seen.isdisjoint((*LOOPBACK_ONLY, "/metrics"))
    assert everything.issuperset(LOOPBACK_ONLY)
    assert not [p for p in seen if "replay" in p or "memory" in p or "cache" in p]


def test_what_prometheus_needs() -> None:
    """A1-43: a pod's metrics port leads to nothing else."""
    assert paths("metrics") == {"/metrics", "/health", "/ready", "/info/config"}


@contextlib.asynccontextmanager
async def on_the_data_plane() -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    router = app()
    async with over_http(router, with_api=True) as url, aiohttp.ClientSession() as session:
        yield url, session


async def test_the_data_plane_answers_for_it() -> None:
    """A1-48, A1-50: behind a Gateway the router's one port has it all."""
    async with on_the_data_plane() as (url, session):
        async with session.post(url + INTENT, json={"text": "solve x^2 = 2"}) as answer:
            assert answer.status == 200
            assert (await answer.json())["recommended_model"] == "m"
        async with session.post(url + INTENT, data=b'{"txet": "x"}') as answer:
            assert answer.status == 400
            assert "did you mean" in (await answer.text()).lower()
        async with session.get(url + INTENT) as answer:
            assert answer.status == 405
        async with session.get(url + "/openapi.json?method=POST") as answer:
            described = await answer.json()
            assert INTENT in described["paths"]
            assert "/v1/memory" not in json.dumps(described)
        async with session.get(url + "/docs") as answer:
            assert "content-security-policy" in answer.headers
        for path in (*LOOPBACK_ONLY, "/metrics"):
            for method in ("GET", "POST", "DELETE"):
                async with session.request(method, url + path) as answer:
                    assert answer.status == 404, (method, path)


async def test_listeners_beside_the_others() -> None:
    """A1-43: each has its part, and both are gone afterwards."""
    router, api, metrics = app(), free(), free()
    also = Beside(
        metrics=parse_address(f"127.0.0.1:{metrics}"), api=parse_address(f"127.0.0.1:{api}")
    )
    async with aiohttp.ClientSession() as session:

        async def status(port: int, path: str) -> int:
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status

        async with beside(router, also):
            assert await status(metrics, "/metrics") == 200
            assert await status(metrics, "/ready") == 503
            assert await status(metrics, "/v1/models") == 404
            assert await status(api, "/v1/models") == 200
            assert await status(api, "/metrics") == 404
            router.serving = True
            async with session.get(f"http://127.0.0.1:{api}/ready") as answer:
                assert answer.status == 200
                assert "config" not in await answer.json()
            async with session.get(f"http://127.0.0.1:{metrics}/info/config") as answer:
                assert await answer.json() == {
                    "digest": router.state.digest,
                    "applied": True,
                    "refused": False,
                    "needs_restart": [],
                }
        with pytest.raises(aiohttp.ClientConnectorError):
            await status(metrics, "/metrics")


async def test_of_several_workers_only_the_metrics() -> None:
    router, port = app(), free()
    where = parse_address(f"127.0.0.1:{port}")
    async with (
        served(metrics_only(router.management.app()), where, "metrics"),
        aiohttp.ClientSession() as session,
    ):
        for path, status in (("/metrics", 200), ("/health", 200), ("/v1/memory", 404)):
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                assert answer.status == status, path


async def test_a_port_that_is_taken_is_said_with_its_option() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        where = parse_address(f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(ConfigError, match="--api-address"):
            async with beside(app(), Beside(api=where)):
                pass


# --- leaving -----------------------------------------------------------------------------------


class Signals:
    def __init__(self) -> None:
        self.told: list[object] = []

    def __call__(self, sign: object, handler: object) -> None:
        self.told.append(handler)

    def send(self) -> None:
        self.told[0]()  # type: ignore[operator]


async def test_it_lingers_unready_and_then_stops() -> None:
    """A1-84: between SIGTERM and the last who hears of it, requests are still taken."""
    router, stop, signals = app(), asyncio.Event(), Signals()
    leave(stop, router, linger_s=0.05, signals=signals)
    signals.send()
    assert router.draining
    assert not stop.is_set()
    await asyncio.wait_for(stop.wait(), 5)


async def test_a_second_signal_is_obeyed_at_once() -> None:
    router, stop, signals = app(), asyncio.Event(), Signals()
    leave(stop, router, linger_s=600, signals=signals)
    signals.send()
    signals.send()
    assert stop.is_set()


async def test_it_outlives_its_envoy() -> None:
    router, stop, signals = app(), asyncio.Event(), Signals()
    envoy = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    where = parse_address(f"127.0.0.1:{envoy.sockets[0].getsockname()[1]}")
    leave(stop, router, outlive=where, signals=signals)
    signals.send()
    await asyncio.sleep(0.1)
    assert not stop.is_set()
    envoy.close()
    await envoy.wait_closed()
    await asyncio.wait_for(stop.wait(), 5)
    await gone(where)


async def test_not_for_ever() -> None:
    router, stop, signals = app(), asyncio.Event(), Signals()
    envoy = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    where = parse_address(f"127.0.0.1:{envoy.sockets[0].getsockname()[1]}")
    leave(stop, router, outlive=where, longest_s=0.05, signals=signals)
    signals.send()
    await asyncio.wait_for(stop.wait(), 5)
    envoy.close()


async def test_without_either_it_stops_at_once() -> None:
    router, stop, signals = app(), asyncio.Event(), Signals()
    leave(stop, router, signals=signals)
    signals.send()
    assert stop.is_set()
