"""Chats as requests of OpenAI's Responses API; and its own clients' requests, for its servers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.dialects import Edit
from wayside.dialects.openai_responses import ResponsesBody
from wayside.dialects.openai_responses_from_chat import from_chat
from wayside.dialects.openai_responses_server import ResponsesServer, native
from wayside.dialects.stage import Loss
from wayside.vocab.errors import RequestError

HELLO: dict[str, Any] = {"role": "user", "content": "Hello"}
OURS = "0" * 31 + "1"


def asked(**more: Any) -> dict[str, Any]:
    return from_chat({"model": "m", "messages": [HELLO], **more})[0]


def lost(**more: Any) -> tuple[Loss, ...]:
    return from_chat({"model": "m", "messages": [HELLO], **more})[1]


def items(*turns: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = from_chat({"model": "m", "messages": list(turns)})[0]["input"]
    return found


def test_the_least_chat() -> None:
    assert asked() == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": "Hello"}],
        "store": False,
    }


def test_fields_have_their_new_names() -> None:
    schema = {"name": "s", "schema": {"type": "object"}, "strict": True}
    said = asked(
        max_completion_tokens=50,
        reasoning_effort="high",
        response_format={"type": "json_schema", "json_schema": schema},
        verbosity="low",
        logprobs=True,
        top_logprobs=3,
        temperature=0.5,
        parallel_tool_calls=False,
        stream=True,
        stream_options={"include_usage": True},
        store=True,
        user="u",
        custom_of_a_server={"a": 1},
    )
    del said["input"]
    assert said == {
        "model": "m",
        "max_output_tokens": 50,
        "reasoning": {"effort": "high"},
        "text": {"format": {"type": "json_schema", **schema}, "verbosity": "low"},
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 3,
        "temperature": 0.5,
        "parallel_tool_calls": False,
        "stream": True,
        "store": False,
        "user": "u",
        "custom_of_a_server": {"a": 1},
    }
    assert asked(max_tokens=7)["max_output_tokens"] == 7
    assert asked(response_format={"type": "json_object"})["text"] == {
        "format": {"type": "json_object"}
    }


def test_tools_lie_flat_and_say_whether_they_are_strict() -> None:
    """What a chat leaves unsaid is not strict; of a response it would be."""
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    said = asked(
        tools=[
            {"type": "function", "function": function},
            {"type": "function", "function": {"name": "g", "strict": True}},
        ],
        tool_choice={"type": "function", "function": {"name": "f"}},
    )
    empty = {"type": "object", "properties": {}}
    assert said["tools"] == [
        {"type": "function", "strict": False, **function},
        {"type": "function", "name": "g", "parameters": empty, "strict": True},
    ]
    assert said["tool_choice"] == {"type": "function", "name": "f"}
    old = asked(functions=[{"name": "f"}], function_call={"name": "f"})
    assert old["tools"][0]["name"] == "f"
    assert old["tool_choice"] == {"type": "function", "name": "f"}
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}
    tools = [{"type": "function", "function": function}]
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    assert asked(tools=tools, tool_choice=choice)["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "f"}],
    }


def test_turns_become_items() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    assert items(
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                {"type": "file", "file": {"file_data": "data:,x", "filename": "x"}},
            ],
        },
        {"role": "assistant", "content": "I ask.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "42"}]},
        {"role": "assistant", "content": None, "refusal": "No."},
    ) == [
        {"type": "message", "role": "system", "content": "Be brief."},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
                {"type": "input_file", "file_data": "data:,x", "filename": "x"},
            ],
        },
        {"type": "message", "role": "assistant", "content": "I ask."},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "42"}],
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "No."}],
        },
    ]


def test_old_calls_get_an_id_that_their_results_share() -> None:
    called, result = items(
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
    )
    assert called["call_id"] == result["call_id"] == "call_0"


def test_what_has_no_place_is_told() -> None:
    assert lost(stop=["x"], seed=1, presence_penalty=0.5, logit_bias={}) == (
        Loss("warning", "unsupported", "stop"),
        Loss("warning", "unsupported", "seed"),
        Loss("warning", "unsupported", "presence_penalty"),
    )
    assert "stop" not in asked(stop=["x"])
    thought = {"role": "assistant", "content": "a", "reasoning_content": "b"}
    assert lost(messages=[HELLO, thought]) == (Loss("info", "reasoning_not_sent", "messages[1]"),)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("modalities", ["text", "audio"]),
        ("tools", [{"type": "custom", "custom": {"name": "x"}}]),
        ("tools", [None]),
        ("messages", "no list"),
        ("messages", [{"role": "nobody"}]),
        ("messages", [{"role": "user", "content": [{"type": "video"}]}]),
        ("messages", [{"role": "user", "content": 4}]),
        ("response_format", {"type": "xml"}),
        ("response_format", 3),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        asked(**{field: value})
    assert caught.value.status == 400
    assert (caught.value.param or "").startswith(field)


def test_an_item_is_the_turn_that_it_came_from() -> None:
    """There and back: our own reader of responses finds the same chat."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        {"role": "system", "content": "Be brief."},
        HELLO,
        {"role": "assistant", "content": "I ask.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    chat = {"model": "m", "messages": turns, "max_completion_tokens": 9, "reasoning_effort": "low"}
    raw, losses = ResponsesServer().request(Edit(json.dumps(chat).encode()))
    assert losses == ()
    back = json.loads(ResponsesBody(raw).edit().encode())
    assert {name: back[name] for name in chat} == chat


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["messages", "role", "content", "type", "text", "tools", "function",
                         "tool_calls", "tool_choice", "response_format", "stop", "name",
                         "function_call", "image_url", "file", "modalities", "functions"]),
        inner | st.sampled_from(["user", "assistant", "tool", "text", "function", "image_url"]),
        max_size=5,
    ),
    max_leaves=15,
))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_hostile_chats_are_told_or_refused(said: Any) -> None:
    chat = said if isinstance(said, dict) else {"messages": [said], "tools": said}
    try:
        json.dumps(from_chat(chat)[0])
    except RequestError as error:
        assert error.status == 400


# The API's own clients


def test_nothing_to_change_is_nothing_changed() -> None:
    body = ResponsesBody(b'{"model": "m", "input": "Hi", "store": false}')
    assert native(body, "m") == (None, ())


def test_all_but_the_name_and_the_store_stay_as_they_were() -> None:
    body = ResponsesBody(b'{"model": "m", "input": "Hi", "truncation": "auto", "x": [1]}')
    raw, losses = native(body, "other")
    assert raw is not None
    assert json.loads(raw) == {
        "model": "other",
        "input": "Hi",
        "truncation": "auto",
        "x": [1],
        "store": False,
    }
    assert losses == ()


def test_what_is_kept_here_goes_along() -> None:
    said = {"type": "message", "role": "assistant", "content": [], "id": f"msg_{OURS}00001"}
    thought = {"type": "reasoning", "summary": [], "id": f"rs_{OURS}00000"}
    plain = [{"type": "reasoning_text", "text": "unread"}]
    theirs = {
        "type": "reasoning",
        "id": "rs_theirs",
        "summary": plain,
        "content": plain,
        "encrypted_content": "x",
    }
    body = ResponsesBody(
        json.dumps(
            {"model": "m", "input": [theirs, HELLO], "previous_response_id": f"resp_{OURS}"}
        ).encode()
    )
    body.remember([HELLO, thought, said], {})
    raw, losses = native(body, "m")
    assert raw is not None
    sent = json.loads(raw)
    assert "previous_response_id" not in sent
    assert sent["input"] == [
        HELLO,
        {"type": "message", "role": "assistant", "content": []},
        {"type": "reasoning", "summary": [], "id": "rs_theirs", "encrypted_content": "x"},
        HELLO,
    ]
    assert losses == (Loss("info", "reasoning_not_sent", "input[1]"),)


def test_nothing_goes_along_that_no_guard_has_read() -> None:
    """A chat's guards do not know the fields of responses, nor what vLLM adds to them."""
    hidden = {"instructions": "x", "previous_response_id": "y", "previous_input_messages": [1]}
    said, losses = from_chat({"model": "m", "messages": [HELLO], **hidden, "input": "z"})
    assert set(said) == {"model", "input", "store"}
    assert said["input"][0]["content"] == "Hello"
    assert [loss.field for loss in losses] == [*hidden, "input"]
    unread = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Obey."}]}
    raw, losses = native(
        ResponsesBody(
            json.dumps({"model": "m", "store": False, "input": [unread, HELLO]}).encode()
        ),
        "m",
    )
    assert raw is not None
    assert json.loads(raw)["input"] == [HELLO]
    assert losses == (Loss("info", "reasoning_not_sent", "input[0]"),)
    with pytest.raises(RequestError, match="previous_input_messages"):
        native(ResponsesBody(b'{"model":"m","input":"a","previous_input_messages":[1]}'), "m")


@pytest.mark.parametrize("field", ['"store":true', '"previous_response_id":"resp_theirs"'])
def test_bytes_that_can_be_read_in_two_ways_do_not_pass(field: str) -> None:
    """A server that takes the first of two fields would keep, or go on from, what it must not."""
    last = '"store":false,"previous_response_id":null'
    body = ResponsesBody(f'{{{field},"model":"m","input":"a",{last}}}'.encode())
    with pytest.raises(RequestError, match="twice"):
        native(body, "m")
