import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.kv_utilization import KvUtilizationRule, KvUtilizationScorer
from wayside.vocab.endpoint import UNKNOWN, Endpoint, Roster


def test_the_score_is_the_share_that_is_free() -> None:
    roster = servers(3, kv=[0.0, 0.25, 1.0])
    assert KvUtilizationScorer(KvUtilizationRule()).score(need(), roster) == [1.0, 0.75, 0.0]


def test_a_share_beyond_all_is_all() -> None:
    roster = servers(2, kv=[1.2, -0.1])
    assert KvUtilizationScorer(KvUtilizationRule()).score(need(), roster) == [0.0, 1.0]


def test_who_said_nothing_gets_the_mean_of_the_others() -> None:
    roster = servers(3, kv=[0.2, 0.6, 0.0])
    roster.endpoints[2].vitals = UNKNOWN
    assert KvUtilizationScorer(KvUtilizationRule()).score(need(), roster) == pytest.approx(
        [0.8, 0.4, 0.6]
    )


def test_where_nobody_said_anything_all_are_equal() -> None:
    roster = Roster((Endpoint("a", "10.0.0.1:8000"), Endpoint("b", "10.0.0.2:8000")))
    a, b = KvUtilizationScorer(KvUtilizationRule()).score(need(), roster)
    assert a == b
