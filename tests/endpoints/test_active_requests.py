import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.active_requests import ActiveRequestsRule, ActiveRequestsScorer


@pytest.mark.parametrize(
    ("settings", "counts", "scores"),
    [
        ({}, [0, 0], [1.0, 1.0]),
        ({}, [0, 2, 4], [1.0, 0.5, 0.0]),
        ({}, [3, 4], [0.25, 0.0]),
        ({"idle_threshold": 2, "max_busy_score": 0.5}, [0, 2, 4], [1.0, 1.0, 0.0]),
        ({"max_busy_score": 0.5}, [0, 1, 4], [1.0, 0.375, 0.0]),
    ],
)
def test_the_busier_the_less(settings, counts, scores) -> None:
    roster = servers(len(counts))
    for e, count in zip(roster.endpoints, counts, strict=True):
        e.in_flight = count
    scorer = ActiveRequestsScorer(ActiveRequestsRule(**settings))
    assert scorer.score(need(), roster) == pytest.approx(scores)


def test_it_sees_what_was_sent_since_the_roster_was_made() -> None:
    roster, scorer = servers(2), ActiveRequestsScorer(ActiveRequestsRule())
    assert scorer.score(need(), roster) == [1.0, 1.0]
    roster.endpoints[0].in_flight += 1
    assert scorer.score(need(), roster) == [0.0, 1.0]
