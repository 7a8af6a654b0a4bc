"""Answers of OpenAI's Responses API as chats': whole, streamed, cut anywhere, and failed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.dialects.openai_responses_reader import Reader, usage_of
from wayside.dialects.stage import Failed, Unreadable
from wayside.dialects.whole import assembled

LOGPROBS = [{"token": "Ö", "logprob": -0.5, "bytes": [195, 150], "top_logprobs": []}]
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_700_000_001,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "gpt",
    "output": [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": None,
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "content": [
                {
                    "type": "output_text",
                    "text": "Ökay, 你好",
                    "annotations": [],
                    "logprobs": LOGPROBS,
                }
            ],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "f",
            "arguments": '{"a": [1, "ü"]}',
        },
        {
            "type": "function_call",
            "id": "fc_2",
            "call_id": "call_2",
            "name": "g",
            "arguments": "{}",
        },
    ],
    "usage": {
        "input_tokens": 17,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 37,
    },
}
USAGE = {
    "prompt_tokens": 17,
    "completion_tokens": 20,
    "total_tokens": 37,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


def sse(events: list[dict[str, Any]]) -> bytes:
    return b"".join(
        f"event: {e['type']}\ndata: {json.dumps(e, ensure_ascii=False)}\n\n".encode()
        for e in events
    )


def events_of(response: dict[str, Any], *, pieces: bool = True) -> list[dict[str, Any]]:
    """As the API streams it; without ``pieces`` as servers do that send an item at once."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for place, item in enumerate(response["output"]):
        at = {"item_id": item["id"], "output_index": place}
        kind, name = item["type"], "response.output_text"
        text, logprobs, empty = "", [], {**item}
        if kind == "message":
            (part,) = item["content"]
            text, logprobs, empty["content"] = part["text"], part["logprobs"], []
        elif kind == "reasoning":
            name, text = "response.reasoning_summary_text", item["summary"][0]["text"]
            empty["summary"] = []
        else:
            name, text = "response.function_call_arguments", item["arguments"]
            empty["arguments"] = ""
        events.append({"type": "response.output_item.added", "output_index": place, "item": empty})
        for i in range(0, len(text) if pieces else 0, 2):
            more = {"logprobs": logprobs if i == 0 else []} if kind == "message" else {}
            events.append({"type": f"{name}.delta", **at, "delta": text[i : i + 2], **more})
        events.append({"type": f"{name}.done", **at, "text": text, "arguments": text})
        events.append({"type": "response.output_item.done", "output_index": place, "item": item})
    events.append({"type": f"response.{response['status']}", "response": response})
    return events


def read(raw: bytes, *, usage: bool = True) -> bytes:
    reader = Reader(usage=usage)
    return reader.feed(raw) + reader.finish()


def completion(raw: bytes) -> dict[str, Any]:
    found = assembled(raw)
    assert found is not None
    return found


def chunks(raw: bytes) -> list[dict[str, Any]]:
    data = [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: ")]
    assert data[-1] == b"[DONE]"
    return [json.loads(line) for line in data[:-1]]


def test_a_whole_response_is_a_completion() -> None:
    said = json.loads(Reader(usage=True).whole(200, json.dumps(RESPONSE).encode()))
    (choice,) = said["choices"]
    assert (said["id"], said["object"], said["model"]) == ("resp_1", "chat.completion", "gpt")
    assert said["created"] == 1_700_000_001
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert (message["content"], message["reasoning_content"]) == ("Ökay, 你好", "hm")
    assert [call["id"] for call in message["tool_calls"]] == ["call_1", "call_2"]
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": [1, "ü"]}'}
    assert choice["logprobs"] == {"content": LOGPROBS}
    assert said["usage"] == USAGE


@pytest.mark.parametrize("pieces", [True, False])
def test_a_stream_says_what_the_whole_one_does(pieces: bool) -> None:
    whole = json.loads(Reader(usage=True).whole(200, json.dumps(RESPONSE).encode()))
    told = completion(read(sse(events_of(RESPONSE, pieces=pieces))))
    message, expected = told["choices"][0]["message"], whole["choices"][0]["message"]
    for name in ("content", "reasoning_content"):
        assert message[name] == expected[name]
    assert [call["function"] for call in message["tool_calls"]] == [
        call["function"] for call in expected["tool_calls"]
    ]
    assert told["choices"][0]["finish_reason"] == "tool_calls"
    assert told["usage"] == USAGE


@given(st.lists(st.integers(0, 6000), max_size=30), st.sampled_from([b"\n\n", b"\r\n\r\n"]))
@settings(max_examples=150, deadline=None)
def test_nothing_depends_on_how_it_was_cut(cuts: list[int], end: bytes) -> None:
    raw = sse(events_of(RESPONSE)).replace(b"\n\n", end)
    reader = Reader(usage=True)
    out, before = b"", 0
    for cut in sorted({cut % len(raw) for cut in cuts} | {len(raw)}):
        out += reader.feed(raw[before:cut])
        before = cut
    assert out + reader.finish() == read(raw)


def test_usage_is_said_where_it_is_wanted() -> None:
    raw = sse(events_of(RESPONSE))
    assert not any("usage" in chunk for chunk in chunks(read(raw, usage=False)))
    assert sum("usage" in chunk for chunk in chunks(read(raw, usage=True))) == 1
    assert usage_of(None) is None
    broken = {"input_tokens": -1, "output_tokens": "9", "output_tokens_details": 4}
    assert usage_of(broken) == {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "length")],
)
def test_what_is_incomplete_says_why(reason: str | None, finish: str) -> None:
    said = {**RESPONSE, "status": "incomplete", "output": RESPONSE["output"][1:2]}
    said["incomplete_details"] = {"reason": reason} if reason else None
    whole = json.loads(Reader(usage=True).whole(200, json.dumps(said).encode()))
    assert whole["choices"][0]["finish_reason"] == finish
    told = completion(read(sse(events_of(said))))
    assert told["choices"][0]["finish_reason"] == finish


def test_a_refusal_is_one() -> None:
    part = {"type": "refusal", "refusal": "No."}
    said = {**RESPONSE, "output": [{"type": "message", "id": "msg_1", "content": [part]}]}
    whole = json.loads(Reader(usage=True).whole(200, json.dumps(said).encode()))
    message = whole["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "No.")
    delta = {"type": "response.refusal.delta", "output_index": 0, "delta": "No."}
    end = {"type": "response.completed", "response": said}
    deltas = [c["choices"][0]["delta"] for c in chunks(read(sse([delta, end]), usage=False))]
    assert {"refusal": "No."} in deltas


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("server_error", 500, "server_error"),
        ("rate_limit_exceeded", 429, "rate_limit_error"),
        ("invalid_prompt", 400, "invalid_request_error"),
    ],
)
def test_what_failed_is_an_error(code: str, status: int, kind: str) -> None:
    error = {"code": code, "message": "It broke."}
    failed = {**RESPONSE, "status": "failed", "error": error, "output": []}
    with pytest.raises(Failed) as caught:
        Reader(usage=True).whole(200, json.dumps(failed).encode())
    assert caught.value.status == status
    expected = {"message": "It broke.", "type": kind, "param": None, "code": code}
    assert caught.value.said == {"error": expected}
    begun = events_of(RESPONSE)[:5]
    for end in (
        {"type": "response.failed", "response": failed},
        {"type": "error", **error, "param": None, "sequence_number": 9},
        {"type": "error", "error": error},
    ):
        after = {"type": "response.output_text.delta", "output_index": 1, "delta": "more"}
        told = chunks(read(sse([*begun, end, after])))
        assert told[-1] == {"error": expected}


def test_an_error_is_told_whatever_its_body_is() -> None:
    for body in (b"<html>", b"[]", b'{"detail": 3}', b'{"error": "no"}'):
        said = json.loads(Reader(usage=True).whole(502, body))
        assert set(said["error"]) >= {"message", "type", "param", "code"}
        assert isinstance(said["error"]["message"], str)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"object": "response"}', b'{"status": "in_progress", "output": []}'],
)
def test_what_is_no_response_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        Reader(usage=True).whole(200, body)


def test_a_stream_that_stops_short_is_unreadable() -> None:
    raw = sse(events_of(RESPONSE)[:-1])
    with pytest.raises(Unreadable, match="ended before"):
        read(raw)
    with pytest.raises(Unreadable, match="ended before"):
        read(raw + b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "response.output_text.delta", "output_index": 0},
        {"type": "response.output_text.delta", "delta": "x"},
        {"type": "response.function_call_arguments.delta", "output_index": 7, "delta": "{"},
        {"type": "response.completed"},
    ],
)
def test_events_that_are_not_the_apis_are_unreadable(wrong: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        read(sse([*events_of(RESPONSE)[:3], wrong]))


def test_items_of_a_stream_are_bounded() -> None:
    delta = {"type": "response.output_text.delta", "delta": "x"}
    with pytest.raises(Unreadable, match="too many"):
        read(sse([{**delta, "output_index": at} for at in range(5000)]))


def test_reasoning_told_twice_is_said_once() -> None:
    both = [
        {"type": "response.reasoning_text.delta", "output_index": 0, "delta": "thought"},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "sum"},
        {"type": "response.completed", "response": {**RESPONSE, "output": []}},
    ]
    message = completion(read(sse(both)))["choices"][0]["message"]
    assert message["reasoning_content"] == "thought"


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "output", "content", "text", "delta", "item", "status", "error",
                         "response", "output_index", "usage", "role", "summary"]),
        inner | st.sampled_from(["message", "completed", "function_call", "reasoning",
                                 "response.output_item.done", "response.completed"]),
        max_size=5,
    ),
    max_leaves=12,
))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_hostile_answers_are_told_or_unreadable(said: Any) -> None:
    raw = json.dumps(said).encode()
    for ask in (
        lambda: Reader(usage=True).whole(200, raw),
        lambda: read(b"data: " + raw + b"\n\n"),
    ):
        try:
            ask()
        except Unreadable:
            continue
