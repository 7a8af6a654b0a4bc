"""What attempts owe the servers and each other: limits, blame, turns, and heads without end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wayside.gateway.upstream import HEAD_MAX
from wayside.settings import (
    BreakerSettings,
    HedgeSettings,
    QueueSettings,
    RetrySettings,
    TimeoutSettings,
)

from .rig import OK, Plane, answering, plane, post, read_request, status_of, talk, upstream
from .test_resilience import BUSY
from .test_resilience_load import Gate, line, until
from .test_upstream import CHUNKED, EVENTS, HELD, chunk

HINT = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
ONCE = RetrySettings(attempts=1)


def capped(p: Plane, *most: int | None) -> None:
    """Give the servers a limit each."""
    pool = p.fleet.pools["m"]
    for replica, limit in zip(pool.replicas, most, strict=True):
        replica.max_in_flight = limit
    pool.replace(pool.replicas, pool.settings)


async def test_informational_heads_are_bounded_together() -> None:
    few, many = HEAD_MAX // len(HINT) - 1, HEAD_MAX // len(HINT) + 1
    async with upstream(answering(HINT * few, OK)) as up, plane(up.port, retries=ONCE) as p:
        assert status_of(await talk(p.port, post())) == 200
    pieces = (HINT * (many // 2 + 1),) * 2
    async with upstream(answering(*pieces, OK)) as up, plane(up.port, retries=ONCE) as p:
        assert status_of(await talk(p.port, post())) == 502
        assert (await p.settled()).outcomes == ["upstream_bad_response"]


async def test_a_retry_does_not_go_where_there_is_no_room() -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while True:
            await read_request(reader)
            asked += 1
            writer.write(BUSY if asked == 1 else OK)

    gate = Gate()
    async with upstream(serve) as one, upstream(gate.serve) as full:
        async with plane(one.port, full.port) as p:
            capped(p, None, 1)
            replica = p.fleet.pools["m"].replicas[1]
            p.fleet.pools["m"].began(replica)  # somebody is there
            assert status_of(await talk(p.port, post())) == 200
            assert (asked, full.connections) == (2, 0)
            p.fleet.pools["m"].ended(replica)


async def test_who_waits_goes_to_a_server_that_is_back() -> None:
    """Nothing ends, and nobody else comes: time alone makes room."""
    one, two = Gate(), Gate()
    breaker = BreakerSettings(failures=1, pause_s=0.2)
    times = TimeoutSettings(first_byte_s=2)
    async with upstream(one.serve) as a, upstream(two.serve) as b:
        async with plane(a.port, b.port, breaker=breaker, timeouts=times) as p:
            capped(p, 1, 1)
            pool = p.fleet.pools["m"]
            pool.failed(pool.replicas[1], p.server.loop.time())
            asking = [asyncio.create_task(talk(p.port, post())) for _ in range(2)]
            await until(lambda: one.waiting == 1 and line(p) == 1)
            await until(lambda: two.waiting == 1)
            assert one.waiting == 1
            one.open.set()
            two.open.set()
            assert [status_of(answer) for answer in await asyncio.gather(*asking)] == [200, 200]


async def test_a_retry_goes_to_none_of_the_two_that_failed() -> None:
    gate = Gate()

    async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        gate.waiting += 1
        await until(lambda: gate.waiting == 2)
        writer.write(BUSY)

    hedge = HedgeSettings(after_s=0.02, share=1)
    async with upstream(both) as a, upstream(both) as b, upstream(answering(OK)) as c:
        async with plane(a.port, b.port, c.port, hedge=hedge) as p:
            assert status_of(await talk(p.port, post())) == 200
            tries = (await p.settled()).tries
            assert [(t.kind, t.endpoint) for t in tries][2:] == [("retry", str(c.port))]
            assert {t.endpoint for t in tries[:2]} == {str(a.port), str(b.port)}


async def test_who_was_asked_late_is_not_to_blame_for_the_time_that_ran_out() -> None:
    gate = Gate()
    times = TimeoutSettings(total_s=0.6)
    queue = QueueSettings(max_in_flight=1)
    async with upstream(gate.serve) as up, plane(up.port, timeouts=times, queue=queue) as p:
        pool = p.fleet.pools["m"]
        (replica,) = pool.replicas
        pool.began(replica)  # somebody is there for most of the time
        asking = asyncio.create_task(talk(p.port, post()))
        await until(lambda: line(p) == 1)
        await asyncio.sleep(0.45)
        pool.ended(replica)
        assert status_of(await asking) == 504
        assert (p.telemetry.last.outcomes, replica.failures) == (["upstream_timeout"], 0)
        assert status_of(await talk(p.port, post())) == 504
        assert replica.failures == 1, "who had all of it is"


async def test_a_stream_that_takes_longer_than_it_may_is_no_failure_of_its_server() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED)
        while not writer.is_closing():
            writer.write(chunk(EVENTS[0]))
            await writer.drain()
            await asyncio.sleep(0.01)

    async with upstream(serve) as up, plane(up.port, timeouts=TimeoutSettings(total_s=0.2)) as p:
        assert b"upstream_timeout" in await talk(p.port, HELD)
        assert (await p.settled()).outcomes == ["upstream_timeout"]
        (replica,) = p.fleet.pools["m"].replicas
        assert (replica.failures, replica.in_flight) == (0, 0)


RESTING = BUSY.replace(b"503 Busy", b"503 Busy\r\nretry-after: 1")


async def test_a_pause_that_a_server_asked_for_is_over_when_it_is_asked_again() -> None:
    """Timers of uvloop ring half a millisecond too soon: that was taken for a second refusal."""
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while True:
            await read_request(reader)
            asked += 1
            pause = b"503 Busy\r\nretry-after-ms: %d.%d" % (2 + asked % 3, asked % 10)
            writer.write(BUSY.replace(b"503 Busy", pause) if asked % 2 else OK)

    policy = RetrySettings(budget_at_least=1000)
    async with upstream(serve) as up, plane(up.port, retries=policy) as p:
        said = [status_of(await talk(p.port, post())) for _ in range(60)]
        assert set(said) == {200} and asked == 120


@pytest.mark.parametrize("how", ["line", "rest", "hedge"])
async def test_a_model_that_a_reload_removes_still_answers_who_was_there(how: str) -> None:
    gate = Gate()
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if how == "rest" and asked == 1:
            await read_request(reader)
            writer.write(BUSY.replace(b"503 Busy", b"503 Busy\r\nretry-after-ms: 200"))
        await gate.serve(reader, writer)

    more: dict[str, Any] = {
        "line": {"queue": QueueSettings(max_in_flight=1)},
        "rest": {"timeouts": TimeoutSettings(total_s=9)},
        "hedge": {"hedge": HedgeSettings(after_s=0.02, share=1)},
    }[how]
    async with upstream(serve) as a, upstream(serve) as b, upstream(answering(OK)) as other:
        ports = (a.port, b.port) if how == "hedge" else (a.port,)
        async with plane(*ports, others={"n": [other.port]}, **more) as p:
            pool, rest = p.fleet.pools["m"], p.fleet.pools["n"].settings
            asking = [
                asyncio.create_task(talk(p.port, post())) for _ in range(1 + (how == "line"))
            ]
            if how == "rest":
                await until(lambda: pool.asked_for_peace(p.server.loop.time()))
            else:
                await until(lambda: gate.waiting + len(pool.line) == 2)
            p.fleet.replace({"n": rest})
            gate.open.set()
            assert {status_of(answer) for answer in await asyncio.gather(*asking)} == {200}
            assert (pool.in_flight, len(pool.line)) == (0, 0)
            assert not any(r.idle or r.in_flight for r in pool.replicas), "nothing is kept"
            assert status_of(await talk(p.port, post())) == 503


@pytest.mark.parametrize("how", ["rest", "line", "hedge"])
async def test_the_whole_time_runs_out_wherever_a_request_is(how: str) -> None:
    gate = Gate()
    times = TimeoutSettings(total_s=0.3)
    more: dict[str, Any] = {
        "line": {"queue": QueueSettings(max_in_flight=1)},
        "rest": {"retries": RetrySettings(backoff_s=60, longest_backoff_s=60)},
        "hedge": {"hedge": HedgeSettings(after_s=0.02, share=1)},
    }[how]
    serve = answering(BUSY) if how == "rest" else gate.serve
    async with upstream(serve) as a, upstream(serve) as b:
        # A drawn pause that ends in time, by a hair.
        async with plane(a.port, b.port, timeouts=times, dice=lambda: 0.004, **more) as p:
            pool = p.fleet.pools["m"]
            began = p.server.loop.time()
            if how == "line":
                pool.began(pool.replicas[0])
            answer = await talk(p.port, post())
            assert status_of(answer) == {"line": 429, "rest": 503, "hedge": 504}[how]
            assert p.server.loop.time() - began < 1
            if how == "line":
                pool.ended(pool.replicas[0])
            await p.settled()
            assert (pool.in_flight, line(p), gate.waiting if how == "line" else 0) == (0, 0, 0)


@pytest.mark.parametrize("how", ["rest", "line", "hedge"])
async def test_a_stop_answers_who_waits_and_leaves_nothing(how: str) -> None:
    gate = Gate()
    more: dict[str, Any] = {
        "line": {"queue": QueueSettings(max_in_flight=1)},
        "rest": {},
        "hedge": {"hedge": HedgeSettings(after_s=0.02, share=1)},
    }[how]
    serve = answering(RESTING) if how == "rest" else gate.serve
    async with upstream(serve) as a, upstream(serve) as b:
        async with plane(a.port, b.port, **more) as p:
            pool = p.fleet.pools["m"]
            before = asyncio.all_tasks()
            if how == "line":
                pool.began(pool.replicas[0])
            asking = asyncio.create_task(talk(p.port, post()))
            if how == "rest":
                await until(lambda: pool.asked_for_peace(p.server.loop.time()))
            else:
                await until(lambda: gate.waiting + len(pool.line) == (2 if how == "hedge" else 1))
            await p.server.drain(0.05)
            assert b'"shutdown"' in (answer := await asking)
            assert status_of(answer) == 503
            if how == "line":
                pool.ended(pool.replicas[0])
            assert (pool.in_flight, line(p)) == (0, 0)
            assert p.telemetry.last.ends == [(503, "shutdown", b"")]
            await until(lambda: gate.waiting == 0)
            ours = [t for t in asyncio.all_tasks() - before if "/wayside/" in repr(t)]
            assert not ours
