"""Nothing that waits is lost or answered twice, and turns are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.epp.flow_control import FlowControl
from wayside.epp.lanes import BandRule, Lanes, Waiting
from wayside.epp.refusals import NO_CANDIDATES, Refusal
from wayside.epp.saturation import Concurrency, Utilization
from wayside.vocab.endpoint import Endpoint, Roster, Vitals

from .rig import HEAD, Bench, destination

steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "take", "leave", "late"]),
        st.integers(-1, 2),
        st.sampled_from("abc"),
        st.integers(0, 30),
    ),
    max_size=80,
)


@pytest.mark.parametrize("ordering", ["fcfs", "edf", "slo-deadline"])
@pytest.mark.parametrize("fairness", ["round-robin", "global-strict"])
@given(steps)
def test_each_comes_out_once_in_the_order_of_its_band(
    ordering: Any, fairness: Any, todo: list[tuple[str, int, str, int]]
) -> None:
    rule = BandRule(max_requests=12, max_bytes=100, ordering=ordering, fairness=fairness)
    lanes = Lanes(usual=rule, max_requests=20)
    inside: list[Waiting] = []
    out: list[Waiting] = []
    now = 0.0
    for what, priority, flow, number in todo:
        now += 1
        if what == "put":
            waiting = Waiting(
                priority=priority, flow=flow, size=number, deadline=now + number, due=now - number
            )
            band = [w for w in inside if w.priority == priority]
            room = len(band) < 12 and len(inside) < 20
            room = room and sum(w.size for w in band) + number <= 100
            assert lanes.put(waiting) == room
            if room:
                inside.append(waiting)
        elif what == "take":
            taken = lanes.take()
            assert (taken is None) == (not inside)
            if taken is not None:
                assert taken.priority == max(w.priority for w in inside)
                peers = [
                    w
                    for w in inside
                    if w.priority == taken.priority
                    and (fairness == "global-strict" or w.flow == taken.flow)
                ]
                key = {
                    "fcfs": lambda w: w.number,
                    "edf": lambda w: (w.deadline, w.number),
                    "slo-deadline": lambda w: (w.due, w.number),
                }[ordering]
                assert taken is min(peers, key=key)
                inside.remove(taken)
                out.append(taken)
        elif what == "leave" and inside:
            waiting = inside.pop(number % len(inside))
            assert lanes.leave(waiting) and not lanes.leave(waiting)
            out.append(waiting)
        elif what == "late":
            gone = lanes.late(now)
            assert {id(w) for w in gone} == {id(w) for w in inside if w.deadline <= now}
            inside = [w for w in inside if w.deadline > now]
            out += gone
        assert lanes.count == len(inside)
        assert lanes.bytes == sum(w.size for w in inside)
        assert sum(size for _, _, size, _ in lanes.sizes()) == len(inside)
    rest = lanes.empty()
    assert {id(w) for w in rest} == {id(w) for w in inside}
    assert len({id(w) for w in out + rest}) == len(out) + len(rest)
    assert lanes.count == lanes.bytes == 0 and lanes.next_deadline() is None


def test_flows_of_one_priority_take_turns() -> None:
    lanes = Lanes()
    for flow, count in (("loud", 6), ("quiet", 2)):
        for _ in range(count):
            lanes.put(Waiting(flow=flow))
    order = "".join(w.flow[0] for w in lanes.empty())
    assert order == "lqlqllll"


def test_what_left_early_is_swept_out() -> None:
    lanes = Lanes(usual=BandRule(max_requests=10**6))
    for _ in range(5000):
        waiting = Waiting(deadline=1e9)
        lanes.put(waiting)
        lanes.leave(waiting)
    assert len(lanes._deadlines._items) < 200


# --- saturation --------------------------------------------------------------------------------


def pool(*vitals: Vitals) -> Roster:
    found = []
    for i, each in enumerate(vitals):
        endpoint = Endpoint(f"e{i}", f"10.0.0.{i}:8000")
        endpoint.vitals = each
        found.append(endpoint)
    return Roster(tuple(found))


def test_utilization_is_the_mean_of_the_fuller_of_queue_and_cache() -> None:
    detector = Utilization(lambda: 100.0)
    roster = pool(Vitals(at=100, waiting=5, kv=0.1), Vitals(at=99.9, waiting=0, kv=0.4))
    assert detector.saturation(roster) == pytest.approx((1.0 + 0.5) / 2)
    assert detector.saturation(pool(Vitals(at=99.7, waiting=0, kv=0.0))) == 1.0, "stale is full"
    assert detector.saturation(Roster(())) == 1.0


def test_concurrency_goes_by_requests_of_ours() -> None:
    roster = pool(Vitals(), Vitals())
    roster.endpoints[0].in_flight = 30
    assert Concurrency(20).saturation(roster) == 0.75
    assert Concurrency(20).saturation(Roster(())) == 1.0


# --- waiting -----------------------------------------------------------------------------------


class Stage:
    """Flow control with a pool that is as full as it is told."""

    def __init__(self, **more: Any) -> None:
        self.full = True
        self.time = 0.0
        self.told: list[str] = []
        self.roster = pool(Vitals())
        self.flow = FlowControl(
            more.pop("lanes", Lanes()),
            self,
            lambda: self.roster,
            lambda: self.time,
            told=lambda waiting, seconds, outcome: self.told.append(outcome),
            **more,
        )

    counts = True

    def saturation(self, roster: Roster) -> float:
        return 1.0 if self.full else 0.0

    def ask(self, priority: int = 0, flow: str = "f", *, empty: bool = False) -> Any:
        candidates = Roster(()) if empty else self.roster
        found = self.flow.admit(priority=priority, fairness=flow, size=1, candidates=candidates)
        return asyncio.create_task(_waits(found)) if isinstance(found, Awaitable) else found


async def _waits(found: Awaitable[Refusal | None]) -> Refusal | None:
    return await found


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_with_room_nobody_waits() -> None:
    stage = Stage()
    stage.full = False
    assert stage.ask() is None and stage.told == ["Dispatched"]


async def test_urgent_ones_go_first_one_at_a_time() -> None:
    stage = Stage()
    order: list[int] = []

    async def request(priority: int) -> None:
        candidates = stage.roster
        turn = stage.flow.admit(priority=priority, fairness="f", size=1, candidates=candidates)
        assert isinstance(turn, Awaitable) and await turn is None
        order.append(priority)
        stage.full = True  # it is placed, and fills the pool

    tasks = [asyncio.create_task(request(p)) for p in (0, -1, 5, 0)]
    await settle()
    for count in range(1, 5):
        assert len(order) == count - 1
        stage.full = False
        stage.flow.left()
        async with asyncio.timeout(5):
            while len(order) < count:
                await asyncio.sleep(0)
        await settle()
        assert len(order) == count, "one place, one request"
    assert order == [5, 0, 0, -1]
    await asyncio.gather(*tasks)


async def test_who_waits_too_long_hears_why() -> None:
    stage = Stage(ttl_s=10)
    task = stage.ask()
    await settle()
    stage.time = 11
    refusal = await asyncio.wait_for(task, 5)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.dropped) == (503, "rejected-ttl-expired")
    assert stage.told == ["EvictedTTL"]


async def test_a_full_line_refuses_at_once() -> None:
    stage = Stage(lanes=Lanes(max_requests=1))
    task = stage.ask()
    await settle()
    refusal = await stage.ask()
    assert (refusal.status, refusal.dropped) == (429, "rejected-saturated")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert stage.told == ["RejectedCapacity", "EvictedContextCancelled"]
    assert stage.flow.lanes.count == 0


async def test_a_client_gone_before_it_stood_in_line_holds_no_place() -> None:
    stage = Stage()
    task = stage.ask()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert stage.flow.lanes.count == 0 and stage.told == []


async def test_stopping_answers_everybody_who_waits() -> None:
    stage = Stage()
    tasks = [stage.ask() for _ in range(3)]
    await settle()
    stage.flow.close()
    for refusal in await asyncio.gather(*tasks):
        assert (refusal.status, refusal.dropped) == (503, "rejected-shutting-down")
    assert stage.ask().dropped == "rejected-shutting-down"


async def test_without_endpoints_one_waits_only_where_that_is_wanted() -> None:
    assert Stage().ask(empty=True) is NO_CANDIDATES
    stage = Stage(patience_s=3)
    task = stage.ask(empty=True)
    await settle()
    stage.time = 4
    assert (await asyncio.wait_for(task, 5)).dropped == "rejected-ttl-expired"


FLOW = """
featureGates: [flowControl]
plugins:
- {name: c, type: concurrency-detector, parameters: {maxConcurrency: 1}}
flowControl: {saturationDetector: {pluginRef: c}, defaultRequestTTL: 30s}
"""


async def test_a_session_waits_for_the_one_before_it() -> None:
    bench = Bench([(0, 0.1)], HEAD + FLOW)
    first, replies = bench.ask()
    assert destination(replies)
    second, replies = bench.ask(x_llm_d_inference_fairness_id="tenant")
    assert replies == [] and second.session.pending is not None
    waited = asyncio.create_task(second.waited())
    await settle()
    assert 'flow_control_queue_size{fairness_id="tenant"' in bench.text()
    assert not waited.done()
    first.session.close()
    assert destination(await asyncio.wait_for(waited, 5))
    second.session.close()
    assert bench.store.roster.endpoints[0].in_flight == 0
    third, replies = bench.ask()
    assert destination(replies)
    third.session.close()


async def test_a_client_that_leaves_the_line_leaves_nothing_behind() -> None:
    bench = Bench([(0, 0.1)], HEAD + FLOW)
    first, _ = bench.ask()
    second, _ = bench.ask()
    waited = asyncio.create_task(second.waited())
    await settle()
    waited.cancel()
    await asyncio.gather(waited, return_exceptions=True)
    second.session.close("reset")
    first.session.close()
    assert bench.picker.flow is not None and bench.picker.flow.lanes.count == 0
    assert bench.store.roster.endpoints[0].in_flight == 0
    bench.picker.close()


def test_shedding_by_chance_before_the_pool_is_full() -> None:
    config = HEAD + "plugins:\n- type: queue-scorer\n- type: probabilistic-admitter\n"
    bench = Bench([(2, 0.1)], config)  # saturation 0.4: 0.4**5 * 300 is more than 1
    _, (reply,) = bench.ask(x_llm_d_inference_objective="sheddable")
    assert reply.immediate.status.code == 429
    _, replies = bench.ask()
    assert destination(replies), "a request that is not sheddable goes on"
    bench = Bench([(0, 0.0)], config)
    _, replies = bench.ask(x_llm_d_inference_objective="sheddable")
    assert destination(replies)
