"""The same frames to both servers: the fast one must answer as grpc's own does."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from wayside.extproc import wire
from wayside.extproc.calls import HEALTH_CHECK, HEALTH_WATCH
from wayside.extproc.framed import FramedServer
from wayside.extproc.grpcio_server import GrpcioServer
from wayside.extproc.h2 import PREFACE, frame
from wayside.extproc.session import Door

from .frames import (
    CONTINUATION,
    DATA,
    HEADERS,
    HELLO,
    PING,
    PRIORITY,
    RST,
    Client,
    block,
    body_message,
    grpc,
    headers_message,
    opened,
    settings,
    window,
)
from .stand_ins import ContentRouter, Listener, door

pytest.importorskip("grpc")

BUFFERED = wire.Protocol(wire.BUFFERED)
FDS = wire.Protocol(wire.FULL_DUPLEX_STREAMED)
BODY = b'{"model":"auto","messages":[{"role":"user","content":"math"}]}'
HEAD = grpc(headers_message(protocol=BUFFERED))
ASKED = HEAD + grpc(body_message(BODY))
DUPLEX = grpc(headers_message(protocol=FDS)) + grpc(body_message(BODY))


@pytest.fixture(params=["framed", "grpcio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextlib.asynccontextmanager
async def serving(kind: str, folder: Path, shared: Door | None = None) -> AsyncIterator[Client]:
    shared = shared or door()
    server = FramedServer(shared) if kind == "framed" else GrpcioServer(shared)
    path = str(folder / "s.sock")
    await server.start(unix=path)
    client = await Client.connect(path)
    try:
        yield client
    finally:
        await client.hang_up()
        await server.stop(0.2)


def _expected(asked: bytes, folder: Path) -> list[bytes]:
    """What a session says, without any server."""
    from wayside.extproc.session import Session

    session = Session(door())
    replies: list[bytes] = []
    while asked:
        size = 5 + struct.unpack(">I", asked[1:5])[0]
        replies += [b"".join(m)[5:] for m in session.receive(asked[5:size])]
        asked = asked[size:]
    return replies


def data(payload: bytes, sid: int = 1, flags: int = 0) -> bytes:
    return frame(DATA, flags, sid, payload)


def padded(payload: bytes, flags: int = 0) -> bytes:
    return frame(DATA, 8 | flags, 1, b"\x07" + payload + b"\0" * 7)


BLOCK = block()
CALLS: dict[str, bytes] = {
    "plainly": HELLO + opened() + data(HEAD) + data(ASKED[len(HEAD) :], flags=1),
    "in one frame": HELLO + opened() + data(ASKED, flags=1),
    "byte by byte": HELLO
    + opened()
    + b"".join(data(bytes((b,))) for b in ASKED)
    + data(b"", flags=1),
    "padded": HELLO
    + frame(HEADERS, 4 | 8, 1, b"\x03" + BLOCK + b"\0\0\0")
    + padded(ASKED[:50])
    + padded(ASKED[50:], 1),
    "with a priority": HELLO
    + frame(HEADERS, 4 | 32, 1, b"\0\0\0\0\x10" + BLOCK)
    + frame(PRIORITY, 0, 1, b"\0\0\0\0\x20")
    + data(ASKED, flags=1),
    "headers in pieces": HELLO
    + frame(HEADERS, 0, 1, BLOCK[:5])
    + frame(CONTINUATION, 0, 1, BLOCK[5:40])
    + frame(CONTINUATION, 0, 1, b"")
    + frame(CONTINUATION, 4, 1, BLOCK[40:])
    + data(ASKED, flags=1),
    "in Huffman code": HELLO
    + frame(HEADERS, 4, 1, block(huffman=True, x_note="~{|}^"))
    + data(ASKED, flags=1),
    "among unknown frames": HELLO
    + frame(0x42, 0xFF, 0, b"what")
    + opened()
    + frame(0x7F, 0, 1, b"is this")
    + data(ASKED, flags=1),
    "among pings and settings": HELLO
    + frame(PING, 0, 0, b"12345678")
    + opened()
    + settings(window=1 << 20)
    + data(HEAD)
    + frame(PING, 0, 0, b"abcdefgh")
    + data(ASKED[len(HEAD) :], flags=1),
    "full duplex": HELLO + opened() + data(DUPLEX, flags=1),
    "windows of nothing, opened late": PREFACE
    + settings(window=0)
    + opened()
    + data(ASKED, flags=1)
    + window(1, 3)
    + window(1, 1)
    + settings(window=1 << 20),
}


@pytest.mark.parametrize("how", CALLS)
async def test_a_request_is_answered_however_it_is_framed(
    how: str, kind: str, folder: Path
) -> None:
    if (kind, how) == ("grpcio", "padded"):
        pytest.skip("gRPC core refuses padded DATA")
    expected = _expected(DUPLEX if how == "full duplex" else ASKED, folder)
    async with serving(kind, folder) as client:
        client.say(CALLS[how])
        heard = await client.until_ended()
        assert heard.messages == expected
        assert heard.status == 0


async def test_every_split_of_the_bytes_gives_the_same_answer(folder: Path) -> None:
    expected = _expected(ASKED, folder)
    for how in ("byte by byte", "headers in pieces", "padded"):
        async with serving("framed", folder) as client:
            for i in range(0, len(CALLS[how]), 7):
                client.say(CALLS[how][i : i + 7])
                await client.writer.drain()
                await asyncio.sleep(0)
            assert (await client.until_ended()).messages == expected


async def test_a_large_body_passes_through_small_windows(folder: Path) -> None:
    body = BODY[:-4] + b"x" * 700_000 + BODY[-4:]
    asked = grpc(headers_message(protocol=FDS)) + grpc(body_message(body))
    async with serving("framed", folder) as client:
        client.say(PREFACE + settings(window=30_000) + opened())
        pieces = [asked[i : i + 16_384] for i in range(0, len(asked), 16_384)]
        for piece in pieces:
            client.say(data(piece))
        client.say(data(b"", flags=1))
        heard = 0
        while not client.closed:
            stream = client.streams.get(1)
            if stream is not None and stream.ended:
                break
            await client.listen()
            now = len(client.streams[1].data) if 1 in client.streams else 0
            if now > heard:
                client.say(window(1, now - heard) + window(0, now - heard))
                heard = now
        assert client.streams[1].messages == _expected(asked, folder)
        assert client.streams[1].status == 0


@pytest.mark.parametrize("service", ["", "inference-extension", "anything at all"])
async def test_health_is_serving_under_any_name(service: str, kind: str, folder: Path) -> None:
    asked = grpc(wire.field(1, service.encode()) if service else b"")
    async with serving(kind, folder) as client:
        client.say(HELLO + opened(1, HEALTH_CHECK) + data(asked, flags=1))
        heard = await client.until_ended()
        assert (heard.messages, heard.status) == ([b"\x08\x01"], 0)
        client.say(opened(3, HEALTH_WATCH) + data(asked, 3, 1))
        assert await client.until_messages(1, 3) == [b"\x08\x01"]
        assert not client.streams[3].ended


async def test_an_unknown_method_is_unimplemented(kind: str, folder: Path) -> None:
    async with serving(kind, folder) as client:
        client.say(HELLO + opened(1, b"/a.b/C") + data(grpc(b""), flags=1))
        assert (await client.until_ended()).status == 12


async def test_a_compressed_message_is_refused(kind: str, folder: Path) -> None:
    async with serving(kind, folder) as client:
        client.say(HELLO + opened() + data(grpc(b"\x1f\x8b", 1), flags=1))
        assert (await client.until_ended()).status in (12, 13)  # grpcio says 13


async def test_bytes_that_are_not_protobuf_end_the_stream_with_a_status(
    kind: str, folder: Path
) -> None:
    async with serving(kind, folder) as client:
        client.say(HELLO + opened() + data(grpc(b"\xff\xff\xff\xff"), flags=1))
        assert (await client.until_ended()).status == 3


async def test_a_body_above_the_limit_is_answered_413(kind: str, folder: Path) -> None:
    shared = door(max_body=1000)
    async with serving(kind, folder, shared) as client:
        client.say(HELLO + opened() + data(HEAD) + data(grpc(body_message(b"x" * 1001))))
        heard = await client.until_ended()
        assert len(heard.messages) == 2
        assert (
            heard.messages[1].startswith(b"\x3a") and b'"request_too_large"' in heard.messages[1]
        )
    listener = shared.telemetry
    assert isinstance(listener, Listener)
    assert [e.ends for e in listener.exchanges] == [[(413, "")]]
    assert shared.held == 0


async def test_a_reset_cancels_what_the_core_was_doing(kind: str, folder: Path) -> None:
    router = ContentRouter()
    shared = door(router)
    async with serving(kind, folder, shared) as client:
        asked = grpc(headers_message(protocol=BUFFERED)) + grpc(body_message(b"never"))
        client.say(HELLO + opened() + data(asked))
        await client.until_messages(1)
        async with asyncio.timeout(5):
            while not router.requests:
                await asyncio.sleep(0.01)
            client.say(frame(RST, 0, 1, b"\0\0\0\x08"))
            while not router.cancelled:
                await asyncio.sleep(0.01)
    listener = shared.telemetry
    assert isinstance(listener, Listener)
    assert [status for status, _ in listener.exchanges[0].ends] == [499]
    assert shared.held == 0


async def test_a_message_too_large_while_the_core_works_ends_the_request_once(
    kind: str, folder: Path
) -> None:
    if kind == "grpcio":
        pytest.skip("gRPC core ends the stream itself")
    router = ContentRouter()
    shared = door(router)
    async with serving(kind, folder, shared) as client:
        asked = grpc(headers_message(protocol=BUFFERED)) + grpc(body_message(b"never"))
        client.say(HELLO + opened() + data(asked))
        await client.until_messages(1)
        client.say(data(b"\0\x50\0\0\0 much more than fits"))
        heard = await client.until_ended()
        assert b'"request_too_large"' in heard.messages[-1]
        async with asyncio.timeout(5):
            while not router.cancelled:
                await asyncio.sleep(0.01)
    listener = shared.telemetry
    assert isinstance(listener, Listener)
    assert [e.ends for e in listener.exchanges] == [[(413, "")]]
    assert shared.held == 0


async def test_a_bug_in_the_core_costs_one_request(kind: str, folder: Path) -> None:
    said: list[dict[str, object]] = []
    shared = door()
    shared.log = lambda event, **fields: said.append({"event": event, **fields})
    async with serving(kind, folder, shared) as client:
        asked = grpc(headers_message(protocol=BUFFERED)) + grpc(body_message(b"a bug"))
        client.say(HELLO + opened() + data(asked, flags=1))
        heard = await client.until_ended()
        assert b"internal_error" in heard.messages[1] and heard.status == 0
        client.say(opened(3) + data(ASKED, 3, 1))
        assert len((await client.until_ended(3)).messages) == 2
    assert [line["event"] for line in said] == ["request failed"]
    assert "RuntimeError: a bug" in str(said[0]["traceback"])
