"""What attempts owe the servers and each other: limits, blame, turns, and heads without end."""

from __future__ import annotations

import asyncio

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
