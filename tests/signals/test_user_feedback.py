from __future__ import annotations

from typing import Any

import pytest

from wayside.signals.user_feedback import UserFeedbackRule, UserFeedbackSignal
from wayside.vocab.ask import Classify, Failure
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

RANKED = (("wrong_answer", 0.5), ("want_different", 0.3), ("none", 0.2))


def talk(*roles: str) -> Prompt:
    messages = tuple(Message(role, f"{role} speaks") for role in roles)
    return Prompt(model="auto", messages=messages, question="No, that is not it.")


REPLY = talk("user", "assistant", "user")


def read(
    reply: Any = RANKED, prompt: Prompt = REPLY, **rules: UserFeedbackRule
) -> dict[str, Verdict]:
    return reading_of(UserFeedbackSignal(rules).read(prompt), lambda _: reply)


def test_the_labels_of_a_rule_count_together() -> None:
    reading = read(
        unhappy=UserFeedbackRule(labels=("wrong_answer", "want_different")),
        wrong=UserFeedbackRule(labels=("wrong_answer",)),
        perhaps=UserFeedbackRule(labels=("wrong_answer",), threshold=0.5),
        happy=UserFeedbackRule(labels=("satisfied",)),
    )
    assert reading == {
        "unhappy": Verdict(True, 0.8, "wrong_answer 0.50", 0.8),
        "wrong": Verdict(False, 0.0, "wrong_answer 0.50", 0.5),
        "perhaps": Verdict(True, 0.5, "wrong_answer 0.50", 0.5),
        "happy": Verdict(False, 0.0, "wrong_answer 0.50", 0),
    }


@pytest.mark.parametrize(
    ("roles", "asked"),
    [
        (("user", "assistant", "user"), True),
        (("assistant", "user"), True),
        (("user", "assistant", "tool", "user"), True),
        (("user",), False),
        (("system", "user"), False),
        (("user", "user"), False),
        (("user", "assistant"), False),
    ],
)
def test_there_is_no_feedback_without_an_answer_before(
    roles: tuple[str, ...], asked: bool
) -> None:
    rule = UserFeedbackRule(labels=("wrong_answer",), threshold=0.1)
    assert bool(read(prompt=talk(*roles), it=rule)) is asked


def test_all_rules_ask_once_and_words_are_needed() -> None:
    signal = UserFeedbackSignal({n: UserFeedbackRule(labels=("satisfied",)) for n in "ab"})
    assert next(signal.read(REPLY)) == (Classify("No, that is not it.", "feedback"),)
    empty = Prompt(model="auto", messages=REPLY.messages, question=" ")
    assert reading_of(signal.read(empty), lambda _: RANKED) == {}
    assert read((), it=UserFeedbackRule(labels=("satisfied",))) == {}


def test_a_classifier_that_fails_is_told_to_the_flow() -> None:
    with pytest.raises(AskFailed, match="too slow"):
        read(Failure("too slow"), it=UserFeedbackRule(labels=("satisfied",)))
    rules = {
        "mine": UserFeedbackRule(labels=("satisfied",), engine="mine"),
        "it": UserFeedbackRule(labels=("wrong_answer",), threshold=0.5),
    }
    reading = reading_of(
        UserFeedbackSignal(rules).read(REPLY),
        lambda q: Failure("too slow") if q.head == "mine" else RANKED,
    )
    assert reading["it"].matched and reading["mine"].unknown


def test_no_rule_waits_for_what_the_classifier_never_says() -> None:
    with pytest.raises(ValueError, match="satisfied"):
        UserFeedbackRule.model_validate({"labels": ["none"]})
