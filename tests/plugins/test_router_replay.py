"""Records of decisions: complete, bounded, without personal data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from wayside.dialects.openai_chat import ChatBody
from wayside.dialects.whole import Answer
from wayside.plugins import Draft, Route
from wayside.plugins.router_replay import REPLAY_ID, RouterReplayPlugin, RouterReplayRule
from wayside.vocab.ask import Failure, Mark, Now, Span
from wayside.vocab.stores import Get, Put
from wayside.vocab.verdict import SignalRef, Verdict

ROUTE = Route(recipe="default", decision="d", requested="auto", model="small")
VERDICTS = {
    SignalRef("keyword", "urgent"): Verdict(True, 1.0, ""),
    SignalRef("keyword", "calm"): Verdict(False, 0.0, ""),
}
COMPLETION = {
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Write to ann@example.org."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3},
}
ANSWER = Answer(
    status=200,
    content_type="application/json",
    body=json.dumps(COMPLETION).encode(),
    complete=True,
)


def drive(flow: Any, marks: bool = True) -> list[Any]:
    """Run a flow; give back what it puts into stores."""
    kept: list[Any] = []
    answers: Any = None
    while True:
        try:
            batch = next(flow) if answers is None else flow.send(answers)
        except StopIteration:
            return kept
        said: list[Any] = []
        for question in batch:
            match question:
                case Now():
                    said.append(100.0)
                case Mark(text=text):
                    at = text.find("ann@example.org")
                    found = (Span(at, at + 15, "EMAIL_ADDRESS", 0.9),) if at >= 0 else ()
                    said.append(found if marks else Failure("gone"))
                case Get():
                    said.append(None)
                case Put():
                    kept.append(question)
                    said.append(None)
        answers = tuple(said)


def record(
    answer: Answer = ANSWER,
    turns: list[dict[str, Any]] | None = None,
    marks: bool = True,
    **rule: Any,
) -> dict[str, Any]:
    turns = turns or [{"role": "user", "content": "Key sk-abcdefghijklmnop for ann@example.org"}]
    body = ChatBody(json.dumps({"model": "auto", "messages": turns}).encode())
    draft = Draft(body.edit, VERDICTS, ROUTE)
    plugin = RouterReplayPlugin(RouterReplayRule.model_validate(rule))
    headers = {"x-request-id": "req_1", "x-session-id": "s"}
    assert drive(plugin.before(body.prompt(headers), draft)) == []
    assert draft.report == [(REPLAY_ID, "replay_req_1")]
    (witness,) = draft.witnesses
    flow = witness.ended(answer)
    assert flow is not None
    (put,) = drive(flow, marks)
    assert put.key == "req_1" and put.most == plugin.rule.max_records
    found: dict[str, Any] = json.loads(put.value)
    return found


def test_what_was_decided_and_how_it_ended() -> None:
    found = record()
    assert found["signals"] == {"keyword": ["urgent"]}
    assert found["selected_model"] == "small" and found["session_id"] == "s"
    assert found["usage"]["completion_tokens"] == 3 and found["finish_reason"] == "stop"
    assert found["complete"] and found["response_status"] == 200
    assert "request_body" not in found and "response_body" not in found


def test_bodies_are_kept_without_personal_data_and_keys() -> None:
    found = record(request_body=True, response_body=True)
    text = json.dumps(found)
    assert "ann@example.org" not in text and "sk-abc" not in text
    assert "[EMAIL_ADDRESS]" in found["request_body"] and "[SECRET]" in found["request_body"]
    assert "[EMAIL_ADDRESS]" in found["response_body"]


def test_a_text_that_nobody_could_read_is_not_kept() -> None:
    found = record(request_body=True, marks=False)
    assert "request_body" not in found and found["unredacted"] == "gone"


def test_redaction_can_be_switched_off() -> None:
    assert "ann@example.org" in record(request_body=True, redact=False)["request_body"]


def test_bodies_are_cut_and_say_so() -> None:
    found = record(request_body=True, max_body_bytes=10)
    assert len(found["request_body"]) == 10 and found["request_truncated"]


@pytest.mark.parametrize(("most", "kept"), [(100, 3), (2, 2), (0, 0)])
def test_tool_steps_are_kept_up_to_a_number(most: int, kept: int) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call, call]},
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
    ]
    found = record(turns=turns, max_tool_steps=most)
    assert len(found.get("tool_trace", [])) == kept
    assert found.get("tool_steps_left_out", 0) == (3 - kept if most else 0)


def test_an_answer_in_the_models_place_is_told_as_such() -> None:
    found = record(Answer(path="cache", status=200))
    assert found["response_path"] == found["cache_status"].replace("hit", "cache") == "cache"


def test_a_setting_that_does_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="redact does nothing"):
        RouterReplayRule.model_validate({"redact": True, "max_tool_steps": 0})
