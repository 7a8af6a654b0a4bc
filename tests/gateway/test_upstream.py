"""Model servers that behave, and every way in which they do not."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.settings import RetrySettings, TimeoutSettings

from .rig import (
    OK,
    PATIENCE_S,
    RESET,
    Handler,
    answering,
    head_and_body,
    plane,
    post,
    read_request,
    status_of,
    talk,
    upstream,
)

QUICK = TimeoutSettings(connect_s=0.3, first_byte_s=0.2, idle_s=0.2)
ONCE = RetrySettings(attempts=1)
HELD = post().replace(b"connection: close\r\n", b"")
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = STREAM + b"transfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def breaking(*pieces: bytes, rst: bool = False) -> Handler:
    """Answer with these bytes, then break the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        if rst:
            reset(writer)

    return serve


# Responses that are whole


async def test_a_response_passes_with_the_report_added_and_internals_removed() -> None:
    answer = (
        b"HTTP/1.1 201 Made\r\nContent-Type: application/json\r\nX-VSR-Selected-Model: forged\r\n"
        b"x-selected-model: forged\r\nx-request-id: theirs\r\nKeep-Alive: timeout=5\r\n"
        b"connection: keep-alive, x-hop\r\nx-hop: 1\r\nx-kept: a\r\nX-Kept: b\r\n"
        b"content-length: 5\r\n\r\nhello"
    )
    async with upstream(answering(answer)) as up, plane(up.port) as p:
        got = await talk(p.port, post())
        assert got == (
            b"HTTP/1.1 201 Made\r\ncontent-type: application/json\r\nx-kept: a\r\nx-kept: b\r\n"
            b"content-length: 5\r\nx-vsr-schema-version: 2\r\nx-vsr-response-path: upstream\r\n"
            b"x-vsr-selected-model: m\r\nconnection: close\r\nx-request-id: made-0\r\n\r\nhello"
        )
        exchange = await p.settled()
        assert exchange.ends == [(201, "", b"hello")]
        assert exchange.attempts == [str(up.port)]
        assert exchange.first == 201


async def test_one_upstream_connection_serves_many_requests() -> None:
    async with upstream(answering(OK)) as up, plane(up.port) as p:
        for _ in range(5):
            assert status_of(await talk(p.port, post())) == 200
        assert up.connections == 1
        (replica,) = p.fleet.pools["m"].replicas
        assert replica.in_flight == 0
        assert len(replica.idle) == 1


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"\r\ncontent-type", b"\r\nconnection: close\r\ncontent-type"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        OK + b"extra bytes after the body",
    ],
    ids=["close", "1.0", "extra"],
)
async def test_a_connection_that_cannot_be_trusted_again_is_not_reused(answer: bytes) -> None:
    async with upstream(answering(answer)) as up, plane(up.port) as p:
        for _ in range(2):
            got = await talk(p.port, post())
            assert got.startswith(b"HTTP/1.1 200 OK")
            assert got.endswith(b'\r\n\r\n{"ok":true}')
        assert up.connections == 2


async def test_informational_answers_are_not_the_answer() -> None:
    informed = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    async with upstream(answering(informed + OK[:5], OK[5:])) as up, plane(up.port) as p:
        got = await talk(p.port, post())
        assert got.startswith(b"HTTP/1.1 200 OK")
        assert b"link" not in got


@pytest.mark.parametrize(
    ("answer", "length"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", None),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", None),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n", "10"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "0"),
    ],
)
async def test_answers_without_a_body_end_at_once(answer: bytes, length: str | None) -> None:
    async with upstream(answering(answer)) as up, plane(up.port) as p:
        request = post(b"", path=b"/v1/models").replace(b"POST", b"GET")
        head, body = head_and_body(await talk(p.port, request))
        assert body == b""
        assert head.get("content-length") == length


async def test_an_answer_to_head_has_no_body() -> None:
    async with upstream(answering(OK.replace(b'{"ok":true}', b""))) as up, plane(up.port) as p:
        request = post(b"", path=b"/v1/models").replace(b"POST", b"HEAD")
        head, body = head_and_body(await talk(p.port, request))
        assert (head["content-length"], body) == ("11", b"")
        assert up.connections == 1


EVENTS = [b'data: {"n":%d}\n\n' % i for i in range(5)] + [b"data: [DONE]\n\n"]


async def test_events_pass_one_by_one_without_delay() -> None:
    proceed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED)
        for event in EVENTS:
            writer.write(chunk(event))
            await proceed.wait()
            proceed.clear()
        writer.write(b"0\r\n\r\n")

    async with upstream(serve) as up, plane(up.port) as p:
        reader, writer = await asyncio.open_connection("127.0.0.1", p.port)
        writer.write(HELD)
        async with asyncio.timeout(PATIENCE_S):
            assert b"transfer-encoding: chunked" in await reader.readuntil(b"\r\n\r\n")
            for event in EVENTS:  # the next one is only sent when this one has arrived
                assert await reader.readexactly(len(chunk(event))) == chunk(event)
                proceed.set()
            assert await reader.readexactly(5) == b"0\r\n\r\n"
        writer.close()
        tail = (await p.settled()).ends[0][2]
        assert b"".join(EVENTS) in tail, "the tail is read for usage, so it has no framing"


WHOLE = CHUNKED + b"".join(chunk(e) for e in EVENTS) + b"0\r\nx-trailer: 1\r\n\r\n"
BODY = b"".join(chunk(e) for e in EVENTS) + b"0\r\n\r\n"


@settings(max_examples=60, deadline=None)
@given(cuts=st.sets(st.integers(1, len(WHOLE) - 1), max_size=12))
def test_a_stream_split_anywhere_passes_byte_for_byte(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    pieces = [WHOLE[a:b] for a, b in itertools.pairwise(edges)]

    async def run() -> None:
        async with upstream(answering(*pieces)) as up, plane(up.port) as p:
            _, body = head_and_body(await talk(p.port, post()))
            assert body == BODY
            assert (await p.settled()).ends[0][:2] == (200, "")

    asyncio.run(run())


async def test_a_body_that_ends_with_its_connection_is_sent_in_chunks() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\nfirst "
    async with upstream(breaking(answer, b"second")) as up, plane(up.port) as p:
        head, body = head_and_body(await talk(p.port, post()))
        assert head["transfer-encoding"] == "chunked"
        assert body == chunk(b"first ") + chunk(b"second") + b"0\r\n\r\n"
        assert (await p.settled()).ends == [(200, "", b"first second")]


@pytest.mark.parametrize("answer", [WHOLE, b"HTTP/1.1 200 OK\r\n\r\n" + b"".join(EVENTS)])
async def test_an_http_1_0_client_gets_no_chunks(answer: bytes) -> None:
    async with upstream(breaking(answer)) as up, plane(up.port) as p:
        head, body = head_and_body(await talk(p.port, post().replace(b"HTTP/1.1", b"HTTP/1.0")))
        assert "transfer-encoding" not in head
        assert body == b"".join(EVENTS)


# Before the first byte: an error that says why


NO_RESPONSE = {
    "closed": (breaking(), 502, "upstream_closed"),
    "reset": (breaking(rst=True), 502, "upstream_reset"),
    "half a head": (breaking(b"HTTP/1.1 200 OK\r\ncont"), 502, "upstream_closed"),
    "garbage": (answering(b"SSH-2.0-OpenSSH\r\n"), 502, "upstream_bad_response"),
    "bare LF": (answering(b"HTTP/1.1 200\na: b\n\n\r\n\r\n"), 502, "upstream_bad_response"),
    "a huge head": (
        answering(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000),
        502,
        "upstream_bad_response",
    ),
    "two lengths": (
        answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        502,
        "upstream_bad_response",
    ),
    "length and chunks": (
        answering(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"),
        502,
        "upstream_bad_response",
    ),
    "another coding": (
        answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n"),
        502,
        "upstream_bad_response",
    ),
    "an upgrade": (
        answering(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n"),
        502,
        "upstream_bad_response",
    ),
    "a folded line": (
        answering(b"HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 0\r\n\r\n"),
        502,
        "upstream_bad_response",
    ),
    "a bad chunk at once": (answering(CHUNKED + b"zz\r\n"), 502, "upstream_bad_response"),
    "silence": (answering(pause=1), 504, "upstream_timeout"),
    "half a head, then silence": (answering(b"HTTP/1.1 2", pause=1), 504, "upstream_timeout"),
}


@pytest.mark.parametrize(
    ("serve", "status", "reason"), NO_RESPONSE.values(), ids=NO_RESPONSE.keys()
)
async def test_no_response_is_an_error_that_says_why(
    serve: Handler, status: int, reason: str
) -> None:
    async with upstream(serve) as up, plane(up.port, timeouts=QUICK, retries=ONCE) as p:
        answer = await talk(p.port, HELD + post(path=b"/after"))
        assert status_of(answer) == status
        head, rest = head_and_body(answer)
        body = rest[: int(head["content-length"])]
        error = json.loads(body)["error"]
        assert (error["code"], error["type"]) == (reason, "server_error")
        assert head["x-vsr-response-path"] == "error"
        assert answer.count(b"HTTP/1.1 200") == 1, "the client's connection lives on"
        assert p.telemetry.exchanges[0].ends == [(status, reason, b"")]
        (replica,) = p.fleet.pools["m"].replicas
        assert (replica.in_flight, replica.failures) == (0, 1)


async def test_a_request_that_reached_a_server_is_not_sent_to_another_unless_asked() -> None:
    connects = RetrySettings(retry_on=("connect",))
    async with (
        upstream(breaking(rst=True)) as one,
        upstream(answering(OK)) as two,
        plane(one.port, two.port, retries=connects) as p,
    ):
        assert status_of(await talk(p.port, post())) == 502
        assert two.connections == 0


async def test_a_failed_connect_is_tried_elsewhere_and_each_attempt_is_seen() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        async with upstream(answering(OK)) as up, plane(port, up.port) as p:
            assert status_of(await talk(p.port, post())) == 200
            assert (await p.settled()).attempts == [str(port), str(up.port)]
            bad, good = p.fleet.pools["m"].replicas
            assert (bad.failures, bad.in_flight, good.in_flight) == (1, 0, 0)


async def test_when_nobody_accepts_the_client_is_told() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with plane(closed.getsockname()[1]) as p:
            answer = await talk(p.port, post())
            assert status_of(answer) == 502
            assert b"connect_failed" in answer


async def test_a_model_without_servers_is_503() -> None:
    async with plane() as p:
        answer = await talk(p.port, post())
        assert status_of(answer) == 503
        assert b"no_healthy_endpoint" in answer
        assert b"\r\nretry-after: 1\r\nretry-after-ms: 1000\r\n" in answer


async def test_a_name_without_an_address_is_502() -> None:
    async with plane(80, host="nowhere.invalid") as p:
        answer = await talk(p.port, post())
        assert (status_of(answer), b"dns_failed" in answer) == (502, True)


async def test_a_kept_connection_that_was_closed_is_replaced_once() -> None:
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await read_request(reader)
        writer.write(OK)
        served += 1
        await reader.readexactly(1)  # the next request begins; this server is gone by then
        reset(writer)

    async with upstream(serve) as up, plane(up.port) as p:
        for _ in range(3):
            assert status_of(await talk(p.port, post())) == 200
        assert (served, up.connections) == (3, 3)
        assert (await p.settled()).attempts == [str(up.port)] * 2
        (replica,) = p.fleet.pools["m"].replicas
        assert replica.failures == 0


async def test_a_kept_connection_that_is_closed_meanwhile_is_not_used() -> None:
    async with upstream(answering(OK, close=True)) as up, plane(up.port) as p:
        for _ in range(3):
            assert status_of(await talk(p.port, post())) == 200
            await asyncio.sleep(0.02)
            assert len(p.telemetry.last.attempts) == 1


async def test_a_server_that_speaks_unasked_loses_its_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await asyncio.sleep(0.05)
        writer.write(OK.replace(b"true", b"evil"))
        await reader.read()

    async with upstream(serve) as up, plane(up.port) as p:
        assert b"true" in await talk(p.port, post())
        await up.closed.wait()
        assert b"true" in await talk(p.port, post())
        assert up.connections == 2


# In the middle: never a tidy end


@pytest.mark.parametrize("rst", [False, True])
@pytest.mark.parametrize(
    "pieces",
    [
        (CHUNKED + chunk(EVENTS[0]) + b"20\r\ndata: {", b'"half'),
        (CHUNKED + chunk(EVENTS[0])[:-1],),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", b"short"),
    ],
    ids=["in a chunk", "before its end", "short of its length"],
)
async def test_a_broken_response_has_no_tidy_end(pieces: tuple[bytes, ...], rst: bool) -> None:
    async with upstream(breaking(*pieces, rst=rst)) as up, plane(up.port) as p:
        answer = await talk(p.port, HELD)
        assert status_of(answer) == 200
        sent = b"".join(pieces).partition(b"\r\n\r\n")[2]
        assert answer.endswith(b"\r\n\r\n" + sent), "all that came, and no last chunk"
        (end,) = (await p.settled()).ends
        assert end[:2] == (200, "upstream_reset" if rst else "upstream_closed")
        (replica,) = p.fleet.pools["m"].replicas
        assert (replica.in_flight, replica.failures) == (0, 1)


@pytest.mark.parametrize("rst", [False, True])
async def test_a_stream_broken_between_events_says_so_and_has_no_last_chunk(rst: bool) -> None:
    serve = breaking(CHUNKED, chunk(EVENTS[0]), rst=rst)
    async with upstream(serve) as up, plane(up.port) as p:
        _, body = head_and_body(await talk(p.port, HELD))
        assert body.startswith(chunk(EVENTS[0]))
        extra = body[len(chunk(EVENTS[0])) :]
        event = extra.partition(b"\r\n")[2]
        assert event.startswith(b'data: {"error":{')
        assert event.endswith(b"}}\n\n\r\n")
        assert not body.endswith(b"0\r\n\r\n")


async def test_a_reset_is_no_end_of_a_body_that_ends_with_its_connection() -> None:
    serve = breaking(b"HTTP/1.1 200 OK\r\n\r\nhalf", rst=True)
    async with upstream(serve) as up, plane(up.port) as p:
        _, body = head_and_body(await talk(p.port, HELD))
        assert body == chunk(b"half")
        assert (await p.settled()).ends == [(200, "upstream_reset", b"half")]


async def test_an_http_1_0_client_is_reset_when_the_response_breaks() -> None:
    async with upstream(breaking(CHUNKED + b"ff\r\nhalf")) as up, plane(up.port) as p:
        answer = await talk(p.port, post().replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert answer.endswith(RESET)


@pytest.mark.parametrize("bad", [b"zz\r\n", b"1\r\nab\r\n", b"5\nhello\r\n", b"-1\r\n"])
async def test_chunks_of_the_wrong_size_break_the_response(bad: bytes) -> None:
    serve = answering(CHUNKED + chunk(b"x"), b"", bad, pause=0.02)
    async with upstream(serve) as up, plane(up.port) as p:
        answer = await talk(p.port, HELD)
        assert answer.endswith(b"\r\n\r\n" + chunk(b"x"))
        assert (await p.settled()).ends[0][:2] == (200, "upstream_bad_response")


async def test_a_response_that_stops_is_broken_off() -> None:
    serve = answering(CHUNKED + chunk(b"x"), pause=1)
    async with upstream(serve) as up, plane(up.port, timeouts=QUICK) as p:
        answer = await talk(p.port, HELD)
        assert answer.endswith(chunk(b"x"))
        assert (await p.settled()).ends[0][:2] == (200, "upstream_idle")
        await up.closed.wait()


# Clients that leave, clients that do not read


@pytest.mark.parametrize("pieces", [(), (CHUNKED, chunk(EVENTS[0]))], ids=["waiting", "streaming"])
async def test_a_client_that_leaves_cancels_the_generation(pieces: tuple[bytes, ...]) -> None:
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for piece in pieces:
            writer.write(piece)
        assert await reader.read() == b""
        left.set()

    async with upstream(serve) as up, plane(up.port) as p:
        _, writer = await asyncio.open_connection("127.0.0.1", p.port)
        writer.write(HELD)
        while not (p.telemetry.exchanges and up.connections):
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        writer.close()
        async with asyncio.timeout(PATIENCE_S):
            await left.wait()
        exchange = await p.settled()
        assert exchange.ends[0][:2] == (200 if pieces else 499, "client_closed")
        (replica,) = p.fleet.pools["m"].replicas
        assert (replica.in_flight, replica.failures) == (0, 0)


async def test_a_client_that_does_not_read_holds_the_server_back() -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 64000000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 64_000)
            await writer.drain()
            sent += 64_000

    async with upstream(serve) as up, plane(up.port) as p:
        reader, writer = await asyncio.open_connection("127.0.0.1", p.port, limit=1000)
        writer.write(HELD)
        await asyncio.sleep(0.4)
        (door,) = p.server.doors
        assert door.transport.get_write_buffer_size() < 2 << 20
        assert sent < 40_000_000, "the kernel's buffers, and little more"
        async with asyncio.timeout(PATIENCE_S):
            await reader.readuntil(b"\r\n\r\n")
            left = 64_000_000
            while left:
                data = await reader.read(1 << 20)
                assert data
                left -= len(data)
        writer.close()
        assert (await p.settled()).ends[0][:2] == (200, "")


async def test_a_client_that_stops_reading_is_let_go() -> None:
    serve = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 64000000\r\n\r\n", b"x" * 64_000_000)
    async with upstream(serve) as up, plane(up.port, timeouts=QUICK) as p:
        _, writer = await asyncio.open_connection("127.0.0.1", p.port, limit=1000)
        writer.write(HELD)
        assert (await p.settled()).ends[0][:2] == (200, "client_stalled")
        writer.close()
        (replica,) = p.fleet.pools["m"].replicas
        assert (replica.in_flight, replica.failures) == (0, 0)


async def test_a_large_request_reaches_the_server_whole() -> None:
    seen: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body = await read_request(reader)
        seen.append(hash(body))
        writer.write(OK)

    body = bytes(range(256)) * 40_000
    async with upstream(serve) as up, plane(up.port) as p:
        assert status_of(await talk(p.port, post(body))) == 200
        assert seen == [hash(body)]


async def test_an_answer_before_the_request_was_read_ends_the_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await asyncio.sleep(5)

    async with upstream(serve) as up, plane(up.port) as p:
        assert status_of(await talk(p.port, post(b"x" * 20_000_000))) == 413
        (replica,) = p.fleet.pools["m"].replicas
        assert replica.idle == []


async def test_ipv6_servers_are_reached_in_brackets() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await read_request(reader))[0])
        writer.write(OK)

    try:
        context = upstream(serve, host="::1")
        async with context as up, plane(up.port, host="[::1]") as p:
            assert status_of(await talk(p.port, post())) == 200
            assert b"\r\nhost: [::1]:%d\r\n" % up.port in seen[0]
    except OSError:
        pytest.skip("no IPv6 here")
