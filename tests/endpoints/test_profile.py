"""Filters, scorers and a picker together, and how they get there from settings."""

from __future__ import annotations

import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints import Profile
from wayside.endpoints.max_score import MaxScorePicker, MaxScoreRule
from wayside.fleet.picking import profile
from wayside.settings import PickingSettings
from wayside.vocab.errors import ConfigError


class Steady:
    steady = True
    reads = ("vitals",)

    def __init__(self) -> None:
        self.asked = 0

    def score(self, need, roster):
        self.asked += 1
        return [e.vitals.waiting / 10 for e in roster.endpoints]


class Sparse:
    def __init__(self, scores) -> None:
        self.scores, self.heard = scores, []

    def score(self, need, roster):
        return self.scores

    def chosen(self, need, endpoint) -> None:
        self.heard.append(("chosen", endpoint.name))

    def forget(self, endpoint) -> None:
        self.heard.append(("forget", endpoint.name))

    def says(self, need, endpoint):
        return (("x-session-token", endpoint.name),)


class Keeps:
    def __init__(self, *kept) -> None:
        self.kept = kept

    def keep(self, need, roster):
        return self.kept


PICKER = MaxScorePicker(MaxScoreRule())


def test_weights_multiply_and_sums_decide() -> None:
    roster = servers(3, waiting=[8, 2, 0])
    picked = Profile([], [(Steady(), 1.0), (Sparse({1: 1.0}), 0.7)], PICKER).pick(need(), roster)
    assert [e.name for e in picked] == ["b"]  # 0.2 + 0.7 > 0.8


def test_what_is_steady_is_asked_once_per_roster() -> None:
    steady, roster = Steady(), servers(3, waiting=[8, 2, 0])
    chooser = Profile([], [(steady, 1.0), (Sparse([0.0, 0.0, 0.9]), 1.0)], PICKER)
    assert [chooser.pick(need(), roster)[0].name for _ in range(5)] == ["c"] * 5
    assert steady.asked == 1
    chooser.pick(need(), servers(3, waiting=[8, 2, 0]))
    assert steady.asked == 2


def test_filters_leave_only_some_to_score() -> None:
    chooser = Profile([Keeps(1, 2)], [(Steady(), 1.0)], PICKER)
    assert chooser.pick(need(), servers(3, waiting=[8, 2, 0]))[0].name == "b"
    assert Profile([Keeps()], [(Steady(), 1.0)], PICKER).pick(need(), servers(3)) == []


def test_parts_hear_what_they_have_a_method_for() -> None:
    sparse, roster = Sparse({}), servers(2)
    chooser = Profile([], [(sparse, 1.0), (Steady(), 1.0)], PICKER)
    chooser.chosen(need(), roster.endpoints[1])
    chooser.ended(need(), roster.endpoints[1])
    chooser.forget(roster.endpoints[0])
    assert sparse.heard == [("chosen", "b"), ("forget", "a")]
    assert chooser.says(need(), roster.endpoints[0]) == (("x-session-token", "a"),)
    assert chooser.reads == {"vitals"}


@pytest.mark.parametrize(
    ("settings", "where", "what", "fix"),
    [
        ("quue", "picking", "no strategy 'quue'", "queue"),
        ({"scorers": ["quue"]}, "picking.scorers[0]", "no scorer 'quue'", "queue"),
        ({"picker": "max_scor"}, "picking.picker", "no picker 'max_scor'", "max_score"),
        ({"scorers": [{"queue": {"x": 1}}]}, "picking.scorers[0].queue.x", "", ""),
    ],
)
def test_what_is_wrong_is_named(settings, where, what, fix) -> None:
    with pytest.raises(ConfigError) as caught:
        profile(PickingSettings.model_validate(settings))
    (problem,) = caught.value.problems
    assert problem.where == where and what in problem.what and fix in problem.fix


def test_a_name_alone_is_a_strategy() -> None:
    roster = servers(3, waiting=[3, 0, 5])
    chooser = profile(PickingSettings.model_validate("queue"))
    assert chooser.pick(need(), roster)[0].name == "b"


def test_balanced_weighs_what_is_cached_against_what_waits() -> None:
    roster = servers(3)
    chooser = profile(PickingSettings.model_validate("balanced"))
    first, other = need("a" * 8000), need("b" * 8000)
    chooser.chosen(first, roster.endpoints[1])
    again = need("a" * 8000)
    assert chooser.pick(again, roster)[0].name == "b"
    roster.endpoints[1].in_flight = 40  # more work than reading 2,000 tokens
    assert chooser.pick(again, roster)[0].name != "b"
    assert {chooser.pick(other, servers(3))[0].name for _ in range(3)} <= {"a", "b", "c"}
