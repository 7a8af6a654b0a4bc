"""Requests of the Responses API as chats."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wayside.dialects.openai_chat import ChatBody
from wayside.dialects.openai_responses import ResponsesBody
from wayside.vocab.errors import RequestError
from wayside.vocab.prompt import NOTHING


def body(**fields: Any) -> ResponsesBody:
    return ResponsesBody(json.dumps({"model": "auto", "input": "hi", **fields}).encode())


def chat(**fields: Any) -> dict[str, Any]:
    """The chat that a request becomes."""
    sent: dict[str, Any] = json.loads(body(**fields).edit().encode())
    return sent


def losses(**fields: Any) -> list[str]:
    asked = body(**fields)
    return [str(loss) for loss in asked.plain(asked.edit())[1]]


def test_a_string_is_what_the_user_says_and_instructions_are_the_systems() -> None:
    assert chat(instructions="Be brief.") == {
        "model": "auto",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
        ],
    }


def test_items_become_turns_and_calls_belong_to_the_turn_before_them() -> None:
    items = [
        {"role": "developer", "content": "Use tools."},
        {"role": "user", "content": [{"type": "input_text", "text": "Weather in Oslo?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at":"Oslo"}'},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "sun"}],
        },
    ]
    assert chat(input=items)["messages"] == [
        {"role": "system", "content": "Use tools."},
        {"role": "user", "content": "Weather in Oslo?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"at":"Oslo"}'},
                },
                {
                    "id": "c2",
                    "type": "function",
                    "function": {"name": "look", "arguments": "{}"},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": "sun"},
    ]
    assert losses(input=items) == ["info;reasoning_not_sent;input[2]"]


def test_pictures_files_and_sound_become_parts() -> None:
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
    ]
    (turn,) = chat(input=[{"role": "user", "content": content}])["messages"]
    assert turn["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        {
            "type": "file",
            "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"},
        },
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
    ]


def test_an_earlier_refusal_stays_one() -> None:
    said = [{"type": "refusal", "refusal": "No."}]
    items = [{"role": "assistant", "content": said}, {"role": "user", "content": "why?"}]
    assert chat(input=items)["messages"][0] == {
        "role": "assistant",
        "content": None,
        "refusal": "No.",
    }


TOOL = {
    "type": "function",
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    "strict": True,
}
OTHER = {"type": "function", "name": "other", "parameters": {"type": "object"}}


def test_functions_and_the_choice_among_them() -> None:
    sent = chat(tools=[TOOL], tool_choice={"type": "function", "name": "look"})
    described = {key: value for key, value in TOOL.items() if key != "type"}
    assert sent["tools"] == [{"type": "function", "function": described}]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    assert chat(tools=[TOOL], tool_choice="required")["tool_choice"] == "required"


def test_of_allowed_tools_the_others_are_not_offered() -> None:
    allowed = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "other"}],
    }
    sent = chat(tools=[TOOL, OTHER], tool_choice=allowed)
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["other"]
    assert sent["tool_choice"] == "required"


def test_the_format_of_the_text_is_the_format_of_the_response() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    wanted = {"type": "json_schema", "name": "thing", "schema": schema, "strict": True}
    sent = chat(text={"format": wanted, "verbosity": "low"})
    assert sent["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "thing", "schema": schema, "strict": True},
    }
    assert sent["verbosity"] == "low"
    plain = chat(text={"format": {"type": "json_object"}})
    assert plain["response_format"] == {"type": "json_object"}
    assert "response_format" not in chat(text={"format": {"type": "text"}})


def test_the_rest_has_its_place() -> None:
    sent = chat(
        stream=True,
        max_output_tokens=50,
        reasoning={"effort": "low"},
        temperature=0.5,
        top_p=1,
        top_logprobs=3,
        parallel_tool_calls=False,
        user="u",
        top_k=7,
        truncation="disabled",
        background=False,
        conversation=None,
        store=False,
        metadata={"a": "b"},
        max_tool_calls=4,
        include=["message.output_text.logprobs", "file_search_call.results"],
    )
    del sent["messages"]
    assert sent == {
        "model": "auto",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 50,
        "reasoning_effort": "low",
        "logprobs": True,
        "top_logprobs": 3,
        "temperature": 0.5,
        "top_p": 1,
        "parallel_tool_calls": False,
        "user": "u",
        "top_k": 7,
    }


def test_signals_read_the_metadata_that_no_model_is_told() -> None:
    prompt = body(metadata={"plan": "gold"}).prompt(NOTHING)
    assert prompt.metadata == {"plan": "gold"}
    assert prompt.question == "hi"


def test_signals_read_what_was_said_before() -> None:
    asked = body(input=[{"role": "user", "content": "and now?"}])
    asked.remember([{"role": "user", "content": "first"}], {})
    assert [m.text for m in asked.prompt(NOTHING).messages] == ["first", "and now?"]


def test_what_has_no_whole_effect_is_warned_of() -> None:
    assert losses(truncation="auto") == ["warning;not_truncated;truncation"]
    assert losses(include=["reasoning.encrypted_content"]) == ["info;not_encrypted;include[0]"]
    assert losses(reasoning={"summary": "auto"}) == ["info;not_summarised;reasoning.summary"]
    assert losses(stream_options={"include_obfuscation": True}) == [
        "info;not_obfuscated;stream_options.include_obfuscation"
    ]
    assert losses() == []


def message(**fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [fields]}]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"background": True}, "background", "unsupported_parameter"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
        ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "unsupported_parameter"),
        ({"tools": [OTHER, {"type": "mcp"}]}, "tools[1].type", "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice.type", "unsupported_parameter"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tool_choice": "perhaps"}, "tool_choice", "invalid_value"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": 5}, "input", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": ["hi"]}, "input[0]", "invalid_value"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"type": "shell_call"}]}, "input[0].type", "unsupported_parameter"),
        ({"input": [{"type": ["message"]}]}, "input[0].type", "unsupported_parameter"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].id", "invalid_value"),
        (
            {"input": [{"type": "function_call", "name": "f", "arguments": ""}]},
            "input[0].call_id",
            "missing_required_parameter",
        ),
        (
            {"input": message(type="input_image", file_id="f")},
            "input[0].content[0].file_id",
            "unsupported_parameter",
        ),
        (
            {"input": message(type="input_text", text=5)},
            "input[0].content[0].text",
            "invalid_value",
        ),
        ({"input": message(type="hologram")}, "input[0].content[0].type", "invalid_value"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        ({"text": {"colour": "red"}}, "text.colour", "unsupported_parameter"),
        ({"reasoning": {"mode": "wild"}}, "reasoning.mode", "unsupported_parameter"),
        ({"include": ["everything"]}, "include[0]", "invalid_value"),
        ({"truncation": "some"}, "truncation", "invalid_value"),
        ({"max_output_tokens": -1}, "max_output_tokens", "invalid_value"),
        ({"metadata": {"a": 1}}, "metadata", "invalid_value"),
        ({"messages": []}, "messages", "unknown_parameter"),
        ({"max_tokens": 5}, "max_tokens", "unknown_parameter"),
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"stream": "yes"}, "stream", None),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    fields: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(RequestError) as caught:
        body(**fields).edit()
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)


def test_the_chat_of_a_request_is_one_that_chat_servers_read() -> None:
    asked = body(tools=[TOOL], instructions="x", input=message(type="input_text", text="y"))
    again = ChatBody(asked.edit().encode()).prompt(NOTHING)
    assert again.tools == ("look",)
    assert [(m.role, m.text) for m in again.messages] == [("system", "x"), ("user", "y")]
