"""What a client sees through a real Envoy, in every request body mode that somebody may use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wayside.envoy.bootstrap import bootstrap
from wayside.extproc.framed import FramedServer
from wayside.settings import RouterSettings

from .stand_ins import Answer, ContentRouter, Listener, ModelServer, ask, door, envoy

pytest.importorskip("envoy")

AUTO = b'{"model":"auto","messages":[{"role":"user","content":"%b"}],"temperature":0}'
EXPLICIT = b'{ "model" : "small", "messages":[{"role":"user","content":"hi"}] , "max_tokens": 100}'


@dataclass
class Stage:
    """Envoy, the router and two model servers."""

    port: int
    router: ContentRouter
    listener: Listener
    server: FramedServer
    small: ModelServer
    large: ModelServer

    async def post(self, body: bytes | list[bytes], **more: Any) -> Answer:
        return await ask(self.port, body, **more)


def _settings(port: int, small: int, large: int, **more: Any) -> RouterSettings:
    models = {
        "small": {"endpoints": [f"http://127.0.0.1:{small}"]},
        "large": {"endpoints": [f"http://127.0.0.1:{large}", f"http://localhost:{large}"]},
    }
    limits = {"max_body_bytes": 300_000, "header_timeout_s": 2, "body_timeout_s": 5}
    listen = {"port": port}
    return RouterSettings.model_validate(
        {"listen": listen, "models": models, "limits": limits, **more}
    )


# How somebody else may have set up the ext_proc filter.
OTHERS: dict[str, dict[str, Any]] = {
    "BUFFERED": {"request_body_mode": "BUFFERED"},
    "FULL_DUPLEX_STREAMED": {
        "request_body_mode": "FULL_DUPLEX_STREAMED",
        "request_trailer_mode": "SEND",
    },
    "STREAMED with mode_override": {"request_body_mode": "STREAMED", "override": True},
    "STREAMED, body sent early": {"request_body_mode": "STREAMED", "early": True},
    "NONE with mode_override": {"request_body_mode": "NONE", "override": True},
    "vSR's: all headers, response body BUFFERED": {
        "request_body_mode": "BUFFERED",
        "response_body_mode": "BUFFERED",
        "override": True,
    },
    "response body STREAMED": {
        "request_body_mode": "BUFFERED",
        "response_body_mode": "STREAMED",
        "response_trailer_mode": "SEND",
        "request_trailer_mode": "SEND",
    },
    "both FULL_DUPLEX_STREAMED": {
        "request_body_mode": "FULL_DUPLEX_STREAMED",
        "request_trailer_mode": "SEND",
        "response_body_mode": "FULL_DUPLEX_STREAMED",
        "response_trailer_mode": "SEND",
    },
}


def _as_others(config: dict[str, Any], how: dict[str, Any]) -> None:
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    ext_proc = manager["typed_config"]["http_filters"][0]["typed_config"]
    how = dict(how)
    ext_proc["allow_mode_override"] = how.pop("override", False)
    if how.pop("early", False):
        ext_proc["send_body_without_waiting_for_header_response"] = True
    mode = {"request_header_mode": "SEND", "response_header_mode": "SEND"}
    ext_proc["processing_mode"] = {**mode, **how}
    config["static_resources"]["listeners"][0]["per_connection_buffer_limit_bytes"] = 300_000


@contextlib.asynccontextmanager
async def stage(
    folder: Path, others: dict[str, Any] | None = None, *, up: bool = True, **more: Any
) -> AsyncIterator[Stage]:
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
    settings = _settings(port, small.port, large.port, **more)
    config = bootstrap(settings, extproc_socket=str(folder / "p.sock"))
    if others is not None:
        _as_others(config, others)
    try:
        async with envoy(config, folder):
            listener = shared.telemetry
            assert isinstance(listener, Listener)
            yield Stage(port, router, listener, server, small, large)
    finally:
        await server.stop(0.5)
        await small.stop()
        await large.stop()


@pytest.mark.parametrize("how", OTHERS)
async def test_every_body_mode_routes_by_content_and_keeps_bytes(how: str, folder: Path) -> None:
    async with stage(folder, OTHERS[how]) as s:
        answer = await s.post(
            AUTO % b"some math",
            headers={"x-selected-model": "small", "x-user-openai-key": "sk", "x-vsr-a": "1"},
        )
        assert (answer.status, answer.json()) == (200, {"served_by": "large"})
        assert answer.headers["x-vsr-selected-model"] == "large"
        assert answer.headers["x-vsr-response-path"] == "upstream"
        assert "x-vsr-forged" not in answer.headers
        seen = s.large.seen[-1]
        assert seen.body == (AUTO % b"some math").replace(b'"auto"', b'"large-upstream"')
        assert seen.headers["x-selected-model"] == "large"
        assert seen.headers["authorization"] == "Bearer key-large"
        assert "x-user-openai-key" not in seen.headers
        assert "x-vsr-a" not in seen.headers

        answer = await s.post(EXPLICIT)
        assert (answer.status, answer.json()) == (200, {"served_by": "small"})
        assert s.small.seen[-1].body == EXPLICIT

        pieces = [b'{"model":"auto","messages":[{"role":"user","content":"', b"x" * 70_000]
        pieces += [b" math ", b"y" * 70_000, b'"}]}']
        answer = await s.post(pieces)
        assert (answer.status, answer.json()) == (200, {"served_by": "large"})
        assert s.large.seen[-1].body == b"".join(pieces).replace(b'"auto"', b'"large-upstream"')

        answer = await s.post([EXPLICIT[:10], EXPLICIT[10:30], EXPLICIT[30:]])
        assert (answer.status, answer.json()) == (200, {"served_by": "small"})
        assert s.small.seen[-1].body == EXPLICIT

        answer = await s.post(b"", method="GET", path="/v1/models")
        assert (answer.status, answer.json()["object"]) == (200, "list")
        assert answer.headers["content-type"] == "application/json"

        answer = await s.post(AUTO % b"slowly now")
        assert (answer.status, answer.json()) == (200, {"served_by": "small"})

        answer = await s.post(b"not json")
        assert answer.status == 400 and "malformed" in answer.json()["error"]["message"]

    await asyncio.sleep(0)
    assert [len(e.ends) for e in s.listener.exchanges] == [1] * 7
    assert [e.ends[0][0] for e in s.listener.exchanges] == [200, 200, 200, 200, 200, 200, 400]


async def _events(s: Stage) -> list[bytes]:
    s.large.go_on.clear()
    got: list[bytes] = []

    def on_bytes(piece: bytes) -> None:
        if piece.startswith(b"data: "):
            got.append(piece)
            s.large.go_on.set()  # the rest comes only after the first event was seen

    body = (AUTO % b"math").replace(b"{", b'{"stream":true,', 1)
    async with asyncio.timeout(10):
        answer = await s.post(body, on_bytes=on_bytes)
    assert answer.headers["content-type"] == "text/event-stream"
    return got


@pytest.mark.parametrize("how", OTHERS)
async def test_an_event_stream_passes_event_by_event(how: str, folder: Path) -> None:
    async with stage(folder, OTHERS[how]) as s:
        assert await _events(s) == [b"data: one\n", b"data: two\n", b"data: [DONE]\n"]


async def test_the_exchange_lasts_as_long_as_the_response(folder: Path) -> None:
    async with stage(folder) as s:
        s.large.go_on.clear()
        body = (AUTO % b"math").replace(b"{", b'{"stream":true,', 1)
        seen = asyncio.Event()
        client = asyncio.create_task(s.post(body, on_bytes=lambda piece: seen.set()))
        await asyncio.wait_for(seen.wait(), 5)
        (exchange,) = s.listener.exchanges
        assert (exchange.first_byte_status, exchange.ends) == (200, [])
        s.large.go_on.set()
        await client
        async with asyncio.timeout(5):
            while not exchange.ends:
                await asyncio.sleep(0.01)
        assert exchange.ends == [(200, "")]


async def test_a_client_that_leaves_cancels_the_decision(folder: Path) -> None:
    async with stage(folder) as s:
        client = asyncio.create_task(s.post(AUTO % b"never"))
        async with asyncio.timeout(5):
            while not s.router.requests:
                await asyncio.sleep(0.01)
            client.cancel()
            while not s.listener.exchanges[0].ends:
                await asyncio.sleep(0.01)
        assert s.listener.exchanges[0].ends[0][0] == 499
        assert s.router.cancelled == 1


@pytest.mark.parametrize("how", [None, "BUFFERED", "FULL_DUPLEX_STREAMED"])
async def test_a_body_above_the_limit_is_413(how: str | None, folder: Path) -> None:
    async with stage(folder, OTHERS[how] if how else None) as s:
        answer = await s.post(b"x" * 300_001)
        assert answer.status == 413
        assert answer.headers["x-vsr-response-path"] == "error"
        assert "error" in answer.json()
        assert not s.router.requests
        assert (await s.post(EXPLICIT)).status == 200


async def test_a_router_that_is_down_fails_closed_with_503(folder: Path) -> None:
    async with stage(folder, up=False) as s:
        answer = await s.post(EXPLICIT, headers={"x-selected-model": "large"})
        assert answer.status == 503
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-vsr-response-path"] == "error"
        assert answer.json()["error"]["type"] == "server_error"
        assert not s.small.seen and not s.large.seen


async def test_a_router_too_slow_fails_closed_with_an_error(folder: Path) -> None:
    async with stage(folder, extproc={"message_timeout_s": 0.2}) as s:
        answer = await s.post(AUTO % b"never")
        assert answer.status in (503, 504)
        assert "error" in answer.json()
        assert not s.small.seen


async def test_failing_open_never_lets_a_client_choose(folder: Path) -> None:
    forged = {"x-selected-model": "large", "x-vsr-evil": "1", "x-wayside-evil": "1"}
    forged["x-gateway-destination-endpoint"] = "10.0.0.1:80"
    more: dict[str, Any] = {"envoy": {"failure_mode": "open"}}
    async with stage(folder, up=False, **more) as s:
        answer = await s.post(EXPLICIT, headers=forged)
        assert (answer.status, answer.json()["error"]["code"]) == (503, "no_route")
        assert not s.large.seen
    more["routing"] = {"default_model": "small"}
    async with stage(folder, up=False, **more) as s:
        answer = await s.post(EXPLICIT, headers=forged)
        assert (answer.status, answer.json()) == (200, {"served_by": "small"})
        assert s.small.seen[-1].body == EXPLICIT
        assert not {*forged} & {*s.small.seen[-1].headers}


async def test_controls_reach_the_router_and_other_internal_headers_do_not(folder: Path) -> None:
    async with stage(folder) as s:
        headers = {"x-vsr-debug": "true", "x-vsr-debugger": "1", "x-vsr-deb": "1", "x-a": "b"}
        headers |= {"X-Selected-Model": "large", "x-request-id": "mine-1"}
        answer = await s.post(EXPLICIT, headers=headers)
        assert answer.json() == {"served_by": "small"}
        got = s.router.requests[-1].headers
        assert got["x-vsr-debug"] == "true" and got["x-a"] == "b"
        assert not {"x-vsr-debugger", "x-vsr-deb", "x-selected-model"} & {*got}
        assert not any(name.startswith(":") for name in got)
        assert got["host"] == "evil.example"
        assert got["x-request-id"] == answer.headers["x-request-id"] == "mine-1"
        assert s.listener.exchanges[-1].request_id == "mine-1"
        upstream = s.small.seen[-1].headers
        assert "x-vsr-debug" not in upstream
        assert not [name for name in (*upstream, *answer.headers) if name.startswith("x-envoy")]
        assert upstream["host"] == f"127.0.0.1:{s.small.port}"


async def test_a_changed_path_and_repeated_headers_arrive(folder: Path) -> None:
    async with stage(folder) as s:
        s.router.path = "/api/v2/chat/completions?x=1"
        await s.post(EXPLICIT, path="/v1/chat/completions?x=1", headers={"a": "1", "A": "2"})
        assert s.small.seen[-1].line == "POST /api/v2/chat/completions?x=1 HTTP/1.1"
        assert s.router.requests[-1].path == "/v1/chat/completions?x=1"
        assert s.router.requests[-1].headers["a"] == "2" or (
            s.router.requests[-1].headers["a"] == "1, 2"
        )


async def test_a_model_server_that_is_down_is_an_error_with_a_report(folder: Path) -> None:
    async with stage(folder) as s:
        await s.small.stop()
        answer = await s.post(EXPLICIT)
        assert answer.status == 503
        assert answer.json()["error"]["type"] == "server_error"
        assert answer.headers["x-vsr-selected-model"] == "small"


async def test_an_unknown_model_has_no_route(folder: Path) -> None:
    async with stage(folder) as s:
        answer = await s.post(b'{"model":"elsewhere"}')
        assert (answer.status, answer.json()["error"]["code"]) == (503, "no_route")


async def test_streamed_without_any_way_to_wait_says_what_to_change(folder: Path) -> None:
    """Envoy then sends the headers on before the body was seen: nobody could route by it."""
    async with stage(folder, {"request_body_mode": "STREAMED"}) as s:
        answer = await s.post([b'{"model":"auto",', b'"messages":[]}'])
        assert answer.status >= 500
        assert not s.small.seen and not s.large.seen
