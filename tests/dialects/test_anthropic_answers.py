"""Answers of Anthropic's API as chats', and chats' answers as its own: whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.dialects.anthropic_reader import BLOCKS, Reader
from wayside.dialects.anthropic_reader import usage_of as chats_usage
from wayside.dialects.anthropic_writer import Writer, usage_of
from wayside.dialects.stage import Loss, Stage, Unreadable, warnings_header
from wayside.dialects.whole import assembled, told

SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"q": "x"}}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        SEARCH,
        {"type": "text", "text": "Ökay, "},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1, "ü"]}},
        {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 4,
        "output_tokens": 20,
    },
}


def sse(events: list[dict[str, Any]]) -> bytes:
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events
    )


def streamed(message: dict[str, Any]) -> bytes:
    """As the API streams it; the end repeats none of the input's counts."""
    start = {**message, "content": [], "stop_reason": None}
    start["usage"] = {**message["usage"], "output_tokens": 1}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(message["content"]):
        empty = {**block}
        deltas: list[dict[str, Any]] = []
        if block["type"] == "text":
            empty["text"] = ""
            deltas = [{"type": "text_delta", "text": piece} for piece in block["text"]]
        elif block["type"] == "thinking":
            empty |= {"thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
        elif block["input"]:
            empty["input"] = {}
            raw = json.dumps(block["input"])
            pieces = [raw[i : i + 2] for i in range(0, len(raw), 2)]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    usage = {"output_tokens": message["usage"]["output_tokens"]}
    events += [
        {"type": "message_delta", "delta": ending, "usage": usage},
        {"type": "message_stop"},
    ]
    return sse(events)


def through(stage: Stage, raw: bytes, cut: int = 0) -> bytes:
    pieces = [raw[i : i + cut] for i in range(0, len(raw), cut)] if cut else [raw]
    return b"".join([stage.feed(piece) for piece in pieces]) + stage.finish()


def gathered(raw: bytes) -> dict[str, Any]:
    """The message that a stream of the API tells, put together as its clients do; checks the
    order of events on the way."""
    message: dict[str, Any] = {}
    arguments: dict[int, str] = {}
    open_at = -1
    for block in raw.decode().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if not lines:
            continue
        event = json.loads(lines[1].removeprefix("data: "))
        assert lines[0] == f"event: {event['type']}"
        match event["type"]:
            case "message_start":
                assert not message
                message = event["message"]
            case "content_block_start":
                assert open_at == -1, "one block at a time"
                open_at = event["index"]
                assert open_at == len(message["content"])
                message["content"].append(event["content_block"])
            case "content_block_delta":
                assert event["index"] == open_at
                here, delta = message["content"][open_at], event["delta"]
                kind = delta["type"].removesuffix("_delta")
                if kind == "input_json":
                    arguments[open_at] = arguments.get(open_at, "") + delta["partial_json"]
                else:
                    here[kind] = here.get(kind, "") + delta[kind]
            case "content_block_stop":
                assert event["index"] == open_at
                if arguments.get(open_at):
                    message["content"][open_at]["input"] = json.loads(arguments[open_at])
                open_at = -1
            case "message_delta":
                message |= event["delta"]
                message["usage"] = event["usage"]
            case "message_stop":
                assert open_at == -1
                return message
            case other:
                raise AssertionError(other)
    raise AssertionError("no message_stop")


def test_a_whole_message_is_a_completion() -> None:
    found = json.loads(Reader(usage=True).whole(200, json.dumps(MESSAGE).encode()))
    (choice,) = found["choices"]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert (message["content"], message["reasoning_content"]) == ("Ökay, ", "hm")
    assert message["signature"] == "s"
    calls = [(c["id"], c["function"]["name"]) for c in message["tool_calls"]]
    assert calls == [("toolu_1", "f"), ("toolu_2", "g")]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"a": [1, "ü"]}
    assert BLOCKS not in message
    assert found["usage"] == {
        "prompt_tokens": 17,
        "completion_tokens": 20,
        "total_tokens": 37,
        "prompt_tokens_details": {"cached_tokens": 4},
        "cache_creation_input_tokens": 3,
    }


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("cut", [0, 1, 7, 64])
def test_a_stream_tells_the_same_as_the_whole(native: bool, cut: int) -> None:
    whole = json.loads(Reader(usage=True, native=native).whole(200, json.dumps(MESSAGE).encode()))
    told_ = through(Reader(usage=True, native=native), streamed(MESSAGE), cut)
    found = assembled(told_)
    assert found is not None
    assert found["usage"] == whole["usage"]
    (mine,), (theirs,) = found["choices"], whole["choices"]
    assert mine["finish_reason"] == theirs["finish_reason"]
    expected = {key: value for key, value in theirs["message"].items() if value is not None}
    said = {key: value for key, value in mine["message"].items() if value is not None}
    for call in (*said["tool_calls"], *expected["tool_calls"]):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    assert said == expected


@pytest.mark.parametrize("cut", [0, 1, 5, 200])
def test_there_and_back_nothing_is_lost(cut: int) -> None:
    chat = through(Reader(usage=True, native=True), streamed(MESSAGE))
    message = gathered(through(Writer("claude"), chat, cut))
    # Blocks with no counterpart keep their place in a stream.
    assert message == MESSAGE
    whole = Reader(usage=True, native=True).whole(200, json.dumps(MESSAGE).encode())
    assert json.loads(Writer("claude").whole(200, whole)) == MESSAGE


@pytest.mark.parametrize(
    ("reason", "finish", "back"),
    [
        ("end_turn", "stop", "end_turn"),
        ("max_tokens", "length", "max_tokens"),
        ("tool_use", "tool_calls", "tool_use"),
        ("refusal", "content_filter", "refusal"),
        ("pause_turn", "stop", "end_turn"),
        ("model_context_window_exceeded", "length", "max_tokens"),
    ],
)
def test_why_it_ended_is_said_in_both(reason: str, finish: str, back: str) -> None:
    said = {**MESSAGE, "content": [{"type": "text", "text": "x"}], "stop_reason": reason}
    chat = Reader(usage=True).whole(200, json.dumps(said).encode())
    assert json.loads(chat)["choices"][0]["finish_reason"] == finish
    assert json.loads(Writer("m").whole(200, chat))["stop_reason"] == back
    stream = through(Reader(usage=True), streamed(said))
    assert gathered(through(Writer("m"), stream))["stop_reason"] == back


def test_the_text_that_stopped_it_is_told() -> None:
    said = {**MESSAGE, "content": [], "stop_reason": "stop_sequence", "stop_sequence": "END"}
    chat = Reader(usage=True).whole(200, json.dumps(said).encode())
    found = json.loads(Writer("m").whole(200, chat))
    assert (found["stop_reason"], found["stop_sequence"]) == ("stop_sequence", "END")


def test_counts_of_the_end_take_the_place_of_the_beginnings_alone_where_they_are_said() -> None:
    """Accounting bug 7 of the gateways': the total was the output alone."""
    usage = {"input_tokens": 100, "cache_read_input_tokens": 50, "output_tokens": 1}
    start = {**MESSAGE, "content": [], "usage": usage}
    events = [
        {"type": "message_start", "message": start},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 7, "cache_read_input_tokens": None, "input_tokens": 101},
        },
        {"type": "message_stop"},
    ]
    found = assembled(through(Reader(usage=True), sse(events)))
    assert found is not None
    assert found["usage"]["prompt_tokens"] == 151
    assert found["usage"]["total_tokens"] == 158


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_counts_go_there_and_back(fresh: int, cached: int, written: int, output: int) -> None:
    usage = {
        "input_tokens": fresh,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": output,
    }
    assert usage_of(chats_usage(usage)) == usage


def test_a_stream_without_its_end_is_no_answer() -> None:
    raw = streamed(MESSAGE)
    stage = Reader(usage=True)
    stage.feed(raw[: raw.rfind(b"event: message_stop")])
    with pytest.raises(Unreadable):
        stage.finish()


@pytest.mark.parametrize(
    "raw",
    [
        b"data: not json\n\n",
        b"data: [1]\n\n",
        sse([{"type": "content_block_stop", "index": 0}]),
        sse([{"type": "message_start", "message": 7}]),
    ],
)
def test_what_is_not_the_api_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        Reader(usage=True).feed(raw)


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b'{"type":"message"}'])
def test_a_whole_answer_that_is_none_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        Reader(usage=True).whole(200, raw)
    with pytest.raises(Unreadable):
        Writer("m").whole(200, raw)


def test_an_error_in_a_stream_ends_it() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    raw = streamed(MESSAGE)
    half = raw[: raw.find(b"event: content_block_stop")] + sse([error]) + b"data: more\n\n"
    chat = through(Reader(usage=True), half)
    assert chat.endswith(b"data: [DONE]\n\n")
    detail = json.loads(chat.split(b"data: ")[-2].split(b"\n")[0])["error"]
    assert (detail["code"], detail["message"]) == ("server_is_overloaded", "Overloaded")
    back = through(Writer("m", 0, "req_1"), chat)
    last = json.loads(back.split(b"data: ")[-1].split(b"\n")[0])
    assert last == {**error, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("status", "raw", "message"),
    [
        (429, b'{"error":{"message":"Slow down","type":"x","param":null,"code":null}}', "Slow"),
        (401, b'{"error": "Unauthorized"}', "Unauthorized"),
        (502, b"<html>nginx</html>", "says nothing more"),
        (500, b"", "says nothing more"),
        (422, b'{"detail": [{"msg": "x"}]}', "says nothing more"),
        (400, b'{"detail": "too long"}', "too long"),
    ],
)
def test_errors_are_told_whatever_their_body_is(status: int, raw: bytes, message: str) -> None:
    found = json.loads(Writer("m", 0, "req_1").whole(status, raw))
    assert found["type"] == "error"
    assert found["request_id"] == "req_1"
    assert message in found["error"]["message"]
    chat = json.loads(Reader(usage=True).whole(status, raw))["error"]
    assert set(chat) == {"message", "type", "param", "code"}
    assert chat["code"] is None or isinstance(chat["code"], str)


def test_a_prompt_that_is_too_long_is_told_with_openais_code() -> None:
    detail = {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8"}
    raw = json.dumps({"type": "error", "error": detail}).encode()
    error = json.loads(Reader(usage=True).whole(400, raw))["error"]
    assert error["code"] == "context_length_exceeded"


# the writer, with the ways of other servers


def chunk(delta: dict[str, Any], end: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": end, **more}
    each = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**each, "choices": [choice]}).encode() + b"\n\n"


def call(index: int, arguments: str = "", **more: Any) -> dict[str, Any]:
    asked = {"arguments": arguments}
    if "name" in more:
        asked["name"] = more.pop("name")
    return {"tool_calls": [{"index": index, "function": asked, **more}]}


DONE = b"data: [DONE]\n\n"


def blocks_of(*chunks: bytes) -> list[dict[str, Any]]:
    found = gathered(through(Writer("m"), b"".join(chunks)))["content"]
    assert isinstance(found, list)
    return found


def test_a_second_call_waits_for_the_first() -> None:
    found = blocks_of(
        chunk(call(0, id="a", name="f")),
        chunk(call(0, '{"x":')),
        chunk(call(1, id="b", name="g")),
        chunk(call(1, '{"y": 2}')),
        chunk(call(0, " 1}")),
        chunk({}, "tool_calls"),
        DONE,
    )
    assert [(b["name"], b["input"]) for b in found] == [("f", {"x": 1}), ("g", {"y": 2})]


def test_what_is_said_during_a_call_follows_it() -> None:
    found = blocks_of(
        chunk({"content": "one "}),
        chunk(call(0, '{"x":', id="a", name="f")),
        chunk({"content": "two"}),
        chunk(call(0, " 1}")),
        chunk({}, "tool_calls"),
        DONE,
    )
    assert [b["type"] for b in found] == ["text", "tool_use", "text"]
    assert found[2]["text"] == "two"


def test_calls_that_all_say_index_0_are_told_apart_by_their_ids() -> None:
    found = blocks_of(
        chunk(call(0, '{"x": 1}', id="a", name="f")),
        chunk(call(0, '{"x": 2}', id="b", name="f")),
        chunk({}, "stop"),
        DONE,
    )
    assert [(b["id"], b["input"]) for b in found] == [("a", {"x": 1}), ("b", {"x": 2})]


def test_a_call_that_was_forced_ends_as_one() -> None:
    """vLLM says `stop` there."""
    raw = chunk(call(0, "{}", id="a", name="f")) + chunk({}, "stop", stop_reason=None) + DONE
    assert gathered(through(Writer("m"), raw))["stop_reason"] == "tool_use"


def test_a_stream_without_done_that_said_why_it_ended_is_whole() -> None:
    raw = chunk({"content": "x"}) + chunk({}, "stop")
    assert gathered(through(Writer("m"), raw))["stop_reason"] == "end_turn"
    stage = Writer("m")
    stage.feed(chunk({"content": "x"}))
    with pytest.raises(Unreadable):
        stage.finish()


def test_the_start_tells_an_estimate_and_the_end_the_counts() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    last = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
    raw = through(Writer("m", 11), chunk({"content": "x"}) + chunk({}, "stop") + last + DONE)
    start = json.loads(raw.split(b"data: ")[1].split(b"\n")[0])
    assert start["message"]["usage"] == {"input_tokens": 11, "output_tokens": 0}
    found = gathered(raw)
    assert (found["usage"]["input_tokens"], found["usage"]["output_tokens"]) == (9, 4)


def test_comments_pass() -> None:
    raw = b": ping\n\n" + chunk({"content": "x"}) + chunk({}, "stop") + DONE
    assert b": ping\n\n" in through(Writer("m"), raw)


words = st.text(max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    content=st.one_of(st.none(), words),
    reasoning=words,
    calls=st.lists(st.dictionaries(st.text(max_size=4), words, max_size=3), max_size=3),
    cut=st.integers(1, 90),
)
def test_whole_or_streamed_a_completion_says_the_same(
    content: str | None, reasoning: str, calls: list[dict[str, str]], cut: int
) -> None:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{i}",
                "type": "function",
                "function": {"name": f"f{i}", "arguments": json.dumps(arguments)},
            }
            for i, arguments in enumerate(calls)
        ]
    reason = "tool_calls" if calls else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    completion = {
        "id": "c",
        "object": "chat.completion",
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }
    whole = json.loads(Writer("m").whole(200, json.dumps(completion).encode()))
    stream = told(completion, stream=True, usage=True)
    assert gathered(through(Writer("m"), stream, cut)) == whole


# losses


def test_losses_are_one_header_of_bounded_size() -> None:
    losses = [Loss("warning", "unsupported", f"field{i}") for i in range(1000)]
    told_ = warnings_header([*losses, *losses])
    assert len(told_) <= 4096
    assert told_.startswith("warning;unsupported;field0,warning;unsupported;field1,")
    assert told_.split(",")[-1].startswith("warning;unsupported;field")
    odd = str(Loss("info", "unsupported", 'a\r\nx: "ü";,' + "b" * 999))
    assert odd.isascii() and odd.isprintable() and len(odd) < 200
    assert odd.count(";") == 2 and "," not in odd
