"""Spec 3.4: 1 where the adapter runs, 0.8 where there is room, 0.6 where it waits, else 0."""

from __future__ import annotations

import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.lora_affinity import LoraAffinityRule, LoraAffinityScorer

NONE: frozenset[str] = frozenset()
AB = frozenset({"a", "b"})


@pytest.mark.parametrize(
    ("runs", "waits", "most", "score"),
    [
        (AB, NONE, 2, 1.0),
        (AB, NONE, 4, 1.0),
        (frozenset({"b"}), NONE, 2, 0.8),
        (frozenset({"b"}), frozenset({"a"}), 3, 0.8),
        (frozenset({"b"}), frozenset({"a"}), 2, 0.6),
        (frozenset({"b"}), frozenset({"c"}), 2, 0.0),
        (frozenset({"b", "c"}), NONE, 2, 0.0),
        (NONE, NONE, 0, 0.0),
    ],
)
def test_scores(runs, waits, most, score) -> None:
    roster = servers(2, loras=[runs, NONE], loras_waiting=[waits, NONE], max_loras=[most, 0])
    scores = LoraAffinityScorer(LoraAffinityRule()).score(need(model="a"), roster)
    assert scores == ({0: score} if score else {})


def test_it_is_worked_out_once_per_model_and_roster() -> None:
    scorer, roster = LoraAffinityScorer(LoraAffinityRule()), servers(1, max_loras=[1])
    assert scorer.score(need(model="a"), roster) is scorer.score(need(model="a"), roster)
    for i in range(1000):
        scorer.score(need(model=f"m{i}"), roster)
    assert len(roster.memo[scorer]) <= 64
