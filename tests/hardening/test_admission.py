"""How many requests are taken on at once (fault 18: overload), in both shells."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.running import SHELLS, chat, running
from wayside.runtime.admission import Admission


def test_room_is_taken_and_given_back() -> None:
    room = Admission(2)
    assert [room.enter({}), room.enter({}), room.enter({})] == [True, True, False]
    room.leave()
    assert room.enter({})
    assert (room.taken, room.refused) == (2, 1)


def test_the_less_urgent_are_turned_away_first() -> None:
    room = Admission(10, lambda headers, groups: int(headers["u"]))
    batch, plain, paying = {"u": "-5"}, {"u": "0"}, {"u": "5"}
    assert sum(room.enter(batch) for _ in range(20)) == 8
    assert sum(room.enter(plain) for _ in range(20)) == 1
    assert sum(room.enter(paying) for _ in range(20)) == 1
    assert not room.enter(paying)
    for _ in range(10):
        room.leave()
    assert sum(room.enter(paying) for _ in range(20)) == 10


class Slow:
    """A model server that answers when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.waiting = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                self.waiting += 1
                await self.go.wait()
                self.waiting -= 1
                body = (
                    b'{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,'
                    b'"finish_reason":"stop","message":{"role":"assistant","content":"ok"}}]}'
                )
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
        writer.close()


@contextlib.asynccontextmanager
async def slow() -> AsyncIterator[tuple[Slow, int]]:
    model = Slow()
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0)
    try:
        yield model, server.sockets[0].getsockname()[1]
    finally:
        model.go.set()
        server.close()


def document(port: int, **more: Any) -> dict[str, Any]:
    return {
        "models": {"m": {"endpoints": [f"http://127.0.0.1:{port}"]}},
        "limits": {"max_in_flight": 2},
        **more,
    }


@pytest.mark.parametrize("shell", SHELLS)
async def test_what_is_more_is_answered_429_at_once_and_probes_are_answered(shell: str) -> None:
    """Fault 18: shed with 429 and Retry-After, in the client's own words, while what was taken on
    goes on; liveness stays 200; room that was given back is used again."""
    async with slow() as (model, port), running(shell, document(port)) as router:
        taken = [asyncio.create_task(router.ask(chat("hi", "m"))) for _ in range(2)]
        async with asyncio.timeout(10):
            while model.waiting < 2:
                await asyncio.sleep(0.01)
        shed = await router.ask(chat("hi", "m"))
        assert shed.status == 429
        assert shed.headers["retry-after"] == "1"
        assert shed.json["error"]["code"] == "server_is_overloaded"
        assert shed.headers["x-vsr-response-path"] == "error"
        messages = {"model": "m", "max_tokens": 5, "messages": chat("hi")["messages"]}
        other = await router.ask(messages, path="/v1/messages")
        assert other.status == 429
        assert other.json["type"] == "error"
        assert (await router.get("/health")).status == 200
        assert (await router.get("/v1/models")).status == 200
        line = await router.line(shed)
        assert (line["status"], line["reason"]) == (429, "server_is_overloaded")
        model.go.set()
        assert [answer.status for answer in await asyncio.gather(*taken)] == [200, 200]
        room = router.app.admission
        assert room is not None
        async with asyncio.timeout(5):
            while room.taken:  # Envoy tells of the end after it
                await asyncio.sleep(0.01)
        assert (await router.ask(chat("hi", "m"))).status == 200
        assert room.refused == 2


async def test_a_client_that_leaves_gives_its_room_back() -> None:
    """Fault 10, in every phase: amid its body, while a model is asked, and before it is read."""
    async with slow() as (model, port), running("gateway", document(port)) as router:
        room = router.app.admission
        assert room is not None
        at = int(router.url.rpartition(":")[2])
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
        body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
        for sent in (body[:9], body):
            reader, writer = await asyncio.open_connection("127.0.0.1", at)
            writer.write((head % len(body)).encode() + sent)
            async with asyncio.timeout(5):
                while not room.taken:
                    await asyncio.sleep(0.01)
                writer.transport.abort()
                while room.taken:
                    await asyncio.sleep(0.01)
        # Who comes too late is told so before a body is read.
        room.taken = 2
        reader, writer = await asyncio.open_connection("127.0.0.1", at)
        writer.write((head % 30_000_000).encode())
        assert b" 429 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        room.taken = 0
        model.go.set()
