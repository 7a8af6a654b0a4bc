"""Long tool results come down to what bears on the question."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wayside.dialects.openai_chat import ChatBody
from wayside.plugins import Draft
from wayside.plugins.context_compression import (
    ContextCompressionPlugin,
    ContextCompressionRule,
    Shrink,
    chosen,
    shortened,
)
from wayside.vocab.errors import RequestError
from wayside.vocab.tokens import estimate_tokens

FILLER = "The weather in the valley was mild and nothing else happened that day. "
FACT = "The invoice number of the Hamburg order is 4711."
LONG = FILLER * 200 + FACT + " " + FILLER * 200
QUESTION = "What is the invoice number of the Hamburg order?"


def run(turns: list[dict[str, Any]], headers: dict[str, str] | None = None, **rule: Any) -> Any:
    raw = json.dumps({"model": "auto", "messages": turns}).encode()
    body = ChatBody(raw)
    draft = Draft(body.edit)
    plugin = ContextCompressionPlugin(ContextCompressionRule.model_validate(rule))
    plugin.before(body.prompt(headers or {}), draft)
    return json.loads(draft.edit.encode())["messages"] if draft.edited else None


def conversation(output: str = LONG) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": LONG},
        {"role": "user", "content": QUESTION},
        {"role": "tool", "tool_call_id": "c", "content": output},
    ]


def test_the_sentence_that_answers_stays_and_the_rest_goes() -> None:
    turns = run(conversation())
    assert turns is not None
    assert FACT in turns[2]["content"] and "[...]" in turns[2]["content"]
    assert estimate_tokens([turns[2]["content"]]) < 1100
    assert turns[:2] == conversation()[:2]


def test_a_short_result_keeps_its_bytes() -> None:
    assert run(conversation("It is 4711.")) is None


def test_short_conversations_are_left_alone() -> None:
    assert run(conversation(), trigger_tokens=1_000_000) is None


def test_a_list_stays_a_list() -> None:
    items = [{"id": i, "note": FILLER} for i in range(200)] + [{"id": 4711, "note": FACT}]
    turns = run(conversation(json.dumps(items)))
    kept = json.loads(turns[2]["content"])
    assert {"id": 4711, "note": FACT} in kept and 1 < len(kept) < 100


def test_history_is_shortened_but_not_the_question() -> None:
    turns = [
        {"role": "user", "content": LONG},
        {"role": "assistant", "content": [{"type": "text", "text": LONG}]},
        {"role": "user", "content": LONG + QUESTION},
    ]
    found = run(turns, history={"min_tokens": 500, "target_tokens": 100}, tool_outputs=None)
    assert FACT in found[0]["content"] and len(found[0]["content"]) < 1000
    assert FACT in found[1]["content"][0]["text"]
    assert found[2] == turns[2]


@pytest.mark.parametrize(
    ("said", "controls", "most"),
    [("bypass", ["bypass"], None), ("bypass", [], 1100), ("target=200", ["target"], 260)],
)
def test_a_client_asks_only_for_what_it_may(
    said: str, controls: list[str], most: int | None
) -> None:
    headers = {"x-vsr-compression-control": said}
    turns = run(conversation(), headers, controls=controls)
    if most is None:
        assert turns is None
    else:
        assert estimate_tokens([turns[2]["content"]]) <= most


def test_a_control_that_says_nothing_known_is_refused() -> None:
    with pytest.raises(RequestError, match="neither 'bypass' nor 'target=N'"):
        run(conversation(), {"x-vsr-compression-control": "please"})


@pytest.mark.parametrize(
    "rule",
    [
        {"tool_outputs": None},
        {"tool_outputs": {"min_tokens": 10, "target_tokens": 10}},
        {"controls": ["bypass", "bypass"]},
    ],
)
def test_settings_that_do_nothing_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ContextCompressionRule.model_validate(rule)


def test_the_ranking_is_bm25_worked_out_by_hand() -> None:
    # Of three pieces of two words each, "rare" is in one of them: idf = ln(1 + 2.5/1.5) = .98;
    # "both" is in two: idf = ln(1 + 1.5/2.5) = .47. All are of average length, so a word that
    # stands there once counts its idf alone.
    pieces = ["first one", "both other", "both rare"]
    size = estimate_tokens(["first one"]) + estimate_tokens(["both rare"])
    assert chosen(pieces, "rare both", size) == [0, 2]


@given(st.text(max_size=3000), st.text(max_size=50))
def test_what_stays_stood_there_in_this_order(text: str, question: str) -> None:
    short = shortened(text, question, Shrink(min_tokens=20, target_tokens=10))
    left = iter(text)
    assert all(c in left for c in short.replace("[...]", "") if not c.isspace())


def test_a_million_tokens_take_no_minutes() -> None:
    began = time.perf_counter()
    shortened("word and number 7. " * 250_000, "number", Shrink())
    assert time.perf_counter() - began < 5
