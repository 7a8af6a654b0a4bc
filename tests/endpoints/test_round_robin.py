from tests.endpoints.rig import need, servers
from wayside.endpoints.round_robin import RoundRobinPicker, RoundRobinRule
from wayside.vocab.endpoint import Roster


def turns(it, roster, times, totals=()) -> str:
    return "".join(roster.endpoints[it.pick(need(), roster, totals)[0]].name for _ in range(times))


def test_everybody_in_turn_by_address_whatever_the_order() -> None:
    it, roster = RoundRobinPicker(RoundRobinRule()), servers(3)
    assert turns(it, roster, 4) == "abca"
    a, b, c = roster.endpoints
    assert turns(it, Roster((c, a, b)), 4) == "bcab", "a new roster of the same servers goes on"


def test_each_set_has_its_own_turn() -> None:
    it, roster = RoundRobinPicker(RoundRobinRule()), servers(3)
    two = Roster(roster.endpoints[:2])
    assert turns(it, roster, 1) + turns(it, two, 3) + turns(it, roster, 2) == "a" + "aba" + "bc"


def test_sets_are_bounded_in_number() -> None:
    it = RoundRobinPicker(RoundRobinRule())
    everybody = servers(12).endpoints
    for mask in range(1, 1 << 12):
        it.pick(need(), Roster(tuple(e for i, e in enumerate(everybody) if mask >> i & 1)), ())
    assert len(it._sets) == 1_024


def test_weights_are_turns_spread_evenly() -> None:
    it, roster = RoundRobinPicker(RoundRobinRule()), servers(3)
    for e, weight in zip(roster.endpoints, (5.0, 1.0, 1.0), strict=True):
        e.weight = weight
    assert turns(it, roster, 14) == "aabacaa" * 2


def test_who_weighs_nothing_has_no_turn_unless_nobody_does() -> None:
    it, roster = RoundRobinPicker(RoundRobinRule()), servers(3)
    roster.endpoints[1].weight = 0.0
    assert turns(it, roster, 4) == "acac"
    for e in roster.endpoints:
        e.weight = 0.0
    assert turns(it, Roster(roster.endpoints), 4) == "abca"


def test_those_that_share_the_highest_score_take_turns() -> None:
    it, roster = RoundRobinPicker(RoundRobinRule()), servers(3)
    assert turns(it, roster, 4, [0.9, 0.1, 0.9]) == "acac"
    assert turns(it, roster, 2, [0.1, 0.9, 0.2]) == "bb"
    assert turns(it, roster, 4, [0.5, 0.5, 0.5]) == "abca"
