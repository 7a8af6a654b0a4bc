"""Attempts at an answer: again, elsewhere, in time; and never once an answer has begun."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from email.utils import formatdate

import pytest

from wayside.gateway.failures import retry_after_s
from wayside.gateway.head import read_response
from wayside.settings import RetrySettings, TimeoutSettings
from wayside.settings.resilience import EndpointTimeoutSettings, Trouble

from .rig import (
    OK,
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
from .test_upstream import CHUNKED, EVENTS, HELD, STREAM, breaking, chunk

QUICK = TimeoutSettings(connect_s=0.3, first_byte_s=0.15, idle_s=0.3)
BUSY = b"HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
LIMITED = BUSY.replace(b"503 Busy", b"429 Slow\r\nretry-after: 1000000000")
HTML = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"


def at(status: int) -> bytes:
    return BUSY.replace(b"503", b"%d" % status)


BEFORE_AN_ANSWER: dict[str, tuple[Handler, Trouble]] = {
    "closed": (breaking(), "reset"),
    "reset": (breaking(rst=True), "reset"),
    "reset after the head": (breaking(CHUNKED, rst=True), "reset"),
    "silent": (answering(pause=5), "timeout"),
    "silent after the head": (answering(CHUNKED, pause=5), "timeout"),
    "no http": (answering(b"SSH-2.0-OpenSSH\r\n"), "invalid"),
    "html": (answering(HTML), "invalid"),
    "500": (answering(at(500)), "500"),
    "502": (answering(at(502)), "502"),
    "503": (answering(at(503)), "503"),
    "504": (answering(at(504)), "504"),
    "429": (answering(at(429)), "429"),
    "429 for a billion seconds": (answering(LIMITED), "429"),
}


@pytest.mark.parametrize(
    ("serve", "trouble"), BEFORE_AN_ANSWER.values(), ids=BEFORE_AN_ANSWER.keys()
)
async def test_what_fails_before_an_answer_begins_is_sent_to_another_server(
    serve: Handler, trouble: Trouble
) -> None:
    async with upstream(serve) as one, upstream(answering(OK)) as two:
        policy = RetrySettings(retry_on=(trouble,))
        async with plane(one.port, two.port, timeouts=QUICK, retries=policy) as p:
            _head, body = head_and_body(await talk(p.port, post()))
            assert body == b'{"ok":true}'
            exchange = await p.settled()
            assert exchange.ends == [(200, "", b'{"ok":true}')]
            assert exchange.attempts == [str(one.port), str(two.port)]
            first, second = exchange.tries
            assert (first.kind, second.kind, second.outcome) == ("first", "retry", "ok")
            assert first.outcome != "ok"
            assert [r.in_flight for r in p.fleet.pools["m"].replicas] == [0, 0]
            assert p.fleet.pools["m"].in_flight == 0


@pytest.mark.parametrize(
    ("serve", "trouble"), BEFORE_AN_ANSWER.values(), ids=BEFORE_AN_ANSWER.keys()
)
async def test_it_is_not_where_settings_do_not_say_so(serve: Handler, trouble: Trouble) -> None:
    async with upstream(serve) as one, upstream(answering(OK)) as two:
        others = tuple(t for t in RetrySettings().retry_on if t != trouble)
        policy = RetrySettings(retry_on=others)
        async with plane(one.port, two.port, timeouts=QUICK, retries=policy) as p:
            assert status_of(await talk(p.port, post())) >= 400
            assert two.connections == 0
            assert len((await p.settled()).tries) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_errors_of_the_request_are_passed_on(status: int) -> None:
    async with upstream(answering(at(status))) as one, upstream(answering(OK)) as two:
        async with plane(one.port, two.port) as p:
            assert status_of(await talk(p.port, post())) == status
            assert two.connections == 0
            (replica, _) = p.fleet.pools["m"].replicas
            assert not replica.troubled


async def test_nothing_is_repeated_once_an_answer_has_begun() -> None:
    serve = breaking(CHUNKED, chunk(EVENTS[0]), rst=True)
    async with upstream(serve) as one, upstream(answering(OK)) as two:
        async with plane(one.port, two.port) as p:
            answer = await talk(p.port, HELD)
            assert b"[DONE]" not in answer
            assert b'data: {"error":' in answer
            assert two.connections == 0
            assert (await p.settled()).outcomes == ["upstream_reset"]


async def test_the_same_server_is_asked_again_where_it_is_the_only_one() -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while True:
            await read_request(reader)
            asked += 1
            writer.write(at(503) if asked < 3 else OK)

    async with upstream(serve) as up, plane(up.port, dice=lambda: 0.9) as p:
        assert status_of(await talk(p.port, post())) == 200
        assert (await p.settled()).outcomes == ["status_503", "status_503", "ok"]
        assert up.connections == 1, "an error that came whole costs no connection"


async def test_after_the_last_attempt_the_clients_gets_what_the_server_said() -> None:
    async with upstream(answering(BUSY)) as up, plane(up.port) as p:
        _head, body = head_and_body(await talk(p.port, post()))
        assert body == b"{}"
        assert (await p.settled()).ends == [(503, "", b"{}")]
        assert p.telemetry.last.outcomes == ["status_503"] * 3


async def test_a_storm_of_errors_is_not_made_worse() -> None:
    """Fault 17: half of the answers are errors; at most a fifth more is sent."""
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while True:
            await read_request(reader)
            asked += 1
            writer.write(at(503) if asked % 2 else OK)

    policy = RetrySettings(budget=0.2, budget_at_least=0, backoff_s=0.001)
    async with upstream(serve) as up, plane(up.port, retries=policy) as p:
        reader, writer = await asyncio.open_connection("127.0.0.1", p.port)
        for _ in range(100):
            writer.write(HELD)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()
        assert 100 < asked <= 120


async def test_the_whole_takes_no_longer_than_it_may() -> None:
    times = TimeoutSettings(first_byte_s=0.15, total_s=0.35)
    policy = RetrySettings(attempts=10, backoff_s=0.01)
    async with upstream(answering(pause=5)) as up:
        async with plane(up.port, timeouts=times, retries=policy) as p:
            began = time.monotonic()
            assert status_of(await talk(p.port, post())) == 504
            assert 0.3 < time.monotonic() - began < 1.2
            assert set((await p.settled()).outcomes) == {"upstream_timeout"}


async def test_a_stream_without_end_is_broken_off() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED)
        while True:
            writer.write(chunk(EVENTS[0]))
            await asyncio.sleep(0.02)

    async with upstream(serve) as up, plane(up.port, timeouts=TimeoutSettings(total_s=0.3)) as p:
        answer = await talk(p.port, HELD)
        assert answer.count(b"data: {") > 3
        assert b'data: {"error":' in answer
        assert not answer.endswith(b"0\r\n\r\n")
        assert (await p.settled()).ends[0][:2] == (200, "upstream_timeout")


async def test_a_line_without_end_is_broken_off() -> None:
    line = b"data: " + b"x" * 4_000_000
    pieces = [chunk(line[i : i + 50_000]) for i in range(0, len(line), 50_000)]
    async with upstream(answering(CHUNKED, *pieces)) as up, plane(up.port) as p:
        answer = await talk(p.port, HELD)
        assert 1_000_000 < len(answer) < 1_500_000
        assert (await p.settled()).ends[0][:2] == (200, "upstream_line_too_long")


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\n", b"\r\n"])
async def test_long_streams_of_short_lines_pass(end: bytes) -> None:
    event = chunk(b"data: " + b"x" * 900 + end) + (chunk(end) if len(end) < 3 else b"")
    async with upstream(answering(CHUNKED, event * 2_500, b"0\r\n\r\n")) as up:
        async with plane(up.port) as p:
            _, body = head_and_body(await talk(p.port, post()))
            assert body == event * 2_500 + b"0\r\n\r\n"


async def test_a_server_that_thinks_aloud_keeps_the_client_waiting_only_so_long() -> None:
    """Comments are passed on, but they are no first token."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED)
        while True:
            writer.write(chunk(b": thinking\n\n"))
            await asyncio.sleep(0.03)

    times = TimeoutSettings(first_token_s=0.3)
    async with upstream(serve) as up, plane(up.port, timeouts=times) as p:
        answer = await talk(p.port, HELD)
        assert answer.count(b": thinking") > 3
        assert (await p.settled()).ends[0][:2] == (200, "upstream_idle")


async def test_an_endpoint_may_have_less_time_than_its_model() -> None:
    ours = TimeoutSettings(connect_s=1, first_token_s=2, total_s=3)
    merged = EndpointTimeoutSettings(first_token_s=0.5).over(ours)
    assert (merged.connect_s, merged.first_token_s, merged.total_s) == (1, 0.5, 3)


WRONG = [b"text/html; charset=utf-8", b"text/plain", b"application/xml", b"image/png"]


@pytest.mark.parametrize("kind", WRONG)
async def test_what_is_no_completion_is_no_answer(kind: bytes) -> None:
    page = HTML.replace(b"text/html", kind)
    async with upstream(answering(page)) as up, plane(up.port) as p:
        _head, body = head_and_body(await talk(p.port, post()))
        assert json.loads(body)["error"]["code"] == "upstream_invalid_response"
        assert b"<html>" not in body
        assert (await p.settled()).ends[0][:2] == (502, "upstream_invalid_response")


@pytest.mark.parametrize("kind", [b"application/json", b"Application/JSON; charset=utf-8"])
async def test_what_may_be_one_is(kind: bytes) -> None:
    page = HTML.replace(b"text/html", kind)
    async with upstream(answering(page)) as up, plane(up.port) as p:
        assert status_of(await talk(p.port, post())) == 200


async def test_a_client_that_leaves_between_attempts_ends_them() -> None:
    policy = RetrySettings(backoff_s=1.0, longest_backoff_s=5.0)
    async with upstream(answering(BUSY)) as up:
        async with plane(up.port, retries=policy, dice=lambda: 0.99) as p:
            _, writer = await asyncio.open_connection("127.0.0.1", p.port)
            writer.write(HELD)
            while not (p.telemetry.exchanges and p.telemetry.last.tries):
                await asyncio.sleep(0.005)
            writer.close()
            assert (await p.settled()).ends == [(499, "client_closed", b"")]
            assert p.fleet.pools["m"].in_flight == 0


# Retry-After


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (b"retry-after: 7", 7),
        (b"retry-after: 0.5", 0.5),
        (b"Retry-After-Ms: 250\r\nretry-after: 7", 0.25),
        (b"retry-after: 1000000000", 1e9),
        (b"retry-after: -1", None),
        (b"retry-after: nan", None),
        (b"retry-after: inf", None),
        (b"retry-after: soon", None),
        (b"retry-after: ", None),
        (b"retry-after: Wed, 21 Oct 2015 07:28:00 GMT", 0),
        (b"retry-after: Wed, 99 Oct 2015 07:28:00 GMT", None),
        (b"x: y", None),
    ],
)
def test_what_servers_ask_for_is_read(lines: bytes, seconds: float | None) -> None:
    head = read_response(b"HTTP/1.1 503 Busy\r\n" + lines, bodiless=False)
    assert retry_after_s(head) == seconds


def test_a_date_is_read() -> None:
    when = formatdate(time.time() + 60, usegmt=True).encode()
    head = read_response(b"HTTP/1.1 503 Busy\r\nretry-after: " + when, bodiless=False)
    assert retry_after_s(head) == pytest.approx(60, abs=2)


async def test_clients_are_told_no_longer_wait_than_makes_sense() -> None:
    policy = RetrySettings(attempts=1)
    async with upstream(answering(LIMITED)) as up, plane(up.port, retries=policy) as p:
        head, _ = head_and_body(await talk(p.port, post()))
        assert (head["retry-after"], head["retry-after-ms"]) == ("5", "5000")


async def test_a_server_that_asks_for_peace_gets_it() -> None:
    """And a client is told so, when no other server is there and one wait was not enough."""
    asked: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            asked.append(time.monotonic())
            writer.write(at(429).replace(b"\r\ncontent-type", b"\r\nretry-after: 0.2\r\nx-t"))

    async with upstream(serve) as up, plane(up.port) as p:
        answers = await asyncio.gather(*(talk(p.port, post()) for _ in range(5)))
        assert {status_of(a) for a in answers} == {429}
        assert all(b"retry-after" in a for a in answers)
        gaps = [b - a for a, b in itertools.pairwise(asked)]
        assert len([gap for gap in gaps if gap > 0.15]) >= 1
        assert len(asked) <= 15


async def test_bodies_of_a_stream_without_chunks_may_be_sent_again_too() -> None:
    serve = breaking(STREAM + b"\r\n", rst=True)
    async with upstream(serve) as one, upstream(answering(OK)) as two:
        async with plane(one.port, two.port) as p:
            assert status_of(await talk(p.port, post())) == 200
