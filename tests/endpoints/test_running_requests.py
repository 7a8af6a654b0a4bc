import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.running_requests import RunningRequestsRule, RunningRequestsScorer
from wayside.vocab.endpoint import UNKNOWN, Endpoint, Roster


@pytest.mark.parametrize(
    ("running", "scores"),
    [([3, 0, 10], [0.7, 1.0, 0.0]), ([2, 2, 2], [1.0, 1.0, 1.0]), ([5], [1.0])],
)
def test_scores_are_linear_between_the_most_and_the_fewest(running, scores) -> None:
    roster = servers(len(running), running=running)
    assert RunningRequestsScorer(RunningRequestsRule()).score(need(), roster) == pytest.approx(
        scores
    )


def test_who_said_nothing_gets_the_mean_of_the_others() -> None:
    roster = servers(3, running=[4, 8, 0])
    roster.endpoints[2].vitals = UNKNOWN
    assert RunningRequestsScorer(RunningRequestsRule()).score(need(), roster) == pytest.approx(
        [1.0, 0.0, 0.5]
    )


def test_where_nobody_said_anything_all_are_equal() -> None:
    roster = Roster((Endpoint("a", "10.0.0.1:8000"), Endpoint("b", "10.0.0.2:8000")))
    a, b = RunningRequestsScorer(RunningRequestsRule()).score(need(), roster)
    assert a == b
