from __future__ import annotations

import pytest

from tests.selection.choosing import answers, candidates, picked, seen
from wayside.selection.latency_aware import LatencyAwareRule, LatencyAwareSelector
from wayside.vocab.ask import Failure
from wayside.vocab.errors import AskFailed
from wayside.vocab.observed import Observe, Seen

AMONG = candidates("a", "b", "c")


def selector(**rule: object) -> LatencyAwareSelector:
    return LatencyAwareSelector(LatencyAwareRule.model_validate(rule))


@pytest.mark.parametrize(
    ("times", "slowness", "chosen"),
    [
        # a: (100/100 + 30/10) / 2 = 2; b: (200/100 + 10/10) / 2 = 1.5; c: (300/100 + 20/10) / 2
        ([(100, 30), (200, 10), (300, 20)], (2.0, 1.5, 2.5), "b"),
        # without tokens per second: 400/200, 200/200, 300/200
        ([(400, None), (200, None), (300, None)], (2.0, 1.0, 1.5), "b"),
        # each measure over those that have it: a (100/100), b (20/10), c mean(150/100, 10/10)
        ([(100, None), (None, 20), (150, 10)], (1.0, 2.0, 1.25), "a"),
        ([(0, 0), (0, 0), (5, 5)], (1.0, 1.0, 5000.0), "a"),
    ],
)
def test_the_least_mean_of_ratios_to_the_fastest_wins(
    times: list[tuple[float | None, float | None]], slowness: tuple[float, ...], chosen: str
) -> None:
    found = tuple([seen(*t) for t in times])
    assert selector().slowness(found) == pytest.approx(slowness)
    observed = dict(zip("abc", found, strict=True))
    choice = picked(selector(explore=0), AMONG, answers(observed), dice=0.1)
    assert choice.candidate.name == chosen
    assert choice.scores == pytest.approx([1 / s for s in slowness])


def test_it_asks_for_the_percentiles_that_the_settings_name() -> None:
    asked = []

    def answer(question: Observe) -> object:
        asked.append(question)
        return (Seen(),) * 3

    picked(selector(ttft_percentile=95, tpot_percentile=90), AMONG, answer)
    picked(selector(tpot_percentile=90), AMONG, answer)
    picked(selector(), AMONG, answer)
    wanted = [(95, 90), (90,), (50, 50)]
    assert asked == [Observe(("a", "b", "c"), percentiles) for percentiles in wanted]


def test_a_measure_that_is_not_named_does_not_count_beside_one_that_is() -> None:
    slow_start = (seen(900, 10), seen(100, 20))
    assert selector(tpot_percentile=50).slowness(slow_start) == pytest.approx((1.0, 2.0))
    assert selector(ttft_percentile=50).slowness(slow_start) == pytest.approx((9.0, 1.0))


def test_each_percentile_is_that_of_its_own_measure() -> None:
    fast_start = Seen(ttft_s=(0.1, 0.1), tpot_s=(0.03, 0.03))
    slow_tail = Seen(ttft_s=(0.1, 9.0), tpot_s=(9.0, 0.03))
    rule = selector(ttft_percentile=50, tpot_percentile=99)
    assert rule.slowness((fast_start, slow_tail)) == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize(("dice", "chosen"), [(0.0, "a"), (0.34, "b"), (0.99, "c")])
def test_with_no_samples_at_all_every_candidate_is_as_likely(dice: float, chosen: str) -> None:
    choice = picked(selector(), AMONG, answers({}), dice=dice)
    assert choice.candidate.name == chosen and choice.scores == ()
    assert "nothing has been measured" in choice.why


@pytest.mark.parametrize(
    ("dice", "chosen"), [(0.0, "b"), (0.0499, "b"), (0.05, "c"), (0.0999, "c"), (0.1, "a")]
)
def test_a_share_of_requests_tries_those_without_samples(dice: float, chosen: str) -> None:
    choice = picked(selector(explore=0.1), AMONG, answers({"a": seen(100, 10)}), dice=dice)
    assert choice.candidate.name == chosen


def test_one_without_samples_counts_as_the_middle_when_a_conversation_asks() -> None:
    observed = {"a": seen(100), "b": seen(200)}
    choice = picked(selector(), AMONG, answers(observed), dice=0.9)
    assert choice.scores == pytest.approx((1.0, 0.5, 0.75))


def test_equal_ones_share_the_requests() -> None:
    observed = {name: seen(100, 10) for name in "abc"}
    found = [
        picked(selector(), AMONG, answers(observed), dice=d).candidate.name
        for d in (0.1, 0.5, 0.9)
    ]
    assert found == ["a", "b", "c"]


def test_the_reason_names_the_fastest_first() -> None:
    observed = {"a": seen(200), "b": seen(100), "c": seen(400)}
    assert picked(selector(), AMONG, answers(observed)).why == "speed: b 1, a 0.5, c 0.25"


def test_nobody_who_answers_is_a_failed_ask() -> None:
    with pytest.raises(AskFailed):
        picked(selector(), AMONG, lambda _: Failure("gone"))
