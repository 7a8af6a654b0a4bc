from __future__ import annotations

from typing import Any

import pytest

from wayside.signals.complexity import ComplexityRule, ComplexitySignal
from wayside.vocab.ask import Ask, Classify, Failure, Similar
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

ASKED = Prompt(model="auto", question="Prove it")
RANKED = (("hard", 0.6), ("medium", 0.3), ("easy", 0.1))


def read(hard: float = 0.0, easy: float = 0.0, /, **rules: ComplexityRule) -> dict[str, Verdict]:
    def answer(question: Ask[Any]) -> Any:
        if isinstance(question, Classify):
            assert question == Classify("Prove it", "complexity")
            return RANKED
        assert isinstance(question, Similar)
        return tuple(hard if text == "derive" else easy for text in question.bank.texts)

    return reading_of(ComplexitySignal(rules).read(ASKED), answer)


def by_example(**settings: Any) -> ComplexityRule:
    return ComplexityRule(hard=("derive",), easy=("define",), **settings)


def test_the_classifier_gives_every_level_its_probability() -> None:
    reading = read(
        hard=ComplexityRule(),
        sure=ComplexityRule(threshold=0.7),
        medium=ComplexityRule(level="medium", threshold=0.25),
        easy=ComplexityRule(level="easy"),
    )
    assert reading == {
        "hard": Verdict(True, 0.6, "hard 0.60", 0.6),
        "sure": Verdict(False, 0.0, "hard 0.60", 0.6),
        "medium": Verdict(True, 0.3, "hard 0.60", 0.3),
        "easy": Verdict(False, 0.0, "hard 0.60", 0.1),
    }


@pytest.mark.parametrize(
    ("hard", "easy", "level", "nearest"),
    [
        (0.75, 0.5, "hard", "derive"),
        (0.55, 0.5, "medium", "derive"),
        (0.5, 0.55, "medium", "define"),
        (0.25, 0.5, "easy", "define"),
    ],
)
def test_with_examples_the_nearer_side_decides(
    hard: float, easy: float, level: str, nearest: str
) -> None:
    rules = {name: by_example(level=name) for name in ("easy", "medium", "hard")}
    reading = read(hard, easy, **rules)
    assert [name for name, v in reading.items() if v.matched] == [level]
    verdict = reading[level]
    assert verdict.value == pytest.approx(hard - easy)
    assert verdict.because == f"{level}: margin {hard - easy:+.2f}, most like {nearest!r}"


def test_the_two_sides_may_have_margins_of_their_own() -> None:
    assert not read(0.75, 0.5, it=by_example(threshold=0.3))["it"].matched
    assert read(0.75, 0.5, it=by_example(threshold=0.3, hard_above=0.2))["it"].matched
    low = by_example(level="easy", easy_below=0.2, hard_above=0.3)
    assert read(0.6, 0.5, it=low)["it"].matched


def test_both_ways_are_one_batch_and_fail_apart() -> None:
    rules = {"a": ComplexityRule(), "b": by_example()}
    signal = ComplexitySignal(rules)
    assert len(next(signal.read(ASKED))) == 2

    def failing(kind: type) -> Any:
        return lambda q: (
            Failure("slow")
            if isinstance(q, kind)
            else RANKED
            if isinstance(q, Classify)
            else (0.9, 0.1)
        )

    assert reading_of(signal.read(ASKED), failing(Classify))["a"].unknown
    reading = reading_of(signal.read(ASKED), failing(Similar))
    assert reading["b"].unknown and reading["a"].matched
    with pytest.raises(AskFailed):
        reading_of(signal.read(ASKED), failing(object))
    assert reading_of(signal.read(Prompt(model="auto")), failing(Similar)) == {}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"hard": ["a"]}, "of both hard and easy"),
        ({"hard": ["a"], "easy": ["b"], "engine": "mine"}, "not both"),
        ({"hard_above": 0.2}, "hard_above is for examples"),
        ({"embedder": "embedding"}, "embedder is for examples"),
        ({"hard": ["a"], "easy": ["b"], "hard_above": -0.5}, "a prompt could be both"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(
    settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        ComplexityRule.model_validate(settings)


def test_the_engine_that_is_needed_is_named() -> None:
    assert (ComplexityRule().engine, ComplexityRule().embedder) == ("complexity", None)
    assert (by_example().engine, by_example().embedder) == (None, "embedding")
