import random

import pytest

from wayside.vocab.ridge import Ridge

NOTHING = [0.0, 0.0, 0.0]


def taught(weights, *, times=200, noise=0.0, now=0.0, ridge=None) -> Ridge:
    dice = random.Random(1)
    ridge = ridge or Ridge(3, half_life=10.0)
    for _ in range(times):
        x = (1.0, dice.random(), dice.random() * 3)
        y = sum(w * v for w, v in zip(weights, x, strict=True))
        ridge.see(x, y + dice.gauss(0, noise), now)
    return ridge


def test_a_line_is_found_again() -> None:
    assert taught([2.0, 0.5, 1.0]).fit(NOTHING, 1e-6) == pytest.approx([2.0, 0.5, 1.0], abs=1e-3)
    noisy = taught([2.0, 0.5, 1.0], times=2000, noise=0.3).fit(NOTHING)
    assert noisy == pytest.approx([2.0, 0.5, 1.0], abs=0.1)


def test_without_anything_seen_it_is_what_one_believes() -> None:
    ridge = Ridge(3, half_life=10.0)
    assert ridge.fit([3.0, 1.0, 0.5]) == [3.0, 1.0, 0.5]
    assert (ridge.seen, ridge.mean) == (0.0, 0.0)


def test_one_thing_seen_weighs_as_much_as_what_one_believes() -> None:
    ridge = Ridge(3, half_life=10.0)
    ridge.see((1.0, 0.0, 0.0), 5.0, 0.0)
    assert ridge.fit([3.0, 1.0, 0.5]) == pytest.approx([4.0, 1.0, 0.5])


def test_half_is_forgotten_in_half_life() -> None:
    ridge = taught([2.0, 0.0, 0.0], times=100)
    ridge.fade(10.0)
    assert ridge.seen == pytest.approx(50) and ridge.mean == pytest.approx(2.0)
    taught([4.0, 0.0, 0.0], times=150, now=10.0, ridge=ridge)
    assert ridge.mean == pytest.approx((2 * 50 + 4 * 150) / 200)
    ridge.fade(1e9)
    assert ridge.fit([7.0, 1.0, 1.0]) == pytest.approx([7.0, 1.0, 1.0])


def test_no_weight_but_the_first_is_negative_and_the_rest_is_fitted_again() -> None:
    weights = taught([5.0, -2.0, 1.0], times=500).fit(NOTHING, 1e-6)
    assert weights[1] == 0.0
    assert weights[0] == pytest.approx(4.0, abs=0.1)  # what -2 * 0.5 took off, in the mean
    assert weights[2] == pytest.approx(1.0, abs=0.1)


def test_features_that_are_the_same_share_their_weight() -> None:
    ridge = Ridge(3, half_life=10.0)
    for i in range(100):
        ridge.see((1.0, i / 50, i / 50), 1.0 + i / 25, 0.0)
    assert ridge.fit(NOTHING, 1e-3) == pytest.approx([1.0, 1.0, 1.0], abs=0.01)
