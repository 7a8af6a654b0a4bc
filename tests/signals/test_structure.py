from __future__ import annotations

import pytest

from wayside.signals.structure import StructureRule, StructureSignal, count_units
from wayside.vocab.errors import ConfigError
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

QUESTIONS = {"type": "regex", "pattern": "[?？]"}
STEPS = {"type": "regex", "pattern": r"(?m)^\s*\d+\.\s+"}
ORDER = {
    "type": "sequence",
    "sequences": [["first", "then"], ["first", "next", "finally"], ["首先", "然后"], ["先", "再"]],
}
LIMITS = {
    "type": "keyword_set",
    "keywords": ["under", "at most", "at least", "more than", "no more than", "不超过", "至少"],
}


def read(question: str, kind: str, source: object, **predicate: float) -> Verdict:
    rule = {"feature": {"type": kind, "source": source}, "predicate": predicate or None}
    signal = StructureSignal({"it": StructureRule.model_validate(rule)})
    return signal.read(Prompt(model="auto", question=question))["it"]


@pytest.mark.parametrize(
    ("question", "number"),
    [("Why? How? When? Who?", 4), ("为什么？怎么办？", 2), ("Nothing asked.", 0)],
)
def test_matches_of_a_pattern_are_counted(question: str, number: int) -> None:
    verdict = read(question, "count", QUESTIONS, gte=4)
    assert (verdict.value, verdict.matched) == (number, number >= 4)


def test_a_pattern_exists_or_not() -> None:
    assert read("Do this:\n 1. boil\n 2. stir", "exists", STEPS).matched
    assert not read("version 1.2 is out", "exists", STEPS).matched
    assert read("no steps", "exists", STEPS, eq=0).matched


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("First boil the water, then add salt.", True),
        ("Then what came first?", False),
        ("FIRST this, NEXT that, and FINALLY rest", True),
        ("firstly this, then that", False),
        ("首先烧水，然后加盐", True),
        ("先洗手再吃饭", True),
        ("再见，先生", False),
        ("first \ud800 then", True),
    ],
)
def test_a_sequence_is_words_in_order(question: str, expected: bool) -> None:
    assert read(question, "sequence", ORDER).matched is expected


def test_sequences_found_are_counted() -> None:
    both = read("first this, then next that, finally rest", "count", ORDER, gte=1)
    assert both.value == 2


@pytest.mark.parametrize(
    ("question", "number", "units"),
    [
        ("under ten, at least five", 2, 5),
        ("no more than six words please", 1, 6),
        ("至少五个字，不超过十个字", 2, 11),
        ("use 至少 five", 1, 4),
        ("misunderstand", 0, 1),
    ],
)
def test_density_is_per_word_or_per_unspaced_character(
    question: str, number: int, units: int
) -> None:
    verdict = read(question, "density", LIMITS, gt=0.08)
    assert verdict.value == number / units
    assert verdict.because == f"{number} in {units} units"


@pytest.mark.parametrize(
    ("text", "units"),
    [("", 0), ("it's two", 2), ("日本語 text", 4), ("Größe zählt", 2), ("한국어", 3), ("...", 0)],
)
def test_units(text: str, units: int) -> None:
    assert count_units(text) == units


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        ("text_bytes", "größe", 7),
        ("text_bytes", "x" * 4_000, 4_000),
        ("words", "one two three", 3),
        ("sentences", "One. Two! Is it 3.5? Yes", 4),
        ("sentences", "第一句。第二句！", 2),
        ("sentences", "... --- !!!", 0),
        ("lines", "a\n\n b \n", 2),
    ],
)
def test_length_has_four_units(kind: str, text: str, number: int) -> None:
    assert read(text, "count", {"type": kind}, gte=1).value == number


def test_an_empty_question_has_no_structure() -> None:
    rule = {"feature": {"type": "count", "source": QUESTIONS}, "predicate": {"lte": 1}}
    signal = StructureSignal({"it": StructureRule.model_validate(rule)})
    assert signal.read(Prompt(model="auto", question=" ")) == {}


@pytest.mark.parametrize(
    "rule",
    [
        {"feature": {"type": "count", "source": QUESTIONS}},
        {"feature": {"type": "density", "source": LIMITS}},
        {"feature": {"type": "sequence", "source": QUESTIONS}},
        {"feature": {"type": "exists", "source": {"type": "image"}}},
        {"feature": {"type": "exists", "source": {"type": "keyword_set", "keywords": []}}},
        {"feature": {"type": "sequence", "source": {"type": "sequence", "sequences": [[]]}}},
    ],
)
def test_bad_settings_are_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        StructureRule.model_validate(rule)


def test_a_pattern_that_does_not_compile_says_where() -> None:
    feature = {"type": "exists", "source": {"type": "regex", "pattern": "(?<!a)b"}}
    with pytest.raises(ConfigError, match=r"odd\.feature\.source\.pattern"):
        StructureSignal({"odd": StructureRule.model_validate({"feature": feature})})
