from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.selection.choosing import PROMPT, answers, candidates, picked
from wayside.selection import Picked
from wayside.selection.hybrid import HybridRule, HybridSelector
from wayside.vocab.observed import ModelFacts, Standing
from wayside.vocab.prompt import Prompt

AMONG = candidates("a", "b", "c")


def selector(**rule: object) -> HybridSelector:
    return HybridSelector(HybridRule.model_validate(rule))


def test_parts_are_normalised_weighted_and_divided_by_the_weights() -> None:
    # (.4*(0, 1, .5) + .4*(0, .25, 1) + .2*(1, 0, .5)) / 1
    parts = [
        (0.4, (1500.0, 1600.0, 1550.0)),
        (0.4, (0.5, 0.6, 0.9)),
        (0.2, (3.0, 1.0, 2.0)),
    ]
    found = selector(cost_weight=0).scores(parts, (None, None, None))
    assert found == pytest.approx((0.2, 0.5, 0.7))
    twice = [(2 * weight, values) for weight, values in parts]
    assert selector(cost_weight=0).scores(twice, (1, 2, 3)) == pytest.approx(found)


def test_what_is_not_known_of_one_counts_nothing_and_of_all_is_left_out() -> None:
    # the second part has no values at all: .3*(0, 1, .5) + .1*(0, 1, missing 0), over .4
    parts = [
        (0.3, (1500.0, 1600.0, 1550.0)),
        (0.3, (None, None, None)),
        (0.1, (0.1, 0.2, None)),
    ]
    found = selector(cost_weight=0).scores(parts, (None, None, None))
    assert found == pytest.approx((0.0, 1.0, 0.375))


@pytest.mark.parametrize(
    ("gap", "scores"),
    [
        # base 0, .95, 1; prices 0, 2.5, 10: bonuses 1.2, 1.15, 1
        (0.04, (0.0, 0.95, 1.0)),
        (0.05, (0.0, 1.0925, 1.0)),
        (1.0, (0.0, 1.0925, 1.0)),
    ],
)
def test_the_price_has_a_say_only_within_the_quality_gap(
    gap: float, scores: tuple[float, ...]
) -> None:
    rule = selector(quality_gap_threshold=gap, cost_weight=0.2)
    assert rule.scores([(1.0, (0.0, 0.95, 1.0))], (0, 2.5, 10)) == pytest.approx(scores)


def test_with_nothing_known_all_are_equal_but_for_the_price() -> None:
    found = selector(cost_weight=0.2).scores([(1.0, (None, None))], (0, 4))
    assert found == pytest.approx((0.6, 0.5))


FACTS = (
    ModelFacts(name="a", description="poems", quality=0.5),
    ModelFacts(name="b", description="", quality=0.5),
    ModelFacts(name="c", description="sums", quality=0.5),
)
STANDING = {("a", ""): Standing(rating=1400), ("b", ""): Standing(rating=1500)}


def choose(
    rule: dict[str, float],
    prompt: Prompt = PROMPT,
    cosines: tuple[float, ...] | None = (0.07, 0.14),
) -> Picked:
    chooser = selector(cost_weight=0, **rule)
    chooser.meet(FACTS)
    reply = answers(standing=STANDING, cosines=cosines)
    return picked(chooser, AMONG, reply, prompt=prompt, dice=0.0)


def test_descriptions_alone() -> None:
    # cosines .07 and .14 over .07: sigmoid(1) < sigmoid(2); b has no description
    only = {"experience_weight": 0.0, "automix_weight": 0.0, "router_dc_weight": 1.0}
    choice = choose(only)
    assert choice.candidate.name == "c"
    assert choice.scores == pytest.approx((0.0, 0.0, 1.0))


def test_experience_alone_goes_by_ratings() -> None:
    only = {"experience_weight": 1.0, "automix_weight": 0.0, "router_dc_weight": 0.0}
    choice = choose(only)  # c was never judged: 1500
    assert choice.scores == pytest.approx((0.0, 1.0, 1.0))


def test_automix_alone_goes_by_its_value() -> None:
    # on the ladder as listed: c .5; b .5 + .95*.5*.5 = .7375; a .5 + .95*.5*.7375 = .8503125
    only = {"experience_weight": 0.0, "automix_weight": 1.0, "router_dc_weight": 0.0}
    assert choose(only).scores == pytest.approx((1.0, (0.7375 - 0.5) / (0.8503125 - 0.5), 0.0))


@pytest.mark.parametrize("cosines", [None, (0.07, 0.14)])
def test_without_a_question_or_an_embedder_the_other_parts_decide(
    cosines: tuple[float, ...] | None,
) -> None:
    prompt = PROMPT if cosines is None else Prompt(model="auto")
    choice = choose({"automix_weight": 0.0}, prompt, cosines)
    assert choice.scores == pytest.approx((0.0, 1.0, 1.0))


def test_only_descriptions_that_count_are_embedded() -> None:
    chooser = selector(router_dc_weight=0)
    chooser.meet(FACTS)
    assert chooser.banks == {}
    counted = selector()
    counted.meet(FACTS)
    assert counted.banks["embedding"].texts == ("poems", "sums")


def test_something_has_to_count() -> None:
    with pytest.raises(ValidationError, match="every weight is 0"):
        selector(experience_weight=0, router_dc_weight=0, automix_weight=0)
