"""A pool that goes by a strategy: what strategies hear, and what their bugs may cost."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from wayside.endpoints import Profile
from wayside.endpoints.max_score import MaxScorePicker, MaxScoreRule
from wayside.fleet import Fleet, Pool, Replica
from wayside.fleet.faults import Faults
from wayside.settings import PickingSettings
from wayside.settings.address import Address
from wayside.settings.model import EndpointSettings, ModelSettings
from wayside.telemetry.metrics import Metrics
from wayside.vocab.endpoint import Need, Roster
from wayside.vocab.roles import ROLE_LABEL

DICE = Random(7).random


def settings(*names: str, **more: Any) -> ModelSettings:
    endpoints = tuple(EndpointSettings(url=f"http://{name}:80", name=name) for name in names)
    return ModelSettings(endpoints=endpoints, **more)


def replicas(*names: str) -> list[Replica]:
    return [Replica(name, Address("http", name, 80, "")) for name in names]


def need(**more: Any) -> Need:
    return Need("m", dice=DICE, **more)


class Part:
    """A scorer and a filter that writes down what it hears, and raises where it is told to."""

    def __init__(self, *raises: str, keeps: tuple[str, ...] = ()) -> None:
        self.raises, self.keeps = raises, keeps
        self.heard: list[tuple[str, str]] = []

    def _do(self, what: str, endpoint: Any) -> None:
        if what in self.raises:
            raise RuntimeError(what)
        self.heard.append((what, endpoint.name))

    def keep(self, need: Need, roster: Roster) -> list[int]:
        if "keep" in self.raises:
            raise RuntimeError("keep")
        return [i for i, e in enumerate(roster.endpoints) if e.name in self.keeps]

    def score(self, need: Need, roster: Roster) -> list[float]:
        if "score" in self.raises:
            raise RuntimeError("score")
        return [1.0] * len(roster.endpoints)

    def chosen(self, need: Need, endpoint: Any) -> None:
        self._do("chosen", endpoint)

    def answered(self, need: Need, endpoint: Any, seconds: float) -> None:
        self._do("answered", endpoint)

    def ended(self, need: Need, endpoint: Any) -> None:
        self._do("ended", endpoint)

    def forget(self, endpoint: Any) -> None:
        self._do("forget", endpoint)

    def says(self, need: Need, endpoint: Any) -> tuple[tuple[str, str], ...]:
        self._do("says", endpoint)
        return (("x-part", endpoint.name),)


def profile_of(*parts: Part, filters: tuple[Part, ...] = ()) -> Profile:
    scorers = [(part, 1.0) for part in parts]
    return Profile(filters, scorers, MaxScorePicker(MaxScoreRule()))


def pool_of(profile: Profile, names: str = "abc", when_none: Any = "any") -> Pool:
    picking = PickingSettings(when_none=when_none)
    pool = Pool(replicas(*names), ModelSettings(picking=picking))
    pool.profile = profile
    return pool


@pytest.mark.parametrize("hook", ["score", "chosen", "answered", "says", "ended", "forget"])
def test_a_bug_in_a_strategy_costs_a_line_of_the_log_and_nothing_else(hook: str) -> None:
    broken, sound = Part(hook), Part()
    pool = pool_of(profile_of(broken, sound))
    bugs: list[str] = []
    pool.fault = lambda bug: bugs.append(str(bug))
    asked = need()
    replica = pool.pick(0.0, DICE, (), asked)
    assert replica is not None
    pool.began(replica, asked)
    pool.answered(replica, asked, 0.1)
    said = pool.says(replica, asked)
    pool.ended(replica, asked)
    pool.replace([r for r in pool.replicas if r is not replica], pool.settings)
    assert bugs == [hook]
    assert pool.in_flight == replica.in_flight == 0
    # What is a part's own bug does not keep the others from hearing everything.
    assert [what for what, _ in sound.heard] == ["chosen", "answered", "says", "ended", "forget"]
    assert said == (("x-part", replica.name),) * (1 if hook == "says" else 2)


@pytest.mark.parametrize(
    "pairs", [(("x odd", "a"),), (("", "a"),), (("x-a", "b\r\nx-c: d"),), None, ("x",)]
)
def test_what_cannot_be_sent_is_none_of_what_a_strategy_says(pairs: Any) -> None:
    class Odd(Part):
        def says(self, need: Need, endpoint: Any) -> Any:
            return pairs

    pool = pool_of(profile_of(Odd(), Part()))
    bugs: list[str] = []
    pool.fault = lambda bug: bugs.append(str(bug))
    asked, replica = need(), pool.replicas[0]
    pool.began(replica, asked)
    assert pool.says(replica, asked) == (("x-part", "a"),)
    assert len(bugs) == 1 and "\n" not in bugs[0]


def test_bugs_are_counted_and_told_now_and_then() -> None:
    metrics, lines, now = Metrics(), [], [0.0]

    def log(event: str, *, level: str = "info", **fields: Any) -> None:
        lines.append((event, level, fields["model"], fields["traceback"]))

    faults = Faults(metrics, log, lambda: now[0])
    for _ in range(3):
        faults("m", ValueError("odd"))
    faults("n", ValueError("odd"))
    now[0] = 60.0
    faults("m", ValueError("even"))
    assert [line[:3] for line in lines] == [
        ("strategy failed", "error", model) for model in ("m", "n", "m")
    ]
    assert "ValueError: even" in lines[-1][3]
    assert 'wayside_pick_faults_total{model="m"} 4' in metrics.text().decode()


def test_a_profile_that_is_replaced_hears_the_end_of_what_it_heard_begin() -> None:
    before, after = Part(), Part()
    pool = pool_of(profile_of(before))
    first, second = need(), need()
    (a, b, _) = pool.replicas
    pool.began(a, first)
    pool.profile = profile_of(after)
    pool.began(b, second)
    pool.answered(a, first, 0.1)
    pool.ended(a, first)
    pool.ended(b, second)
    assert before.heard == [("chosen", "a"), ("answered", "a"), ("ended", "a")]
    assert after.heard == [("chosen", "b"), ("ended", "b")]
    pool.profile = None
    pool.began(a, first)
    pool.ended(a, first)
    assert len(before.heard) == 3 and len(after.heard) == 2


def test_nothing_is_learnt_of_a_server_that_is_gone() -> None:
    part = Part()
    pool = pool_of(profile_of(part))
    asked, gone = need(), pool.replicas[0]
    pool.began(gone, asked)
    pool.replace(pool.replicas[1:], pool.settings)
    gone.retire()
    pool.answered(gone, asked, 0.1)
    pool.ended(gone, asked)
    assert [what for what, _ in part.heard] == ["chosen", "forget", "ended"]


def test_refuse_holds_when_no_server_is_well_too() -> None:
    pool = pool_of(profile_of(filters=(Part(keeps=("a",)),)), when_none="refuse")
    a, b, c = pool.replicas
    found = pool.pick(0.0, DICE, (), need())
    assert found is a
    pool.down(a, "health", 0.0)
    assert pool.pick(0.0, DICE, (), need()) is None  # b and c are well, and not for this
    for other in (b, c):
        pool.down(other, "health", 0.0)
    assert pool.pick(0.0, DICE, (), need()) is a  # the least bad one that may
    assert pool.pick(0.0, DICE, (a,), need()) is None


def test_a_filter_that_cannot_say_keeps_nobody_where_that_refuses() -> None:
    for when_none in ("any", "refuse"):
        pool = pool_of(profile_of(filters=(Part("keep"),)), when_none=when_none)
        assert (pool.pick(0.0, DICE, (), need()) is None) == (when_none == "refuse")


def test_a_scorer_that_cannot_say_leaves_the_filters_standing() -> None:
    profile = profile_of(Part("score"), filters=(Part(keeps=("b", "c")),))
    pool = pool_of(profile, when_none="refuse")
    taken = {pool.pick(0.0, DICE, (), need()) for _ in range(50)}
    assert taken == set(pool.replicas[1:])


def test_servers_on_trial_and_full_ones_do_not_cost_what_was_worked_out() -> None:
    pool = Pool(replicas("a", "b", "c"), ModelSettings(picking=PickingSettings(strategy="queue")))
    rosters: list[Roster] = []
    profile = pool.profile
    assert profile is not None

    class Spy(Profile):
        def pick(self, need: Need, roster: Roster) -> Any:
            rosters.append(roster)
            return super().pick(need, roster)

    pool.profile = Spy([], [], MaxScorePicker(MaxScoreRule()))
    pool.capped = True
    pool.replicas[0].max_in_flight = 1
    for _ in range(3):
        pool.pick(0.0, DICE, (), need())
    pool.began(pool.replicas[0])
    for _ in range(3):
        pool.pick(0.0, DICE, (), need())
    assert len({id(roster) for roster in rosters}) == 2
    assert rosters[-1].endpoints == pool.replicas[1:]
    pool.refresh()
    pool.pick(0.0, DICE, (), need())
    assert rosters[-1] is not rosters[-2]


def test_what_one_role_learns_of_a_servers_health_counts_for_the_other() -> None:
    endpoints = tuple(
        EndpointSettings(url=f"http://{name}:80", labels={ROLE_LABEL: "both"}) for name in "ab"
    )
    model = ModelSettings(endpoints=endpoints, disaggregation={})
    fleet = Fleet({"m": model})
    decode = fleet.pools["m"]
    prefill = decode.prefill
    assert prefill is not None
    a, b = decode.replicas
    for pool in (decode, prefill):
        pool.pick(0.0, DICE)
    decode.down(a, "health", 0.0)
    assert {prefill.pick_another(0.0, DICE, ()) for _ in range(20)} == {b}
    decode.well(a, "health", 0.0)
    assert {prefill.pick(0.0, DICE) for _ in range(20)} == {a, b}
    for _ in range(a.breaker.failures):
        prefill.failed(a, 1.0)
    assert {decode.pick(1.0, DICE) for _ in range(20)} == {b}


def test_servers_that_are_down_are_none_to_choose_a_model_by() -> None:
    fleet = Fleet({"m": settings("a", "b")})
    pool = fleet.pools["m"]
    assert len(pool.in_rotation) == 2  # before anybody looked
    for replica in pool.replicas:
        pool.down(replica, "health", 0.0)
    assert pool.in_rotation == ()


def test_who_may_take_it_and_is_full_is_told_from_nobody() -> None:
    pool = pool_of(profile_of(filters=(Part(keeps=("a",)),)), when_none="refuse")
    a = pool.replicas[0]
    a.max_in_flight = 1
    pool.capped = True
    assert pool.pick(0.0, DICE, (), need()) is a and not pool.lacks_room(need())
    pool.began(a)
    assert pool.pick(0.0, DICE, (), need()) is None and not pool.full
    assert pool.lacks_room(need())
    pool.down(a, "health", 0.0)
    assert not pool.lacks_room(need())


def test_strategies_that_stay_as_they_are_keep_what_they_know() -> None:
    """Over a reload: their own, the top level's, and those of servers that read prompts."""
    roles = [{"url": f"http://{n}:1", "labels": {ROLE_LABEL: n}} for n in ("prefill", "decode")]
    models = {
        "own": settings("a", "b", picking="token_load"),
        "top": settings("c", "d"),
        "apart": ModelSettings.model_validate(
            {"endpoints": roles, "disaggregation": {"picking": "token_load"}}
        ),
    }
    fleet = Fleet(models, picking=PickingSettings(strategy="least_requests"))

    def profiles() -> list[Profile | None]:
        apart = fleet.pools["apart"]
        assert apart.prefill is not None
        return [fleet.pools[m].profile for m in ("own", "top", "apart")] + [apart.prefill.profile]

    before = profiles()
    assert None not in before and len(set(before)) == 4
    further = {
        **models,
        "own": settings("b", "e", picking="token_load"),
        "new": settings("f"),
    }
    fleet.replace(further, picking=PickingSettings(strategy="least_requests"))
    assert profiles() == before
    fleet.replace(models, picking=PickingSettings(strategy="random"))
    after = profiles()
    assert [a is b for a, b in zip(before, after, strict=True)] == [True, False, False, True]
