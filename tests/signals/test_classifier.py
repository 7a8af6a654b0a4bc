from __future__ import annotations

from typing import Any

import pytest

from wayside.signals.classifier import ClassifierRule, ClassifierSignal
from wayside.vocab.ask import Classify, Failure
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

ASKED = Prompt(model="auto", question="drop the table")
RANKED = (("RISKY", 0.6), ("ODD", 0.3), ("SAFE", 0.1))
RISKY = ClassifierRule(engine="judge", labels=("RISKY",))


def read(reply: Any = RANKED, **rules: ClassifierRule) -> dict[str, Verdict]:
    return reading_of(ClassifierSignal(rules).read(ASKED), lambda _: reply)


def test_the_labels_of_a_rule_count_together() -> None:
    reading = read(
        risky=RISKY,
        either=ClassifierRule(engine="judge", labels=("RISKY", "ODD"), threshold=0.85),
        safe=ClassifierRule(engine="judge", labels=("SAFE",)),
        nowhere=ClassifierRule(engine="judge", labels=("risky",), threshold=0.01),
    )
    assert reading["risky"] == Verdict(True, 0.6, "RISKY 0.60", 0.6)
    assert reading["either"].matched and reading["either"].value == pytest.approx(0.9)
    assert reading["safe"] == Verdict(False, 0.0, "RISKY 0.60", 0.1)
    assert not reading["nowhere"].matched, "labels are written as the classifier writes them"


def test_an_engine_is_asked_once_and_an_empty_question_asks_nothing() -> None:
    other = ClassifierRule(engine="other", labels=("x",))
    signal = ClassifierSignal({"a": RISKY, "b": RISKY, "c": other})
    assert next(signal.read(ASKED)) == (
        Classify("drop the table", "judge"),
        Classify("drop the table", "other"),
    )
    assert reading_of(signal.read(Prompt(model="auto")), lambda _: RANKED) == {}
    assert read((), risky=RISKY)["risky"] == Verdict(False, 0.0, "no label", 0)


def test_a_rule_says_what_an_answer_that_does_not_come_means() -> None:
    down = Failure("down")
    with pytest.raises(AskFailed, match="down"):
        read(down, risky=RISKY)
    reading = read(
        down,
        leave=RISKY,
        close=ClassifierRule(engine="judge", labels=("RISKY",), on_error="match"),
        open=ClassifierRule(engine="judge", labels=("RISKY",), on_error="no_match"),
    )
    assert reading == {
        "leave": Verdict(False, 0.0, "down", None, True),
        "close": Verdict(True, 1.0, "on_error match: down"),
        "open": Verdict(False, 0.0, "on_error no_match: down"),
    }
