"""HTTP/1.1 as clients and proxies really speak it."""

import asyncio
import json

import aiohttp
import pytest

from wayside.sim import SimModel, SimServer, serve_sim

from .conftest import chat

BODY = json.dumps(chat(max_tokens=2)).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\n"


def framed(body=BODY, extra=b""):
    return HEAD + extra + b"content-length: %d\r\n\r\n" % len(body) + body


async def test_pipelined_requests_are_answered_in_order(exchange):
    async with serve_sim([SimModel("small", ttft_s=0.005)]) as [sim]:
        tagged = [framed(extra=b"x-request-id: r%d\r\n" % i) for i in range(40)]
        tagged.append(framed(extra=b"connection: close\r\n"))
        page = await exchange(sim, b"".join(tagged))
    ids = [line for line in page.split(b"\r\n") if line.startswith(b"x-request-id")]
    assert ids == [b"x-request-id: r%d" % i for i in range(40)]
    assert page.count(b"HTTP/1.1 200 OK") == 41


async def test_a_chunked_body_is_recorded_without_its_framing(exchange):
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\nx-trailer: t\r\n\r\n"
    head = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    async with serve_sim(["small"]) as [sim]:
        page = await exchange(sim, head + chunks)
    assert page.startswith(b"HTTP/1.1 200")
    assert sim.requests[0].body == BODY


async def test_a_client_that_waits_for_100_continue_gets_it():
    async with serve_sim(["small"]) as [sim]:
        reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
        head, _, body = framed(extra=b"expect: 100-continue\r\n").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_http_1_0_gets_no_chunks(exchange):
    body = json.dumps(chat(stream=True, max_tokens=2)).encode()
    async with serve_sim(["small"]) as [sim]:
        page = await exchange(sim, framed(body).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert b"chunked" not in page and page.endswith(b"\n\ndata: [DONE]\n\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (HEAD + b"x: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (HEAD + b"x: " + b"y" * 70_000, 431),
        (framed(b"x" * 2000), 413),
        (HEAD + b"content-length: 2000\r\nexpect: 100-continue\r\n\r\n", 413),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000, 413),
    ],
    ids=["garbage", "head", "unfinished head", "body", "announced", "chunked"],
)
async def test_what_cannot_be_read_is_refused_and_hung_up_on(exchange, data, status):
    settings = SimServer((SimModel("small"),), max_body_bytes=1000)
    async with serve_sim([settings]) as [sim]:
        page = await exchange(sim, data)
    assert page.startswith(b"HTTP/1.1 %d " % status)
    assert page.count(b"HTTP/1.1") == 1 and b"connection: close" in page


async def test_an_upgrade_is_declined_by_answering(exchange):
    upgrade = b"GET /v1/models HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    async with serve_sim(["small"]) as [sim]:
        assert (await exchange(sim, upgrade)).startswith(b"HTTP/1.1 200")


async def test_head_has_no_body(exchange):
    async with serve_sim(["small"]) as [sim]:
        page = await exchange(sim, b"HEAD /health HTTP/1.1\r\nconnection: close\r\n\r\n")
    assert page.startswith(b"HTTP/1.1 200") and page.endswith(b"\r\n\r\n")


async def test_an_idle_connection_is_closed_when_so_set(exchange):
    settings = SimServer((SimModel("small"),), keep_alive_s=0.02)
    async with serve_sim([settings]) as [sim]:
        assert (await exchange(sim, framed())).startswith(b"HTTP/1.1 200")
        assert await exchange(sim, b"") == b""


async def test_a_slow_reader_holds_the_stream_back_and_still_gets_it_all():
    body = json.dumps(chat(stream=True, max_tokens=60_000, ignore_eos=True)).encode()
    async with serve_sim(["small"]) as [sim]:
        reader, writer = await asyncio.open_connection("127.0.0.1", sim.port, limit=1024)
        writer.write(framed(body, extra=b"connection: close\r\n"))
        await reader.readline()
        assert sim.stats.completed == 0
        page = b""
        while data := await reader.read(1 << 16):
            page += data
        writer.close()
    assert page.endswith(b"0\r\n\r\n") and page.count(b'"content": ') == 60_000


async def test_it_works_on_a_unix_socket(tmp_path):
    path = tmp_path / "small.sock"
    async with serve_sim([SimServer((SimModel("small"),), unix=path)]) as [sim]:
        assert sim.url == f"unix:{path}"
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http,
            http.post("http://sim/v1/chat/completions", json=chat()) as response,
        ):
            assert response.status == 200
    assert not path.exists()
