"""Tools of MCP servers as classifiers: over HTTP, and a child process that misbehaves."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from tests.engines.server import serving
from wayside.engines.base import Tools
from wayside.engines.mcp import McpEngine, McpSettings
from wayside.engines.mcp_child import ChildPeer
from wayside.vocab.errors import AskFailed

CHILD = [sys.executable, str(Path(__file__).with_name("mcp_server.py"))]
made: list[McpEngine] = []


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    while made:
        engine = made.pop()
        engine.close()
    await asyncio.sleep(0.05)  # pipes are closed in callbacks


def engine(**settings: Any) -> McpEngine:
    made.append(McpEngine(McpSettings.model_validate(settings), Tools("far")))
    return made[-1]


def child(*arguments: str, **settings: Any) -> McpEngine:
    return engine(**{"command": [*CHILD, *arguments], "deadline_ms": 20_000, **settings})


class Remote:
    """A streamable HTTP server that keeps sessions, as a handler of `serving`."""

    def __init__(self, *, events: bool = False, found: Any = None) -> None:
        self.events, self.found = events, found
        self.session, self.said = "s1", []  # type: ignore[var-annotated]

    def __call__(self, message: dict[str, Any]) -> Any:
        self.said.append(message["method"])
        if "id" not in message:
            return web.Response(status=202)
        if message["method"] == "initialize":
            result: Any = {"protocolVersion": "2025-06-18"}
        elif message["method"] == "tools/list":
            result = {"tools": [{"name": "classify"}]}
        else:
            result = self.found or {"structuredContent": {"label": "easy", "confidence": 0.75}}
        reply = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        headers = {"Mcp-Session-Id": self.session}
        if not self.events:
            return web.json_response(reply, headers=headers)
        return self.stream(reply, headers)

    async def stream(self, reply: Any, headers: dict[str, str]) -> web.StreamResponse:
        """An event stream that does not end: the answer is the second event of it."""
        note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}
        events = f": hello\r\n\r\nevent: message\r\ndata: {json.dumps(note)}\r\n\r\n"
        events += f"id: 7\r\ndata: {json.dumps(reply)}\r\n\r\n"
        headers = {**headers, "content-type": "text/event-stream"}
        return web.Response(body=_forever(events.encode()), headers=headers)


async def _forever(first: bytes) -> AsyncIterator[bytes]:
    yield first[:30]
    yield first[30:]
    await asyncio.sleep(60)


@pytest.mark.parametrize("events", [False, True])
async def test_a_remote_tool(events: bool) -> None:
    remote = Remote(events=events)
    async with serving(remote) as server:
        asking = engine(url=server.url + "/mcp", labels=["easy", "hard"], arguments={"n": 1})
        for _ in range(2):
            assert await asking.classify("hi") == (("easy", 0.75), ("hard", 0.25))
        assert remote.said == [
            "initialize",
            "notifications/initialized",
            "tools/list",
            "tools/call",
            "tools/call",
        ]
        path, headers, body = server.asked[-1]
        assert path == "/mcp" and headers["mcp-session-id"] == "s1"
        assert headers["mcp-protocol-version"] == "2025-06-18"
        assert body["params"] == {"name": "classify", "arguments": {"n": 1, "text": "hi"}}


async def test_a_forgotten_session_is_begun_again() -> None:
    remote = Remote()
    forgets = [True]

    def handler(message: dict[str, Any]) -> Any:
        if message["method"] == "tools/call" and forgets.pop():
            forgets.append(False)
            return web.Response(status=404)
        forgets[:] = forgets or [False]
        return remote(message)

    async with serving(handler) as server:
        asking = engine(url=server.url, labels=["easy", "hard"])
        assert (await asking.classify("hi"))[0][0] == "easy"
        methods = [body["method"] for _, _, body in server.asked]
        assert methods.count("initialize") == 2 and methods.count("tools/call") == 2


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ({"jsonrpc": "2.0", "id": 99, "result": {}}, "did not answer with JSON-RPC"),
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "x"}}, "code -32601"),
        ({"jsonrpc": "2.0", "id": 1}, "has no result"),
        ([], "did not answer with JSON-RPC"),
    ],
    ids=range(4),
)
async def test_a_server_that_greets_badly(reply: Any, problem: str) -> None:
    async with serving(lambda message: reply) as server:
        with pytest.raises(AskFailed, match=problem):
            await engine(url=server.url).classify("hi")


async def test_a_path_without_a_server() -> None:
    async with serving(lambda message: web.Response(status=404)) as server:
        with pytest.raises(AskFailed, match="nothing is at this path; look at `url`"):
            await engine(url=server.url).classify("hi")


async def test_an_event_stream_without_an_answer_is_left_at_the_deadline() -> None:
    async def empty(message: dict[str, Any]) -> web.StreamResponse:
        headers = {"content-type": "text/event-stream"}
        return web.Response(body=_forever(b": nothing here\n\n" + b" " * 40), headers=headers)

    async with serving(empty) as server:
        with pytest.raises(TimeoutError, match="did not answer in 200 ms"):
            await engine(url=server.url, deadline_ms=200).classify("hi")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"content": [{"type": "text", "text": '{"class": 1, "confidence": 0.9}'}]}, "hard"),
        ({"content": [{"type": "text", "text": "hard\n"}]}, "hard"),
        ({"content": [{"type": "image"}, {"type": "text", "text": '{"hard": 1}'}]}, "hard"),
        ({"content": [{"type": "text", "text": "I would say hard"}]}, None),
        ({"content": []}, None),
        ({"isError": True}, None),
    ],
    ids=range(6),
)
async def test_what_a_tool_may_answer(found: Any, expected: str | None) -> None:
    async with serving(Remote(found=found)) as server:
        asking = engine(url=server.url, labels=["easy", "hard"])
        if expected:
            assert (await asking.classify("hi"))[0][0] == expected
        else:
            with pytest.raises(AskFailed, match="'far': "):
                await asking.classify("hi")


async def test_a_tool_that_is_not_there_is_named() -> None:
    async with serving(Remote()) as server:
        with pytest.raises(AskFailed, match="no tool 'clasify'; did you mean 'classify'"):
            await engine(url=server.url, tool="clasify").classify("hi")


async def test_a_child_process() -> None:
    asking = child()
    assert await asking.classify("x" * 25) == (("short", 0.75), ("long", 0.25))
    texts = ["x" * n for n in range(40)]
    found = await asyncio.gather(*(asking.classify(text) for text in texts))
    assert [dict(said)["long"] for said in found] == pytest.approx([n / 100 for n in range(40)])
    assert dict(await asking.classify("\ud800 😀 \n"))["long"] > 0


async def test_a_child_gets_no_secret_that_was_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "x")
    monkeypatch.setenv("TOOL_KEY", "y")
    asking = child(tool="environment", env=["TOOL_KEY"])
    variables = {name for name, _ in await asking.classify("hi")}
    assert "TOOL_KEY" in variables and "PATH" in variables and "SECRET_KEY" not in variables


async def test_a_child_that_dies_is_started_again() -> None:
    asking = child()
    await asking.classify("hi")
    with pytest.raises(AskFailed, match="'far': its process ended") as failed:
        await asking.classify("die")
    assert "secret" not in str(failed.value)
    for _ in range(200):  # a fresh start is due within FIRST_PAUSE_S of the first
        try:
            assert dict(await asking.classify("x"))["long"] == 0.01
            break
        except AskFailed as error:
            assert "next start in" in str(error)
            await asyncio.sleep(0.02)
    else:
        pytest.fail("it was not started again")


async def test_a_child_that_cannot_start_is_not_started_at_every_ask() -> None:
    asking = child("broken")
    with pytest.raises(AskFailed, match=r"ended.*no module named 'weights'"):
        await asking.classify("hi")
    with pytest.raises(AskFailed, match=r"next start in 0\.\d s|ended"):
        await asking.classify("hi")
    nowhere = engine(command=["/nowhere/tool"])
    with pytest.raises(AskFailed, match="cannot start /nowhere/tool: No such file"):
        await nowhere.classify("hi")


def test_each_failed_start_doubles_the_pause() -> None:
    peer = ChildPeer("far", ["x"], environment={})
    assert [round(peer._pause(100.0) - 100.0, 1) for _ in range(9)] == [
        0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0,
    ]  # fmt: skip


async def test_a_child_that_hangs_is_left_at_the_deadline_and_goes_on() -> None:
    asking = child(deadline_ms=500)
    for _ in range(100):
        try:
            await asking.classify("hi")
            break
        except TimeoutError:
            pass
    with pytest.raises(TimeoutError, match="did not answer in 500 ms"):
        await asking.classify("hang")
    assert dict(await asking.classify("x"))["long"] == 0.01


async def test_a_child_that_says_too_much_is_ended() -> None:
    asking = child(max_bytes=10_000)
    await asking.classify("hi")
    with pytest.raises(AskFailed, match="its process ended"):
        await asking.classify("flood")


@pytest.mark.parametrize("text", ["fail", "report"])
async def test_what_a_tool_says_of_its_failure_is_not_repeated(text: str) -> None:
    with pytest.raises(AskFailed, match=r"code -32000|reports an error") as failed:
        await child().classify(text)
    assert "secret" not in str(failed.value)


async def test_more_asks_than_fit_are_refused() -> None:
    asking = child(queue=2)
    await asking.classify("hi")
    hanging = [asyncio.create_task(asking.classify("hang")) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(AskFailed, match="busy: 2 asks wait already"):
        await asking.classify("hi")
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await asking.classify("hi")


async def test_a_closed_engine_is_closed() -> None:
    asking = child()
    await asking.classify("hi")
    asking.close()
    with pytest.raises(AskFailed, match="is closed"):
        await asking.classify("hi")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "either url"),
        ({"url": "http://x", "command": ["y"]}, "not both"),
        ({"url": "x:1"}, "write http:// or https://"),
        ({"url": "http://x", "env": ["A"]}, "`env` belongs to command"),
        ({"command": ["y"], "headers": {}}, "`headers` belongs to url"),
        ({"command": ["y"], "env": ["A=b"]}, "should match pattern"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        McpSettings.model_validate(settings)
