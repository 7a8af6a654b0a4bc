import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.load_guard import LoadGuardFilter, LoadGuardRule


@pytest.mark.parametrize(
    ("settings", "counts", "kept"),
    [
        ({}, [64, 0, 10], None),
        ({}, [65, 0, 0], [1, 2]),
        ({}, [200, 130, 140], [1]),
        ({}, [200, 135, 140], None),  # 200 <= 1.5 * 135
        ({"absolute": 2, "relative": 1.1}, [5, 2, 4], [1]),
        ({"absolute": 0, "relative": 1}, [2, 1, 1], [1, 2]),
        ({"absolute": 0, "relative": 1}, [1, 1, 1], None),
    ],
)
def test_only_the_least_loaded_stay_while_load_is_uneven(settings, counts, kept) -> None:
    roster = servers(3)
    for e, count in zip(roster.endpoints, counts, strict=True):
        e.in_flight = count
    assert LoadGuardFilter(LoadGuardRule(**settings)).keep(need(), roster) == kept
