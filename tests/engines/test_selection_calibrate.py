from __future__ import annotations

import random
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.engines.selection_calibrate import cut, wilson


def test_worked_by_hand() -> None:
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    found = cut(scores, 0.3)
    assert found.threshold == pytest.approx(0.75) and found.gives == 0.3
    # 10 x .3 = 3, spread 1.96 sqrt(2.1) = 2.84: ranks 0 and 6 from the top
    assert found.true == (0.4, 1.0)
    assert wilson(0.5, 100) == pytest.approx((0.403832, 0.596168), abs=1e-6)
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)


def test_prompts_of_one_score_go_together() -> None:
    scores = [0.9] * 40 + [0.2] * 60
    assert cut(scores, 0.5).gives == 0.4 and cut(scores, 0.95).gives == 1.0
    assert cut(scores, 0.1).gives == 0.0
    assert cut([0.5] * 9, 0.7).gives == 1.0


def test_no_threshold_is_above_a_score_of_one() -> None:
    found = cut([1.0], 0.25)
    assert found.gives == 1.0 and found.threshold <= 1.0


def test_no_scores_no_threshold() -> None:
    with pytest.raises(ValueError, match="no scores"):
        cut([], 0.5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_it_gives_what_it_says_and_no_share_is_nearer(scores: list[float], wanted: float) -> None:
    found = cut(scores, wanted)
    count = sum(score >= found.threshold for score in scores)
    assert found.gives == count / len(scores)
    assert 0 <= found.share[0] <= found.gives <= found.share[1] <= 1 or count in (0, len(scores))
    assert found.true[0] <= found.true[1]
    for edge in {*scores, 1.0}:  # thresholds go no higher
        other = sum(score >= edge for score in scores) / len(scores)
        if 0 < other < 1 or found.gives in (0, 1):
            assert abs(found.gives - wanted) <= abs(other - wanted) + 1e-9


def test_the_interval_holds_on_prompts_of_the_same_kind() -> None:
    dice = random.Random(11)
    held = 0
    later = sorted(dice.betavariate(2, 5) for _ in range(20_000))
    for _ in range(300):
        found = cut([dice.betavariate(2, 5) for _ in range(400)], 0.3)
        again = 1 - bisect_left(later, found.threshold) / len(later)
        held += found.share[0] <= again <= found.share[1]
    assert 0.9 <= held / 300 <= 0.99
