from __future__ import annotations

from typing import Any

import pytest

from wayside.signals.fact_check import FactCheckRule, FactCheckSignal
from wayside.vocab.ask import Classify, Failure
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

ASKED = Prompt(model="auto", question="When was Oslo founded?")
RANKED = (("needs_fact_check", 0.7), ("no_fact_check_needed", 0.3))


def read(reply: Any = RANKED, **rules: FactCheckRule) -> dict[str, Verdict]:
    return reading_of(FactCheckSignal(rules).read(ASKED), lambda _: reply)


def test_a_label_probable_enough_matches() -> None:
    reading = read(
        facts=FactCheckRule(),
        sure=FactCheckRule(threshold=0.8),
        free=FactCheckRule(label="no_fact_check_needed"),
        maybe_free=FactCheckRule(label="no_fact_check_needed", threshold=0.3),
    )
    assert reading == {
        "facts": Verdict(True, 0.7, "needs_fact_check 0.70", 0.7),
        "sure": Verdict(False, 0.0, "needs_fact_check 0.70", 0.7),
        "free": Verdict(False, 0.0, "needs_fact_check 0.70", 0.3),
        "maybe_free": Verdict(True, 0.3, "needs_fact_check 0.70", 0.3),
    }


def test_all_rules_ask_once_and_an_empty_question_asks_nothing() -> None:
    rules = {"a": FactCheckRule(), "b": FactCheckRule(label="no_fact_check_needed")}
    signal = FactCheckSignal(rules)
    assert next(signal.read(ASKED)) == (Classify(ASKED.question, "fact_check"),)
    assert reading_of(signal.read(Prompt(model="auto", question="\n")), lambda _: RANKED) == {}
    assert read((), **rules) == {}


def test_a_classifier_that_fails_is_told_to_the_flow() -> None:
    with pytest.raises(AskFailed, match="too slow"):
        read(Failure("too slow"), facts=FactCheckRule())
    rules = {"facts": FactCheckRule(), "mine": FactCheckRule(engine="mine")}
    reading = reading_of(
        FactCheckSignal(rules).read(ASKED),
        lambda q: Failure("too slow") if q.head == "mine" else RANKED,
    )
    assert reading["facts"].matched and reading["mine"].unknown
