from collections import Counter

from tests.endpoints.rig import need, servers
from wayside.endpoints.power_of_two import PowerOfTwoPicker, PowerOfTwoRule
from wayside.vocab.endpoint import Roster


def busy(*counts, weights=None) -> Roster:
    roster = servers(len(counts))
    for i, e in enumerate(roster.endpoints):
        e.in_flight = counts[i]
        e.weight = weights[i] if weights else 1.0
    return roster


def taken(roster, totals=(), times=3000) -> Counter:
    it = PowerOfTwoPicker(PowerOfTwoRule())
    return Counter(it.pick(need(seed=i), roster, totals)[0] for i in range(times))


def test_the_higher_score_of_two_wins() -> None:
    """Of n servers, the one of rank r wins 2 (n - r) / (n (n - 1)) of all pairs."""
    counts = taken(busy(0, 9, 9, 9), totals=[0.1, 0.2, 0.3, 0.4])
    assert set(counts) == {1, 2, 3}, "the worst of all never wins"
    assert 0.44 < counts[3] / 3000 < 0.56
    assert 0.28 < counts[2] / 3000 < 0.39


def test_the_less_loaded_wins_where_scores_are_equal_or_absent() -> None:
    assert set(taken(busy(5, 1))) == {1}
    assert set(taken(busy(5, 1), totals=[0.5, 0.5])) == {1}
    assert set(taken(busy(5, 1), totals=[0.6, 0.5])) == {0}
    assert set(taken(busy(5, 4, weights=[2.0, 1.0]))) == {0}


def test_two_are_drawn_by_weight() -> None:
    counts = taken(busy(0, 0, 0, weights=[8.0, 1.0, 1.0]))
    assert 2300 < counts[0] < 2500, "idle servers share by weight: eight of ten"
    assert set(taken(busy(9, 9, 0, weights=[1.0, 1.0, 0.0]))) == {0, 1}


def test_one_alone_and_none_that_weighs_anything() -> None:
    assert set(taken(busy(7))) == {0}
    assert set(taken(busy(7, 0, weights=[1.0, 0.0]))) == {0}
    assert set(taken(busy(0, 0, 0, weights=[0.0, 0.0, 0.0]))) == {0, 1, 2}
