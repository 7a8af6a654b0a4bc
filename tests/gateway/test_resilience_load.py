"""Queues, urgency, hedges, breakers and other models: one gateway, servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from wayside.fleet import Urgencies
from wayside.settings import (
    BreakerSettings,
    HedgeSettings,
    QueueSettings,
    RetrySettings,
    TimeoutSettings,
    UrgencySettings,
)
from wayside.settings.model import IdentitySettings
from wayside.vocab.outcome import Forward, Outcome, Request, Target

from .rig import (
    OK,
    PATIENCE_S,
    Handler,
    Plane,
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
from .test_resilience import BUSY, at
from .test_upstream import CHUNKED, EVENTS, HELD, breaking, chunk


class Gate:
    """A model server that answers when told, and says how many wait."""

    def __init__(self) -> None:
        self.waiting = self.most = self.served = 0
        self.bodies: list[bytes] = []
        self.open = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await read_request(reader)
            self.bodies.append(body)
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            try:
                while not self.open.is_set():
                    if reader.at_eof() or reader.exception():
                        raise ConnectionResetError
                    await asyncio.sleep(0.005)
            finally:
                self.waiting -= 1
            self.served += 1
            writer.write(OK)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


def line(p: Plane) -> int:
    return len(p.fleet.pools["m"].line)


# Queues


async def test_no_more_are_sent_than_may_be_and_the_others_wait() -> None:
    gate = Gate()
    queue = QueueSettings(max_in_flight=2)
    async with upstream(gate.serve) as up, plane(up.port, queue=queue) as p:
        asking = [asyncio.create_task(talk(p.port, post())) for _ in range(10)]
        await until(lambda: line(p) == 8 and gate.waiting == 2)
        gate.open.set()
        answers = await asyncio.gather(*asking)
        assert {status_of(a) for a in answers} == {200}
        assert gate.most == 2
        assert (p.fleet.pools["m"].in_flight, line(p)) == (0, 0)


async def test_an_endpoint_may_have_a_limit_of_its_own() -> None:
    one, two = Gate(), Gate()
    async with upstream(one.serve) as a, upstream(two.serve) as b, plane(a.port, b.port) as p:
        small, _ = p.fleet.pools["m"].replicas
        small.max_in_flight = 1
        p.fleet.pools["m"].replace(p.fleet.pools["m"].replicas, p.fleet.pools["m"].settings)
        asking = [asyncio.create_task(talk(p.port, post())) for _ in range(8)]
        await until(lambda: one.waiting + two.waiting == 8)
        assert (one.waiting, two.waiting) == (1, 7)
        one.open.set()
        two.open.set()
        await asyncio.gather(*asking)


async def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    gate = Gate()
    queue = QueueSettings(max_in_flight=1, max_queue=1)
    async with upstream(gate.serve) as up, plane(up.port, queue=queue) as p:
        asking = [asyncio.create_task(talk(p.port, post())) for _ in range(2)]
        await until(lambda: gate.waiting == 1 and line(p) == 1)
        head, body = head_and_body(await talk(p.port, post()))
        assert json.loads(body)["error"]["code"] == "server_is_overloaded"
        assert 1 <= int(head["retry-after"]) <= 2
        assert 500 <= int(head["retry-after-ms"]) <= 1500
        assert p.telemetry.last.ends == [(429, "server_is_overloaded", b"")]
        gate.open.set()
        assert {status_of(a) for a in await asyncio.gather(*asking)} == {200}


async def test_nobody_waits_for_ever() -> None:
    gate = Gate()
    queue = QueueSettings(max_in_flight=1, timeout_s=0.15)
    async with upstream(gate.serve) as up, plane(up.port, queue=queue) as p:
        first = asyncio.create_task(talk(p.port, post()))
        await until(lambda: gate.waiting == 1)
        answer = await talk(p.port, post())
        assert (status_of(answer), b"slow_down" in answer) == (429, True)
        assert b"\r\nretry-after: " in answer
        assert line(p) == 0
        gate.open.set()
        assert status_of(await first) == 200


async def test_a_client_that_leaves_leaves_the_line() -> None:
    gate = Gate()
    queue = QueueSettings(max_in_flight=1)
    async with upstream(gate.serve) as up, plane(up.port, queue=queue) as p:
        first = asyncio.create_task(talk(p.port, post()))
        await until(lambda: gate.waiting == 1)
        _, writer = await asyncio.open_connection("127.0.0.1", p.port)
        writer.write(HELD)
        await until(lambda: line(p) == 1)
        writer.close()
        await until(lambda: line(p) == 0)
        assert p.telemetry.last.ends == [(499, "client_closed", b"")]
        gate.open.set()
        assert status_of(await first) == 200
        assert gate.served == 1, "nobody computes for a client that is gone"


async def test_the_urgent_go_first_and_the_others_make_room() -> None:
    gate = Gate()
    queue = QueueSettings(max_in_flight=1, max_queue=3)
    async with upstream(gate.serve) as up, plane(up.port, queue=queue) as p:
        p.fleet.urgency = Urgencies(
            UrgencySettings(header="x-urgent", groups={"paying": 10}),
            IdentitySettings(trusted=True),
        )
        order: list[bytes] = []

        async def ask(name: bytes, *headers: bytes) -> int:
            answer = await talk(p.port, post(name, *headers))
            order.append(name)
            return status_of(answer)

        tasks = [asyncio.create_task(ask(b"first"))]
        await until(lambda: gate.waiting == 1)
        for i, (name, header) in enumerate(
            [
                (b"idle", b"x-urgent: -5"),
                (b"plain", b"x: y"),
                (b"nonsense", b"x-urgent: 9999999"),
            ]
        ):
            tasks.append(asyncio.create_task(ask(name, header)))
            await until(lambda wanted=i + 1: line(p) == wanted)
        tasks.append(asyncio.create_task(ask(b"paying", b"x-authz-user-groups: a, paying")))
        await until(lambda: order == [b"idle"])
        assert await tasks[1] == 429, "the least urgent made room"
        gate.open.set()
        assert [await t for t in tasks] == [200, 429, 200, 200, 200]
        assert gate.bodies == [b"first", b"paying", b"plain", b"nonsense"]


def test_no_client_can_call_itself_urgent() -> None:
    settings = UrgencySettings(header="x-urgent", groups={"paying": 10})
    headers = {"x-urgent": "100", "x-authz-user-groups": "paying"}
    assert Urgencies(settings, IdentitySettings()).of(headers, 3) == 3
    trusted = Urgencies(settings, IdentitySettings(trusted=True))
    assert trusted.of(headers, 3) == 100
    assert trusted.of({**headers, "x-urgent": "101"}, 3) == 100
    assert trusted.of({"x-urgent": "soon", "x-authz-user-groups": "x,paying"}, 3) == 10
    assert trusted.of({}, 3) == 3


# Hedges


@pytest.mark.parametrize("hedge", [None, HedgeSettings(after_s=0.05, share=1)])
async def test_a_second_attempt_answers_where_the_first_is_slow(
    hedge: HedgeSettings | None,
) -> None:
    gate = Gate()
    async with upstream(gate.serve) as slow, upstream(answering(OK)) as quick:
        async with plane(slow.port, quick.port, hedge=hedge) as p:
            asking = asyncio.create_task(talk(p.port, post()))
            if hedge is None:
                await until(lambda: gate.waiting == 1)
                await asyncio.sleep(0.1)
                assert quick.connections == 0
                gate.open.set()
            assert status_of(await asking) == 200
            if hedge is not None:
                exchange = await p.settled()
                assert [(t.kind, t.outcome) for t in exchange.tries] == [
                    ("first", "hedge_lost"),
                    ("hedge", "ok"),
                ]
                await slow.closed.wait()  # the loser is cancelled at once
                assert [r.in_flight for r in p.fleet.pools["m"].replicas] == [0, 0]
                assert not p.fleet.pools["m"].replicas[0].troubled, "slow is no failure"


async def test_the_first_to_begin_wins_whoever_it_is() -> None:
    gates = Gate(), Gate()
    hedge = HedgeSettings(after_s=0.02, share=1)
    async with upstream(gates[0].serve) as a, upstream(gates[1].serve) as b:
        async with plane(a.port, b.port, hedge=hedge) as p:
            asking = asyncio.create_task(talk(p.port, post()))
            await until(lambda: gates[0].waiting == gates[1].waiting == 1)
            gates[0].open.set()
            assert status_of(await asking) == 200
            assert (await p.settled()).outcomes == ["hedge_lost", "ok"]
            await b.closed.wait()


async def test_one_of_two_may_fail_and_the_other_answers() -> None:
    gate = Gate()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await until(lambda: gate.waiting == 1)
        writer.write(BUSY)

    hedge = HedgeSettings(after_s=0.02, share=1)
    async with upstream(late) as a, upstream(gate.serve) as b:
        async with plane(a.port, b.port, hedge=hedge) as p:
            asking = asyncio.create_task(talk(p.port, post()))
            await until(lambda: p.telemetry.exchanges and p.telemetry.last.tries)
            gate.open.set()
            assert status_of(await asking) == 200
            assert (await p.settled()).outcomes == ["status_503", "ok"]


async def test_hedges_are_few() -> None:
    gate = Gate()
    hedge = HedgeSettings(after_s=0.02, share=0.1)
    async with upstream(gate.serve) as a, upstream(gate.serve) as b:
        async with plane(a.port, b.port, hedge=hedge) as p:
            asking = [asyncio.create_task(talk(p.port, post())) for _ in range(40)]
            await until(lambda: gate.waiting >= 40)
            await asyncio.sleep(0.1)
            assert gate.waiting == 44
            gate.open.set()
            assert {status_of(a) for a in await asyncio.gather(*asking)} == {200}


async def test_a_client_that_leaves_ends_both() -> None:
    gate = Gate()
    hedge = HedgeSettings(after_s=0.02, share=1)
    async with upstream(gate.serve) as a, upstream(gate.serve) as b:
        async with plane(a.port, b.port, hedge=hedge) as p:
            _, writer = await asyncio.open_connection("127.0.0.1", p.port)
            writer.write(HELD)
            await until(lambda: gate.waiting == 2)
            writer.close()
            exchange = await p.settled()
            assert exchange.outcomes == ["cancelled", "cancelled"]
            assert p.fleet.pools["m"].in_flight == 0


# Breakers


async def test_a_server_that_errs_is_left_out_but_never_all_of_them() -> None:
    once = RetrySettings(attempts=1)
    breaker = BreakerSettings(errors=3, pause_s=30)
    async with upstream(answering(at(500))) as a, upstream(answering(at(500))) as b:
        async with plane(a.port, b.port, retries=once, breaker=breaker) as p:
            for _ in range(12):
                assert status_of(await talk(p.port, post())) == 500
            now = p.server.loop.time()
            out = [r for r in p.fleet.pools["m"].replicas if r.out_until > now]
            assert [r.why for r in out] == ["errors"]


async def test_one_request_tries_a_server_whose_pause_is_over() -> None:
    down = True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            if down:
                return
            writer.write(OK)

    breaker = BreakerSettings(failures=1, pause_s=0.1)
    async with upstream(serve) as a, upstream(answering(OK)) as b:
        async with plane(a.port, b.port, breaker=breaker) as p:
            for _ in range(5):
                assert status_of(await talk(p.port, post())) == 200
            assert a.connections == 1, "one failure, then it is left alone"
            down = False
            await asyncio.sleep(0.12)
            assert status_of(await talk(p.port, post())) == 200
            assert a.connections == 2
            assert not p.fleet.pools["m"].replicas[0].troubled


async def test_when_no_server_can_be_reached_the_client_is_told_when_to_come_back() -> None:
    import socket

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with plane(closed.getsockname()[1], breaker=BreakerSettings(pause_s=7)) as p:
            assert status_of(await talk(p.port, post())) == 502
            head, body = head_and_body(await talk(p.port, post()))
            assert json.loads(body)["error"]["code"] == "no_healthy_endpoint"
            assert head["retry-after"] == "7"
            assert (await p.settled()).ends == [(503, "no_healthy_endpoint", b"")]


# Other models


class Two(StubRuntime):
    """Sends requests to ``m``, and to ``n`` in its place."""

    def __init__(self, *, minds_length: bool = False) -> None:
        super().__init__()
        self.minds_length = minds_length
        self.reasons: list[str] = []
        self.left: Forward | None = None

    def decide(self, request: Request) -> Outcome:
        found = super().decide(request)
        assert isinstance(found, Forward)
        self.left = msgspec.structs.replace(
            found,
            target=Target(name="n", upstream_name="n"),
            report=(("x-vsr-selected-model", "n"), ("x-wayside-fallback-from", "m")),
            record=msgspec.structs.replace(found.record, model="n", fallback_from="m"),
        )
        return msgspec.structs.replace(found, fallback=self)

    def __call__(self, reason: str) -> Forward | None:
        self.reasons.append(reason)
        found, self.left = self.left, None
        return found


TOO_LONG = b'{"error":{"code":"context_length_exceeded","message":"too long"}}'
FAILING: dict[str, tuple[Handler, str]] = {
    "no answer": (breaking(), "failure"),
    "errors": (answering(BUSY), "failure"),
    "429": (answering(at(429)), "overload"),
    "silence": (answering(pause=5), "failure"),
    "too long": (
        answering(
            b"HTTP/1.1 400 Bad\r\ncontent-length: %d\r\n\r\n" % len(TOO_LONG),
            TOO_LONG,
            pause=0.01,
        ),
        "context_length",
    ),
}


@pytest.mark.parametrize(("serve", "reason"), FAILING.values(), ids=FAILING.keys())
async def test_another_model_answers(serve: Handler, reason: str) -> None:
    runtime = Two(minds_length=True)
    times = TimeoutSettings(first_byte_s=0.2)
    few = RetrySettings(attempts=2, backoff_s=0.001)
    async with upstream(serve) as one, upstream(answering(OK)) as other:
        async with plane(
            one.port, runtime=runtime, timeouts=times, retries=few, others={"n": [other.port]}
        ) as p:
            head, body = head_and_body(await talk(p.port, post()))
            assert body == b'{"ok":true}'
            assert head["x-vsr-selected-model"] == "n"
            assert head["x-wayside-fallback-from"] == "m"
            exchange = await p.settled()
            assert runtime.reasons == [reason]
            assert [t.model for t in exchange.tries][-1] == "n"
            assert exchange.record is not None and exchange.record.model == "n"
            assert exchange.ends == [(200, "", b'{"ok":true}')]


async def test_a_model_whose_servers_are_all_out_is_not_waited_for() -> None:
    runtime = Two()
    async with upstream(answering(pause=9)) as one, upstream(answering(OK)) as other:
        async with plane(one.port, runtime=runtime, others={"n": [other.port]}) as p:
            (replica,) = p.fleet.pools["m"].replicas
            replica.leave(p.server.loop.time(), "failures")
            assert status_of(await talk(p.port, post())) == 200
            assert one.connections == 0


async def test_a_full_queue_is_a_reason_to_ask_another() -> None:
    gate, runtime = Gate(), Two()
    queue = QueueSettings(max_in_flight=1, max_queue=0)
    async with upstream(gate.serve) as one, upstream(answering(OK)) as other:
        async with plane(one.port, runtime=runtime, queue=queue, others={"n": [other.port]}) as p:
            first = asyncio.create_task(talk(p.port, post()))
            await until(lambda: gate.waiting == 1)
            assert status_of(await talk(p.port, post())) == 200
            assert runtime.reasons == ["overload"]
            gate.open.set()
            await first


async def test_a_400_for_another_reason_reaches_the_client_as_it_is() -> None:
    said = b'{"error":{"code":"invalid_value"}}'
    bad = b"HTTP/1.1 400 Bad\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said)
    runtime = Two(minds_length=True)
    async with upstream(answering(bad)) as one, upstream(answering(OK)) as other:
        async with plane(one.port, runtime=runtime, others={"n": [other.port]}) as p:
            for _ in range(2):
                answer = await talk(p.port, post())
                assert head_and_body(answer)[1] == said
            assert (other.connections, one.connections) == (0, 1)


async def test_never_in_the_middle() -> None:
    runtime = Two()
    serve = breaking(CHUNKED, chunk(EVENTS[0]))
    async with upstream(serve) as one, upstream(answering(OK)) as other:
        async with plane(one.port, runtime=runtime, others={"n": [other.port]}) as p:
            assert b'data: {"error"' in await talk(p.port, HELD)
            assert (runtime.reasons, other.connections) == ([], 0)


async def test_overload_leaves_the_capacity_to_those_who_are_served() -> None:
    """Fault 18: ten times as much is asked as can be done. A server of four slots, whose time is
    simulated, is busy for nine tenths of it at least: nothing is lost between two requests."""
    slots, service_s = 4, 0.1
    busy = 0.0
    now = most = 0
    codes: Counter[int] = Counter()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal busy, now, most
        while True:
            await read_request(reader)
            now += 1
            most = max(most, now)
            began = time.monotonic()
            await asyncio.sleep(service_s)
            busy += time.monotonic() - began
            now -= 1
            writer.write(OK)

    async def insist(port: int, end: float) -> None:
        """Ask again as soon as there is an answer, whatever we were told to wait."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            writer.write(HELD)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            codes[status_of(head)] += 1
            if status_of(head) == 429:
                await asyncio.sleep(service_s)
        writer.close()

    queue = QueueSettings(max_in_flight=slots, max_queue=8, timeout_s=1)
    async with upstream(serve) as up, plane(up.port, queue=queue) as p:
        began = time.monotonic()
        await asyncio.gather(*(insist(p.port, began + 1.5) for _ in range(60)))
        took = time.monotonic() - began - 2 * service_s  # the last ones of the line are alone
        assert most == slots
        assert set(codes) == {200, 429}
        assert codes.total() > 8 * codes[200], "it was an overload"
        assert busy >= 0.6 * slots * took, "nearly all of it on a quiet machine"


async def test_clients_that_leave_at_any_moment_take_no_turn_with_them() -> None:
    """One request at a time, two hundred clients, most of which lose patience: in the line, on
    their way to the server, before its answer."""
    dice = random.Random(7)
    now = most = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        while True:
            await read_request(reader)
            now += 1
            most = max(most, now)
            try:
                async with asyncio.timeout(0.004):
                    await reader.read(1)  # a client that left shows as the end
                return
            except TimeoutError:
                writer.write(OK)
            finally:
                now -= 1

    async def ask(port: int, patience_s: float) -> bytes:
        try:
            async with asyncio.timeout(patience_s):
                return await talk(port, post())
        except TimeoutError:
            return b""

    async with upstream(serve) as up, plane(up.port, queue=QueueSettings(max_queue=200)) as p:
        pool = p.fleet.pools["m"]
        pool.replicas[0].max_in_flight = 1
        pool.replace(pool.replicas, pool.settings)
        patience = [PATIENCE_S if i % 4 == 0 else dice.random() * 0.3 for i in range(200)]
        answers = await asyncio.gather(*(ask(p.port, seconds) for seconds in patience))
        assert {status_of(a) for a in answers[::4]} == {200}, "who stays is served"
        await until(lambda: all(e.ends for e in p.telemetry.exchanges))
        assert (pool.in_flight, pool.replicas[0].in_flight, line(p)) == (0, 0, 0)
        assert most <= 2, "a server may hear of the next one before it sees the last one gone"
        assert {len(e.ends) for e in p.telemetry.exchanges} == {1}
        assert {e.ends[0][0] for e in p.telemetry.exchanges} <= {200, 499}
