"""Requests of Anthropic's API as chats, and chats as requests of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wayside.dialects.anthropic_from_chat import MAX_TOKENS, arguments_of, from_chat
from wayside.dialects.anthropic_messages import MessagesBody, check_key, estimate
from wayside.dialects.anthropic_request import BLOCK, plain, to_chat
from wayside.vocab.errors import RequestError

PICTURE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
}
PDF = {
    "type": "document",
    "title": "law.pdf",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
}
CACHE = {"cache_control": {"type": "ephemeral"}}
SEARCH = {
    "type": "search_result",
    "source": "https://example.com",
    "title": "Cats",
    "content": [{"type": "text", "text": "Cats purr."}],
}
RICH: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9000,
    "system": [{"type": "text", "text": "Be kind.", **CACHE}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi"}, PICTURE, {**PDF, **CACHE}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "ok"},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}, **CACHE},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "is_error": True,
                    "content": [{"type": "text", "text": "4"}, PICTURE],
                },
                SEARCH,
                {"type": "text", "text": "and?"},
            ],
        },
        {"role": "system", "content": [{"type": "text", "text": "Now be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "go on"}]},
    ],
    "tools": [
        {"name": "f", "description": "d", "input_schema": {"type": "object"}, **CACHE},
        {"type": "web_search_20250305", "name": "web_search"},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "metadata": {"user_id": "u"},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"effort": "low"},
    "mcp_servers": [],
    "stop_sequences": ["END"],
    "temperature": 1,
    "top_k": 3,
    "stream": True,
}


def chat_of(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}


def test_a_request_told_as_a_chat_is_told_again_without_loss() -> None:
    back, losses = from_chat(to_chat(RICH))
    assert back == RICH
    assert losses == ()


def test_a_string_is_a_text() -> None:
    said = {"model": "m", "max_tokens": 5, "system": "s", "messages": [turn("user", "hi")]}
    back, _ = from_chat(to_chat(said))
    assert back["system"] == [{"type": "text", "text": "s"}]
    assert back["messages"] == [turn("user", [{"type": "text", "text": "hi"}])]


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def test_servers_of_openais_api_get_nothing_they_do_not_know() -> None:
    found, losses = plain(to_chat(RICH))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    file = {"filename": "law.pdf", "file_data": "data:application/pdf;base64,AAAA"}
    call = {"name": "f", "arguments": '{"a":1}'}
    assert found == {
        "model": "m",
        "max_tokens": 9000,
        "temperature": 1,
        "top_k": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
        "stop": ["END"],
        "user": "u",
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
            }
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "messages": [
            turn("system", "Be kind."),
            turn("user", [{"type": "text", "text": "hi"}, image, {"type": "file", "file": file}]),
            {
                **turn("assistant", "ok"),
                "tool_calls": [{"id": "toolu_1", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": "toolu_1", "content": "4"},
            turn(
                "user",
                [image, {"type": "text", "text": "https://example.com\nCats\nCats purr.\n\nand?"}],
            ),
            turn("system", "Now be brief."),
            turn("user", "go on"),
        ],
    }
    told = {str(loss) for loss in losses}
    assert "warning;unsupported;thinking" in told
    assert "warning;unsupported;tools.web_search_20250305" in told
    assert "info;unsupported;cache_control" in told
    assert "warning;told_as_text;messages[4].search_result" in told


def test_a_schema_for_the_answer_goes_both_ways() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    wanted = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    found, _ = plain(to_chat({**chat_of(), **wanted}))
    assert found["response_format"]["json_schema"]["schema"] == schema
    back, losses = from_chat({**chat_of(), "response_format": found["response_format"]})
    assert back["output_config"] == wanted["output_config"]
    _, losses = from_chat(chat_of(response_format={"type": "json_object"}))
    assert "warning;unsupported;response_format.json_object" in [str(loss) for loss in losses]


@pytest.mark.parametrize(
    ("choice", "chat"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_choices_of_tools_go_both_ways(choice: Any, chat: Any) -> None:
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    found = to_chat({**chat_of(), "tools": tools, "tool_choice": choice})
    assert found["tool_choice"] == chat
    assert from_chat(found)[0]["tool_choice"] == choice


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"model": "m"}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0].content[0]"),
        ({"messages": [], "system": 7}, "system"),
        ({"messages": [], "tools": {}}, "tools"),
        ({"messages": [], "tool_choice": "auto"}, "tool_choice"),
        ({"messages": [], "Messages": []}, "Messages"),
        ({"messages": [{"role": "user", "Content": "hi"}]}, "messages[0].Content"),
    ],
)
def test_what_is_no_request_is_refused_with_the_place(said: Any, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        to_chat({"model": "m", **said})
    assert caught.value.param == param


def test_every_text_of_a_block_is_read() -> None:
    block = {"type": "x", "a": ["one", {"b": "two"}], "type_of": "three", "id": "not a name 4"}
    chat = to_chat({"model": "m", "messages": [turn("user", [block])]})
    (part,) = chat["messages"][0]["content"]
    assert part["type"] == BLOCK
    for word in ("one", "two", "three", "not a name 4"):
        assert word in part["text"]


def test_what_a_guard_changed_takes_the_place_of_the_block() -> None:
    body = MessagesBody(msgspec.json.encode(RICH))
    edit = body.edit()
    assert edit.rewrite_texts(lambda text: text.replace("purr", "[...]"))
    back, _ = from_chat(msgspec.json.decode(edit.encode()))
    result, found, _ = back["messages"][2]["content"]
    assert result["type"] == "tool_result"
    assert found["type"] == "text"
    assert "Cats [...]." in found["text"]


def test_prompts_are_read_in_full() -> None:
    prompt = MessagesBody(msgspec.json.encode(RICH)).prompt({})
    assert prompt.question == "go on"
    text = "\n".join(message.text for message in prompt.messages)
    for said in ("Be kind.", "hm", "Cats purr.", "and?"):
        assert said in text
    assert prompt.tools == ("f", "web_search")
    assert prompt.metadata == {"user_id": "u"}
    assert prompt.messages[1].images == 1


# chats of OpenAI's clients


def losses_of(**more: Any) -> set[str]:
    return {str(loss) for loss in from_chat(chat_of(**more))[1]}


def test_a_bare_chat_gets_a_limit() -> None:
    said, losses = from_chat(chat_of())
    assert said["max_tokens"] == MAX_TOKENS
    assert [str(loss) for loss in losses] == [f"info;default_{MAX_TOKENS};max_tokens"]
    assert from_chat(chat_of(max_tokens=5))[0]["max_tokens"] == 5
    assert from_chat(chat_of(max_tokens=5, max_completion_tokens=6))[0]["max_tokens"] == 6


def test_system_prompts_are_gathered() -> None:
    turns = [
        turn("developer", "one"),
        turn("user", "hi"),
        turn("system", "two"),
        turn("assistant", "ho"),
    ]
    said, losses = from_chat({"model": "m", "max_tokens": 5, "messages": turns})
    assert [block["text"] for block in said["system"]] == ["one", "two"]
    assert [each["role"] for each in said["messages"]] == ["user", "assistant"]
    assert [str(loss) for loss in losses] == ["info;moved;messages[2]"]


def test_results_of_tools_come_first_in_the_users_turn() -> None:
    def call(number: str) -> dict[str, Any]:
        asked = {"name": "f", "arguments": "{}"}
        return {"id": number, "type": "function", "function": asked}

    turns = [
        turn("user", "hi"),
        {**turn("assistant", None), "tool_calls": [call("a"), call("b")]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        turn("user", "and?"),
    ]
    said, _ = from_chat({"model": "m", "messages": turns})
    assert [block["type"] for block in said["messages"][1]["content"]] == ["tool_use", "tool_use"]
    last = said["messages"][2]["content"]
    assert [block.get("tool_use_id", "") for block in last] == ["a", "b", ""]


def test_the_older_way_of_calling_functions_is_understood() -> None:
    turns = [
        turn("user", "hi"),
        {**turn("assistant", None), "function_call": {"name": "f", "arguments": '{"a": 1}'}},
        {"role": "function", "name": "f", "content": "4"},
    ]
    functions = [{"name": "f", "parameters": {"type": "object"}}]
    said, _ = from_chat(
        {"model": "m", "messages": turns, "functions": functions, "function_call": {"name": "f"}}
    )
    (use,) = said["messages"][1]["content"]
    (result,) = said["messages"][2]["content"]
    assert (use["name"], use["input"]) == ("f", {"a": 1})
    assert result["tool_use_id"] == use["id"]
    assert said["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]
    assert said["tool_choice"] == {"type": "tool", "name": "f"}


def test_empty_texts_are_left_out() -> None:
    turns = [turn("user", ""), turn("user", [{"type": "text", "text": ""}]), turn("user", "hi")]
    said, _ = from_chat({"model": "m", "messages": turns})
    assert said["messages"] == [turn("user", [{"type": "text", "text": "hi"}])]


def test_thoughts_go_back_with_their_signature_alone() -> None:
    signed = {**turn("assistant", "ok"), "reasoning_content": "hm", "signature": "s"}
    bare = {**turn("assistant", "ok"), "reasoning_content": "hm"}
    said, _ = from_chat({"model": "m", "messages": [turn("user", "hi"), signed]})
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    assert said["messages"][1]["content"][0] == thought
    said, _ = from_chat({"model": "m", "messages": [turn("user", "hi"), bare]})
    assert [block["type"] for block in said["messages"][1]["content"]] == ["text"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        (
            {"messages": [turn("user", [{"type": "input_audio", "input_audio": {}}])]},
            "messages[0].content",
        ),
        (
            {"messages": [turn("user", [{"type": "file", "file": {"file_id": "f"}}])]},
            "messages[0].content",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(more: Any, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        from_chat(chat_of(**more))
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize("key", ["seed", "presence_penalty", "logit_bias", "chat_template_kwargs"])
def test_what_is_dropped_is_told(key: str) -> None:
    assert f"warning;unsupported;{key}" in losses_of(**{key: {"a": 1}})
    assert f"warning;unsupported;{key}" not in losses_of(**{key: None})


@pytest.mark.parametrize(
    ("more", "thinking"),
    [
        ({"reasoning_effort": "low", "max_tokens": 9000}, ("enabled", 1024)),
        ({"reasoning_effort": "high", "max_tokens": 9000}, ("enabled", 4500)),
        ({"reasoning_effort": "none"}, ("disabled", None)),
        ({"thinking": {"type": "enabled"}, "max_tokens": 9000}, ("enabled", 4096)),
        ({"thinking": {"type": "disabled"}}, ("disabled", None)),
        ({"reasoning_effort": "high", "max_tokens": 100}, None),
    ],
)
def test_how_hard_to_think(more: Any, thinking: Any) -> None:
    said, losses = from_chat(chat_of(**more, temperature=0.3))
    found = said.get("thinking")
    assert (found and (found["type"], found.get("budget_tokens"))) == thinking
    enabled = thinking is not None and thinking[0] == "enabled"
    assert ("temperature" in said) is not enabled
    told = {str(loss) for loss in losses}
    assert ("info;thinking;temperature" in told) is enabled


def test_a_forced_tool_is_not_thought_about() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    more: Any = {"tools": tools, "tool_choice": "required", "reasoning_effort": "low"}
    said, losses = from_chat(chat_of(**more, max_tokens=9000))
    assert "thinking" not in said
    assert "warning;tool_is_forced;reasoning_effort" in {str(loss) for loss in losses}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        (None, {}),
        ({"a": 1}, {"a": 1}),
        ("not json", {"arguments": "not json"}),
        ("[1]", {"arguments": [1]}),
    ],
)
def test_arguments_are_an_object(arguments: Any, found: Any) -> None:
    assert arguments_of(arguments) == found


# keys and counts


@pytest.mark.parametrize(
    ("headers", "fine"),
    [
        ({}, True),
        ({"x-api-key": "a"}, True),
        ({"authorization": "Bearer a"}, True),
        ({"x-api-key": "a", "authorization": "bearer a"}, True),
        ({"x-api-key": "a", "authorization": "Bearer b"}, False),
        ({"x-api-key": "a", "authorization": "Basic a"}, False),
    ],
)
def test_two_keys_are_one_or_refused(headers: dict[str, str], fine: bool) -> None:
    if fine:
        check_key(headers)
    else:
        with pytest.raises(RequestError) as caught:
            check_key(headers)
        assert caught.value.status == 401
        assert "Bearer" not in str(caught.value)


def test_estimates_grow_with_all_that_is_read() -> None:
    bare = {"model": "m", "messages": [turn("user", "What is seven times eight?")]}
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    least = estimate(to_chat(bare))
    assert 5 <= least <= 20
    assert estimate(to_chat({**bare, "tools": tools})) > least
    assert estimate(to_chat({**bare, "system": "Be kind to the cat."})) > least
    picture = {"model": "m", "messages": [turn("user", [PICTURE])]}
    assert estimate(to_chat(picture)) > 1000
