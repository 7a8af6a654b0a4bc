import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.load_aware import LoadAwareRule, LoadAwareScorer
from wayside.vocab.endpoint import UNKNOWN, Endpoint, Roster


def test_half_for_an_empty_queue_and_nothing_beyond_the_threshold() -> None:
    roster = servers(4, waiting=[0, 32, 128, 999])
    scores = LoadAwareScorer(LoadAwareRule()).score(need(), roster)
    assert scores == pytest.approx([0.5, 0.375, 0.0, 0.0])


def test_the_threshold_is_the_scale() -> None:
    scores = LoadAwareScorer(LoadAwareRule(threshold=10)).score(need(), servers(1, waiting=[5]))
    assert scores == pytest.approx([0.25])


def test_who_said_nothing_gets_the_mean_of_the_others() -> None:
    roster = servers(3, waiting=[0, 64, 0])
    roster.endpoints[2].vitals = UNKNOWN
    assert LoadAwareScorer(LoadAwareRule()).score(need(), roster) == pytest.approx(
        [0.5, 0.25, 0.375]
    )


def test_where_nobody_said_anything_all_are_equal() -> None:
    roster = Roster((Endpoint("a", "10.0.0.1:8000"), Endpoint("b", "10.0.0.2:8000")))
    a, b = LoadAwareScorer(LoadAwareRule()).score(need(), roster)
    assert a == b
