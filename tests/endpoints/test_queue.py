import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.queue import QueueRule, QueueScorer
from wayside.vocab.endpoint import UNKNOWN


@pytest.mark.parametrize(
    ("waiting", "scores"),
    [([3, 0, 10], [0.7, 1.0, 0.0]), ([2, 2, 2], [1.0, 1.0, 1.0]), ([5], [1.0])],
)
def test_scores_are_linear_between_the_longest_queue_and_the_shortest(waiting, scores) -> None:
    roster = servers(len(waiting), waiting=waiting)
    assert QueueScorer(QueueRule()).score(need(), roster) == pytest.approx(scores)


def test_who_said_nothing_gets_the_mean_of_the_others() -> None:
    roster = servers(3, waiting=[4, 8, 0])
    roster.endpoints[2].vitals = UNKNOWN
    assert QueueScorer(QueueRule()).score(need(), roster) == [1.0, 0.0, 0.5]
