"""The client of the remote engines, against servers that behave in every way they should not."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme
from aiohttp import web
from pydantic import ValidationError

from tests.engines.server import Server, saying, serving
from wayside.engines.base import Tools
from wayside.net.h1 import Connection, TooLarge
from wayside.net.http import Client, RemoteSettings
from wayside.runtime.keys import KeyRing
from wayside.vocab.errors import AskFailed, ConfigError

_HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 8_000
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
SECRET = "sk-very-secret"


def client(server: Server | str, *, env: dict[str, str] | None = None, **settings: Any) -> Client:
    url = server if isinstance(server, str) else server.url
    rule = RemoteSettings.model_validate({"base_url": url, **settings})
    made.append(Client(rule, Tools("judge", KeyRing(env or {}).resolve)))
    return made[-1]


made: list[Client] = []


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    while made:
        made.pop().close()
    await asyncio.sleep(0)


async def test_json_goes_and_comes_back_over_one_connection() -> None:
    async with serving(lambda body: {"said": body["text"]}) as server:
        asking = client(server.url + "/base/", headers={"X-Team": "a"})
        for text in ("one", "zwei 😀", "half \ud800"):
            said = await asking.ask("/path", {"text": text})
            assert said == {"said": text.replace("\ud800", "\ufffd")}
        path, headers, _ = server.asked[0]
        assert path == "/base/path" and headers["x-team"] == "a"
        assert len(server.connections) == 1


async def test_the_key_is_sent_and_never_told() -> None:
    async with serving(lambda body: web.Response(status=401, text=SECRET)) as server:
        asking = client(server, env={"KEY": SECRET}, credential={"env": "KEY"})
        with pytest.raises(AskFailed) as failed:
            await asking.ask("/", {"text": "the prompt"})
        assert server.asked[0][1]["authorization"] == f"Bearer {SECRET}"
        assert len(server.asked) == 1, "a refused key is not tried again"
        text = f"{failed.value} {failed.value!r} {asking.__dict__}"
        assert SECRET not in text and "the prompt" not in text
        assert "answered 401: it does not accept our key" in str(failed.value)
    with pytest.raises(ConfigError, match=r"engines\.judge\.credential.*KEY is empty or not set"):
        client("http://127.0.0.1:1", credential={"env": "KEY"})


async def test_a_redirect_is_not_followed() -> None:
    async with serving(lambda body: {"reached": True}) as other:
        moved = web.Response(status=307, headers={"location": other.url})
        async with serving(lambda body: moved) as server:
            with pytest.raises(AskFailed, match="answered 307: it redirects"):
                await client(server).ask("/", {})
        assert other.asked == []


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_passing_failure_is_tried_again(status: int) -> None:
    replies = iter([web.Response(status=status), web.json_response({"ok": 1})])
    async with serving(lambda body: next(replies)) as server:
        assert await client(server).ask("/", {}) == {"ok": 1}
        assert len(server.asked) == 2


async def test_tries_end_and_their_number_is_kept() -> None:
    async with serving(lambda body: web.Response(status=503)) as server:
        with pytest.raises(AskFailed, match="answered 503"):
            await client(server, retries=2).ask("/", {})
        assert len(server.asked) == 3
        with pytest.raises(AskFailed, match="answered 503"):
            await client(server, retries=0).ask("/", {})
        assert len(server.asked) == 4


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    asked = web.Response(status=429, headers={"retry-after": "60"})
    async with serving(lambda body: asked) as server:
        began = time.monotonic()
        with pytest.raises(AskFailed, match="answered 429"):
            await client(server, deadline_ms=5_000).ask("/", {})
        assert time.monotonic() - began < 4 and len(server.asked) == 1


async def test_a_slow_server_is_left_at_the_deadline() -> None:
    gone = asyncio.Event()

    async def slow(body: Any) -> Any:
        try:
            await asyncio.sleep(30)
        finally:
            gone.set()

    async with serving(slow) as server:
        with pytest.raises(TimeoutError, match="'judge' did not answer in 50 ms"):
            await client(server, deadline_ms=50).ask("/", {})


async def test_an_answer_that_drips_is_left_at_the_deadline() -> None:
    begun = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"
    async with saying(begun, then="hang") as server:
        with pytest.raises(TimeoutError, match="did not answer in 100 ms"):
            await client(server, deadline_ms=100).ask("/", {})


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "did not answer with HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", "in the middle"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<ok>", "4 bytes that are not JSON"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "0 bytes that are not JSON"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\xfe", "that are not JSON"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", "answered more than|not answer"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "nothing is at this path"),
        (None, "closed the connection without an answer"),
    ],
    ids=["ssh", "half", "half-chunk", "html", "empty", "bytes", "head", "404", "closed"],
)
async def test_a_bad_answer(reply: bytes | None, problem: str) -> None:
    async with saying(reply) as server:
        with pytest.raises(AskFailed, match=problem) as failed:
            await client(server, retries=0).ask("/", {"text": "the prompt"})
        assert "the prompt" not in str(failed.value)


@pytest.mark.parametrize("length", [b"content-length: 100000000\r\n", b""])
async def test_an_answer_without_measure_is_refused(length: bytes) -> None:
    reply = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + b"x" * 200_000
    async with saying(reply) as server:
        with pytest.raises(AskFailed, match="answered more than 1000 bytes"):
            await client(server, max_bytes=1000).ask("/", {})


async def test_a_body_that_ends_with_the_connection_is_whole() -> None:
    async with saying(b'HTTP/1.1 200 OK\r\n\r\n{"a": 1}') as server:
        assert await client(server).ask("/", {}) == {"a": 1}


async def test_early_hints_are_not_the_answer() -> None:
    async with saying(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK) as server:
        assert await client(server).ask("/", {}) == {}


async def test_a_kept_connection_that_was_closed_is_replaced_without_a_retry() -> None:
    async with saying(OK) as server:  # each connection closes after one answer, unannounced
        asking = client(server, retries=0)
        for _ in range(3):
            assert await asking.ask("/", {}) == {}
        assert len(server.asked) == 3


async def test_nobody_listens() -> None:
    async with saying(OK) as server:
        url = server.url
    with pytest.raises(AskFailed, match=r"127\.0\.0\.1:\d+ cannot be asked"):
        await client(url, retries=1).ask("/", {})


async def test_more_asks_than_may_wait_are_refused() -> None:
    go, inside = asyncio.Event(), asyncio.Semaphore(0)

    async def held(body: Any) -> Any:
        inside.release()
        await go.wait()
        return {}

    async with serving(held) as server:
        asking = client(server, concurrency=1, queue=2, deadline_ms=20_000)
        tasks = [asyncio.create_task(asking.ask("/", {})) for _ in range(3)]
        await inside.acquire()
        with pytest.raises(AskFailed, match="'judge' is busy: 2 asks wait already"):
            await asking.ask("/", {})
        go.set()
        assert await asyncio.gather(*tasks) == [{}, {}, {}]
        assert len(server.connections) == 1


async def test_an_ask_given_up_frees_its_place() -> None:
    async with saying(b"", then="hang") as server:
        asking = client(server, concurrency=1, queue=1, deadline_ms=60_000)
        first = asyncio.create_task(asking.ask("/", {}))
        waiting = asyncio.create_task(asking.ask("/", {}))
        await asyncio.sleep(0)
        for task in (first, waiting):
            task.cancel()
        await asyncio.gather(first, waiting, return_exceptions=True)
        assert asking._waiting == 0 and not asking._free.locked()


async def test_certificates_are_verified() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("judge.test").configure_cert(context)
    async with serving(lambda body: {"ok": 1}, context) as server:
        with pytest.raises(AskFailed, match="a certificate that is not trusted"):
            await client(server, retries=0).ask("/", {})
        with authority.cert_pem.tempfile() as ca_file:
            tls = {"ca_file": ca_file, "server_name": "judge.test"}
            asking = client(server, tls=tls)
            assert await asking.ask("/", {}) == {"ok": 1}
            with pytest.raises(AskFailed, match="not trusted"):
                await client(server, tls={"ca_file": ca_file}, retries=0).ask("/", {})
    with pytest.raises(ConfigError, match=r"engines\.judge\.tls\.ca_file"):
        client("https://127.0.0.1:1", tls={"ca_file": "/nowhere.pem"})


def test_one_client_serves_one_loop_after_another() -> None:
    found = []

    async def once(asking: Client | None) -> Client:
        async with serving(lambda body: {"ok": 1}) as server:
            fresh = client(server)
            if asking is not None:
                asking.address = fresh.address
                fresh = asking
            found.append(await fresh.ask("/", {}))
            fresh.close()
            return fresh

    first = asyncio.run(once(None))
    asyncio.run(once(first))
    assert found == [{"ok": 1}, {"ok": 1}]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"base_url": "judge:8000"}, "write http:// or https://"),
        ({"base_url": "http://user:pw@judge"}, "no query, fragment or user"),
        ({"base_url": "http://judge?x=1"}, "no query"),
        ({"base_url": "file:///etc/passwd"}, "not supported"),
        ({"base_url": "http://judge", "credential": SECRET}, "never written here"),
        ({"base_url": "http://judge", "headers": {"Host": "other"}}, "header|client itself"),
        ({"base_url": "http://judge", "headers": {"x": "a\r\nb: c"}}, "one line"),
        ({"base_url": "http://judge", "retrys": 1}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        RemoteSettings.model_validate(settings)


# Servers that say more than they were asked


async def test_what_a_server_says_unasked_is_nobodys_answer() -> None:
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    more = b"HTTP/1.1 408 Timeout\r\ncontent-length: 4\r\n\r\nlate"
    late = False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok if late else ok + more)
        if late:
            await asyncio.sleep(0.02)
            writer.write(more)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for late in (False, True):  # noqa: B007 - the server reads it
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        connection = Connection(reader, writer)
        answer = await connection.exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", 99, None)
        assert (answer.status, bytes(answer.body)) == (200, b"ok")
        async with asyncio.timeout(5):
            while connection.reusable and not connection.stale:
                await asyncio.sleep(0.01)
        connection.drop()
    server.close()


@pytest.mark.parametrize("piece", [b"HTTP/1.1 200 OK\r\na: " + b"x" * 200_000, _HINTS])
async def test_a_head_without_end_is_given_up(piece: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(piece)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
    async with asyncio.timeout(5):
        with pytest.raises(TooLarge):
            await connection.exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", 99, None)
    connection.drop()
    server.close()
