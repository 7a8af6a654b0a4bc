import random
from collections import Counter

import pytest

from tests.endpoints.rig import servers
from wayside.endpoints.weighted_random import WeightedRandomPicker, WeightedRandomRule
from wayside.vocab.endpoint import Need


def drawn(totals, size=3, times=4000, **settings) -> Counter:
    it = WeightedRandomPicker(WeightedRandomRule(**settings))
    asked = Need("m", dice=random.Random(1).random)
    roster = servers(size)
    return Counter(tuple(it.pick(asked, roster, totals)) for _ in range(times))


def test_scores_are_proportions() -> None:
    taken = drawn([0.25, 0.0, 0.75])
    assert set(taken) == {(0,), (2,)}
    assert 2.6 < taken[(2,)] / taken[(0,)] < 3.4


@pytest.mark.parametrize("totals", [(), [0.0, 0.0, 0.0]])
@pytest.mark.parametrize("count", [1, 3])
def test_without_scores_all_are_as_likely(totals, count) -> None:
    firsts = Counter[int]()
    for taken, times in drawn(totals, count=count).items():
        firsts[taken[0]] += times
    assert set(firsts) == {0, 1, 2} and min(firsts.values()) > 1200


def test_several_come_in_the_proportion_of_what_is_left() -> None:
    """Of 1, 2 and 5: the first as single draws do, the second in the proportion of the rest."""
    taken = drawn([1.0, 2.0, 5.0], times=8000, count=2)
    total = sum(taken.values())
    assert taken[(2, 1)] / total == pytest.approx(5 / 8 * 2 / 3, abs=0.03)
    assert taken[(2, 0)] / total == pytest.approx(5 / 8 * 1 / 3, abs=0.03)
    assert taken[(0, 2)] / total == pytest.approx(1 / 8 * 5 / 7, abs=0.03)


def test_who_scored_nothing_comes_last() -> None:
    assert {t[-1] for t in drawn([0.0, 1e-300, 1.0], count=3, times=50)} == {0}
    assert {len(t) for t in drawn([0.0, 1.0, 1.0], count=9, times=50)} == {3}
