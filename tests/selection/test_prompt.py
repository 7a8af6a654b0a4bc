from __future__ import annotations

import json
from typing import Any

import pytest

from tests.selection.asking import LARGE, SMALL, TWO, said
from wayside.selection import Candidate, Picked
from wayside.selection.prompt import PromptRule, PromptSelector
from wayside.vocab.calls import Complete
from wayside.vocab.errors import AskFailed, RequestError
from wayside.vocab.observed import ModelFacts
from wayside.vocab.prompt import Prompt


def chosen(
    answer: Any,
    candidates: tuple[Candidate, ...] = TWO,
    prompt: Prompt | None = None,
    facts: tuple[ModelFacts, ...] = (),
    **rule: Any,
) -> tuple[Picked, Complete]:
    selector = PromptSelector(PromptRule.model_validate({"model": "helper", **rule}))
    selector.meet(facts)
    flow = selector.choose(
        prompt or Prompt(model="auto", question="What is 2+2?"), candidates, 0.0
    )
    (question,) = next(flow)
    assert isinstance(question, Complete)
    try:
        flow.send((said(question, answer),))
    except StopIteration as stop:
        assert isinstance(stop.value, Picked)
        return stop.value, question
    raise AssertionError("it asks once")


@pytest.mark.parametrize(
    ("answer", "candidate"),
    [
        ('{"model": "large"}', LARGE),
        ('Well.\n```json\n{"model": " Large "}\n```', LARGE),
        ("small", SMALL),
        ('"small"', SMALL),
    ],
)
def test_the_helper_names_a_candidate(answer: str, candidate: Candidate) -> None:
    picked, _ = chosen(answer)
    assert picked.candidate == candidate
    assert picked.why == "helper named it"


def test_an_adapter_has_a_name_of_its_own() -> None:
    adapter = Candidate("small", lora="small-sql")
    assert chosen('{"model": "small-sql"}', (SMALL, adapter))[0].candidate == adapter


@pytest.mark.parametrize(
    "answer", ['{"model": "huge"}', "small or large", "", "{}", 500, None, '{"model": ["small"]}']
)
def test_without_a_name_the_algorithm_has_failed(answer: Any) -> None:
    with pytest.raises(AskFailed):
        chosen(answer)
    with pytest.raises(RequestError) as error:
        chosen(answer, on_error="fail")
    assert error.value.status == 503


def test_what_the_helper_is_told() -> None:
    facts = (ModelFacts(name="large", description="slow", capabilities=("maths", "code")),)
    prompt = Prompt(model="auto", question="a\ud800b", headers={"x-request-id": "r1", "x-y": "z"})
    _, question = chosen("small", prompt=prompt, facts=facts, instructions="Be thrifty.")
    assert question.model == "helper"
    assert question.timeout_s == 5.0
    assert question.headers == (("x-request-id", "r1"),)
    body = json.loads(question.body)
    system, user = body["messages"]
    assert "Be thrifty." in system["content"]
    assert "- small\n- large: slow (maths, code)" in system["content"]
    assert user["content"] == '<question number="1">\na?b\n</question>'
    assert body["max_completion_tokens"] == 256


def test_of_a_long_question_the_ends_are_read() -> None:
    prompt = Prompt(model="auto", question="a" * 5000 + "m" * 5000 + "z" * 5000)
    _, question = chosen("small", prompt=prompt, max_characters=10)
    assert "aaaaa\n[...]\nzzzzz" in json.loads(question.body)["messages"][1]["content"]


def test_of_one_there_is_nothing_to_ask() -> None:
    selector = PromptSelector(PromptRule(model="helper"))
    flow = selector.choose(Prompt(model="auto"), (SMALL,), 0.0)
    with pytest.raises(StopIteration) as stop:
        next(flow)
    assert stop.value.value == Picked(SMALL, "the only one")


def test_one_call_is_all_it_may_make() -> None:
    selector = PromptSelector(PromptRule(model="helper", timeout_seconds=2))
    assert (selector.limits.max_calls, selector.limits.timeout_s) == (1, 2)
    assert selector.asks == {"model": "helper"}
