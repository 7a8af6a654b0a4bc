from __future__ import annotations

from typing import Any

import pytest

from tests.selection.asking import Asked, completion
from wayside.selection.ratings import RatingsRule, RatingsSelector
from wayside.vocab.errors import AskFailed


def ratings(**rule: Any) -> RatingsSelector:
    return RatingsSelector(RatingsRule.model_validate(rule))


def by_name(model: str, purpose: str, body: Any) -> Any:
    return completion(f"{model}!", finish_reason="length" if model == "small" else "stop")


def test_every_model_is_asked_at_once_and_every_answer_is_a_choice() -> None:
    asked = Asked(ratings(), by_name, body={"tools": [{}], "tool_choice": "auto", "n": 3})
    assert asked.models == [["small", "large"]]
    assert not {"tools", "tool_choice", "n"} & set(asked.batches[0][0][2])
    choices = asked.composed.completion["choices"]
    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in choices] == [
        (0, "small!", "length"),
        (1, "large!", "stop"),
    ]
    assert asked.composed.extra == {"models": ["small", "large"]}


def test_who_gives_no_answer_has_no_choice() -> None:
    def fails(model: str, purpose: str, body: Any) -> Any:
        return 503 if model == "small" else by_name(model, purpose, body)

    asked = Asked(ratings(), fails)
    (choice,) = asked.composed.completion["choices"]
    assert (choice["index"], choice["message"]["content"]) == (0, "large!")
    assert asked.composed.extra == {"models": ["large"]}
    assert asked.composed.model == "large"
    with pytest.raises(AskFailed):
        Asked(ratings(min_successful_responses=2), fails)
    with pytest.raises(AskFailed):
        Asked(ratings(on_error="fail"), fails)
