from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.vocab.affinity import affinities, affinity, described, shares
from wayside.vocab.observed import ModelFacts


@pytest.mark.parametrize(
    ("cosine", "temperature", "expected"),
    [
        (0.0, 0.07, 0.5),
        (0.07, 0.07, 0.731059),  # 1 / (1 + e^-1)
        (-0.07, 0.07, 0.268941),
        (0.3, 0.07, 0.986423),  # 1 / (1 + e^-4.285714)
        (0.3, 0.2, 0.817574),  # 1 / (1 + e^-1.5)
        (1.0, 0.001, 1.0),
        (-1.0, 0.001, 0.0),
    ],
)
def test_worked_by_hand(cosine: float, temperature: float, expected: float) -> None:
    assert affinity(cosine, temperature) == pytest.approx(expected, abs=1e-6)


def test_what_is_not_similar_enough_has_no_affinity_and_no_share() -> None:
    found = affinities((0.4, 0.29, 0.3), min_similarity=0.3, temperature=0.2)
    assert found[1] is None
    assert found[0] == pytest.approx(0.880797, abs=1e-6)  # 1 / (1 + e^-2)
    assert found[2] == pytest.approx(0.817574, abs=1e-6)
    # e^(0.880797 - 0.817574) = 1.065264 : 1
    assert shares(found) == pytest.approx((0.515801, 0.0, 0.484199), abs=1e-5)
    assert shares((None, None)) == (0.0, 0.0) and shares(()) == ()


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8), st.floats(0.001, 10))
def test_shares_add_up_and_keep_the_order_of_the_cosines(
    cosines: list[float], temperature: float
) -> None:
    found = shares(affinities(cosines, min_similarity=-1, temperature=temperature))
    assert math.isclose(sum(found), 1.0)
    assert found[cosines.index(max(cosines))] == max(found)


def test_a_model_is_what_is_said_of_it() -> None:
    assert described(ModelFacts(name="x")) == ""
    assert described(ModelFacts(name="x", description=" Fast. ")) == "Fast."
    both = ModelFacts(name="x", description="Fast.", capabilities=("code", "math"))
    assert described(both) == "Fast.\ncode, math"
