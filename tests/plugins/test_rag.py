"""Passages for the model, and what happens where there are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wayside.dialects.openai_chat import ChatBody
from wayside.plugins import Draft
from wayside.plugins.rag import RagPlugin, RagRule, within
from wayside.vocab.ask import Embed, Failure
from wayside.vocab.errors import RequestError
from wayside.vocab.stores import Passage, Search

FOUND = (
    Passage("1", "Travel is paid by train.", 0.8, {"source": "handbook"}),
    Passage("2", "Hotels up to 90 euros.", 0.5),
)
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "May I fly?"},
]


def run(found: Any = FOUND, turns: Any = None, **rule: Any) -> tuple[list[Any], Draft, list[Any]]:
    turns = TURNS if turns is None else turns
    body = ChatBody(json.dumps({"model": "auto", "messages": turns}).encode())
    draft = Draft(body.edit)
    flow = RagPlugin(RagRule.model_validate(rule)).before(body.prompt({}), draft)
    asked: list[Any] = []
    answers: Any = None
    while flow is not None:
        try:
            (question,) = next(flow) if answers is None else flow.send(answers)
        except StopIteration:
            break
        asked.append(question)
        answers = (((1.0, 0.0),),) if isinstance(question, Embed) else (found,)
    return json.loads(draft.body.encode())["messages"], draft, asked


def test_passages_follow_the_system_prompt_and_name_their_source() -> None:
    turns, draft, asked = run(collection="handbook", top_k=2)
    said = turns[0]["content"]
    assert said.startswith("Be brief.\n\n") and "not instructions" in said
    assert "[1] handbook\nTravel is paid by train." in said and "[2]\nHotels" in said
    assert turns[1] == TURNS[1]
    assert draft.personal and ("x-wayside-rag", "2") in draft.report
    assert asked[1] == Search("memory", "handbook", "May I fly?", (1.0, 0.0), 2, 0.0)


def test_without_a_system_prompt_there_is_one_then() -> None:
    turns, _, _ = run(turns=TURNS[1:])
    assert [turn["role"] for turn in turns] == ["system", "user"]


def test_as_the_result_of_a_tool() -> None:
    turns, _, _ = run(inject="tool")
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "tool"]
    call = turns[2]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"query": "May I fly?"}
    assert turns[3]["tool_call_id"] == call["id"] and "90 euros" in turns[3]["content"]


@pytest.mark.parametrize("content", ["May I fly?", [{"type": "text", "text": "May I fly?"}]])
def test_before_the_question(content: Any) -> None:
    turns, _, _ = run(turns=[{"role": "user", "content": content}], inject="user")
    said = turns[0]["content"]
    text = said if isinstance(said, str) else said[0]["text"]
    assert "Hotels" in text and "May I fly?" in json.dumps(said)


def test_a_store_that_embeds_by_itself_is_asked_by_text() -> None:
    _, _, asked = run(embeds=False)
    assert [type(question) for question in asked] == [Search] and asked[0].vector is None


@pytest.mark.parametrize(("found", "rule"), [((), {}), (FOUND, {"min_best": 0.9})])
def test_nothing_near_changes_nothing(found: Any, rule: dict[str, Any]) -> None:
    turns, draft, _ = run(found, **rule)
    assert turns == TURNS and not draft.edited and not draft.personal
    assert draft.report == [("x-wayside-rag", "0")]


def test_a_store_that_fails() -> None:
    turns, draft, _ = run(Failure("down"))
    assert turns == TURNS and draft.report == [("x-wayside-rag", "unavailable")]
    _, draft, _ = run(Failure("down"), on_failure="warn")
    assert ("x-vsr-response-warnings", "retrieval_unavailable") in draft.report
    with pytest.raises(RequestError) as refused:
        run(Failure("down"), on_failure="block")
    assert refused.value.status == 503 and "down" not in str(refused.value)


def test_no_more_characters_than_allowed() -> None:
    passages = [Passage(str(i), "x" * 100, 0.5) for i in range(10)]
    assert sum(map(len, within(passages, 250))) <= 250
    assert within(passages, 3) == []
