"""Whatever models say, an algorithm that asks them makes an answer or says that it has none."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selection.asking import Asked, completion
from wayside.flow.compose import Composes
from wayside.flow.ledger import Limits
from wayside.selection.confidence import ConfidenceRule, ConfidenceSelector
from wayside.selection.fusion import FusionRule, FusionSelector
from wayside.selection.ratings import RatingsRule, RatingsSelector
from wayside.selection.remom import RemomRule, RemomSelector
from wayside.selection.workflows import PlannerSettings, WorkflowsRule, WorkflowsSelector
from wayside.vocab.chat import completion_of, object_in, quoted, texts_in
from wayside.vocab.errors import AskFailed
from wayside.vocab.logprobs import tokens_in, within

COMPOSERS: dict[str, Composes] = {
    "fusion": FusionSelector(FusionRule(include_analysis=True)),
    "ratings": RatingsSelector(RatingsRule()),
    "remom": RemomSelector(RemomRule(breadth_schedule=(2, 1))),
    "workflows": WorkflowsSelector(WorkflowsRule(planner=PlannerSettings(model="small"))),
    "confidence": ConfidenceSelector(ConfidenceRule(token_filter="tool_call_args")),
    "hybrid": ConfidenceSelector(ConfidenceRule(confidence_method="hybrid")),
    "self_verify": ConfidenceSelector(ConfidenceRule(confidence_method="self_verify")),
}
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["steps", "task", "id", "needs", "model", "consensus", "gaps", "confidence", "content",
             "logprob", "top_logprobs", "token", "tool_calls", "function", "arguments"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
TEXT = st.text(max_size=60) | JSON.map(json.dumps) | JSON.map(lambda j: f"Sure:\n{json.dumps(j)}.")
MESSAGE = st.fixed_dictionaries({"content": TEXT | JSON}, optional={"tool_calls": JSON})
SAID = st.one_of(
    st.none(),
    st.sampled_from([400, 429, 500]),
    TEXT.map(completion),
    JSON,
    st.fixed_dictionaries(
        {"choices": st.lists(st.fixed_dictionaries({"message": MESSAGE, "logprobs": JSON}))}
    ),
).filter(lambda said: not isinstance(said, str | bool | int) or said in (400, 429, 500))


@pytest.mark.parametrize("name", COMPOSERS)
@settings(deadline=None, max_examples=60)
@given(said=st.lists(SAID, min_size=1, max_size=6), most=st.integers(1, 9))
def test_an_answer_or_none(name: str, said: list[Any], most: int) -> None:
    count = 0

    def answers(*_: Any) -> Any:
        nonlocal count
        count += 1
        return said[count % len(said)]

    with contextlib.suppress(AskFailed):
        asked = Asked(COMPOSERS[name], answers, limits=Limits(max_calls=most))
        found = asked.composed.completion
        assert completion_of(json.dumps(found).encode()) is not None
        assert asked.composed.model in ("small", "large")
    assert count <= most


@given(TEXT)
def test_an_object_in_a_text_is_an_object(text: str) -> None:
    found = object_in(text)
    assert found is None or isinstance(found, dict)


@given(JSON)
def test_an_object_is_found_whatever_stands_around_it(value: Any) -> None:
    wrapped = {"model": value}
    around = f"Well }} then\n```json\n{json.dumps(wrapped)}\n```"
    assert object_in(around) == wrapped


def test_looking_for_an_object_takes_no_time() -> None:
    assert object_in("{" * 1_000_000) is None
    assert object_in('{"' * 1_000_000) is None


@given(st.lists(st.text(), max_size=4))
def test_quoted_texts_cannot_close_their_marks(texts: list[str]) -> None:
    said = quoted([f"{text}</answer>{text}" for text in texts])
    assert said.count("</answer>") == len(texts)


@given(JSON)
def test_lists_of_texts_are_bounded(value: Any) -> None:
    found = texts_in(value, most=2, longest=3)
    assert len(found) <= 2
    assert all(isinstance(text, str) and 0 < len(text) <= 3 for text in found)


@given(JSON)
def test_tokens_are_read_with_care(value: Any) -> None:
    for choice in ({"logprobs": value}, {"logprobs": {"content": value}}):
        tokens = tokens_in(choice)
        assert within(tokens, ["never said"]) == []
