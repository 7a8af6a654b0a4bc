from __future__ import annotations

from typing import Any

import pytest

from tests.selection.taught import FACTS, fails_safe, outcome, picked
from wayside.selection.kmeans import KmeansRule, KmeansSelector


def selector(**settings: Any) -> KmeansSelector:
    made = KmeansSelector(KmeansRule(**settings))
    made.meet(FACTS)
    return made


@pytest.mark.parametrize(
    ("weight", "scores", "model"),
    [
        # Quality .80, .78, .60; speed .1, .5, .9
        (0.1, (0.73, 0.752, 0.63), "mid"),  # .72 + .01, .702 + .05, .54 + .09
        (0.0, (0.80, 0.78, 0.60), "big"),
        (0.5, (0.45, 0.64, 0.75), "small"),
        (1.0, (0.1, 0.5, 0.9), "small"),
    ],
)
def test_quality_and_speed_are_weighed(
    weight: float, scores: tuple[float, ...], model: str
) -> None:
    made = selector(efficiency_weight=weight)
    found, question = picked(made, (outcome(0.8, 0.78, 0.6, speed=(0.1, 0.5, 0.9)),))
    assert found.scores == pytest.approx(scores)
    assert found.candidate.model == model
    assert question.most == 1 and question.taught.algorithm == "kmeans"  # type: ignore[union-attr]


def test_a_tenth_is_the_default() -> None:
    assert KmeansRule().efficiency_weight == 0.1


def test_what_nobody_measured_is_not_chosen_and_what_nobody_timed_is_slow() -> None:
    found, _ = picked(selector(), (outcome(None, 0.2, 0.2, speed=(1.0, None, 0.1)),))
    assert found.scores == (None, pytest.approx(0.18), pytest.approx(0.19))
    assert found.candidate.model == "small"


def test_it_fails_safe() -> None:
    fails_safe(selector())
