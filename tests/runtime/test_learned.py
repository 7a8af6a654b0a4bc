from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from wayside.flow.judging import Judged, Routing
from wayside.runtime import compile_policy
from wayside.runtime.learned import ABANDONED_S, LEARNT, Learned
from wayside.settings import LearningSettings, RouterSettings
from wayside.stores import Tools
from wayside.stores.memory import MemorySettings, MemoryStore
from wayside.telemetry import Telemetry
from wayside.vocab.ask import Failure
from wayside.vocab.errors import AskFailed
from wayside.vocab.observed import Standings
from wayside.vocab.outcome import Record
from wayside.vocab.stores import Delete, Get, Listing, Put

CONFIG: dict[str, Any] = {
    "models": {name: {"endpoints": ["http://x:1"]} for name in ("a", "b")},
    "routing": {"decisions": [{"name": "chat", "models": ["a", "b"], "select": "elo"}]},
}
BOTH = ("a", "b")


class World:
    """A store that several routers share, and the time."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.store = MemoryStore(MemorySettings(), Tools())
        self.store.clock = lambda: self.now
        self.down = False

    def run(self, flow: Generator[Any, Any, Any]) -> Any:
        try:
            asks = next(flow)
            while True:
                asks = flow.send(tuple([self.answer(question) for question in asks]))
        except StopIteration as stop:
            return stop.value

    def answer(self, question: Any) -> Any:
        if self.down:
            return Failure("the store is down")
        match question:
            case Get():
                return self.store.get(question)
            case Put():
                return self.store.put(question)
            case Delete():
                return self.store.delete(question)
            case Listing():
                return self.store.listing(question)
        pytest.fail(str(question))

    def router(self, **settings: Any) -> Learned:
        found = Learned(LearningSettings(), self.run, lambda: self.now)
        whole = RouterSettings.model_validate({**CONFIG, "learning": settings})
        found.adopt(whole.learning, compile_policy(whole))
        return found

    def judge(self, router: Learned, candidate: str = "a", verdict: Any = "good_fit") -> None:
        outcome = Judged(
            replay_id="r",
            source="user",
            target="model",
            candidate=candidate,
            verdict=verdict,
            at=0,
        )
        self.run(router.learn(outcome, "", BOTH))


@pytest.fixture
def world() -> World:
    return World()


def ratings(router: Learned) -> list[float]:
    return [round(s.rating, 2) for s in router.standings(Standings(BOTH))]


def request(router: Learned, key: str, **fields: Any) -> None:
    telemetry = Telemetry()
    telemetry.watchers = (router,)
    exchange = telemetry.begin(shell="gateway", request_id=key)
    known = {"recipe": "default", "decision": "chat", "model": "a", "candidate": "a"}
    exchange.routed(Record(**{**known, **fields}))
    exchange.ended(status=200)


def test_nobody_judged_has_the_initial_rating(world: World) -> None:
    assert ratings(world.router()) == [1500, 1500]
    assert ratings(world.router(initial_rating=1200)) == [1200, 1200]


def test_outcomes_move_ratings_by_the_factor(world: World) -> None:
    router = world.router()
    world.judge(router)
    assert ratings(router) == [1516, 1500]
    world.judge(router, "b", "underpowered")
    # b against a: expected 1 / (1 + 10^(16/400)) = 0.477, and 32 times that is lost
    assert ratings(router) == [1516, pytest.approx(1484.74)]
    gentle = world.router(k_factor=8)
    world.judge(gentle)
    assert ratings(gentle) == [1504, 1500]


def test_a_request_can_be_judged_once_it_is_over(world: World) -> None:
    router = world.router()
    request(router, "req_1", category="math", owner="anna")
    found = world.run(router.routing("req_1"))
    assert found == Routing("default", "chat", "a", "math", "anna")
    assert world.run(router.routing("req_2")) is None


def test_the_model_that_answered_in_anothers_place_is_judged(world: World) -> None:
    router = world.router()
    request(router, "req_1", model="b", candidate="a", fallback_from="a")
    found = world.run(router.routing("req_1"))
    assert found is not None and found.candidate == "b"


@pytest.mark.parametrize("fields", [{"decision": ""}, {"model": ""}])
def test_what_no_decision_sent_to_a_model_is_not_judged(
    world: World, fields: dict[str, str]
) -> None:
    router = world.router()
    request(router, "req_1", **fields)
    assert world.run(router.routing("req_1")) is None


def test_where_nothing_learns_nothing_is_remembered(world: World) -> None:
    router = world.router(enabled=False)
    request(router, "req_1")
    assert world.run(router.routing("req_1")) is None


def test_routings_are_bounded_in_number_and_in_time(world: World) -> None:
    router = world.router(max_routings=2)
    for key in ("1", "2", "3"):
        request(router, key)
    assert world.run(router.routing("1")) is None
    assert world.run(router.routing("3")) is not None


def test_nobody_takes_over_the_id_of_anothers_request(world: World) -> None:
    router = world.router()
    request(router, "req_1", owner="anna")
    request(router, "req_1", owner="bert")
    found = world.run(router.routing("req_1"))
    assert found is not None and found.owner == "anna"


# shared by several routers

SHARED = {"store": "memory"}


def test_routers_see_each_others_requests(world: World) -> None:
    one, two = world.router(**SHARED), world.router(**SHARED)
    request(one, "req_1")
    assert world.run(two.routing("req_1")) is not None


def test_what_several_routers_learn_adds_up(world: World) -> None:
    one, two = world.router(**SHARED), world.router(**SHARED)
    ratings(two)
    world.judge(one)
    assert ratings(two) == [1500, 1500], "it is not read at every request"
    world.now += 5.0
    assert ratings(two) == [1516, 1500]
    world.judge(two)
    world.now += 5.0
    assert ratings(one) == ratings(two) == [pytest.approx(1531.26), 1500]


def test_outcomes_that_arrive_at_once_in_two_places_both_count(world: World) -> None:
    one, two = world.router(**SHARED), world.router(**SHARED)
    world.judge(one)
    world.judge(two)  # neither has read what the other wrote
    world.now += 5.0
    assert ratings(one) == ratings(two) == [1532, 1500]


def test_a_router_that_starts_again_finds_what_was_learnt(world: World) -> None:
    world.judge(world.router(**SHARED))
    assert ratings(world.router(**SHARED)) == [1516, 1500]


def test_what_a_gone_router_learnt_is_taken_over_once(world: World) -> None:
    world.judge(world.router(**SHARED))
    world.now += ABANDONED_S + 1
    one, two = world.router(**SHARED), world.router(**SHARED)
    assert ratings(one) == [1516, 1500]
    assert ratings(two) == [1516, 1500]
    world.now += 5.0
    assert ratings(one) == ratings(two) == [1516, 1500]
    documents = world.store.listing(Listing("memory", LEARNT))
    assert len(documents) == 1, "the new one's, not the old one's"


def test_a_router_that_only_slept_counts_nothing_twice(world: World) -> None:
    sleeper, other = world.router(**SHARED), world.router(**SHARED)
    world.judge(sleeper)
    world.now += ABANDONED_S + 1
    ratings(other)  # takes over
    world.judge(sleeper)
    world.now += 5.0
    assert ratings(other) == ratings(sleeper)
    assert 1530 < ratings(other)[0] <= 1532


def test_a_router_in_use_is_not_taken_over(world: World) -> None:
    busy, other = world.router(**SHARED), world.router(**SHARED)
    world.judge(busy)
    for _ in range(10):
        world.now += ABANDONED_S / 4 + 1
        assert ratings(busy) == [1516, 1500]
        assert ratings(other) == [1516, 1500]
    assert busy._own and not other._own


def test_a_store_that_is_down_stops_no_request_and_loses_nothing(world: World) -> None:
    router = world.router(**SHARED)
    world.judge(router)
    world.down = True
    world.now += 60.0
    assert ratings(router) == [1516, 1500]
    with pytest.raises(AskFailed):
        world.judge(router)
    assert ratings(router) == [1516, 1500], "what could not be written was not learnt"
    world.down = False
    world.judge(router)
    assert ratings(router)[0] > 1530


def test_what_another_version_wrote_is_left_alone(world: World) -> None:
    world.store.put(Put("memory", LEARNT, "other", b'{"version": 9}'))
    router = world.router(**SHARED)
    assert ratings(router) == [1500, 1500]
    assert world.store.get(Get("memory", LEARNT, "other")) is not None
