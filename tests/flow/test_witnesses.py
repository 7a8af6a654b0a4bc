"""Who keeps an answer is told of it once, whole, after every filter."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from wayside.dialects.whole import Answer, assembled, told
from wayside.flow.tap import MAX_WITNESSED, ReplyTap
from wayside.plugins import Blocked, Channel, ReplyFilter

SSE = "text/event-stream"
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "A cat."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


class Seen:
    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def ended(self, answer: Answer) -> None:
        self.answers.append(answer)


class NoCats:
    warnings: tuple[str, ...] = ()

    def feed(self, text: str, final: bool) -> str:
        if "cat" in text:
            raise Blocked("no cats", reason="cats")
        return text


def no_cats(channel: Channel) -> ReplyFilter | None:
    return NoCats() if channel.kind == "text" else None


def run(flow: Generator[Any, Any, Any] | None) -> Any:
    if flow is None:
        return None
    try:
        next(flow)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("nobody answers here")


def witnessed(stream: bytes, *, kind: str = SSE, makers: Any = (), cut: int = 7) -> Answer:
    seen = Seen()
    tap = ReplyTap(makers, [seen])
    tap.begin(200, kind)
    sent = b"".join(run(tap.feed(stream[i : i + cut])) for i in range(0, len(stream), cut))
    ended = run(tap.finish())
    run(tap.settle())
    run(tap.settle())
    (answer,) = seen.answers
    if answer.complete:
        assert answer.body == sent + ended.body
    return answer


def test_a_stream_is_put_together_into_the_completion_it_told() -> None:
    stream = told(COMPLETION, stream=True, usage=True)
    assert witnessed(stream).completion() == COMPLETION


def test_a_whole_answer_is_told_as_it_is() -> None:
    whole = told(COMPLETION, stream=False, usage=False)
    assert witnessed(whole, kind="application/json").completion() == COMPLETION


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b'"finish_reason":"stop"'])
def test_a_stream_without_its_end_is_no_completion(end: bytes) -> None:
    stream = told(COMPLETION, stream=True, usage=False)
    stream = stream[: stream.rindex(end)]
    assert witnessed(stream).completion() is None


def test_what_a_guard_stopped_is_not_complete() -> None:
    for stream, kind in ((True, SSE), (False, "application/json")):
        said = told(COMPLETION, stream=stream, usage=False)
        answer = witnessed(said, kind=kind, makers=[no_cats])
        assert not answer.complete and answer.completion() is None


def test_an_answer_too_long_to_hold_is_not_complete() -> None:
    event = b"data: " + b"x" * (1 << 20) + b"\n\n"
    answer = witnessed(event * 9, cut=1 << 20)
    assert not answer.complete and len(answer.body) <= MAX_WITNESSED + (1 << 20)


def test_a_client_that_left_is_told_of_too() -> None:
    seen = Seen()
    tap = ReplyTap([], [seen])
    tap.begin(200, SSE)
    run(tap.feed(told(COMPLETION, stream=True, usage=False)))
    run(tap.settle())
    assert not seen.answers[0].complete


def test_tool_calls_come_together_from_their_pieces() -> None:
    first = {
        "index": 0,
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": ""},
    }
    pieces = [
        {"role": "assistant", "content": None, "tool_calls": [first]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
    ]
    events = [{"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in pieces]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    from wayside.dialects.answers import DONE, event

    whole = assembled(b"".join(event(e) for e in events) + DONE)
    assert whole is not None
    call = whole["choices"][0]["message"]["tool_calls"][0]
    assert call["function"] == {"name": "f", "arguments": '{"a":1}'} and call["id"] == "c1"
    again = assembled(told(whole, stream=True, usage=False))
    assert again is not None and again["choices"] == whole["choices"]
