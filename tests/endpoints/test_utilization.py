import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.utilization import UtilizationFilter, UtilizationRule
from wayside.vocab.endpoint import UNKNOWN


@pytest.mark.parametrize(
    ("settings", "vitals", "kept"),
    [
        ({}, {"waiting": [0, 5, 6]}, [0, 1]),
        ({}, {"kv": [0.9, 0.8, 0.1]}, [1, 2]),
        ({"waiting": None}, {"waiting": [99, 0, 0]}, [0, 1, 2]),
        ({"kv": None}, {"kv": [1.0, 0.0, 0.0]}, [0, 1, 2]),
        ({"running": 10}, {"running": [11, 10, 0]}, [1, 2]),
        ({}, {"waiting": [9, 9, 9]}, None),
        ({"refuse": True}, {"waiting": [9, 9, 9]}, ()),
    ],
)
def test_who_is_over_goes_while_others_are_not(settings, vitals, kept) -> None:
    it = UtilizationFilter(UtilizationRule(**settings))
    assert it.keep(need(), servers(3, **vitals)) == kept


@pytest.mark.parametrize(
    ("waiting", "refuse", "kept"),
    [([0, 0, 9], False, [0, 1]), ([9, 0, 9], False, None), ([9, 0, 9], True, ())],
)
def test_who_said_nothing_is_no_better_than_the_best_known(waiting, refuse, kept) -> None:
    roster = servers(3, waiting=waiting)
    roster.endpoints[1].vitals = UNKNOWN
    assert UtilizationFilter(UtilizationRule(refuse=refuse)).keep(need(), roster) == kept


def test_all_stay_where_nothing_is_known() -> None:
    roster = servers(2)
    for e in roster.endpoints:
        e.vitals = UNKNOWN
    assert UtilizationFilter(UtilizationRule(refuse=True)).keep(need(), roster) is None


def test_a_rule_without_a_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match="waiting, kv and running"):
        UtilizationRule(waiting=None, kv=None)
