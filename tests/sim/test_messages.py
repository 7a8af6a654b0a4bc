"""The simulator's Messages API: as strict as the real one, and its counts where that has them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wayside.sim.answer import Choice
from wayside.sim.messages import messages_error, messages_events, read_messages
from wayside.sim.refusal import Refusal
from wayside.sim.shapes import Usage

BODY: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "hi"}],
}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}


def test_a_body_is_read() -> None:
    ask = read_messages({**BODY, "system": [{"type": "text", "text": "s"}], "stream": True})
    assert (ask.model, ask.limit, ask.stream) == ("m", 9, True)
    assert (ask.prompts[0].text, ask.prompts[0].question) == ("s\nhi", "hi")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"model": ""}, "model"),
        ({"messages": []}, "at least one"),
        ({"messages": [{"role": "system", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
        ({"messages": [RESULT]}, "tool_use_id"),
        ({"tool_choice": {"type": "tool", "name": "f"}, "tools": []}, "not found"),
    ],
)
def test_what_the_real_one_refuses_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal, match=words):
        read_messages({**BODY, **change})


def test_the_input_is_counted_at_the_start_and_the_output_at_the_end() -> None:
    steps = messages_events(Choice("four chars", "stop"), Usage(10, 3, 4), "m")
    events = [json.loads(e.split(b"data: ")[1]) for step in steps for e in step]
    assert events[0]["message"]["usage"]["input_tokens"] == 6
    assert events[0]["message"]["usage"]["cache_read_input_tokens"] == 4
    assert events[-2]["usage"] == {"output_tokens": 3}
    assert len(steps) == 3, "a step for each token"


def test_errors_have_their_type() -> None:
    told = json.loads(messages_error(Refusal(529, "busy")))
    assert told["error"] == {"type": "overloaded_error", "message": "busy"}
