from collections import Counter

from tests.endpoints.rig import need, servers
from wayside.endpoints.least_requests import LeastRequestsPicker, LeastRequestsRule
from wayside.vocab.endpoint import Roster


def busy(*counts, weights=None) -> Roster:
    roster = servers(len(counts))
    for i, e in enumerate(roster.endpoints):
        e.in_flight = counts[i]
        e.weight = weights[i] if weights else 1.0
    return roster


def taken(roster, totals=(), times=200) -> Counter:
    it = LeastRequestsPicker(LeastRequestsRule())
    return Counter(it.pick(need(seed=i), roster, totals)[0] for i in range(times))


def test_the_fewest_win_and_equals_share() -> None:
    assert set(taken(busy(3, 1, 2))) == {1}
    shared = taken(busy(1, 2, 1))
    assert set(shared) == {0, 2} and min(shared.values()) > 60


def test_who_weighs_more_takes_more() -> None:
    assert set(taken(busy(3, 2, weights=[4.0, 1.0]))) == {0}
    assert set(taken(busy(0, 0, weights=[1.0, 2.0]))) == {1}


def test_who_weighs_nothing_is_the_last_resort() -> None:
    assert set(taken(busy(50, 0, weights=[1.0, 0.0]))) == {0}
    assert set(taken(busy(0, 0, weights=[0.0, 0.0]))) == {0, 1}


def test_only_the_best_scored_are_compared() -> None:
    assert set(taken(busy(0, 4, 3), totals=[0.1, 0.9, 0.9])) == {2}
    assert set(taken(busy(0, 4, 3), totals=[0.1, 0.9, 0.8])) == {1}
    assert set(taken(busy(0, 4, 3), totals=[0.5, 0.5, 0.5])) == {0}
    assert set(taken(busy(0, 4, 3, weights=[1.0, 5.0, 1.0]), totals=[0.1, 0.9, 0.9])) == {1}


def test_it_sees_what_was_sent_since_the_roster_was_made() -> None:
    roster = busy(0, 0)
    it = LeastRequestsPicker(LeastRequestsRule())
    for i in range(10):
        (position,) = it.pick(need(seed=i), roster, ())
        roster.endpoints[position].in_flight += 1
    assert [e.in_flight for e in roster.endpoints] == [5, 5]
