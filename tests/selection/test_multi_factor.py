from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.selection.choosing import answers, candidates, picked, seen
from wayside.selection import Picked
from wayside.selection.multi_factor import MultiFactorRule, MultiFactorSelector
from wayside.vocab.errors import RequestError
from wayside.vocab.observed import ModelFacts, Seen

AMONG = candidates("small", "middle", "big")
SMALL = ModelFacts(name="small", quality=0.5, prompt_per_1m=0.5, completion_per_1m=1.5)  # 1
MIDDLE = ModelFacts(name="middle", quality=0.7, prompt_per_1m=2, completion_per_1m=6)  # 4
BIG = ModelFacts(name="big", quality=0.9, prompt_per_1m=6, completion_per_1m=16)  # 11
FACTS = (SMALL, MIDDLE, BIG)
SEEN = {
    "small": seen(100, 10, in_flight=10),
    "middle": seen(200, 20, in_flight=2),
    "big": seen(500, 50, in_flight=0),
}


def choose(rule: object, facts: tuple[ModelFacts, ...] = FACTS, **observed: Seen) -> Picked:
    selector = MultiFactorSelector(MultiFactorRule.model_validate(rule))
    selector.meet(facts)
    return picked(selector, AMONG, answers({**SEEN, **observed}))


def test_the_score_is_the_weighted_sum_of_normalised_factors() -> None:
    # Q: .5 .7 .9 -> 0, .5, 1.  L: both times -> 0, .25, 1.  C: 1 4 11 -> 0, .3, 1.
    # Load: 10 2 0 -> 1, .2, 0.
    # small  .4*0 + .2*1 + .2*1 + .2*0 = .4
    # middle .4*.5 + .2*.75 + .2*.7 + .2*.8 = .2 + .15 + .14 + .16 = .65
    # big    .4*1 + 0 + 0 + .2*1 = .6
    weights = {"quality": 0.4, "latency": 0.2, "cost": 0.2, "load": 0.2}
    choice = choose({"weights": weights})
    assert choice.scores == pytest.approx((0.4, 0.65, 0.6))
    assert choice.candidate.name == "middle"
    assert choice.why == "middle 0.65, big 0.6, small 0.4"


def test_weights_count_against_each_other_not_by_themselves() -> None:
    one = choose({"weights": {"quality": 4, "latency": 2, "cost": 2, "load": 2}})
    assert one.scores == pytest.approx((0.4, 0.65, 0.6))


@pytest.mark.parametrize(
    ("weight", "scores", "chosen"),
    [
        ("quality", (0.0, 0.5, 1.0), "big"),
        ("latency", (1.0, 0.75, 0.0), "small"),
        ("cost", (1.0, 0.7, 0.0), "small"),
        ("load", (0.0, 0.8, 1.0), "big"),
    ],
)
def test_each_weight_alone(weight: str, scores: tuple[float, ...], chosen: str) -> None:
    weights = dict.fromkeys(("quality", "latency", "cost", "load"), 0.0) | {weight: 1.0}
    choice = choose({"weights": weights})
    assert choice.scores == pytest.approx(scores)
    assert choice.candidate.name == chosen


def test_equal_factors_count_half_and_missing_ones_nothing() -> None:
    # Q: all .7 -> .5.  L: one sample alone -> .5 for it, nothing for the others.
    # C: small unknown; 4 and 4 -> .5.  Load: all 0 -> .5.  Weights .25 each.
    facts = (
        ModelFacts(name="small", quality=0.7),
        ModelFacts(name="middle", quality=0.7, prompt_per_1m=4, completion_per_1m=4),
        ModelFacts(name="big", quality=0.7, prompt_per_1m=4, completion_per_1m=4),
    )
    choice = choose({}, facts, small=seen(100), middle=Seen(), big=Seen())
    assert choice.scores == pytest.approx((0.375, 0.375, 0.375))


def test_one_of_two_times_is_enough_for_a_latency() -> None:
    # small .1 s and no tokens -> L 0; middle no first byte, 20 ms -> L 0; big 1 and 1 -> L 1
    weights = {"quality": 0, "latency": 1, "cost": 0, "load": 0}
    choice = choose({"weights": weights}, small=seen(100), middle=seen(None, 20))
    assert choice.scores == pytest.approx((1.0, 1.0, 0.0))


@pytest.mark.parametrize(
    ("slo", "left", "why"),
    [
        ({"max_ttft_ms": 499}, "big", "big needs 500 ms to begin"),
        ({"max_tpot_ms": 49}, "big", "big needs 50 ms per token"),
        ({"max_cost_per_1m": 10.9}, "big", "big costs 11 per million"),
        ({"max_inflight": 10}, "small", "small has 10 in flight"),
    ],
)
def test_who_is_over_a_limit_is_left_out(slo: dict[str, float], left: str, why: str) -> None:
    choice = choose({"slo": slo})
    assert choice.scores[[c.name for c in AMONG].index(left)] is None
    assert sum(s is None for s in choice.scores) == 1
    assert choice.why.endswith(f"; left out: {why}")


@pytest.mark.parametrize(
    "slo", [{"max_ttft_ms": 500}, {"max_tpot_ms": 50}, {"max_cost_per_1m": 11}]
)
def test_a_limit_itself_is_kept(slo: dict[str, float]) -> None:
    assert None not in choose({"slo": slo}).scores


def test_what_is_not_known_keeps_its_limit() -> None:
    choice = choose({"slo": {"max_ttft_ms": 1, "max_tpot_ms": 1}}, middle=Seen())
    assert choice.candidate.name == "middle" and choice.scores[1] is not None


def test_factors_are_normalised_over_those_within_the_limits() -> None:
    # without big: Q .5 .7 -> 0, 1
    weights = {"quality": 1, "latency": 0, "cost": 0, "load": 0}
    choice = choose({"weights": weights, "slo": {"max_ttft_ms": 300}})
    assert choice.scores == (0.0, 1.0, None)


EVERYBODY_OVER = {"max_ttft_ms": 50}


def test_the_cheapest_answers_when_every_candidate_is_over() -> None:
    facts = (ModelFacts(name="small"), BIG, MIDDLE)
    choice = choose({"slo": EVERYBODY_OVER}, facts)
    assert choice.candidate.name == "middle"
    assert choice.why.startswith("the cheapest: every candidate is over a limit: small needs 100")


def test_the_first_answers_if_the_settings_say_so() -> None:
    choice = choose({"slo": EVERYBODY_OVER, "on_no_candidates": "first"})
    assert choice.candidate.name == "small"


def test_nobody_answers_if_the_settings_say_so() -> None:
    with pytest.raises(RequestError, match="over its limits") as refused:
        choose({"slo": EVERYBODY_OVER, "on_no_candidates": "fail"})
    assert refused.value.status == 503 and refused.value.code == "no_model_within_limits"
    assert ("retry-after", "1") in refused.value.headers


def test_something_has_to_count() -> None:
    with pytest.raises(ValidationError, match="every weight is 0"):
        choose({"weights": dict.fromkeys(("quality", "latency", "cost", "load"), 0)})


QUEUES = {
    "small": seen(100, 10, servers=2, waiting=9.0, kv=0.9),
    "middle": seen(200, 20, servers=1, waiting=3.0, kv=0.5),
    "big": seen(500, 50, servers=4, waiting=0.0, kv=0.1),
}
ONLY = dict.fromkeys(("quality", "latency", "cost", "load"), 0.0)


@pytest.mark.parametrize(
    ("weight", "scores"), [("queue", (0.0, 2 / 3, 1.0)), ("kv", (0.0, 0.5, 1.0))]
)
def test_what_servers_say_counts_where_it_has_a_weight(
    weight: str, scores: tuple[float, ...]
) -> None:
    choice = choose({"weights": ONLY | {weight: 1.0}}, **QUEUES)
    assert choice.scores == pytest.approx(scores) and choice.candidate.name == "big"


@pytest.mark.parametrize(
    ("limit", "left", "why"),
    [
        ({"max_queue": 2}, "big", "has 9 waiting"),
        ({"max_kv": 0.6}, "middle", "has 90% of its KV cache in use"),
        ({"min_servers": 2}, "small", "has 1 servers"),
    ],
)
def test_limits_of_what_servers_say(limit: dict[str, float], left: str, why: str) -> None:
    weights = ONLY | {"latency": 1.0}
    choice = choose({"slo": limit, "weights": weights}, **QUEUES)
    assert choice.candidate.name == left and why in choice.why


def test_servers_are_asked_about_only_where_that_counts() -> None:
    def reads(rule: object) -> tuple[str, ...]:
        return MultiFactorSelector(MultiFactorRule.model_validate(rule)).reads

    assert reads({}) == () and reads({"slo": {"max_queue": 1}}) == ("vitals",)
    assert reads({"weights": {"kv": 1}}) == ("vitals",)
