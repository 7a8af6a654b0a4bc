"""Answers in the shape of the Responses API, whole and streamed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from wayside.dialects.openai_responses import ResponsesBody
from wayside.dialects.openai_responses_answer import Head, number_of
from wayside.dialects.openai_responses_stream import ResponseStage
from wayside.dialects.stage import Unreadable
from wayside.dialects.whole import assembled, told

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ECHO = {
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "metadata": {},
    "temperature": None,
    "top_p": None,
}
HEAD = Head("0123456789abcdef" * 2, 1_700_000_000, "auto", ECHO)
USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 5,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def completion(finish: str = "stop", **turn: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "small",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, **turn},
                "finish_reason": finish,
            }
        ],
        "usage": USAGE,
    }


def call(number: int, name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def whole(completion: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(
        ResponseStage(HEAD).whole(200, json.dumps(completion).encode())
    )
    Response.model_validate(said, strict=False)
    return said


def events(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each checked against the official SDK's types."""
    found = []
    for block in stream.split(b"\n\n")[:-1]:
        name, _, data = block.partition(b"\ndata: ")
        said = json.loads(data)
        assert name == b"event: " + said["type"].encode()
        EVENT.validate_python(said)
        found.append(said)
    assert [said["sequence_number"] for said in found] == list(range(len(found)))
    return found


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    said = {"object": "chat.completion.chunk", "model": "small", "choices": [choice]}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


ENDED = b'data: {"choices":[],"usage":' + json.dumps(USAGE).encode() + b"}\n\ndata: [DONE]\n\n"
DONE = b"data: [DONE]\n\n"


def streamed(*pieces: bytes) -> list[dict[str, Any]]:
    stage = ResponseStage(HEAD)
    return events(b"".join([*map(stage.feed, pieces), stage.finish()]))


def test_a_text() -> None:
    said = whole(completion(content="Hello."))
    assert said["id"] == "resp_0123456789abcdef0123456789abcdef"
    assert (said["object"], said["status"], said["model"]) == ("response", "completed", "small")
    assert said["created_at"] == 1_700_000_000
    assert said["error"] is None and said["incomplete_details"] is None
    assert said["output"] == [
        {
            "type": "message",
            "id": "msg_0123456789abcdef0123456789abcdef00000",
            "status": "completed",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "Hello.", "annotations": [], "logprobs": []}
            ],
        }
    ]
    assert said["usage"] == {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 17,
    }


def test_reasoning_words_and_calls_are_items_in_this_order() -> None:
    said = whole(
        completion(
            "tool_calls",
            content="Let me look.",
            reasoning_content="Hm.",
            tool_calls=[call(1, "look", '{"a":1}'), call(2, "look", "{}")],
        )
    )
    kinds = [item["type"] for item in said["output"]]
    assert kinds == ["reasoning", "message", "function_call", "function_call"]
    assert said["output"][0]["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    assert [item["call_id"] for item in said["output"][2:]] == ["call_1", "call_2"]
    assert said["output"][2]["arguments"] == '{"a":1}'
    assert said["status"] == "completed"


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_why_it_ended(finish: str, status: str, reason: str | None) -> None:
    said = whole(completion(finish, content="x"))
    last = streamed(chunk(content="x"), chunk(finish), ENDED)[-1]
    for response in (said, last["response"]):
        assert response["status"] == status
        assert response["output"][0]["status"] == status
        assert (response["incomplete_details"] or {}).get("reason") == reason
    assert last["type"] == f"response.{status}"


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (
            400,
            {"error": {"message": "no", "type": "x", "param": "y", "code": "z", "more": 1}},
            {"message": "no", "type": "x", "param": "y", "code": "z", "more": 1},
        ),
        (
            429,
            {"error": {"message": "slow", "type": "RateLimitError", "code": 429}},
            {
                "message": "slow",
                "type": "RateLimitError",
                "param": None,
                "code": "rate_limit_exceeded",
            },
        ),
        (
            401,
            {"error": "Unauthorized"},
            {
                "message": "Unauthorized",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            },
        ),
        (
            502,
            "<html>",
            {
                "message": "The model's server answered 502.",
                "type": "server_error",
                "param": None,
                "code": None,
            },
        ),
    ],
)
def test_an_error_has_all_that_clients_read(status: int, body: Any, told: dict[str, Any]) -> None:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert json.loads(ResponseStage(HEAD).whole(status, raw)) == {"error": told}


def test_what_is_no_completion_is_unreadable() -> None:
    for body in (b"<html>", b"[]", b"{}", b'{"choices":[]}'):
        with pytest.raises(Unreadable):
            ResponseStage(HEAD).whole(200, body)


def test_the_events_of_a_text() -> None:
    begin = chunk(role="assistant", content="")
    found = streamed(begin, chunk(content="Hel"), chunk(content="lo"), chunk("stop"), ENDED)
    assert [said["type"] for said in found] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert found[0]["response"]["status"] == "in_progress"
    assert found[0]["response"]["model"] == "small"
    assert [said["delta"] for said in found if "delta" in said] == ["Hel", "lo"]
    assert found[6]["text"] == "Hello"
    assert found[-1]["response"] == whole(completion(content="Hello"))


def test_the_events_of_calls_that_come_side_by_side() -> None:
    found = streamed(
        chunk(tool_calls=[{"index": 0, **call(1, "look", "")}]),
        chunk(tool_calls=[{"index": 1, **call(2, "see", "{")}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"a":'}}]),
        chunk(tool_calls=[{"index": 1, "function": {"arguments": "}"}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": "1}"}}]),
        chunk("tool_calls"),
        ENDED,
    )
    done = [said for said in found if said["type"] == "response.function_call_arguments.done"]
    assert [(said["name"], said["arguments"]) for said in done] == [
        ("look", '{"a":1}'),
        ("see", "{}"),
    ]
    expected = completion(
        "tool_calls", tool_calls=[call(1, "look", '{"a":1}'), call(2, "see", "{}")]
    )
    assert found[-1]["response"] == whole(expected)


def test_reasoning_under_two_names_is_told_once() -> None:
    found = streamed(
        chunk(reasoning="Hm", reasoning_content="Hm"), chunk(content="x"), chunk("stop"), ENDED
    )
    assert [s["delta"] for s in found if s["type"] == "response.reasoning_text.delta"] == ["Hm"]
    assert found[-1]["response"] == whole(completion(content="x", reasoning="Hm"))


def test_a_refusal() -> None:
    found = streamed(chunk(refusal="No"), chunk(refusal="."), chunk("stop"), ENDED)
    assert [s["type"] for s in found if "refusal" in s["type"]] == [
        "response.refusal.delta",
        "response.refusal.delta",
        "response.refusal.done",
    ]
    assert found[-1]["response"] == whole(completion(refusal="No."))


def test_an_empty_answer_is_an_empty_message() -> None:
    found = streamed(chunk(role="assistant", content=""), chunk("stop"), ENDED)
    assert found[-1]["response"] == whole(completion(content=""))
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == ""


def test_an_error_in_a_stream_fails_the_response_and_is_raised() -> None:
    error = b'data: {"error":{"message":"too slow","type":"server_error","code":"gone"}}\n\n'
    found = streamed(chunk(content="Hel"), error, DONE)
    assert [said["type"] for said in found[-2:]] == ["response.failed", "error"]
    assert found[-2]["response"]["status"] == "failed"
    assert found[-2]["response"]["output"][0]["status"] == "incomplete"
    assert found[-1]["error"] == {
        "message": "too slow",
        "type": "server_error",
        "param": None,
        "code": "gone",
    }


@pytest.mark.parametrize("rest", [b"", DONE, b'data: {"choices": [], "model": "x"}\n\n'])
def test_a_stream_that_ends_too_early_is_never_a_completed_one(rest: bytes) -> None:
    found = streamed(chunk(content="Hel"), rest)
    assert [said["type"] for said in found[-2:]] == ["response.failed", "error"]


def test_what_is_no_json_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        ResponseStage(HEAD).feed(b"data: {oops\n\n")


PIECES = st.lists(
    st.one_of(
        st.text(max_size=4).map(lambda text: chunk(content=text)),
        st.text(max_size=4).map(lambda text: chunk(reasoning_content=text)),
        st.text(max_size=4).map(lambda text: chunk(refusal=text)),
        st.tuples(st.integers(0, 2), st.text(max_size=4)).map(
            lambda said: chunk(tool_calls=[{"index": said[0], **call(said[0], "f", said[1])}])
        ),
        st.sampled_from([b": ping\n\n", b"data: \n\n", b"event: x\r\n\r\n"]),
    ),
    max_size=12,
)


@given(pieces=PIECES, finish=st.sampled_from(["stop", "length", "tool_calls"]), cut=st.data())
def test_wherever_the_bytes_are_cut_the_events_are_the_same(
    pieces: list[bytes], finish: str, cut: st.DataObject
) -> None:
    stream = b"".join([*pieces, chunk(finish), ENDED])
    if cut.draw(st.booleans()):
        stream = stream.replace(b"\n", b"\r\n").replace(b"\r\r\n", b"\r\n")
    at_once = streamed(stream)
    cuts = sorted(cut.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert streamed(*parts) == at_once
    by_byte = streamed(*[stream[i : i + 1] for i in range(len(stream))])
    assert by_byte == at_once


@given(
    words=st.text(min_size=1),
    thought=st.text(),
    arguments=st.lists(st.text(), max_size=3),
)
def test_a_stream_ends_with_what_a_whole_answer_says(
    words: str, thought: str, arguments: list[str]
) -> None:
    calls = [call(i, "f", text) for i, text in enumerate(arguments)]
    turn = {"content": words} | ({"reasoning": thought} if thought else {})
    said = completion("stop", **turn, **({"tool_calls": calls} if calls else {}))
    stream = told(said, stream=True, usage=True)
    assert assembled(stream) is not None
    assert streamed(stream)[-1]["response"] == whole(said)


def test_ids_lead_to_their_response() -> None:
    number = HEAD.number
    assert number_of(HEAD.id) == number
    assert number_of(HEAD.item_id("message", 3)) == number
    assert number_of(HEAD.item_id("function_call", 0, given=True)) == number
    for other in ("", "resp_", "resp_xyz", "msg_" + "0" * 31, f"{HEAD.id}\n", "chatcmpl-1"):
        assert number_of(other) is None


def body(**fields: Any) -> ResponsesBody:
    made = ResponsesBody(json.dumps({"model": "auto", "input": "hi", **fields}).encode())
    made.begin("f" * 32, 5, keep=True)
    return made


def test_an_answer_of_our_own() -> None:
    said = json.loads(body(metadata={"a": "b"}).canned("No.", 1, 2) or b"")
    Response.model_validate(said)
    assert said["output"][0]["content"][0]["text"] == "No."
    assert (said["id"], said["metadata"], said["store"]) == ("resp_" + "f" * 32, {"a": "b"}, True)
    found = events(body(stream=True).canned("No.", 1, 2) or b"")
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "No."


def test_a_kept_completion_is_told_as_the_client_asked() -> None:
    asked = body(stream=True)
    assert asked.response is None
    found = events(asked.told(completion(content="kept")))
    assert [s["delta"] for s in found if "delta" in s] == ["kept"]
    assert asked.response == found[-1]["response"]


def test_the_event_that_ends_a_broken_stream_is_raised_by_clients() -> None:
    from wayside.vocab.errors import RequestError

    said = ResponsesBody.broken(RequestError("gone", status=502, code="upstream_reset"), "")
    assert re.match(rb"event: error\ndata: \{.*\"error\":\{.*\}\n\n$", said)
