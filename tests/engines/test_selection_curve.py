from __future__ import annotations

import random

import pytest

from wayside.engines.selection_curve import Scored, as_text, curve


def rows(*triples: tuple[float, float, float]) -> list[Scored]:
    return [Scored(*triple) for triple in triples]


def test_worked_by_hand() -> None:
    """Four questions; the strong model gains on the second and the third by score."""
    found = curve(rows((0.9, 1, 1), (0.8, 0, 1), (0.7, 0, 1), (0.6, 1, 1)))
    assert (found.weak, found.strong) == (0.5, 1.0)
    # PGR 0, 0, .5, 1, 1 at c 0, .25, .5, .75, 1: trapezoids of 0, .25, .75 and 1 on a quarter
    assert found.apgr == pytest.approx(0.5)
    # The oracle: 0, .5, 1 at 0, .25, .5, then 1
    assert found.oracle == pytest.approx(0.75)
    assert found.cpt50 == pytest.approx(0.5)
    assert found.cpt80 == pytest.approx(0.65)  # .5 + .25 x (.8 - .5) / .5
    assert found.quality[4] == pytest.approx(0.75)  # half the questions to the strong model


def test_a_perfect_score_is_the_oracle_and_the_worst_its_mirror() -> None:
    good = rows((1, 0, 1), (0.9, 0, 1), (0.1, 1, 1), (0.0, 1, 1))
    assert curve(good).apgr == curve(good).oracle == pytest.approx(0.75)
    assert curve([Scored(-r.score, r.weak, r.strong) for r in good]).apgr == pytest.approx(0.25)


def test_equal_scores_are_dice() -> None:
    found = curve(rows(*((0.5, i % 2, 1) for i in range(40))))
    assert found.apgr == pytest.approx(0.5)
    assert (found.cpt50, found.cpt80) == pytest.approx((0.5, 0.8))
    assert found.interval == pytest.approx((0.5, 0.5))


def test_the_interval_of_a_noisy_score_holds_dice() -> None:
    dice = random.Random(5)
    found = curve([Scored(dice.random(), float(dice.random() < 0.5), 1.0) for _ in range(300)])
    assert found.interval[0] < 0.5 < found.interval[1]
    assert found.interval[0] < found.apgr < found.interval[1]


def test_a_strong_model_that_is_weaker_may_recover_more_than_all() -> None:
    found = curve(rows((0.9, 0, 1), (0.8, 0, 1), (0.7, 1, 0)))
    assert found.cpt50 == pytest.approx(1 / 6) and found.apgr > 1


@pytest.mark.parametrize("given", [[], rows((0.5, 1, 1)), rows((0.5, 1, 0))])
def test_without_a_gap_there_is_nothing_to_recover(given: list[Scored]) -> None:
    with pytest.raises(ValueError, match="nothing to recover"):
        curve(given)


def test_for_people() -> None:
    text = as_text("it", curve(rows((0.9, 0, 1), (0.1, 1, 1))))
    assert "it: 2 questions, weak 0.500, strong 1.000" in text
    assert "APGR 0.750" in text and "CPT(50%) 25.0%, CPT(80%) 40.0%" in text
    assert len(text.splitlines()) == 14
