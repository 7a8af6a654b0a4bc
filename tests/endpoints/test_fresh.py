import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.fresh import FreshFilter, FreshRule
from wayside.vocab.endpoint import UNKNOWN, Vitals


@pytest.mark.parametrize(
    ("ages", "kept"),
    [
        ([0.0, 1.9, 2.0], None),
        ([0.0, 2.1, None], [0]),
        ([3.0, 4.0, None], None),
        ([None, None, None], None),
    ],
)
def test_who_said_nothing_lately_goes_while_others_did(ages, kept) -> None:
    roster = servers(3)
    for e, age in zip(roster.endpoints, ages, strict=True):
        e.vitals = UNKNOWN if age is None else Vitals(at=100.0 - age)
    assert FreshFilter(FreshRule(max_age_s=2)).keep(need(now=100.0), roster) == kept


def test_time_passes_for_the_same_roster() -> None:
    it, roster = FreshFilter(FreshRule(max_age_s=2)), servers(2)
    roster.endpoints[0].vitals = Vitals(at=1.0)
    assert it.keep(need(now=2.0), roster) is None
    assert it.keep(need(now=2.5), roster) == [0]
