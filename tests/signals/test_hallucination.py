from __future__ import annotations

from typing import Any

import pytest

from wayside.signals.hallucination import HallucinationRule, HallucinationSignal
from wayside.vocab.ask import Failure, Mark, Span
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

ANSWER = "It opened in 1931. It has nine floors."
SPANS = (Span(0, 18, "unsupported", 0.7), Span(19, 38, "unsupported", 0.9))
TALK = (
    Message("system", "Be brief."),
    Message("user", "When did it open?"),
    Message("assistant", "", tool_calls=1),
    Message("tool", "Opened 1913, four floors."),
    Message("assistant", ANSWER),
    Message("user", "Are you sure?"),
)


def prompt(*messages: Message) -> Prompt:
    return Prompt(model="auto", messages=messages, question="Are you sure?")


def read(
    reply: Any = SPANS, asked: Prompt | None = None, **rules: HallucinationRule
) -> dict[str, Verdict]:
    flow = HallucinationSignal(rules).read(asked or prompt(*TALK))
    return reading_of(flow, lambda _: reply)


def test_the_worst_claim_of_the_last_answer_is_compared() -> None:
    reading = read(it=HallucinationRule(), sure=HallucinationRule(threshold=0.95))
    because = "0.90 not supported: 'It has nine floors.'"
    assert reading["it"] == Verdict(True, 0.9, because, 0.9)
    assert reading["sure"] == Verdict(False, 0.0, because, 0.9)


def test_several_claims_may_be_needed() -> None:
    reading = read(
        two=HallucinationRule(min_claims=2),
        surer=HallucinationRule(min_claims=2, threshold=0.8),
        three=HallucinationRule(min_claims=3),
    )
    assert reading["two"].matched and reading["two"].value == 0.7
    assert not reading["surer"].matched
    assert reading["three"] == Verdict(False, 0.0, "2 claims without support", 0.0)
    assert not read((), it=HallucinationRule())["it"].matched


def test_the_answer_is_held_against_what_came_before_it() -> None:
    rules = {
        "tools": HallucinationRule(),
        "all": HallucinationRule(context=("user", "tool", "system")),
        "same": HallucinationRule(context=("tool", "system", "user")),
    }
    assert next(HallucinationSignal(rules).read(prompt(*TALK))) == (
        Mark(ANSWER, "grounding", "Opened 1913, four floors."),
        Mark(ANSWER, "grounding", "Be brief.\n\nWhen did it open?\n\nOpened 1913, four floors."),
    )


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (Message("user", "Hello"),),
        (Message("user", "Hello"), Message("assistant", "Hi!"), Message("user", "And?")),
        (Message("assistant", "Hi!"), Message("tool", "afterwards")),
        (Message("tool", "1913"), Message("assistant", " ")),
    ],
)
def test_without_an_answer_or_a_source_there_is_nothing_to_say(
    messages: tuple[Message, ...],
) -> None:
    assert read(asked=prompt(*messages), it=HallucinationRule()) == {}


def test_what_is_handed_over_is_bounded_and_the_latest_counts() -> None:
    long = prompt(
        Message("tool", "old" * 100_000),
        Message("function", "new" * 50_000),
        Message("assistant", "x" * 1_000_000),
    )
    (asked,) = next(HallucinationSignal({"it": HallucinationRule()}).read(long))
    assert len(asked.text) == 200_000 and len(asked.context) <= 200_002
    assert asked.context.endswith("new" * 50_000)


def test_a_checker_that_fails_is_told_to_the_flow() -> None:
    with pytest.raises(AskFailed):
        read(Failure("slow"), it=HallucinationRule())
    reading = reading_of(
        HallucinationSignal(
            {"it": HallucinationRule(), "mine": HallucinationRule(engine="mine")}
        ).read(prompt(*TALK)),
        lambda q: Failure("slow") if q.head == "mine" else SPANS,
    )
    assert reading["it"].matched and reading["mine"].unknown
