from collections import Counter

from tests.endpoints.rig import need, servers
from wayside.endpoints.max_score import MaxScorePicker, MaxScoreRule


def test_the_highest_score_wins() -> None:
    assert MaxScorePicker(MaxScoreRule()).pick(need(), servers(3), [0.1, 0.9, 0.5]) == (1,)


def test_equals_share() -> None:
    picker, roster = MaxScorePicker(MaxScoreRule()), servers(3)
    asked = [need(seed=i) for i in range(300)]
    taken = Counter(picker.pick(n, roster, [1.0, 0.0, 1.0])[0] for n in asked)
    assert set(taken) == {0, 2} and min(taken.values()) > 100


def test_without_scores_everybody_is_equal() -> None:
    picker, roster = MaxScorePicker(MaxScoreRule()), servers(3)
    assert {picker.pick(need(seed=i), roster, ())[0] for i in range(50)} == {0, 1, 2}


def test_the_further_ones_follow_in_order() -> None:
    picker = MaxScorePicker(MaxScoreRule(count=3))
    assert list(picker.pick(need(), servers(4), [0.1, 0.9, 0.5, 0.2])) == [1, 2, 3]
