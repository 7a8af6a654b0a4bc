"""Who leads: never two at a time, whatever is lost, late, slow or stopped on the way."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Coroutine, Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.kube.errors import AlreadyExists, Conflict, Forbidden, NotFound, Unreachable
from wayside.kube.lease import Elector, Terms
from wayside.vocab.resource import Resource

Object = dict[str, Any]


class Op:
    """One request under way: applied by the server when the test says so."""

    def __init__(self, verb: str, body: Object) -> None:
        self.verb, self.body = verb, body
        self.outcome: Object | Exception | None = None

    def __await__(self) -> Generator[Op, None, Object]:
        yield self
        assert self.outcome is not None
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Store:
    """One Lease, with versions as an API server has them."""

    def __init__(self) -> None:
        self.lease: Object | None = None
        self.version = 0

    def apply(self, op: Op) -> None:
        lease = self.lease
        if op.verb == "create":
            op.outcome = AlreadyExists("create", 409) if lease else self._put(op.body)
        elif lease is None:
            op.outcome = NotFound(op.verb, 404)
        elif op.verb == "get":
            op.outcome = copy.deepcopy(lease)
        elif op.body["metadata"].get("resourceVersion") != str(self.version):
            op.outcome = Conflict("replace", 409)
        else:
            op.outcome = self._put(op.body)

    def _put(self, body: Object) -> Object:
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.lease)


class Asks:
    """The client of one elector, whose requests wait to be delivered."""

    async def get(self, resource: Resource, name: str, namespace: str) -> Object:
        return await Op("get", {})

    async def create(self, resource: Resource, body: Object, namespace: str) -> Object:
        return await Op("create", body)

    async def replace(self, resource: Resource, body: Object, namespace: str) -> Object:
        return await Op("replace", body)


class Stands:
    """One elector, driven by hand, with a clock of its own."""

    def __init__(self, world: World, i: int, offset: float, rate: float) -> None:
        self.elector = Elector(
            Asks(),  # type: ignore[arg-type]
            "l",
            "ns",
            identity=f"e{i}",
            clock=lambda: offset + rate * world.time,
        )
        self.work: Coroutine[Any, Any, Any] | None = None
        self.op: Op | None = None

    def begin(self) -> None:
        if self.work is None:
            self.work = self.elector.attempt()
            self.go(None)

    def go(self, error: Exception | None) -> None:
        assert self.work is not None
        try:
            self.op = self.work.throw(error) if error is not None else self.work.send(None)
        except StopIteration:
            self.work = self.op = None


class World:
    def __init__(self, clocks: list[tuple[float, float]]) -> None:
        self.time = 0.0
        self.store = Store()
        self.late: list[Op] = []
        self.stands = [Stands(self, i, *clock) for i, clock in enumerate(clocks)]

    def leaders(self) -> list[str]:
        return [s.elector.identity for s in self.stands if s.elector.leads]

    def settle(self, i: int) -> bool:
        """One attempt without anything going wrong."""
        stands = self.stands[i]
        stands.begin()
        while stands.op is not None:
            self.store.apply(stands.op)
            stands.go(None)
        return stands.elector.leads


ACTIONS = st.one_of(
    st.tuples(st.just("begin"), st.integers(0, 2)),
    st.tuples(st.just("begin"), st.integers(0, 2)),
    st.tuples(st.just("apply"), st.integers(0, 2)),
    st.tuples(st.just("reply"), st.integers(0, 2)),
    st.tuples(st.just("reply"), st.integers(0, 2)),
    st.tuples(st.just("lose"), st.integers(0, 2)),
    st.tuples(st.just("late"), st.integers(0, 5)),
    st.tuples(st.just("pass"), st.sampled_from([0.1, 1.0, 2.0, 4.0, 9.0, 16.0])),
)
CLOCKS = st.tuples(st.floats(-1e6, 1e6), st.floats(0.9, 1.1))


@settings(max_examples=400, deadline=None)
@given(st.lists(CLOCKS, min_size=3, max_size=3), st.lists(ACTIONS, max_size=120))
def test_never_two_lead(clocks: list[tuple[float, float]], actions: list[tuple[str, Any]]) -> None:
    """Requests are lost before or after they are done, or done long after their sender gave up;
    clocks differ, and go a tenth too slow or too fast: 10 s / 0.9 < 15 s / 1.1."""
    world = World(clocks)
    for verb, value in actions:
        if verb == "pass":
            world.time += value
        elif verb == "late":
            if value < len(world.late):
                world.store.apply(world.late.pop(value))
        else:
            stands = world.stands[value]
            if verb == "begin":
                stands.begin()
            elif stands.op is not None and verb == "apply" and stands.op.outcome is None:
                world.store.apply(stands.op)
            elif stands.op is not None and verb == "reply":
                if stands.op.outcome is None:
                    world.store.apply(stands.op)
                stands.go(None)
            elif stands.op is not None and verb == "lose":
                if stands.op.outcome is None:
                    world.late.append(stands.op)
                stands.go(Unreachable("no answer"))
        assert len(world.leaders()) <= 1
    for stands in world.stands:
        if stands.work is not None:
            stands.work.close()


def test_the_first_leads_and_the_second_takes_over_when_its_time_is_over() -> None:
    world = World([(0.0, 1.0), (500.0, 1.0)])
    assert world.settle(0) and not world.settle(1)
    assert world.stands[1].elector.holder == "e0"
    world.time = 9.0
    assert world.settle(0), "a renewal, which the other sees at once"
    assert not world.settle(1)
    world.time = 18.9
    assert world.leaders() == ["e0"]
    world.time = 19.1
    assert world.leaders() == [], "no renewal for 10 s"
    world.time = 23.9
    assert not world.settle(1), "15 s after it saw the last one"
    world.time = 24.1
    assert world.settle(1) and world.leaders() == ["e1"]
    assert world.stands[1].elector.transitions == 1
    assert not world.settle(0) and world.stands[0].elector.holder == "e1"


def test_an_answer_that_comes_late_makes_nobody_leader() -> None:
    """Its time counts from before the request was sent: others may have seen it done since."""
    world = World([(0.0, 1.0), (0.0, 1.0)])
    slow = world.stands[0]
    slow.begin()
    assert slow.op is not None
    world.store.apply(slow.op)
    slow.go(None)
    assert slow.op is not None and slow.op.verb == "create"
    world.store.apply(slow.op)
    assert not world.settle(1)
    world.time = 15.1
    assert world.settle(1)
    slow.go(None)
    assert world.leaders() == ["e1"]


def test_who_sees_another_in_its_place_steps_down_at_once() -> None:
    world = World([(0.0, 1.0)])
    world.settle(0)
    assert world.store.lease is not None
    world.store.version += 1
    world.store.lease["metadata"]["resourceVersion"] = str(world.store.version)
    world.store.lease["spec"]["holderIdentity"] = "an administrator's choice"
    world.time = 2.0
    assert not world.settle(0)


def test_times_written_in_a_lease_are_not_believed() -> None:
    """Another's clock may be years off, or its Lease left over from long ago."""
    world = World([(0.0, 1.0)])
    world.store.lease = {
        "metadata": {"name": "l", "resourceVersion": "0"},
        "spec": {
            "holderIdentity": "other",
            "leaseDurationSeconds": 60,
            "renewTime": "1999-01-01T00:00:00.000000Z",
            "leaseTransitions": 6,
        },
    }
    assert not world.settle(0)
    world.time = 59.0
    assert not world.settle(0), "its own duration counts, not ours"
    world.time = 60.1
    assert world.settle(0)
    assert world.store.lease["spec"]["leaseTransitions"] == 7


def test_a_lease_that_somebody_deletes_ends_nobodys_time() -> None:
    world = World([(0.0, 1.0), (0.0, 1.0)])
    world.settle(0)
    world.settle(1)
    world.store.lease = None
    world.time = 5.0
    assert not world.settle(1) and world.leaders() == ["e0"]
    assert world.settle(0), "its holder writes it anew"


def test_a_change_of_something_else_in_it_costs_nothing() -> None:
    world = World([(0.0, 1.0)])
    world.settle(0)
    assert world.store.lease is not None
    world.store.version += 1
    world.store.lease["metadata"] |= {"resourceVersion": "2", "labels": {"kept": "yes"}}
    world.time = 9.0
    assert world.settle(0), "the conflict is looked into at once"
    assert world.store.lease["metadata"]["labels"] == {"kept": "yes"}


def test_what_is_no_lease_is_taken_over() -> None:
    for spec in ({}, {"holderIdentity": 7, "leaseDurationSeconds": "x"}, None):
        world = World([(0.0, 1.0)])
        world.store.lease = {"metadata": {"name": "l", "resourceVersion": "0"}, "spec": spec}
        assert world.settle(0)


def test_a_missing_right_is_told_once_with_what_to_do() -> None:
    said: list[dict[str, Any]] = []

    class Refuses(Asks):
        async def get(self, resource: Resource, name: str, namespace: str) -> Object:
            raise Forbidden("GET leases", 403)

    elector = Elector(
        Refuses(),
        "l",
        "ns",
        log=lambda event, **f: said.append(f),  # type: ignore[arg-type]
    )
    for _ in range(3):
        with pytest.raises(StopIteration):
            elector.attempt().send(None)
    assert len(said) == 1 and "leases" in said[0]["fix"]


def test_terms_that_cannot_be_safe_are_refused() -> None:
    for wrong in ({"renew_s": 15.0}, {"retry_s": 10.0}, {"retry_s": 0.0}):
        with pytest.raises(ValueError, match="lease_s > renew_s"):
            Terms(**wrong)  # type: ignore[arg-type]


# --- what only a leader may do -----------------------------------------------------------------


class Now:
    """A server that answers at once."""

    def __init__(self, store: Store) -> None:
        self.store, self.away = store, False

    async def _done(self, verb: str, body: Object) -> Object:
        if self.away:
            raise Unreachable("away")
        op = Op(verb, body)
        self.store.apply(op)
        assert op.outcome is not None
        if isinstance(op.outcome, Exception):
            raise op.outcome
        return op.outcome

    async def get(self, resource: Resource, name: str, namespace: str) -> Object:
        return await self._done("get", {})

    async def create(self, resource: Resource, body: Object, namespace: str) -> Object:
        return await self._done("create", body)

    async def replace(self, resource: Resource, body: Object, namespace: str) -> Object:
        return await self._done("replace", body)


QUICK = Terms(lease_s=1, renew_s=0.3, retry_s=0.05)


async def test_work_is_done_by_the_leader_alone_and_ends_before_anothers_begins() -> None:
    store, under_way = Store(), []
    clients = [Now(store), Now(store)]

    async def work(i: int) -> None:
        assert not under_way
        under_way.append(i)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            under_way.remove(i)

    def stands(i: int) -> asyncio.Task[None]:
        elector = Elector(clients[i], "l", "ns", identity=f"e{i}", terms=QUICK)  # type: ignore[arg-type]
        return asyncio.create_task(elector.while_leading(lambda: work(i)))

    async def leads(i: int) -> None:
        async with asyncio.timeout(10):
            while under_way != [i]:
                await asyncio.sleep(0.01)

    first = stands(0)
    await leads(0)
    second = stands(1)
    clients[0].away = True
    await leads(1)
    clients[0].away = False
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert store.lease is not None and store.lease["spec"]["holderIdentity"] in ("", "e0")
    began = asyncio.get_running_loop().time()
    await leads(0)
    assert asyncio.get_running_loop().time() - began < QUICK.lease_s, "it was given up"
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert not under_way and store.lease["spec"]["holderIdentity"] == ""


async def test_work_that_ends_or_fails_ends_it_all() -> None:
    store = Store()
    elector = Elector(Now(store), "l", "ns", terms=QUICK)  # type: ignore[arg-type]

    async def ends() -> None:
        await asyncio.sleep(0)

    async def fails() -> None:
        raise ZeroDivisionError

    async with asyncio.timeout(10):
        await elector.while_leading(ends)
        with pytest.raises(ZeroDivisionError):
            await elector.while_leading(fails)
    assert store.lease is not None and store.lease["spec"]["holderIdentity"] == ""
    assert store.lease["spec"]["leaseTransitions"] == 1


async def test_work_that_does_not_end_is_an_error() -> None:
    client = Now(Store())
    elector = Elector(client, "l", "ns", terms=QUICK)  # type: ignore[arg-type]
    going_on = asyncio.Event()

    async def stubborn() -> None:
        client.away = True
        while not going_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await going_on.wait()

    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="goes on"):
            await elector.while_leading(stubborn)
    going_on.set()
    await asyncio.sleep(0)


async def test_the_end_of_its_time_is_told_even_while_an_answer_is_waited_for() -> None:
    class Hangs(Now):
        async def _done(self, verb: str, body: Object) -> Object:
            if self.away:
                await asyncio.Event().wait()
            return await super()._done(verb, body)

    client, told = Hangs(Store()), []
    elector = Elector(client, "l", "ns", terms=QUICK, changed=lambda: told.append(elector.leads))  # type: ignore[arg-type]
    task = asyncio.create_task(elector.run())
    async with asyncio.timeout(10):
        while told != [True]:
            await asyncio.sleep(0.01)
        client.away = True
        began = asyncio.get_running_loop().time()
        while told != [True, False]:
            await asyncio.sleep(0.01)
    assert asyncio.get_running_loop().time() - began < QUICK.lease_s
    client.away = False
    async with asyncio.timeout(10):
        while told != [True, False, True]:
            await asyncio.sleep(0.01)
    task.cancel()
