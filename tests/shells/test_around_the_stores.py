"""Ways around the cache, the memory and what else is kept that were tried, through both shells:
odd answers, odd requests, one tenant's things in another's hands.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.running import SHELLS, Running, chat, running

from wayside.vocab.ask import ask
from wayside.vocab.stores import Listing

both = pytest.mark.parametrize("shell", SHELLS)


class Server:
    """Answers every request with ``said``, as JSON, and keeps the bodies that came."""

    def __init__(self) -> None:
        self.said: Any = completion("Paris.")
        self.heard: list[Any] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                self.heard.append(json.loads(await reader.readexactly(length)))
                raw = isinstance(self.said, bytes)
                body = self.said if raw else json.dumps(self.said).encode()
                kind = b"text/event-stream" if raw else b"application/json"
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n" % kind)
                writer.write(b"content-length: %d\r\n\r\n%b" % (len(body), body))
                await writer.drain()
        writer.close()


def completion(text: str | None, **more: Any) -> dict[str, Any]:
    turn = {"role": "assistant", "content": text, **more}
    choice = {"index": 0, "message": turn, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], "usage": usage}


def streamed(*deltas: Any, **more: Any) -> bytes:
    """A stream of events with these deltas, complete."""
    told = b""
    for delta, end in [*[(d, None) for d in deltas], ({}, "stop")]:
        choice = {"index": 0, "delta": delta, "finish_reason": end, **more}
        said = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
        told += b"data: " + json.dumps(said).encode() + b"\n\n"
    return told + b"data: [DONE]\n\n"


@contextlib.asynccontextmanager
async def router(
    shell: str,
    plugins: dict[str, Any],
    *,
    models: dict[str, Any] | None = None,
    stores: dict[str, Any] | None = None,
    **decision: Any,
) -> AsyncIterator[tuple[Running, Server]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    all_models = {name: {"endpoints": [url], **more} for name, more in (models or M).items()}
    document = {
        "identity": {"trusted": True},
        "stores": stores or {},
        "models": all_models,
        "routing": {
            "decisions": [
                {"name": "all", "models": list(all_models), "plugins": plugins, **decision}
            ]
        },
    }
    try:
        async with running(shell, document) as found:
            yield found, server
    finally:
        listening.close()
        for writer in server.writers:
            writer.close()
        await asyncio.sleep(0)


M: dict[str, Any] = {"m": {}}
CALL = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ODD = {
    "a call that is a number": completion(None, tool_calls=[5]),
    "calls that are an object": completion(None, tool_calls=CALL),
    "a turn that is a list": {**completion("x"), "choices": [{"message": ["x"]}]},
    "choices that are numbers": {**completion("x"), "choices": [1]},
    "choices that are an object": {**completion("x"), "choices": {"0": "x"}},
    "usage that is a text": {**completion("x"), "usage": "much"},
    "an index that is a list": streamed({"content": "x"}, index=[1]),
    "content that is true, then text": streamed({"content": True}, {"content": "x"}),
    "calls that are a number": streamed({"tool_calls": 5}),
    "a call's function that is true": streamed(
        {"tool_calls": [{"index": 0, "function": True}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
    ),
}


@both
@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_answer_harms_nobody_who_keeps_it(shell: str, odd: str) -> None:
    keeping = {"response_cache": {"tool_calls": True}, "router_replay": {}}
    async with router(shell, keeping) as (found, server):
        faults: list[str] = []
        found.app.runtime.fault = faults.append
        server.said = ODD[odd]
        for stream in (False, True, False):
            for path, body in {
                "/v1/chat/completions": chat("hi", stream=stream),
                "/v1/responses": {"model": "auto", "input": "hi", "stream": stream},
            }.items():
                answer = await found.ask(body, {"x-authz-user-id": "a"}, path)
                # The client is told what it was, or that it cannot be used: never 500.
                assert answer.status in (200, 502), (answer.status, answer.body)
                await found.app.runtime.settled()
        assert not faults


@both
async def test_an_odd_answer_to_an_algorithm_that_composes_is_no_answer(shell: str) -> None:
    two: dict[str, Any] = {"m": {}, "n": {}}
    async with router(shell, {}, models=two, select={"ratings": {}}) as (found, server):
        server.said = completion(None, tool_calls=[5])
        for stream in (False, True):
            answer = await found.ask(chat("hi", stream=stream))
            assert answer.status == 502
            assert answer.json["error"]["code"] == "no_answer"


def who(user: str, tenant: str = "") -> dict[str, str]:
    return {"x-authz-user-id": user, "x-authz-tenant-id": tenant}


@both
async def test_two_tenants_may_have_a_user_of_one_name(shell: str) -> None:
    async with router(shell, {"memory": {"store_turns": True, "threshold": -1}}) as (
        found,
        server,
    ):
        for asked in (who("ann", "acme"), who("ann", "acme"), who("ann", "other"), who("ann")):
            answer = await found.ask(chat("where did I leave my keys?"), asked)
            await found.line(answer)
            await found.app.runtime.settled()
            heard = json.dumps(server.heard[-1])
            first = len(server.heard) != 2
            assert ("Q: where" not in heard) is first, heard


@both
async def test_what_goes_to_another_path_or_version_is_another_question(shell: str) -> None:
    """A body with messages and a prompt is two requests, by where it goes."""
    body = {**chat("hi"), "prompt": "hi"}
    paths = ["/v1/chat/completions", "/v1/completions", "/v1/chat/completions?api-version=2"]
    async with router(shell, {"response_cache": {}}) as (found, server):
        for path in paths:
            await found.line(await found.ask(body, who("ann"), path))
            await found.app.runtime.settled()
        assert len(server.heard) == 3


@both
@pytest.mark.parametrize("said", ["Bearer", "bearer ", "Basic Og==", ""])
async def test_callers_without_a_key_share_nothing(shell: str, said: str) -> None:
    async with router(shell, {"response_cache": {}}) as (found, server):
        for _ in range(2):
            answer = await found.ask(chat("hi"), {"authorization": said})
            assert answer.headers["x-wayside-cache"] == "off; nobody knows who asks"
            await found.line(answer)
            await found.app.runtime.settled()
        assert len(server.heard) == 2


NOWHERE = {"gone": {"redis": {"url": "redis://127.0.0.1:1/0", "timeout_ms": 50}}}
"""A store that cannot be reached."""


@both
async def test_records_that_cannot_be_kept_cost_nobody_an_answer(shell: str) -> None:
    """Nor a word of advice: of a plugin, of the cache, or that something is wrong."""
    replay = {"router_replay": {"store": "gone"}}
    early = {**replay, "fast_response": {"message": "Later."}}
    async with router(shell, early, stores=NOWHERE) as (found, _):
        answer = await found.ask(chat("hi"))
        assert (answer.status, answer.headers["x-vsr-response-path"]) == (200, "fast_response")
    refused = {**replay, "rag": {"store": "gone", "collection": "c", "on_failure": "block"}}
    async with router(shell, refused, stores=NOWHERE) as (found, _):
        answer = await found.ask(chat("hi"))
        assert (answer.status, answer.json["error"]["code"]) == (503, "retrieval_unavailable")
    two: dict[str, Any] = {"m": {}, "n": {}}
    looks = {"models": two, "select": {"ratings": {}}, "stores": NOWHERE}
    async with router(shell, replay, **looks) as (found, server):
        server.said = {"odd": True}
        answer = await found.ask(chat("hi"))
        assert (answer.status, answer.json["error"]["code"]) == (502, "no_answer")


@both
async def test_a_request_that_needs_a_key_of_its_own_keeps_nobody_waiting(shell: str) -> None:
    own: dict[str, Any] = {"m": {"provider": "openai", "accept_user_keys": True}}
    async with router(shell, {"response_cache": {"wait_s": 60}}, models=own) as (found, server):
        for _ in range(3):
            async with asyncio.timeout(10):
                answer = await found.ask(chat("hi"), who("ann"))
            assert (answer.status, answer.json["error"]["code"]) == (401, "missing_api_key")
        assert not server.heard


@both
async def test_nobody_replaces_a_record_by_using_its_id_again(shell: str) -> None:
    async with router(shell, {"router_replay": {"request_body": True}}) as (found, _):
        for count, text in enumerate(("something wicked", "good morning"), 1):
            await found.ask(chat(text), {**who("ann"), "x-request-id": "mine"})
            async with asyncio.timeout(5):
                while len(found.access.lines) < count:  # Envoy tells of an end a little later
                    await asyncio.sleep(0.01)
            await found.app.runtime.settled()
        kept = await found.app.runtime.run(ask(Listing("memory", "router_replay", 10)))
        (newer, good), (older, wicked) = kept
        assert b"good morning" in good and b"something wicked" in wicked
        assert older == "mine" and newer.startswith("mine-")
