from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.selection import Candidate
from wayside.selection.weighted import WeightedRule, WeightedSelector
from wayside.vocab.prompt import Prompt

PROMPT = Prompt(model="auto")
SELECTOR = WeightedSelector(WeightedRule())
ROLLS = 2_000
WEIGHTS = st.lists(st.floats(0, 1e6), min_size=1, max_size=8)


def candidates(weights: list[float]) -> tuple[Candidate, ...]:
    return tuple(Candidate(f"m{i}", weight=weight) for i, weight in enumerate(weights))


@pytest.mark.parametrize(
    ("weights", "dice", "chosen"),
    [
        ([1, 1], 0.0, "m0"),
        ([1, 1], 0.4999, "m0"),
        ([1, 1], 0.5, "m1"),
        ([3, 1], 0.74, "m0"),
        ([3, 1], 0.75, "m1"),
        ([0, 1], 0.0, "m1"),
        ([1, 0], 0.9999999, "m0"),
        ([0, 0], 0.0, "m0"),
        ([0, 0], 0.5, "m1"),
        ([7], 0.3, "m0"),
    ],
)
def test_the_dice_fall_where_the_weights_say(
    weights: list[float], dice: float, chosen: str
) -> None:
    assert SELECTOR.choose(PROMPT, candidates(weights), dice).model == chosen


@given(WEIGHTS)
def test_each_share_of_evenly_spread_dice_is_the_share_of_the_weight(
    weights: list[float],
) -> None:
    """Even steps instead of random rolls: the law holds to within one step, with no luck in it."""
    models = candidates(weights)
    counts = dict.fromkeys((m.model for m in models), 0)
    for roll in range(ROLLS):
        counts[SELECTOR.choose(PROMPT, models, (roll + 0.5) / ROLLS).model] += 1
    total = sum(weights)
    for model in models:
        share = model.weight / total if total else 1 / len(models)
        assert math.isclose(counts[model.model], share * ROLLS, abs_tol=1.01)


@given(WEIGHTS, st.floats(0, 1, exclude_max=True))
def test_a_weight_of_zero_is_never_chosen_while_another_is_not_zero(
    weights: list[float], dice: float
) -> None:
    chosen = SELECTOR.choose(PROMPT, candidates(weights), dice)
    assert chosen.weight > 0 or not any(weights)


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=5), st.floats(0, 1, exclude_max=True))
def test_only_the_proportions_matter(weights: list[float], dice: float) -> None:
    doubled = [weight * 2 for weight in weights]  # exact in binary, so no rounding differs
    assert (
        SELECTOR.choose(PROMPT, candidates(weights), dice).model
        == SELECTOR.choose(PROMPT, candidates(doubled), dice).model
    )
