from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from pydantic import ValidationError

from wayside.engines.built_in import WEIGHTS
from wayside.engines.static import StaticClassifier
from wayside.selection import Candidate, Picked
from wayside.selection.strong_weak import StrongWeakRule, StrongWeakSelector, strength
from wayside.vocab.ask import Classify, Failure, Labels
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.observed import ModelFacts
from wayside.vocab.prompt import Prompt

PROMPT = Prompt(model="auto", question="Prove it.")
STRONG, WEAK = PAIR = (Candidate("strong"), Candidate("weak"))


def picked(labels: Labels, **settings: Any) -> Picked:
    flow = StrongWeakSelector(StrongWeakRule(**settings)).choose(PROMPT, PAIR, 0.0)
    assert isinstance(flow, Generator)
    (question,) = next(flow)
    assert question == Classify("Prove it.", settings.get("engine", "complexity"))
    with pytest.raises(StopIteration) as done:
        flow.send((labels,))
    found: Picked = done.value.value
    return found


@pytest.mark.parametrize(
    ("labels", "settings", "chosen", "why"),
    [
        # hard + medium / 2
        ({"hard": 0.6, "medium": 0.3, "easy": 0.1}, {}, STRONG, "0.750 >= 0.500"),
        ({"easy": 0.7, "medium": 0.2, "hard": 0.1}, {}, WEAK, "0.200 < 0.500"),
        ({"medium": 1.0}, {}, STRONG, "0.500 >= 0.500"),
        ({"medium": 1.0}, {"threshold": 0.51}, WEAK, "0.500 < 0.510"),
        ({"hard": 0.2}, {"threshold": 0.0}, STRONG, "0.200 >= 0.000"),
        ({"medium": 0.8, "hard": 0.2}, {"weights": {"hard": 1.0}}, WEAK, "0.200 < 0.500"),
        ({"strong": 0.6, "weak": 0.4}, {"engine": "mine"}, STRONG, "0.600 >= 0.500"),
        ({"weak": 0.6, "strong": 0.4}, {"engine": "mine"}, WEAK, "0.400 < 0.500"),
    ],
)
def test_the_score_decides(
    labels: dict[str, float], settings: dict[str, Any], chosen: Candidate, why: str
) -> None:
    found = picked(tuple(labels.items()), **settings)
    assert found.candidate == chosen and found.why == why


def test_a_classifier_of_other_labels_is_a_failed_ask_not_a_weak_model() -> None:
    with pytest.raises(AskFailed, match="none of the labels hard, medium, but toxic"):
        strength((("toxic", 1.0),), {"hard": 1, "medium": 0.5})
    with pytest.raises(AskFailed, match="but nothing"):
        strength((), {"hard": 1})


def test_scores_stay_within_bounds() -> None:
    assert strength((("hard", 1.0000001),), {"hard": 1}) == 1.0


def test_it_fails_safe() -> None:
    made = StrongWeakSelector(StrongWeakRule())
    flow = made.choose(PROMPT, PAIR, 0.0)
    assert isinstance(flow, Generator)
    next(flow)
    with pytest.raises(AskFailed):
        flow.send((Failure("gone"),))
    assert made.choose(Prompt(model="auto"), PAIR, 0.0) == STRONG
    assert made.choose(PROMPT, PAIR[1:], 0.0) == WEAK


def test_it_chooses_between_two() -> None:
    made = StrongWeakSelector(StrongWeakRule())
    made.meet(())
    made.meet((ModelFacts(name="a"), ModelFacts(name="a")))
    with pytest.raises(ConfigError, match="3 candidates, but it chooses between two; keep"):
        made.meet(tuple(ModelFacts(name=n) for n in "abc"))


@pytest.mark.parametrize("weights", [{}, {"hard": 0.0}])
def test_weights_that_count_nothing_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="no label counts anything"):
        StrongWeakRule(weights=weights)


def test_the_built_in_score_puts_plainly_hard_prompts_above_plainly_easy_ones() -> None:
    classify = StaticClassifier.load(WEIGHTS / "complexity.model").classify
    counted = StrongWeakRule().counted()
    hard = [
        "Prove that the sum of the reciprocals of the primes diverges.",
        "Design a lock-free queue and argue why it is linearizable under weak memory.",
    ]
    easy = ["good morning", "What is the capital of Norway?"]
    least = min(strength(classify(text), counted) for text in hard)
    assert least > 0.5 > max(strength(classify(text), counted) for text in easy)
