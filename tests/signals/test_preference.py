from __future__ import annotations

from typing import Any

import pytest

from wayside.signals.preference import PreferenceRule, PreferenceSignal
from wayside.vocab.ask import Ask, Classify, Failure, Similar
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

ASKED = Prompt(model="auto", question="In one line, please")
COSINES = {"short": 0.7, "bullets": 0.6, "essay": 0.3}


def answer(question: Ask[Any]) -> Any:
    if isinstance(question, Similar):
        return tuple(COSINES[text] for text in question.bank.texts)
    assert question == Classify(ASKED.question, "judge")
    return (("terse", 0.8), ("long", 0.2))


def read(reply: Any = answer, **rules: PreferenceRule) -> dict[str, Verdict]:
    return reading_of(PreferenceSignal(rules).read(ASKED), reply)


def test_the_rule_with_the_nearest_examples_matches() -> None:
    reading = read(
        terse=PreferenceRule(examples=("short", "bullets")),
        long=PreferenceRule(examples=("essay",), threshold=0.2),
    )
    score = 0.75 * 0.7 + 0.25 * 0.65
    assert reading["terse"].matched and reading["terse"].value == pytest.approx(score)
    assert reading["terse"].because == "0.69 like 'short', +0.39 to the next rule"
    assert not reading["long"].matched, "it reaches its threshold, but another is nearer"


def test_a_margin_asks_for_a_clear_winner() -> None:
    rules = {"b": PreferenceRule(examples=("bullets",), threshold=0.2)}
    clear = PreferenceRule(examples=("short",), margin=0.05)
    assert read(a=clear, **rules)["a"].matched
    unclear = PreferenceRule(examples=("short",), margin=0.2)
    assert not read(a=unclear, **rules)["a"].matched
    assert read(a=unclear)["a"].matched, "without rivals only the threshold counts"


def test_a_classifier_knows_the_rules_by_name() -> None:
    reading = read(terse=PreferenceRule(engine="judge"), long=PreferenceRule(engine="judge"))
    assert reading == {
        "terse": Verdict(True, 0.8, "terse 0.80", 0.8),
        "long": Verdict(False, 0.0, "terse 0.80", 0.2),
    }
    assert not read(terse=PreferenceRule(engine="judge", threshold=0.9))["terse"].matched


def test_both_ways_are_asked_in_one_batch_and_fail_apart() -> None:
    rules = {"terse": PreferenceRule(engine="judge"), "a": PreferenceRule(examples=("short",))}
    assert len(next(PreferenceSignal(rules).read(ASKED))) == 2
    reading = read(lambda q: Failure("slow") if isinstance(q, Classify) else answer(q), **rules)
    assert reading["terse"].unknown and reading["a"].matched
    reading = read(lambda q: Failure("slow") if isinstance(q, Similar) else answer(q), **rules)
    assert reading["a"].unknown and reading["terse"].matched
    with pytest.raises(AskFailed):
        read(lambda q: Failure("slow"), **rules)


def test_an_empty_question_asks_nothing() -> None:
    flow = PreferenceSignal({"a": PreferenceRule(examples=("short",))}).read(
        Prompt(model="auto", question="")
    )
    assert reading_of(flow, answer) == {}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "either examples or an engine"),
        ({"examples": ["a"], "engine": "judge"}, "either examples or an engine"),
        ({"engine": "judge", "margin": 0.1}, "margin compares examples"),
        ({"engine": "judge", "embedder": "embedding"}, "embedder compares examples"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(
    settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        PreferenceRule.model_validate(settings)


def test_the_embedder_is_the_built_in_one_where_there_are_examples() -> None:
    assert PreferenceRule(examples=("a",)).embedder == "embedding"
    assert PreferenceRule(engine="judge").embedder is None
