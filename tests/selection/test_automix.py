from __future__ import annotations

import pytest

from tests.selection.choosing import candidates, picked
from wayside.selection import Picked
from wayside.selection.automix import AutomixRule, AutomixSelector
from wayside.vocab.observed import ModelFacts

PLAIN = {"cost_aware_routing": False, "verification_threshold": 1.0}
"""Nothing but the value itself."""


def model(name: str, quality: float | None, price: float, size: float | None = None) -> ModelFacts:
    return ModelFacts(
        name=name, quality=quality, prompt_per_1m=price, completion_per_1m=price, parameters_b=size
    )


def choose(facts: tuple[ModelFacts, ...], **rule: object) -> Picked:
    selector = AutomixSelector(AutomixRule.model_validate(rule))
    selector.meet(facts)
    return picked(selector, candidates(*[f.name for f in facts]))


LADDER = (model("a", 0.5, 0, 1), model("b", 0.7, 2, 8), model("c", 0.9, 8, 70))


@pytest.mark.parametrize(
    ("steps", "values", "chosen"),
    [
        # V0: .5; .7 - .3*.2 = .64; .9 - .3*.8 = .66
        (0, (0.5, 0.64, 0.66), "c"),
        # a: .5 + .95*.5*.66 = .8135; b: .64 + .95*.3*.66 = .8281
        (1, (0.8135, 0.8281, 0.66), "b"),
        # a: .5 + .95*.5*.8281 = .8933475
        (2, (0.8933475, 0.8281, 0.66), "a"),
        (16, (0.8933475, 0.8281, 0.66), "a"),
    ],
)
def test_max_escalations_is_how_far_up_the_value_looks(
    steps: int, values: tuple[float, ...], chosen: str
) -> None:
    choice = choose(LADDER, max_escalations=steps, **PLAIN)
    assert choice.scores == pytest.approx(values)
    assert choice.candidate.name == chosen


def test_the_ladder_goes_by_size_whatever_the_order() -> None:
    turned = choose(LADDER[::-1], max_escalations=2, **PLAIN)
    assert turned.scores == pytest.approx((0.66, 0.8281, 0.8933475))


def test_sizes_are_read_from_names_where_the_settings_are_silent() -> None:
    # with 70b above 8b, 8b: .6 + .95*.4*.9 = .942; the other way round 70b would look up
    facts = (model("llama-70b", 0.9, 0), model("llama-8b", 0.6, 0))
    assert choose(facts, **PLAIN).scores == pytest.approx((0.9, 0.942))


def test_a_candidate_likely_to_pass_is_worth_a_tenth_more() -> None:
    # a .6; b .7 - .12 = .58, and times 1.1 .638
    facts = (model("a", 0.6, 0), model("b", 0.7, 4))
    rule = {"max_escalations": 0, "cost_aware_routing": False}
    assert choose(facts, verification_threshold=0.75, **rule).candidate.name == "a"
    trusted = choose(facts, verification_threshold=0.7, **rule)
    assert trusted.candidate.name == "b"
    assert trusted.scores == pytest.approx((0.6, 0.638))


def test_costs_count_once_more_where_routing_is_aware_of_them() -> None:
    # a .7; b .9 - .15 = .75, and divided by 1 + .1*5 .5
    facts = (model("a", 0.7, 0), model("b", 0.9, 5))
    rule = {"max_escalations": 0, "verification_threshold": 1.0, "cost_weight": 0.1}
    assert choose(facts, cost_aware_routing=False, **rule).candidate.name == "b"
    aware = choose(facts, cost_aware_routing=True, **rule)
    assert aware.candidate.name == "a"
    assert aware.scores == pytest.approx((0.7, 0.5))


def test_a_value_below_nothing_gets_worse_by_its_price_not_better() -> None:
    # .2 - .3*2 = -.4, times 1 + .1*20
    facts = (model("a", 0.2, 20), model("b", 0.2, 0))
    choice = choose(facts, max_escalations=0, cost_weight=0.1, verification_threshold=1.0)
    assert choice.scores == pytest.approx((-1.2, 0.2))


@pytest.mark.parametrize(
    ("setting", "value", "first"),
    [
        ("cost_quality_tradeoff", 0.0, 0.5 + 0.95 * 0.5 * 0.9),
        ("discount_factor", 0.0, 0.5),
        ("discount_factor", 1.0, 0.5 + 0.5 * 0.66),
    ],
)
def test_the_constants_do_what_they_say(setting: str, value: float, first: float) -> None:
    choice = choose((LADDER[0], LADDER[2]), **{setting: value}, **PLAIN)
    assert choice.scores[0] == pytest.approx(first)


def test_a_model_of_which_nothing_is_said_has_a_quality_of_eight_tenths() -> None:
    choice = choose((ModelFacts(name="x"), ModelFacts(name="y")), max_escalations=0, **PLAIN)
    assert choice.scores == (0.8, 0.8) and choice.candidate.name == "x"


def test_settings_that_would_do_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="use_logprob_verification"):
        AutomixRule.model_validate({"use_logprob_verification": True})
