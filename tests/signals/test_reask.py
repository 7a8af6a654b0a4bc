from __future__ import annotations

from typing import Any

import pytest

from wayside.signals.reask import ReaskRule, ReaskSignal
from wayside.vocab.ask import Ask, Embed, Failure
from wayside.vocab.errors import AskFailed
from wayside.vocab.prompt import Message, Prompt
from wayside.vocab.verdict import Verdict

from .answer import reading_of

VECTORS = {"now": (1.0, 0.0), "same": (0.9, 0.436), "near": (0.8, 0.6), "far": (0.0, 1.0)}


def talk(*turns: str) -> Prompt:
    """The user's turns in order, the last is the question; an answer after each of the others."""
    messages = [m for t in turns for m in (Message("user", t), Message("assistant", "so"))][:-1]
    return Prompt(model="auto", messages=tuple(messages), question=turns[-1])


def answer(question: Ask[Any]) -> Any:
    assert isinstance(question, Embed)
    return tuple(VECTORS[text] for text in question.texts)


def read(prompt: Prompt, reply: Any = answer, **rules: ReaskRule) -> dict[str, Verdict]:
    return reading_of(ReaskSignal(rules).read(prompt), reply)


def test_a_question_like_the_one_before_matches() -> None:
    once = ReaskRule(threshold=0.85)
    assert read(talk("same", "now"), once=once)["once"] == Verdict(
        True, 0.9, "0.90 like 'same'", 0.9
    )
    assert read(talk("same", "near", "now"), once=once)["once"] == Verdict(
        False, 0.0, "0.80 like 'near'", 0.8
    )


def test_every_turn_looked_back_at_must_be_repeated() -> None:
    twice = ReaskRule(threshold=0.75, lookback=2)
    assert read(talk("near", "same", "now"), twice=twice)["twice"].value == 0.8
    assert not read(talk("far", "same", "now"), twice=twice)["twice"].matched
    assert read(talk("same", "now"), twice=twice) == {}, "there are not so many turns"


def test_of_several_rules_that_match_the_furthest_looking_does() -> None:
    rules = {"once": ReaskRule(threshold=0.75), "twice": ReaskRule(threshold=0.75, lookback=2)}
    reading = read(talk("near", "same", "now"), **rules)
    assert reading["twice"].matched and not reading["once"].matched
    assert "looks back further" in reading["once"].because
    assert read(talk("far", "same", "now"), **rules)["once"].matched


def test_only_turns_with_words_count_and_a_first_question_asks_nothing() -> None:
    assert read(talk("now"), once=ReaskRule()) == {}
    assert read(talk("same", " "), once=ReaskRule()) == {}
    assert read(talk("same", " ", "now"), once=ReaskRule())["once"].value == 0.9


def test_one_question_an_engine_whatever_the_rules() -> None:
    rules = {"once": ReaskRule(), "thrice": ReaskRule(lookback=3), "mine": ReaskRule(engine="e")}
    flow = ReaskSignal(rules).read(talk("far", "far", "near", "same", "now"))
    assert next(flow) == (Embed(("now", "same", "near", "far")), Embed(("now", "same"), "e"))


def test_an_embedder_that_fails_is_told_to_the_flow() -> None:
    with pytest.raises(AskFailed, match="slow"):
        read(talk("same", "now"), lambda _: Failure("slow"), once=ReaskRule())
    reading = read(
        talk("same", "now"),
        lambda q: Failure("slow") if q.engine == "e" else answer(q),
        once=ReaskRule(),
        mine=ReaskRule(engine="e"),
    )
    assert reading["once"].matched and reading["mine"].unknown
