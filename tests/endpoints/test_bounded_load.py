import pytest
from pydantic import ValidationError

from tests.endpoints.rig import need, servers
from wayside.endpoints.bounded_load import BoundedLoadFilter, BoundedLoadRule


@pytest.mark.parametrize(
    ("settings", "counts", "kept"),
    [
        ({}, [0, 0, 0], None),
        ({}, [3, 0, 0], None),  # within the slack
        ({}, [4, 0, 0], [0, 1, 2]),  # at most 1.1 * 4 / 3 + 3 = 4.47
        ({}, [5, 0, 0], [1, 2]),  # at most 1.1 * 5 / 3 + 3 = 4.83
        ({}, [5, 5, 5], [0, 1, 2]),
        ({"factor": 1.25, "slack": 4}, [12, 6, 0], [1, 2]),  # at most 11.5
        ({"factor": 1.25, "slack": 5}, [12, 6, 0], [0, 1, 2]),
        ({"factor": 1, "slack": 0}, [1, 1, 1], [0, 1, 2]),
        ({"factor": 1, "slack": 0}, [2, 1, 0], [1, 2]),
    ],
)
def test_who_has_more_than_a_share_is_left_out(settings, counts, kept) -> None:
    roster = servers(3)
    for e, count in zip(roster.endpoints, counts, strict=True):
        e.in_flight = count
    assert BoundedLoadFilter(BoundedLoadRule(**settings)).keep(need(), roster) == kept


def test_shares_go_by_weight() -> None:
    roster = servers(2)
    big, small = roster.endpoints
    big.weight, small.weight = 3.0, 1.0
    it = BoundedLoadFilter(BoundedLoadRule(factor=1, slack=0))
    big.in_flight, small.in_flight = 6, 2
    assert it.keep(need(), roster) == [0, 1]
    big.in_flight, small.in_flight = 5, 3
    assert it.keep(need(), roster) == [0]
    big.weight = small.weight = 0.0
    assert it.keep(need(), roster) == [1]


def test_a_factor_below_one_would_leave_nobody() -> None:
    with pytest.raises(ValidationError):
        BoundedLoadRule(factor=0.9)


def test_who_has_exactly_a_share_stays_however_sums_of_weights_are_rounded() -> None:
    roster = servers(3)
    for e in roster.endpoints:
        e.weight, e.in_flight = 0.1, 3  # 0.1 + 0.1 + 0.1 > 0.3
    it = BoundedLoadFilter(BoundedLoadRule(factor=1, slack=0))
    assert it.keep(need(), roster) == [0, 1, 2]
