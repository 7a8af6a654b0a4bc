from __future__ import annotations

from typing import Any

import pytest

from tests.selection.taught import CANDIDATES, FACTS, PROMPT, fails_safe, outcome, picked
from wayside.selection import Candidate
from wayside.selection.knn import KnnRule, KnnSelector, speeds, votes
from wayside.vocab.observed import ModelFacts
from wayside.vocab.taught import Outcome


def selector(**settings: Any) -> KnnSelector:
    made = KnnSelector(KnnRule(**settings))
    made.meet(FACTS)
    return made


@pytest.mark.parametrize(
    ("near", "scores", "model"),
    [
        # One neighbour: its quality.
        ([outcome(0.2, 0.9, 0.4)], (0.2, 0.9, 0.4), "mid"),
        # (1 + .5 + 0) / 3 = .5, (.4 + .4 + .4) / 3 = .4, (.7 + .7 + .2) / 3 = .5333
        (
            [outcome(1.0, 0.4, 0.7), outcome(0.5, 0.4, 0.7), outcome(0.0, 0.4, 0.2)],
            (0.5, 0.4, 0.533333),
            "small",
        ),
        # Not tried is no vote: 1 / 2 against .6.
        ([outcome(1.0, 0.6, 0.0), outcome(None, 0.6, 0.0)], (0.5, 0.6, 0.0), "mid"),
        # Equal votes: the faster one.
        ([outcome(1.0, 1.0, 1.0, speed=(0.1, 0.5, 0.3))], (1.0, 1.0, 1.0), "mid"),
        # Equal in both: the earlier candidate.
        ([outcome(1.0, 0.0, 1.0, speed=(0.3, 0.9, 0.3))], (1.0, 0.0, 1.0), "big"),
    ],
)
def test_the_neighbours_vote_with_the_quality_they_measured(
    near: list[Outcome], scores: tuple[float, ...], model: str
) -> None:
    found, _ = picked(selector(), tuple(near))
    assert found.scores == pytest.approx(scores, abs=1e-6)
    assert found.candidate.model == model
    assert found.why.startswith(f"{len(near)} measured questions like it: ")


def test_it_asks_for_k_neighbours_among_its_file() -> None:
    _, question = picked(selector(k=7, file="mine.selector"), (outcome(1.0, 0.0, 0.0),))
    assert question.most == 7  # type: ignore[union-attr]
    assert question.taught.file == "mine.selector" and question.taught.algorithm == "knn"
    assert question.taught.models == ("big", "mid", "small")


def test_a_model_that_stands_twice_has_one_score() -> None:
    made = KnnSelector(KnnRule())
    made.meet((FACTS[0], FACTS[2], ModelFacts(name="small")))
    twice = (Candidate("big"), Candidate("small"), Candidate("small", reasoning=True))
    found, question = picked(made, (Outcome(0.9, (0.1, 0.8), (0.0, 0.0)),), of=twice)
    assert question.taught.models == ("big", "small")
    assert found.scores == (0.1, 0.8, 0.8) and found.candidate == twice[1]


def test_no_neighbours_no_votes() -> None:
    assert votes(()) == () and speeds(()) == ()


def test_it_fails_safe() -> None:
    fails_safe(selector())
    alone = KnnSelector(KnnRule())
    alone.meet(FACTS[:1])
    assert alone.choose(PROMPT, CANDIDATES[:1], 0.0) == CANDIDATES[0]
