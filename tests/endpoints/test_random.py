import random
from collections import Counter

from tests.endpoints.rig import servers
from wayside.endpoints.random import RandomPicker, RandomRule
from wayside.vocab.endpoint import Need, Roster


def weighing(*weights) -> Roster:
    roster = servers(len(weights))
    for e, weight in zip(roster.endpoints, weights, strict=True):
        e.weight = weight
    return roster


def drawn(roster, times=4000, totals=(), **settings) -> Counter:
    it, asked = RandomPicker(RandomRule(**settings)), Need("m", dice=random.Random(1).random)
    return Counter(tuple(it.pick(asked, roster, totals)) for _ in range(times))


def test_weights_are_proportions() -> None:
    taken = drawn(weighing(1, 0, 3))
    assert set(taken) == {(0,), (2,)}
    assert 2.6 < taken[(2,)] / taken[(0,)] < 3.4


def test_scores_do_not_count() -> None:
    taken = drawn(weighing(1, 1), totals=[0.0, 1.0])
    assert min(taken.values()) > 1800


def test_where_nobody_weighs_anything_all_are_as_likely() -> None:
    assert min(drawn(weighing(0, 0)).values()) > 1800


def test_several_are_drawn_without_putting_back() -> None:
    taken = drawn(weighing(1, 3, 0), count=2)
    assert set(taken) == {(0, 1), (1, 0)}, "who weighs nothing comes last"
    assert 2.6 < taken[(1, 0)] / taken[(0, 1)] < 3.4
    assert all(len(t) == 2 for t in drawn(weighing(1, 1), count=5, times=20))


def test_the_greatest_dice_are_no_trouble() -> None:
    it, roster = RandomPicker(RandomRule()), weighing(0.1, 0.2)
    assert it.pick(Need("m", dice=lambda: 1 - 2**-53), roster, ()) == (1,)
