"""The client's side on raw sockets: framing, limits, slow clients, pipelining, closing."""

from __future__ import annotations

import asyncio
import gc
import json
import warnings
from unittest.mock import Mock

import pytest

from wayside.gateway.door import Door
from wayside.settings.model import LimitSettings

from .rig import (
    OK,
    PATIENCE_S,
    RESET,
    answering,
    head_and_body,
    plane,
    post,
    read_request,
    status_of,
    talk,
    upstream,
)

GET = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


async def test_a_reply_of_the_core_is_sent_with_its_report() -> None:
    async with plane() as p:
        head, body = head_and_body(await talk(p.port, GET))
        assert json.loads(body) == {"path": "/health", "size": 0}
        assert head["x-vsr-schema-version"] == "2"
        assert head["x-request-id"] == "made-0"
        assert head["connection"] == "close"
        assert (await p.settled()).ends == [(200, "", b"")]


async def test_a_reply_that_comes_later_is_sent_when_it_comes() -> None:
    async with plane() as p:
        p.runtime.gate = asyncio.Event()
        answer = asyncio.create_task(talk(p.port, GET))
        while not p.runtime.requests:
            await asyncio.sleep(0.005)
        p.runtime.gate.set()
        assert status_of(await answer) == 200


async def test_a_client_that_leaves_while_the_core_waits_is_logged_as_gone() -> None:
    async with plane() as p:
        p.runtime.gate = asyncio.Event()
        _, writer = await asyncio.open_connection("127.0.0.1", p.port)
        writer.write(GET)
        while not p.runtime.requests:
            await asyncio.sleep(0.005)
        writer.close()
        assert (await p.settled()).ends == [(499, "client_closed", b"")]


async def test_a_bug_is_answered_500_and_the_connection_lives_on() -> None:
    async with plane() as p:
        answer = await talk(p.port, b"GET /boom HTTP/1.1\r\nhost: x\r\n\r\n" + GET)
        assert status_of(answer) == 500
        assert answer.count(b"HTTP/1.1 200") == 1


BAD_FRAMING = {
    "te and cl": b"content-length: 4\r\ntransfer-encoding: chunked\r\n",
    "cl and te": b"transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    "two lengths": b"content-length: 4\r\ncontent-length: 5\r\n",
    "the same length twice": b"content-length: 4\r\ncontent-length: 4\r\n",
    "a list of lengths": b"content-length: 4, 4\r\n",
    "a negative length": b"content-length: -1\r\n",
    "a signed length": b"content-length: +4\r\n",
    "a hexadecimal length": b"content-length: 0x4\r\n",
    "an underscored length": b"content-length: 1_0\r\n",
    "an empty length": b"content-length:\r\n",
    "a huge length": b"content-length: 99999999999999999999\r\n",
    "another coding": b"transfer-encoding: gzip\r\n",
    "chunked twice": b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    "two codings": b"transfer-encoding: gzip, chunked\r\n",
    "a coding with a tab": b"transfer-encoding: \x0bchunked\r\n",
    "identity": b"transfer-encoding: identity\r\n",
    "space before the colon": b"content-length : 4\r\n",
    "obs-fold": b"a: b\r\n c\r\n",
    "a bare CR": b"a: b\rc: d\r\n",
    "a bare LF": b"a: b\nc: d\r\n",
    "a NUL": b"a: b\0c\r\n",
    "a nameless field": b": x\r\n",
    "no colon": b"nonsense\r\n",
    "a second host": b"host: y\r\n",
}


@pytest.mark.parametrize("lines", BAD_FRAMING.values(), ids=BAD_FRAMING.keys())
async def test_framing_that_two_servers_could_read_differently_is_refused(lines: bytes) -> None:
    async with plane() as p:
        request = b"POST /x HTTP/1.1\r\nhost: x\r\n" + lines + b"\r\nabcd"
        answer = await talk(p.port, request + GET)
        assert status_of(answer) == 400
        assert answer.count(b"HTTP/1.1") == 1, "nothing after it is read as a request"
        head, body = head_and_body(answer)
        assert head["x-vsr-response-path"] == "error"
        assert head["connection"] == "close"
        assert json.loads(body)["error"]["code"] == "malformed_request"
        assert p.runtime.requests == []
        assert (await p.settled()).ends == [(400, "malformed_request", b"")]


BAD_LINES = {
    b"GET /\r\nhost: x\r\n\r\n": 400,
    b"GET  / HTTP/1.1\r\nhost: x\r\n\r\n": 400,
    b"get / HTTP/1.1\r\nhost: x\r\n\r\n": 400,
    b"GET x HTTP/1.1\r\nhost: x\r\n\r\n": 400,
    b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n": 400,
    b"GET /\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n": 400,
    b"GET * HTTP/1.1\r\nhost: x\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n\r\n": 400,
    b"GET / HTTP/2.0\r\nhost: x\r\n\r\n": 505,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": 505,
    b"CONNECT evil:443 HTTP/1.1\r\nhost: evil\r\n\r\n": 405,
    b"TRACE / HTTP/1.1\r\nhost: x\r\n\r\n": 405,
    b"GET / HTTP/1.1\nhost: x\n\n": 400,
    b"\x16\x03\x01\x02\x00\x01\x00": 400,
    b"\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n": 400,
    b"POST / HTTP/1.1\r\nhost: x\r\nexpect: miracles\r\ncontent-length: 1\r\n\r\n": 417,
}


@pytest.mark.parametrize(("sent", "status"), BAD_LINES.items(), ids=repr)
async def test_what_is_not_a_request_is_refused(sent: bytes, status: int) -> None:
    async with plane() as p:
        answer = await talk(p.port, sent)
        assert status_of(answer) == status
        assert (b"\r\nallow: " in answer) == (status == 405)


async def test_an_absolute_target_names_no_upstream() -> None:
    async with upstream(answering(OK)) as up, plane(up.port) as p:
        request = post(path=b"http://evil.example:1/v1/models?x=1")
        assert status_of(await talk(p.port, request)) == 200
        assert p.runtime.requests[0].path == "/v1/models?x=1"
        assert up.connections == 1


async def test_headers_reach_the_core_and_the_server_without_what_ends_here() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await read_request(reader))[0])
        writer.write(OK)

    async with upstream(serve) as up, plane(up.port) as p:
        request = post(
            b"{}",
            b"X-VSR-Selected-Model: forged",
            b"x-wayside-anything: forged",
            b"x-selected-model: forged",
            b"X_Selected_Model: forged",
            b"x-vsr-debug: true",
            b"authorization: Bearer client",
            b"accept-encoding: gzip",
            b"te: trailers",
            b"upgrade: h2c",
            b"x-hop: 1",
            b"connection: x-hop",
            b"proxy-authorization: secret",
            b"X-Many: a",
            b"x-many:b  ",
            b"x-request-id: mine",
            b"expect: 100-continue",
        )
        head, _ = head_and_body(await talk(p.port, request))
        assert head["x-request-id"] == "mine"
        at_core = dict(p.runtime.requests[0].headers)
        assert at_core == {
            "host": "x",
            "x-vsr-debug": "true",
            "authorization": "Bearer client",
            "accept-encoding": "gzip",
            "x-many": "a, b",
            "x-request-id": "mine",
        }
        fields, _ = head_and_body(seen[0])
        assert fields == {
            "host": f"127.0.0.1:{up.port}",
            "x-selected-model": "m",
            "accept-encoding": "identity",
            "x-many": "b",
            "content-length": "2",
            "x-request-id": "mine",
        }
        assert seen[0].count(b"x-many: ") == 2


@pytest.mark.parametrize("given", [b"x" * 129, b"a b", b"\xff", b""])
async def test_a_strange_request_id_is_replaced(given: bytes) -> None:
    async with plane() as p:
        request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: %b\r\n\r\n"
        head, _ = head_and_body(await talk(p.port, request % given))
        assert head["x-request-id"] == "made-0"
        assert p.runtime.requests[0].headers["x-request-id"] == "made-0"


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with upstream(answering(OK)) as up, plane(up.port) as p:
        many = b"".join(
            b"POST /%b HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc" % path
            for path in (b"v1/a", b"r1", b"r2", b"v1/b", *(b"r%d" % i for i in range(3, 60)))
        )
        answer = await talk(p.port, many[:777], many[777:] + GET)
        assert answer.count(b"HTTP/1.1 200") == 62
        middle = [f"/r{i}" for i in range(3, 60)]
        paths = [r.path for r in p.runtime.requests]
        assert paths == ["/v1/a", "/r1", "/r2", "/v1/b", *middle, "/health"]
        assert all(len(e.ends) == 1 for e in p.telemetry.exchanges)


async def test_a_pipelining_client_is_not_read_without_end() -> None:
    async with plane() as p:
        p.runtime.gate = asyncio.Event()
        _, writer = await asyncio.open_connection("127.0.0.1", p.port)
        one = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
        writer.write(one * 500_000)  # 16 MB
        await asyncio.sleep(0.2)
        (door,) = p.server.doors
        assert len(door._buffer) < 1 << 20
        writer.close()


@pytest.mark.parametrize("cut", range(1, 120, 7))
async def test_a_request_may_be_split_anywhere(cut: int) -> None:
    async with plane() as p:
        body = b'{"a": "b"}'
        whole = post(body, path=b"/echo")
        answer = await talk(p.port, whole[:cut], whole[cut:], pause=0.002)
        assert status_of(answer) == 200
        assert p.runtime.requests[0].body == body


async def test_a_chunked_request_is_put_together() -> None:
    async with plane() as p:
        request = (
            b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\ntrailer: x\r\n\r\n"
        )
        answer = await talk(p.port, *(bytes([b]) for b in request), GET)
        assert answer.count(b"HTTP/1.1 200") == 2
        assert p.runtime.requests[0].body == b"abcdefg"
        assert "trailer" not in p.runtime.requests[0].headers


BAD_CHUNKS = [
    b"x\r\n",
    b"-1\r\n",
    b"0x1\r\na\r\n",
    b"1\na\r\n",
    b"1\r\nab\r\n",
    b"1_0\r\n",
    b" 1\r\n",
    b"1 \r\na\r\n",
    b"fffffffffffffffff\r\n",
    b"1;\0\r\n",
    b"0\r\n\n",
    b"0\r\na\rb\r\n\r\n",
    b"1;" + b"x" * 400,
]


@pytest.mark.parametrize("chunks", BAD_CHUNKS)
async def test_a_malformed_chunk_is_refused(chunks: bytes) -> None:
    async with plane() as p:
        head = b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        answer = await talk(p.port, head + chunks)
        assert status_of(answer) == 400
        assert p.runtime.requests == []


async def test_expect_100_continue_is_answered_once_the_head_is_accepted() -> None:
    async with plane() as p:
        reader, writer = await asyncio.open_connection("127.0.0.1", p.port)
        writer.write(post(b"", b"expect: 100-continue").replace(b"length: 0", b"length: 3"))
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            assert b"503" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def test_http_1_0_closes_and_needs_no_host() -> None:
    async with plane() as p:
        answer = await talk(p.port, b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close\r\n" in answer


async def test_http_1_0_with_chunks_is_refused() -> None:
    async with plane() as p:
        request = b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        assert status_of(await talk(p.port, request)) == 400


async def test_head_has_the_head_of_the_answer_only() -> None:
    async with plane() as p:
        head, body = head_and_body(await talk(p.port, GET.replace(b"GET", b"HEAD")))
        assert int(head["content-length"]) > 0
        assert body == b""


async def test_options_star_says_what_is_allowed() -> None:
    async with plane() as p:
        request = b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        answer = await talk(p.port, request)
        assert status_of(answer) == 204
        assert b"allow: GET, HEAD, POST" in answer
        assert b"content-length" not in answer


LIMITS = LimitSettings(
    max_body_bytes=100,
    max_header_bytes=500,
    header_timeout_s=0.15,
    body_timeout_s=0.15,
    idle_timeout_s=0.3,
)


@pytest.mark.parametrize("split", [1000, 50])
async def test_too_many_headers_are_431(split: int) -> None:
    async with plane(limits=LIMITS) as p:
        request = b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 600 + b"\r\n\r\n"
        pieces = [request[i : i + split] for i in range(0, len(request), split)]
        assert status_of(await talk(p.port, *pieces)) == 431


async def test_too_many_header_lines_are_431() -> None:
    async with plane() as p:
        request = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 300 + b"\r\n"
        assert status_of(await talk(p.port, request)) == 431


async def test_a_request_too_large_is_413_before_it_is_read() -> None:
    async with plane(limits=LIMITS) as p:
        request = b"POST / HTTP/1.1\r\nhost: x\r\nx-request-id: r\r\ncontent-length: 101\r\n\r\n"
        answer = await talk(p.port, request)
        assert status_of(answer) == 413
        assert head_and_body(answer)[0]["x-request-id"] == "r"


async def test_the_413_arrives_though_the_client_is_still_sending() -> None:
    async with plane(limits=LIMITS) as p:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 500000\r\n\r\n"
        answer = await talk(p.port, head, *[b"x" * 1000] * 200)
        assert status_of(answer) == 413
        assert not answer.endswith(RESET)


@pytest.mark.parametrize("chunks", [b"65\r\n", b"60\r\n" + b"x" * 96 + b"\r\n60\r\n"])
async def test_chunks_too_large_are_413_when_announced(chunks: bytes) -> None:
    async with plane(limits=LIMITS) as p:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        assert status_of(await talk(p.port, head + chunks)) == 413


SLOW = {
    "no end of the head": b"POST / HTTP/1.1\r\nhost: x\r\n",
    "no body": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n",
    "half a body": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc",
    "half a chunk": b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW.keys())
async def test_a_client_that_stops_sending_is_408(sent: bytes) -> None:
    async with plane(limits=LIMITS) as p:
        answer = await talk(p.port, sent)
        assert status_of(answer) == 408
        assert b"connection: close" in answer


async def test_a_client_that_sends_byte_by_byte_gains_no_time() -> None:
    async with plane(limits=LIMITS) as p:
        started = asyncio.get_running_loop().time()
        answer = await talk(p.port, *[b"G"] * 30, pause=0.02)
        assert status_of(answer) == 408
        assert asyncio.get_running_loop().time() - started < 5


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with plane(limits=LIMITS) as p:
        assert await talk(p.port) == b""
        answer = await talk(p.port, GET.replace(b"connection: close\r\n", b""))
        assert answer.count(b"HTTP/1.1") == 1
        assert len(p.telemetry.exchanges) == 1


async def test_connections_beyond_the_limit_are_closed_at_once() -> None:
    async with plane(limits=LimitSettings(max_connections=2)) as p:
        writers = [(await asyncio.open_connection("127.0.0.1", p.port))[1] for _ in range(2)]
        while len(p.server.doors) < 2:
            await asyncio.sleep(0.005)
        assert await talk(p.port) in (b"", RESET)
        for writer in writers:
            writer.close()
        while p.server.doors:
            await asyncio.sleep(0.005)
        assert status_of(await talk(p.port, GET)) == 200


async def test_a_client_gone_before_the_router_could_start_leaves_nothing_behind() -> None:
    async with plane() as p:
        p.runtime.gate = asyncio.Event()
        door = Door(p.server)
        door.connection_made(Mock(spec=asyncio.Transport))
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            door.data_received(post())
            door.connection_lost(None)
            await asyncio.sleep(0.01)
            gc.collect()
        assert [str(w.message) for w in heard if "never awaited" in str(w.message)] == []
        assert p.telemetry.last.ends == [(499, "client_closed", b"")]
