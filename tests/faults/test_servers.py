"""Faults 11 to 18: servers that refuse, lie, break off, never end, or are too many asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from tests.faults.wire import checked
from tests.gateway.rig import OK, Handler, answering, read_request, upstream
from tests.running import Answer, Running, chat, running
from wayside.sim import FaultRates, SimModel, SimServer, serve_sim
from wayside.sim.settings import StatusRate

JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
FIRST = b'data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'  # noqa: E501
NOBODY = "http://127.0.0.1:1"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextlib.asynccontextmanager
async def router_to(*urls: str, **model: Any) -> AsyncIterator[Running]:
    """A router with one model ``m`` at these servers."""
    document = {"models": {"m": {"endpoints": list(urls), **model}}}
    async with running("gateway", document) as found:
        yield found


@contextlib.asynccontextmanager
async def router_of(serve: Handler, **model: Any) -> AsyncIterator[Running]:
    """A router whose only server does this."""
    async with (
        upstream(serve) as server,
        router_to(f"http://127.0.0.1:{server.port}", **model) as r,
    ):
        yield r


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await asyncio.sleep(30)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.transport.abort()


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


FAILS: Mapping[str, tuple[Handler | str, int, str]] = {
    "refused": (NOBODY, 502, "connect_failed"),
    "no such name": ("http://nobody.invalid:80", 502, "dns_failed"),
    "no TLS": (plain, 502, "tls_failed"),
    "silence": (silent, 504, "upstream_timeout"),
    "reset before an answer": (reset, 502, "upstream_closed"),
}


@pytest.mark.parametrize("what", FAILS)
async def test_fault_11_what_fails_is_tried_elsewhere_and_else_told(what: str) -> None:
    """Expected: the next server answers and the log shows both attempts; with no other, 502, 503
    or 504 as JSON with a code."""
    serve, status, code = FAILS[what]
    async with contextlib.AsyncExitStack() as stack:
        url = serve if isinstance(serve, str) else ""
        if not isinstance(serve, str):
            server = await stack.enter_async_context(upstream(serve))
            scheme = "https" if what == "no TLS" else "http"
            url = f"{scheme}://127.0.0.1:{server.port}"
        good = await stack.enter_async_context(upstream(answering(OK)))
        model = {
            "timeouts": {"first_byte_s": 0.3},
            "retries": {"attempts": 2},
        }
        alone = await stack.enter_async_context(router_to(url, timeouts=model["timeouts"]))
        answer = await alone.ask(chat("hi", "m"))
        assert answer.status == status and checked(answer.json)["code"] == code, answer.body
        there = [
            {"url": url, "weight": 1},
            {"url": f"http://127.0.0.1:{good.port}", "standby": True},
        ]
        both = await stack.enter_async_context(router_to(*there, **model))  # type: ignore[arg-type]
        answer = await both.ask(chat("hi", "m"))
        assert answer.status == 200, answer.body
        line = await both.line(answer)
        assert [a["outcome"] for a in line["attempts"]] == [code, "ok"]


BROKEN: Mapping[str, bytes] = {
    "reset": b"",
    "a truncated chunk": b"ff\r\ndata: {",
    "a chunk that is none": b"zz\r\n",
    "HTML": b"<html><body>502</body></html>",
}


async def ask_raw(router: Running, body: Any) -> tuple[int, bytes, str]:
    """Status, bytes and how it ended, for answers that break off."""
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{router.url}/v1/chat/completions", json=body) as answer:
            got = b""
            try:
                async for piece in answer.content.iter_any():
                    got += piece
            except aiohttp.ClientError as error:
                return answer.status, got, type(error).__name__
            return answer.status, got, ""


@pytest.mark.parametrize("what", BROKEN)
async def test_fault_12_a_stream_that_breaks_off_never_looks_whole(what: str) -> None:
    """Expected: an error frame with a code, no ``[DONE]``, and the connection ends badly; what was
    said is estimated and flagged; no other model goes on with it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(EVENTS + chunk(FIRST))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(BROKEN[what])
        await writer.drain()
        writer.transport.abort() if what == "reset" else writer.close()

    async with router_of(serve) as router:
        status, got, ended = await ask_raw(router, chat("hi", "m", stream=True))
        line = router.access.lines[-1]
    assert status == 200 and got.startswith(FIRST) and b"[DONE]" not in got
    error = json.loads(got.removeprefix(FIRST).strip().removeprefix(b"data: "))
    assert checked(error)["code"] in ("upstream_reset", "upstream_closed", "upstream_bad_response")
    assert ended, "and the last chunk never comes"
    assert line["reason"] == error["error"]["code"]
    assert "n" not in str(line["attempts"][1:])


LIES: Mapping[str, bytes] = {
    "HTML": b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "nothing": JSON + b"content-length: 0\r\n\r\n",
    "nothing, and no type": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "a picture": b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 4\r\n\r\n\x89PNG",
    "an error in a 200": JSON
    + b'content-length: 41\r\n\r\n{"error":{"message":"boom","code":"oops"}}'[:-1],
    "a redirect": b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",  # noqa: E501
}
STREAMED_LIES: Mapping[str, bytes] = {
    "JSON for a stream": JSON + b"content-length: 2\r\n\r\n{}",
    **{k: v for k, v in LIES.items() if k in ("HTML", "204", "nothing")},
}


@pytest.mark.parametrize("what", LIES)
async def test_fault_13_what_is_no_completion_is_502(what: str) -> None:
    """Expected: 502 ``upstream_invalid_response``, which counts as a failure of the server."""
    async with router_of(answering(LIES[what])) as router:
        answer = await router.ask(chat("hi", "m"))
        line = router.access.lines[-1]
    assert answer.status == 502, (answer.status, answer.body)
    assert checked(answer.json)["code"] == "upstream_invalid_response"
    assert {a["outcome"] for a in line["attempts"]} == {"upstream_invalid_response"}
    assert "location" not in answer.headers


@pytest.mark.parametrize("what", STREAMED_LIES)
async def test_fault_13_what_is_no_stream_is_502_where_one_was_asked_for(what: str) -> None:
    """Expected: the same, also for JSON in the place of events."""
    async with router_of(answering(STREAMED_LIES[what])) as router:
        answer = await router.ask(chat("hi", "m", stream=True))
    assert answer.status == 502 and checked(answer.json)["code"] == "upstream_invalid_response"


WAITS = {b"2": (2, 2), b"1000000000": (1, 60), b"soon": (0, 0), b"-5": (0, 0),
         b"Fri, 31 Dec 2100 23:59:59 GMT": (1, 60)}  # fmt: skip


@pytest.mark.parametrize("said", WAITS)
async def test_fault_14_a_wait_is_honoured_and_capped(said: bytes) -> None:
    """Expected: seconds, dates, nonsense and 10^9 are honoured, capped, or passed over; the other
    server is used meanwhile, and the one that asked for peace has it."""
    busy = (
        b"HTTP/1.1 429 Too Many Requests\r\nretry-after: "
        + said
        + b"\r\ncontent-length: 0\r\n\r\n"
    )
    low, high = WAITS[said]
    async with upstream(answering(busy)) as first, upstream(answering(OK)) as second:
        urls = [f"http://127.0.0.1:{s.port}" for s in (first, second)]
        async with router_to(urls[0], retries={"attempts": 1}) as alone:
            answer = await alone.ask(chat("hi", "m"))
            assert answer.status == 429
            told = answer.headers.get("retry-after")
            assert told in (None, said.decode()) if not high else low <= int(told or 0) <= high
        before = first.connections
        async with router_to(*urls, retries={"attempts": 2}) as both:
            for _ in range(8):
                assert (await both.ask(chat("hi", "m"))).status == 200
        if high:
            assert first.connections - before <= 1, "who asked for peace has it"


def endless(begin: bytes, piece: bytes, counted: list[int]) -> Handler:
    """An answer that never ends; what was taken of it is counted."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(begin)
        while True:
            writer.write(piece)
            await writer.drain()
            counted[0] += len(piece)

    return serve


async def test_fault_15_headers_without_end_are_502() -> None:
    """Expected: no more than so many bytes of headers are read: 502, memory stays flat."""
    taken = [0]
    async with router_of(endless(b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n" * 1000, taken)) as router:
        answer = await router.ask(chat("hi", "m"))
    assert answer.status == 502 and checked(answer.json)["code"] == "upstream_bad_response"
    assert taken[0] < 32 << 20, "what sockets hold, for each attempt"


async def test_fault_15_a_line_without_end_is_broken_off() -> None:
    """Expected: a line over a mebibyte, or a stream over its time, is ended with an error."""
    taken = [0]
    serve = endless(EVENTS + b"5\r\ndata:\r\n", chunk(b"x" * 60_000), taken)
    async with router_of(serve, timeouts={"total_s": 20}) as router:
        status, got, ended = await ask_raw(router, chat("hi", "m", stream=True))
    assert ended and b"[DONE]" not in got
    assert len(got) < 4 << 20, f"{len(got):,} bytes of a line"
    async with router_of(
        endless(EVENTS, chunk(FIRST), taken), timeouts={"total_s": 0.3, "idle_s": 0.2}
    ) as router:
        began = time.monotonic()
        status, got, ended = await ask_raw(router, chat("hi", "m", stream=True))
    assert status == 200 and ended and time.monotonic() - began < 3


async def test_fault_16_nobody_is_there_and_then_somebody_is() -> None:
    """Expected: 503 with Retry-After once it is known that nobody answers, or the fallback that is
    declared, which the headers tell; one that comes back is used after its pause."""
    async with upstream(answering(OK)) as server:
        port = server.port
    async with router_to(f"http://127.0.0.1:{port}") as router:
        answers = [await router.ask(chat("hi", "m")) for _ in range(4)]
        last = answers[-1]
        assert last.status == 503 and int(last.headers["retry-after"]) >= 1, last.body
        assert checked(last.json)["code"] == "no_healthy_endpoint"
        (replica,) = router.app.fleet.pools["m"].replicas
        replica.out_until = 0.0  # its pause is over
        back = await asyncio.start_server(lambda r, w: answering(OK)(r, w), "127.0.0.1", port)
        answer = await router.ask(chat("hi", "m"))
        assert answer.status == 200, answer.body
        back.close()
    async with upstream(answering(OK)) as server:
        document = {
            "models": {
                "m": {"endpoints": [NOBODY], "fallbacks": ["n"]},
                "n": {"endpoints": [f"http://127.0.0.1:{server.port}"]},
            },
            "routing": {"default_model": "m"},
        }
        async with running("gateway", document) as router:
            answer = await router.ask(chat("hi"))
            assert answer.status == 200 and answer.headers["x-vsr-selected-model"] == "n"


async def test_fault_17_a_storm_of_failures_is_not_made_worse() -> None:
    """Expected: at most a fifth more requests than clients sent, whatever fails; healthy traffic
    is not slowed."""
    async with serve_sim([SimServer((SimModel("m"),)), SimServer((SimModel("n"),))]) as (
        bad,
        good,
    ):
        bad.faults = FaultRates(status=StatusRate(rate=0.5, code=503))

        document = {
            "models": {
                "m": {
                    "endpoints": [bad.url],
                    "retries": {"attempts": 5},
                },
                "n": {"endpoints": [good.url]},
            }
        }
        async with running("gateway", document) as router:
            took: list[float] = []

            async def healthy() -> None:
                for _ in range(30):
                    began = time.monotonic()
                    assert (await router.ask(chat("hi", "n"))).status == 200
                    took.append(time.monotonic() - began)
                    await asyncio.sleep(0.01)

            async def storm() -> Answer:
                return await router.ask(chat("hi", "m"))

            steady = asyncio.create_task(healthy())
            for _ in range(10):
                await asyncio.gather(*(storm() for _ in range(20)))
            await steady
        assert bad.stats.requests <= 200 * 1.2 + 10, bad.stats
        assert sorted(took)[len(took) // 2] < 0.5, "the median: the machine is shared"


async def test_fault_18_overload_is_shed_and_the_urgent_go_first() -> None:
    """Expected: what is too much is refused at once with a time to come back, the less urgent
    first; the capacity is used; health checks are answered all along."""
    async with serve_sim([SimServer((SimModel("m", ttft_s=0.05),))]) as (sim,):
        document = {
            "models": {
                "m": {
                    "endpoints": [sim.url],
                    "queue": {"max_in_flight": 4, "max_queue": 8, "timeout_s": 2},
                }
            }
        }
        async with running("gateway", document) as router:
            asked = [asyncio.create_task(router.ask(chat("hi", "m"))) for _ in range(60)]
            await asyncio.sleep(0.02)
            assert (await router.get("/health")).status in (200, 404)
            answers = await asyncio.gather(*asked)
        served = [a for a in answers if a.status == 200]
        shed = [a for a in answers if a.status in (429, 503)]
        assert len(served) + len(shed) == 60 and len(served) >= 12
        for answer in shed:
            assert int(answer.headers["retry-after"]) >= 1
            assert checked(answer.json)["code"] in ("server_is_overloaded", "slow_down")
