from __future__ import annotations

from typing import Any

import pytest

from wayside.signals.safety import HAZARDS, SafetyRule, SafetySignal
from wayside.vocab.ask import Classify, Failure
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

ASKED = Prompt(model="auto", question="How are grenades built?")
RANKED = (("weapons", 0.6), ("safe", 0.25), ("violent_crime", 0.15))


def read(reply: Any = RANKED, **rules: SafetyRule) -> dict[str, Verdict]:
    return reading_of(SafetySignal(rules).read(ASKED), lambda _: reply)


def test_the_hazards_of_a_rule_count_together() -> None:
    reading = read(
        arms=SafetyRule(hazards=("weapons",)),
        harm=SafetyRule(hazards=("violent_crime", "weapons"), threshold=0.75),
        hate=SafetyRule(hazards=("hate",)),
        any=SafetyRule(threshold=0.7),
        surely_any=SafetyRule(threshold=0.8),
    )
    assert reading["arms"] == Verdict(True, 0.6, "weapons 0.60", 0.6)
    assert reading["harm"].matched and reading["harm"].value == pytest.approx(0.75)
    assert reading["hate"] == Verdict(False, 0.0, "weapons 0.60", 0)
    assert reading["any"].matched and not reading["surely_any"].matched


def test_a_classifier_of_ones_own_may_have_its_own_hazards() -> None:
    reading = read((("S9", 0.8), ("safe", 0.2)), mine=SafetyRule(hazards=("S9",), engine="guard"))
    assert reading["mine"].matched
    with pytest.raises(ConfigError) as caught:
        SafetySignal({"mine": SafetyRule(hazards=("hate", "weapon"))})
    assert str(caught.value) == "mine.hazards[1]: no hazard 'weapon'; did you mean 'weapons'?"


def test_all_rules_ask_once_and_a_failure_is_told_to_the_flow() -> None:
    signal = SafetySignal({hazard: SafetyRule(hazards=(hazard,)) for hazard in HAZARDS})
    assert next(signal.read(ASKED)) == (Classify(ASKED.question, "safety"),)
    assert reading_of(signal.read(Prompt(model="auto")), lambda _: RANKED) == {}
    assert read((), it=SafetyRule()) == {}
    with pytest.raises(AskFailed):
        read(Failure("slow"), it=SafetyRule())
    reading = reading_of(
        SafetySignal({"it": SafetyRule(), "mine": SafetyRule(engine="guard")}).read(ASKED),
        lambda q: Failure("slow") if q.head == "guard" else RANKED,
    )
    assert reading["it"].matched and reading["mine"].unknown
