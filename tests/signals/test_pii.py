"""Personal data as a signal: which types count, what is read, and that no value is repeated."""

from __future__ import annotations

import pytest

from wayside.engines.pii import PiiRecogniser
from wayside.signals.pii import PiiRule, PiiSignal
from wayside.vocab.ask import Ask, Failure, Mark, Span, Spans
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

MAIL = Span(0, 5, "EMAIL_ADDRESS", 0.98)
CALL = Span(9, 15, "PHONE_NUMBER", 0.6)
DAY = Span(20, 24, "DATE_TIME", 0.9)
PROMPT = Prompt(model="auto", question="something")


def read(spans: Spans, prompt: Prompt = PROMPT, **rules: PiiRule) -> dict[str, Verdict]:
    return reading_of(PiiSignal(rules).read(prompt), lambda _: spans)


def test_every_rule_has_types_and_a_threshold_of_its_own() -> None:
    reading = read(
        (MAIL, CALL, DAY),
        default=PiiRule(),
        mail_is_fine=PiiRule(allowed=("EMAIL_ADDRESS",)),
        both_are_fine=PiiRule(allowed=("EMAIL_ADDRESS", "PHONE_NUMBER")),
        strict=PiiRule(threshold=0.9),
        days=PiiRule(types=("DATE_TIME",)),
    )
    assert reading == {
        "default": Verdict(True, 0.98, "EMAIL_ADDRESS, PHONE_NUMBER", 2.0),
        "mail_is_fine": Verdict(True, 0.6, "PHONE_NUMBER", 1.0),
        "strict": Verdict(True, 0.98, "EMAIL_ADDRESS", 1.0),
        "days": Verdict(True, 0.9, "DATE_TIME", 1.0),
    }


def test_the_reason_names_types_and_never_values() -> None:
    text = "mail ann@example.org or 4111 1111 1111 1111, 4012 8888 8888 1881"
    recogniser = PiiRecogniser()
    flow = PiiSignal({"it": PiiRule()}).read(Prompt(model="auto", question=text))
    reading = reading_of(flow, lambda ask: recogniser.spans(ask.text))  # type: ignore[attr-defined]
    assert reading["it"].because == "CREDIT_CARD, EMAIL_ADDRESS"
    assert reading["it"].value == 3.0


HISTORY = Prompt(
    model="auto",
    question="and now?",
    messages=(
        Message("system", "be kind"),
        Message("user", "ann@x.org"),
        Message("tool", "ben@x.org"),
        Message("assistant", ""),
        Message("user", "ann@x.org"),
        Message("user", "and now?"),
    ),
)


def test_history_is_read_only_when_asked_and_each_text_once() -> None:
    asked = next(PiiSignal({"it": PiiRule()}).read(HISTORY))
    assert asked == (Mark("and now?", "pii"),)
    rules = {"all": PiiRule(include_history=True), "last": PiiRule(), "own": PiiRule(engine="ner")}
    asked = next(PiiSignal(rules).read(HISTORY))
    assert set(asked) == {
        *[Mark(t, "pii") for t in ("be kind", "ann@x.org", "ben@x.org", "and now?")],
        Mark("and now?", "ner"),
    }
    assert len(asked) == 5


def test_an_empty_question_asks_nothing() -> None:
    flow = PiiSignal({"it": PiiRule()}).read(Prompt(model="auto", question=" \n"))
    with pytest.raises(StopIteration) as stop:
        next(flow)
    assert stop.value.value == {}


def test_what_nobody_read_is_unknown_unless_enough_was_found() -> None:
    def answer(question: Ask[object]) -> object:
        assert isinstance(question, Mark)
        return Failure("too slow") if question.text == "ben@x.org" else spans

    rules = {"it": PiiRule(include_history=True)}
    spans: Spans = ()
    assert reading_of(PiiSignal(rules).read(HISTORY), answer) == {
        "it": Verdict(False, 0.0, "too slow", unknown=True)
    }
    spans = (MAIL,)
    assert reading_of(PiiSignal(rules).read(HISTORY), answer)["it"].matched
    with pytest.raises(AskFailed, match="too slow"):
        reading_of(PiiSignal(rules).read(HISTORY), lambda _: Failure("too slow"))


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("EMAIL", "did you mean 'EMAIL_ADDRESS'"),
        ("email_address", "did you mean 'EMAIL_ADDRESS'"),
        ("CREDITCARD", "did you mean 'CREDIT_CARD'"),
        ("SSN", "did you mean 'US_SSN'"),
        ("zzz", "use one of: AGE, CREDIT_CARD"),
    ],
)
def test_an_unknown_type_says_what_to_write(name: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PiiSignal({"mine": PiiRule(allowed=("PERSON", name))})
    assert str(caught.value).startswith(f"mine.allowed[1]: no type of personal data {name!r}")
    assert fix in str(caught.value)


def test_an_engine_of_ones_own_may_have_types_of_its_own() -> None:
    reading = read((Span(0, 3, "FIRSTNAME", 0.9),), it=PiiRule(engine="ner", types=("FIRSTNAME",)))
    assert reading["it"].because == "FIRSTNAME"
