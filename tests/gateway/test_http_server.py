"""The server as a whole: many clients, real client libraries, TLS, draining, arbitrary bytes."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import aiohttp
import openai
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.fleet import Fleet
from wayside.gateway import serve_http
from wayside.settings.model import LimitSettings, ListenSettings, TimeoutSettings, TlsSettings
from wayside.telemetry import Telemetry

from .rig import (
    OK,
    PATIENCE_S,
    StubRuntime,
    answering,
    head_and_body,
    plane,
    post,
    read_request,
    status_of,
    talk,
    upstream,
)

HELD = post().replace(b"connection: close\r\n", b"")
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = STREAM + b"transfer-encoding: chunked\r\n\r\n"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        _, body = await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


async def test_two_hundred_clients_each_get_their_own_answers() -> None:
    async def client(session: aiohttp.ClientSession, url: str, number: int) -> None:
        for i in range(5):
            body = b'{"client": %d, "request": %d, "pad": "%b"}' % (number, i, b"x" * number)
            async with session.post(url + "/v1/chat/completions", data=body) as answer:
                assert answer.status == 200
                assert await answer.read() == body

    async with upstream(echo) as one, upstream(echo) as two:
        dice = iter(x / 997 for x in range(10**9))
        async with (
            plane(one.port, two.port, dice=lambda: next(dice) % 1.0) as p,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as session,
        ):
            await asyncio.gather(*(client(session, p.url, n) for n in range(200)))
            assert len(p.telemetry.exchanges) == 1000
            assert all(e.ends[0][:2] == (200, "") for e in p.telemetry.exchanges)
            assert all(r.in_flight == 0 for r in p.fleet.pools["m"].replicas)


COMPLETION = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}
    ],
}


def delta(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    event = {**COMPLETION, "object": "chat.completion.chunk", "choices": [choice]}
    data = b"data: " + json.dumps(event).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def talking_to(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url + "/v1", api_key="k", max_retries=0)


async def test_the_openai_client_is_served() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await read_request(reader)
            if json.loads(body).get("stream"):
                writer.write(CHUNKED + delta("Hel") + delta("lo"))
                writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            else:
                text = json.dumps(COMPLETION).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                writer.write(b"content-length: %d\r\n\r\n%b" % (len(text), text))

    async with upstream(serve) as up, plane(up.port) as p, talking_to(p.url) as client:
        said = [{"role": "user", "content": "Hello"}]
        whole = await client.chat.completions.create(model="m", messages=said)
        assert whole.choices[0].message.content == "Hi"
        stream = await client.chat.completions.create(model="m", messages=said, stream=True)
        assert "".join([c.choices[0].delta.content async for c in stream]) == "Hello"


async def test_a_broken_stream_is_an_error_to_the_openai_client() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + delta("Hel"))
        await writer.drain()
        await asyncio.sleep(0.05)

    async with upstream(serve) as up, plane(up.port) as p, talking_to(p.url) as client:
        said = [{"role": "user", "content": "Hello"}]
        stream = await client.chat.completions.create(model="m", messages=said, stream=True)
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass


async def test_it_runs_with_the_real_telemetry() -> None:
    async with upstream(answering(OK)) as up, plane(up.port) as p:
        telemetry = Telemetry()
        server = await serve_http(
            ListenSettings(port=0), p.runtime, p.fleet, telemetry, LimitSettings()
        )
        head, _ = head_and_body(await talk(server.port, post()))
        assert head["x-request-id"].startswith("req_")
        assert telemetry.in_flight == 0
        await server.drain(1)


# TLS to the model servers


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return authority, path


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_a_server_is_verified_and_told_its_name(ca: tuple[trustme.CA, Path]) -> None:
    authority, path = ca
    context = server_context(authority, "llm.example")
    asked: list[str | None] = []
    context.sni_callback = lambda sock, name, ctx: asked.append(name)
    tls = TlsSettings(ca_file=str(path), server_name="llm.example")
    async with (
        upstream(answering(OK), ssl=context) as up,
        plane(up.port, scheme="https", tls=tls) as p,
    ):
        for _ in range(2):
            assert status_of(await talk(p.port, post())) == 200
        assert asked == ["llm.example"]


@pytest.mark.parametrize("case", ["unknown authority", "wrong name", "not TLS"])
async def test_a_server_that_cannot_be_verified_gets_no_request(
    ca: tuple[trustme.CA, Path], case: str
) -> None:
    authority, path = ca
    known = authority if case == "wrong name" else trustme.CA()
    context = None if case == "not TLS" else server_context(known, "other.example")
    tls = TlsSettings(ca_file=str(path), server_name="llm.example")
    async with (
        upstream(answering(OK), ssl=context) as up,
        plane(up.port, scheme="https", tls=tls, timeouts=TimeoutSettings(connect_s=0.5)) as p,
    ):
        answer = await talk(p.port, post())
        if case != "not TLS":
            assert (status_of(answer), b"tls_failed" in answer) == (502, True)
        assert status_of(answer) in (502, 504)


@pytest.mark.parametrize("tidy", [True, False])
async def test_over_tls_too_a_cut_is_no_end(ca: tuple[trustme.CA, Path], tidy: bool) -> None:
    authority, path = ca

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.05)
        if not tidy:  # a FIN without close_notify: anyone on the way could have sent it
            writer.transport.abort()

    tls = TlsSettings(ca_file=str(path), server_name="llm.example")
    context = server_context(authority, "llm.example")
    async with upstream(serve, ssl=context) as up, plane(up.port, scheme="https", tls=tls) as p:
        answer = await talk(p.port, HELD, GET_CLOSE if tidy else b"")
        assert (b"\r\n4\r\nhalf\r\n0\r\n\r\n" in answer) == tidy


GET_CLOSE = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


# Draining


async def test_draining_lets_requests_end_and_closes_the_rest() -> None:
    proceed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await proceed.wait()
        writer.write(OK)

    async with upstream(serve) as up, plane(up.port) as p:
        port = p.port
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        busy = asyncio.create_task(talk(port, HELD))
        while not (up.connections and len(p.server.doors) == 2):
            await asyncio.sleep(0.005)
        drained = asyncio.create_task(p.server.drain(5))
        async with asyncio.timeout(PATIENCE_S):
            assert await idle_reader.read() == b""
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", port)
            proceed.set()
            answer = await busy
            await drained
        assert status_of(answer) == 200
        assert b"connection: close" in answer
        idle_writer.close()


async def test_draining_does_not_wait_for_ever() -> None:
    async with upstream(answering(pause=60)) as up, plane(up.port) as p:
        busy = asyncio.create_task(talk(p.port, HELD))
        while not up.connections:
            await asyncio.sleep(0.005)
        await p.server.drain(0.05)
        head, body = head_and_body(answer := await busy)
        assert status_of(answer) == 503 and head["retry-after"] == "1"
        assert json.loads(body)["error"]["code"] == "shutdown"
        assert (await p.settled()).ends == [(503, "shutdown", b"")]


async def test_workers_share_a_port() -> None:
    runtime = StubRuntime()
    fleet = Fleet({})
    rest = (runtime, fleet, Telemetry(), LimitSettings())
    one = await serve_http(ListenSettings(port=0), *rest, reuse_port=True)
    two = await serve_http(ListenSettings(port=one.port), *rest, reuse_port=True)
    assert one.port == two.port
    await one.drain(0)
    assert status_of(await talk(two.port, GET_CLOSE)) == 200
    await two.drain(0)


# Arbitrary bytes

PIECES = [
    b"POST /v1/x HTTP/1.1\r\n",
    b"GET /a HTTP/1.1\r\n",
    b"host: x\r\n",
    b"content-length: 3\r\n",
    b"\r\n",
    b"transfer-encoding: chunked\r\n",
    b"abc",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"connection: close\r\n",
    b"expect: 100-continue\r\n",
    b"\r",
    b"\n",
    b"\0",
    b" ",
]
soup = st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), min_size=1, max_size=14)


def test_no_bytes_crash_or_hang_the_server() -> None:
    """One server sees every example; a request that is right is answered right after each."""

    async def serve_all(examples: list[list[bytes]]) -> None:
        limits = LimitSettings(header_timeout_s=0.1, body_timeout_s=0.1, idle_timeout_s=0.1)
        errors: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        async with upstream(answering(OK)) as up, plane(up.port, limits=limits) as p:
            await asyncio.gather(*(talk(p.port, *pieces) for pieces in examples))
            assert status_of(await talk(p.port, post())) == 200
            assert all(len(e.ends) == 1 for e in p.telemetry.exchanges)
            assert not p.server.doors
        assert not errors

    @settings(max_examples=12, deadline=None)
    @given(examples=st.lists(soup, min_size=20, max_size=40))
    def run(examples: list[list[bytes]]) -> None:
        asyncio.run(serve_all(examples))

    run()


ANSWERS = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"content-length: 3\r\n",
    b"\r\n",
    b"abc",
    b"transfer-encoding: chunked\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"connection: close\r\n",
    b"\0",
]


def test_no_answer_of_a_server_crashes_or_hangs_us() -> None:
    answers = st.lists(st.sampled_from(ANSWERS) | st.binary(max_size=8), max_size=10)

    async def answer_all(examples: list[list[bytes]]) -> None:
        errors: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        scripts = iter(examples)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            for piece in next(scripts, []):
                writer.write(piece)
                await asyncio.sleep(0)

        async with upstream(serve) as up, plane(up.port) as p:
            for _ in examples:
                assert (await talk(p.port, post())).startswith(b"HTTP/1.1 ")
            assert all(len(e.ends) == 1 for e in p.telemetry.exchanges)
            assert all(r.in_flight == 0 for r in p.fleet.pools["m"].replicas)
        assert not errors

    @settings(max_examples=12, deadline=None)
    @given(examples=st.lists(answers, min_size=10, max_size=20))
    def run(examples: list[list[bytes]]) -> None:
        asyncio.run(answer_all(examples))

    run()
