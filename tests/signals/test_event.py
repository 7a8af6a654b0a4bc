from typing import Any

import pytest
from pydantic import ValidationError

from wayside.signals.event import EventRule, EventSignal
from wayside.vocab.errors import ConfigError
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

PAYMENT = {  # fragments/signal/event/payment-critical.yaml of vSR
    "event_types": ["payment_failed", "transaction_declined"],
    "severities": ["critical", "high"],
    "action_codes": ["TXN_DECLINE"],
    "temporal": True,
}


def read(question: str, metadata: dict[str, str] | None = None, **rule: Any) -> Verdict | None:
    signal = EventSignal({"it": EventRule.model_validate(rule)})
    prompt = Prompt(model="auto", question=question, metadata=metadata or {})
    return signal.read(prompt).get("it")


@pytest.mark.parametrize(
    ("question", "confidence", "because"),
    [
        ('{"event":"payment_failed"}', 0.625, "type"),
        ('{"event":"PAYMENT_FAILED","severity":"Critical"}', 0.75, "type, severity"),
        ("transaction_declined, high, code txn_decline", 0.875, "type, severity, code"),
        ("payment_failed critical TXN_DECLINE right now", 1.0, "type, severity, urgency, code"),
        ("Answer as soon as possible.", 0.625, "urgency"),
        ("a time-sensitive matter", 0.625, "urgency"),
        ("payment_failed_twice, knowingly, highly TXN_DECLINED", None, ""),
        ("", None, ""),
        ("\ud800 asap", 0.625, "urgency"),
    ],
)
def test_confidence_grows_with_the_criteria_that_are_met(
    question: str, confidence: float | None, because: str
) -> None:
    verdict = read(question, **PAYMENT)
    assert (verdict.confidence if verdict else None) == confidence
    assert (verdict.because if verdict else "") == because


def test_one_criterion_of_one_is_sure() -> None:
    verdict = read("a high fever", severities=["high"])
    assert verdict is not None and (verdict.confidence, verdict.value) == (1.0, 1.0)


def test_metadata_is_read_as_the_text_is() -> None:
    told = {"event_type": "payment_failed", "code": "TXN_DECLINE"}
    verdict = read("What now?", told, **PAYMENT)
    assert verdict is not None and verdict.confidence == 0.875


@pytest.mark.parametrize(
    ("code", "question", "expected"),
    [
        (r"AUTH_\w+", "auth_fail at 9", True),
        (r"AUTH_\w+", "OAUTH_FAIL", False),
        (r"E\d{3}|F1", "error e404", True),
        (r"E\d{3}|F1", "error E4040", False),
        (r"E\d{3}|F1", "f1", True),
    ],
)
def test_codes_are_patterns_of_whole_words(code: str, question: str, expected: bool) -> None:
    assert (read(question, action_codes=[code]) is not None) is expected


def test_rules_keep_their_own_words() -> None:
    signal = EventSignal(
        {
            "pay": EventRule(event_types=("payment_failed",), severities=("critical",)),
            "any": EventRule(severities=("critical", "low")),
            "code": EventRule(action_codes=("X1",)),
            "soon": EventRule(temporal=True),
        }
    )
    reading = signal.read(Prompt(model="auto", question="critical x1"))
    assert {name: v.confidence for name, v in reading.items()} == {
        "pay": 0.75,
        "any": 1.0,
        "code": 1.0,
    }


def test_a_pattern_that_does_not_compile_says_where() -> None:
    with pytest.raises(ConfigError, match=r"it\.action_codes\[1\].*look-around"):
        read("x", action_codes=["A", "(?=x)"])


@pytest.mark.parametrize(
    "rule", [{}, {"temporal": False}, {"severities": [" "]}, {"event_types": "payment_failed"}]
)
def test_bad_settings_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EventRule.model_validate(rule)
