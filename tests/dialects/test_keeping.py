"""Which answers may be given again."""

import json
from typing import Any

import pytest

from wayside.dialects.keeping import kept
from wayside.dialects.whole import Answer


def answer(*choices: Any, **more: Any) -> Answer:
    each = {"status": 200, "content_type": "application/json", "complete": True, **more}
    return Answer(body=json.dumps({"choices": choices}).encode(), **each)


def choice(why: str = "stop", **turn: Any) -> dict[str, Any]:
    return {"message": {"content": "Yes.", **turn}, "finish_reason": why}


def test_what_was_said_to_its_end_is_kept() -> None:
    body = kept(answer(choice(), {"text": "Yes.", "finish_reason": "stop"}))
    assert body is not None and len(json.loads(body)["choices"]) == 2


@pytest.mark.parametrize(
    "found",
    [
        answer(choice(), choice("length")),
        answer(choice(), "no choice"),
        answer({"text": "", "finish_reason": "stop"}),
        answer(choice(audio={"data": "x"})),
        answer({**choice(), "error": {"message": "cut"}}),
        answer(choice(), warnings=("pii_redacted",)),
        answer(choice(), path="fast_response"),
        answer(choice(), complete=False),
    ],
)
def test_whatever_else_is_not(found: Answer) -> None:
    assert kept(found) is None


def test_calls_only_where_asked_for() -> None:
    calls = answer(choice("tool_calls", content=None, tool_calls=[{"id": "1"}]))
    assert kept(calls) is None
    assert kept(calls, tool_calls=True) is not None
