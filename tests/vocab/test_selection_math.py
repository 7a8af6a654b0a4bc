from __future__ import annotations

from itertools import islice
from statistics import fmean, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.vocab.observed import ModelFacts
from wayside.vocab.selection_math import (
    best,
    beta,
    decayed,
    expected,
    gamma,
    ladder,
    min_max,
    rated,
    scaled,
    size_b,
    stream,
)


@pytest.mark.parametrize(
    ("values", "normal"),
    [
        ((10, 20, 40), (0, 1 / 3, 1)),
        ((7, 7), (0.5, 0.5)),
        ((7,), (0.5,)),
        ((1, None, 3), (0, None, 1)),
        ((None, None), (None, None)),
        ((None, 4), (None, 0.5)),
        ((), ()),
        ((-1, 1, 0), (0, 1, 0.5)),
    ],
)
def test_min_max(values: tuple[float | None, ...], normal: tuple[float | None, ...]) -> None:
    assert min_max(values) == pytest.approx(normal)


@pytest.mark.parametrize(
    ("scores", "dice", "at"),
    [((1, 2, 1), 0.9, 1), ((2, 1, 2), 0.49, 0), ((2, 1, 2), 0.5, 2), ((None, -1, None), 0.99, 1)],
)
def test_the_best_is_taken_and_equal_ones_by_the_dice(
    scores: tuple[float | None, ...], dice: float, at: int
) -> None:
    assert best(scores, dice) == at


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("llama-3.1-8b-instruct", 8),
        ("Qwen2.5-0.5B", 0.5),
        ("mixtral-8x7b", 56),
        ("gpt-4o", None),
        ("qwen3_30b_a3b", 30),
        ("claude-3-opus", None),
        ("phi-3b2", 3),
        ("8bit", None),
    ],
)
def test_sizes_are_read_from_names(name: str, size: float | None) -> None:
    assert size_b(ModelFacts(name=name)) == size


def test_a_size_in_the_settings_comes_before_the_name() -> None:
    assert size_b(ModelFacts(name="llama-8b", parameters_b=70)) == 70


def test_a_ladder_goes_by_size_else_by_price_else_by_order() -> None:
    by_size = (ModelFacts(name="x-70b"), ModelFacts(name="x-8b"), ModelFacts(name="x-13b"))
    assert ladder(by_size) == (1, 2, 0)
    prices = [
        ModelFacts(name=n, prompt_per_1m=p, completion_per_1m=p) for n, p in (("a", 3), ("b", 1))
    ]
    assert ladder(prices) == (1, 0)
    assert ladder((*prices, ModelFacts(name="c"))) == (0, 1, 2)


@pytest.mark.parametrize(
    ("rating", "other", "chance"),
    [(1500, 1500, 0.5), (1900, 1500, 10 / 11), (1500, 1900, 1 / 11), (1600, 1400, 0.7597469)],
)
def test_the_chance_to_be_preferred(rating: float, other: float, chance: float) -> None:
    assert expected(rating, other) == pytest.approx(chance)


@pytest.mark.parametrize(
    ("rating", "other", "score", "after"),
    [
        (1500, 1500, 1, 1516),
        (1500, 1500, 0, 1484),
        (1500, 1500, 0.5, 1500),
        (1900, 1500, 1, 1900 + 32 / 11),
        (1600, 1400, 0, 1600 - 32 * 0.7597469),
    ],
)
def test_ratings_move_by_what_was_not_expected(
    rating: float, other: float, score: float, after: float
) -> None:
    assert rated(rating, other, score, 32) == pytest.approx(after)


@given(st.floats(0, 4000), st.floats(0, 4000), st.floats(0, 1))
def test_what_one_wins_the_other_loses(a: float, b: float, score: float) -> None:
    won, lost = rated(a, b, score, 32) - a, rated(b, a, 1 - score, 32) - b
    assert won == pytest.approx(-lost, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "factor", "found"), [(2, 1.5, 3), (-3, 1.5, -2), (-2, 0.5, -4), (0, 2, 0)]
)
def test_a_good_factor_never_makes_a_value_worse(
    value: float, factor: float, found: float
) -> None:
    assert scaled(value, factor) == found


def test_the_numbers_are_those_of_splitmix64() -> None:
    """Its published first outputs from seed 1234567 (rosettacode.org, Pseudo-random numbers)."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    found = list(islice(stream(1234567 / 2**53), 5))
    assert [int(x * 2**52) for x in found] == [z >> 12 for z in published]


@pytest.mark.parametrize("shape", [1.0, 2.5, 30.0])
def test_gamma_samples_have_the_mean_and_variance_of_the_distribution(shape: float) -> None:
    numbers = stream(0.375)
    found = [gamma(shape, numbers) for _ in range(6000)]
    assert fmean(found) == pytest.approx(shape, rel=0.06)
    assert pvariance(found) == pytest.approx(shape, rel=0.12)


@pytest.mark.parametrize(
    ("a", "b", "mean", "variance"),
    [(1, 1, 1 / 2, 1 / 12), (3, 2, 0.6, 0.04), (9, 1, 0.9, 0.9 / 110)],
)
def test_beta_samples_have_the_mean_and_variance_of_the_distribution(
    a: float, b: float, mean: float, variance: float
) -> None:
    """One sample per roll of the dice, as requests take them."""
    found = [beta(a, b, stream((i + 0.5) / 6000)) for i in range(6000)]
    assert fmean(found) == pytest.approx(mean, abs=0.015)
    assert pvariance(found) == pytest.approx(variance, rel=0.1)
    assert all(0 <= x <= 1 for x in found)


def test_a_moving_average_begins_with_the_first_sample() -> None:
    assert decayed(None, 4.0, 0.2) == 4.0
    assert decayed(4.0, 9.0, 0.2) == pytest.approx(5.0)
