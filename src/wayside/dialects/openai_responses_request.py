"""A request of OpenAI's Responses API as a request for a chat completion.

Every field is translated, kept for the answer, passed on as it is, or refused by name; where a
field is accepted but cannot have its whole effect, the client is warned. Source: the OpenAI API
reference for responses and chat completions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from wayside.dialects import UNREADABLE, bad_body, encode
from wayside.dialects.openai_responses_items import Item, Turns, text_of, unsupported, wrong
from wayside.dialects.stage import Loss
from wayside.vocab.errors import RequestError

Fields = dict[str, msgspec.Raw]

_KEPT = frozenset({
    "model", "input", "instructions", "tools", "tool_choice", "text", "max_output_tokens",
    "reasoning", "metadata", "store", "stream", "stream_options", "previous_response_id",
    "include", "truncation", "top_logprobs", "max_tool_calls",
})  # fmt: skip
"""Fields that are read here; the others go on as they are (``temperature``, ``top_p``, ``user``,
``parallel_tool_calls``, ``service_tier``, and those that only some servers know)."""
_REFUSED: Mapping[str, str] = {
    "background": "answers are made while the client waits",
    "conversation": "use previous_response_id",
    "prompt": "this router keeps no prompt templates",
    "context_management": "no history is compacted",
    "moderation": "decisions and plugins of the router guard prompts and answers",
    "access_programs": "it belongs to OpenAI's own service",
    "image": "it belongs to OpenAI's own service",
}
"""Fields of the API that need something which is not here."""
_OF_CHAT: Mapping[str, str] = {
    "messages": "input",
    "functions": "tools",
    "function_call": "tool_choice",
    "response_format": "text.format",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "include",
    "verbosity": "text.verbosity",
}
"""Fields of the chat API, which would stand beside what is translated."""
_ONE_ANSWER = frozenset({"n", "best_of", "modalities", "audio", "prediction"})
_LOGPROBS = "message.output_text.logprobs"
_INCLUDED = frozenset({
    "file_search_call.results", "web_search_call.results", "web_search_call.action.sources",
    "computer_call_output.output.image_url", "code_interpreter_call.outputs",
    "message.input_image.image_url",
})  # fmt: skip
"""What is included anyway, or belongs to tools of OpenAI's that are refused."""
_ENCRYPTED = "reasoning.encrypted_content"


class Translated(NamedTuple):
    """``chat`` are the fields of the chat request, each as JSON; ``echo`` is what the response
    says of the request; ``losses`` are what has no effect."""

    chat: Fields
    echo: dict[str, Any]
    losses: tuple[Loss, ...]


def items_of(fields: Fields) -> list[Any]:
    """The ``input`` of a request as a list of items. Raises :class:`RequestError`."""
    said = value(fields, "input")
    if isinstance(said, str):
        return [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": said}],
            }
        ]
    if said is None:
        raise RequestError(
            "Missing required parameter: 'input'.",
            param="input",
            code="missing_required_parameter",
        )
    if not isinstance(said, list):
        raise wrong("input", "a string or a list of items is expected")
    return said


def translated(
    fields: Fields,
    items: Sequence[Item],
    history: Sequence[Item] = (),
    *,
    keep: bool = True,
) -> Translated:
    """The chat request; ``items`` are the request's own, ``history`` those before them.

    ``keep`` says whether the response will be stored, for the echo. Raises
    :class:`RequestError`.
    """
    _check_names(fields)
    losses: list[Loss] = []
    instructions = _text(fields, "instructions")
    turns = Turns(instructions)
    turns.add(history, "history")
    turns.add(items)
    losses += turns.losses
    if not turns.messages:
        raise wrong("input", "there is nothing to answer")
    chat: dict[str, Any] = {"model": value(fields, "model"), "messages": turns.messages}
    tools = _tools(fields)
    choice = _tool_choice(fields, tools, chat)
    text = _format(fields, chat)
    reasoning = _reasoning(fields, chat, losses)
    _logprobs(fields, chat, losses)
    limit = _whole(fields, "max_output_tokens")
    if limit is not None:
        chat["max_completion_tokens"] = limit
    if value(fields, "stream") is True:
        chat["stream"] = True
        chat["stream_options"] = {"include_usage": True}
    if (_object(fields, "stream_options") or {}).get("include_obfuscation") is True:
        losses.append(Loss("info", "not_obfuscated", "stream_options.include_obfuscation"))
    truncation = _text(fields, "truncation") or "disabled"
    if truncation not in ("auto", "disabled"):
        raise wrong("truncation", "'auto' or 'disabled' is expected")
    if truncation == "auto":
        losses.append(Loss("warning", "not_truncated", "truncation"))
    found = {name: msgspec.Raw(encode(said)) for name, said in chat.items()}
    found.update(
        (name, raw)
        for name, raw in fields.items()
        if name not in _KEPT and name not in _REFUSED and bytes(raw) != b"null"
    )
    echo = {
        "instructions": instructions,
        "max_output_tokens": limit,
        "max_tool_calls": _whole(fields, "max_tool_calls"),
        "metadata": _metadata(fields),
        "parallel_tool_calls": value(fields, "parallel_tool_calls") is not False,
        "previous_response_id": _text(fields, "previous_response_id"),
        "reasoning": reasoning,
        "service_tier": value(fields, "service_tier"),
        "store": keep,
        "temperature": value(fields, "temperature"),
        "text": text,
        "tool_choice": choice,
        "tools": value(fields, "tools") or [],
        "top_logprobs": _whole(fields, "top_logprobs"),
        "top_p": value(fields, "top_p"),
        "truncation": truncation,
        "user": value(fields, "user"),
    }
    return Translated(found, echo, tuple(losses))


def value(fields: Fields, name: str) -> Any:
    """The decoded value of a field, ``None`` where it is absent."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except UNREADABLE as error:
        raise bad_body(error, name) from None


def _check_names(fields: Fields) -> None:
    for name, raw in fields.items():
        if name in _REFUSED and bytes(raw) not in (b"null", b"false"):
            raise unsupported(name, _REFUSED[name])
        if name in _ONE_ANSWER and bytes(raw) != b"null":
            raise unsupported(name, "a response is one answer, in text")
        instead = _OF_CHAT.get(name)
        if instead is not None:
            raise RequestError(
                f"Unknown parameter: '{name}'. In the Responses API it is '{instead}'.",
                param=name,
                code="unknown_parameter",
            )


def _text(fields: Fields, name: str) -> str | None:
    said = value(fields, name)
    if said is not None and not isinstance(said, str):
        raise wrong(name, "a string is expected")
    return said


def _whole(fields: Fields, name: str) -> int | None:
    said = value(fields, name)
    if said is not None and (not isinstance(said, int) or isinstance(said, bool) or said < 0):
        raise wrong(name, "a whole number is expected")
    return said


def _object(fields: Fields, name: str) -> dict[str, Any] | None:
    said = value(fields, name)
    if said is not None and not isinstance(said, dict):
        raise wrong(name, "an object is expected")
    return said


def _metadata(fields: Fields) -> dict[str, str]:
    said = _object(fields, "metadata") or {}
    if len(said) > 16:
        raise wrong("metadata", "at most 16 keys are allowed")
    for key, text in said.items():
        if not isinstance(text, str) or len(key) > 64 or len(text) > 512:
            raise wrong(
                "metadata", "keys have at most 64 characters, and values are strings of 512"
            )
    return said


def _tools(fields: Fields) -> list[dict[str, Any]]:
    """The functions offered, as the chat API writes them."""
    said = value(fields, "tools") or []
    if not isinstance(said, list):
        raise wrong("tools", "a list is expected")
    found = []
    for at, tool in enumerate(said):
        path = f"tools[{at}]"
        if not isinstance(tool, dict):
            raise wrong(path, "an object is expected")
        kind = tool.get("type")
        if kind != "function":
            raise unsupported(
                f"{path}.type",
                f"{str(kind)[:64]!r} runs at OpenAI; offer functions (type 'function') and run "
                "them yourself",
            )
        function = {"name": text_of(tool, "name", path)}
        for key in ("description", "parameters", "strict"):
            if tool.get(key) is not None:
                function[key] = tool[key]
        found.append({"type": "function", "function": function})
    return found


def _tool_choice(fields: Fields, tools: list[dict[str, Any]], chat: dict[str, Any]) -> Any:
    """Set ``tools`` and ``tool_choice``; of allowed tools, the others are not offered at all."""
    said = value(fields, "tool_choice")
    choice: Any = said
    if isinstance(said, dict) and said.get("type") == "function":
        choice = {
            "type": "function",
            "function": {"name": text_of(said, "name", "tool_choice")},
        }
    elif isinstance(said, dict) and said.get("type") == "allowed_tools":
        names = _allowed(said)
        tools = [tool for tool in tools if tool["function"]["name"] in names]
        choice = said.get("mode", "auto")
    elif isinstance(said, dict):
        raise unsupported("tool_choice.type", "choose among functions")
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        raise wrong("tool_choice", "'auto', 'none', 'required' or an object is expected")
    if choice is not None and not isinstance(choice, str | dict):
        raise wrong("tool_choice", "a string or an object is expected")
    if tools:
        chat["tools"] = tools
        if choice is not None:
            chat["tool_choice"] = choice
    elif choice is not None and choice not in ("auto", "none"):
        raise wrong("tool_choice", "there is no such tool among 'tools'")
    return "auto" if said is None else said


def _allowed(choice: dict[str, Any]) -> set[str]:
    tools = choice.get("tools")
    if not isinstance(tools, list):
        raise wrong("tool_choice.tools", "a list is expected")
    names = set()
    for at, tool in enumerate(tools):
        path = f"tool_choice.tools[{at}]"
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise unsupported(f"{path}.type", "choose among functions")
        names.add(text_of(tool, "name", path))
    return names


def _format(fields: Fields, chat: dict[str, Any]) -> dict[str, Any]:
    """``text.format`` is the chat's ``response_format``."""
    said = _object(fields, "text") or {}
    for key in said:
        if key not in ("format", "verbosity"):
            raise unsupported(f"text.{key}", "text has format and verbosity")
    wanted = said.get("format") or {"type": "text"}
    if not isinstance(wanted, dict):
        raise wrong("text.format", "an object is expected")
    kind = wanted.get("type")
    if kind == "json_schema":
        text_of(wanted, "name", "text.format")
        inner = {key: item for key, item in wanted.items() if key != "type" and item is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": inner}
    elif kind == "json_object":
        chat["response_format"] = {"type": "json_object"}
    elif kind != "text":
        raise wrong("text.format.type", "one of 'text', 'json_object', 'json_schema' is expected")
    told = {"format": wanted}
    if said.get("verbosity") is not None:
        chat["verbosity"] = told["verbosity"] = said["verbosity"]
    return told


def _reasoning(fields: Fields, chat: dict[str, Any], losses: list[Loss]) -> dict[str, Any]:
    said = _object(fields, "reasoning") or {}
    for key in said:
        if key not in ("effort", "summary", "generate_summary"):
            raise unsupported(f"reasoning.{key}", "reasoning has effort and summary")
    effort = said.get("effort")
    if effort is not None:
        if not isinstance(effort, str):
            raise wrong("reasoning.effort", "a string is expected")
        chat["reasoning_effort"] = effort
    if said.get("summary") or said.get("generate_summary"):
        losses.append(Loss("info", "not_summarised", "reasoning.summary"))
    return {"effort": effort, "summary": None}


def _logprobs(fields: Fields, chat: dict[str, Any], losses: list[Loss]) -> None:
    """What ``include`` asks for, and how many likely tokens."""
    wanted = value(fields, "include") or []
    if not isinstance(wanted, list):
        raise wrong("include", "a list is expected")
    for at, name in enumerate(wanted):
        if name == _LOGPROBS:
            chat["logprobs"] = True
        elif name == _ENCRYPTED:
            losses.append(Loss("info", "not_encrypted", f"include[{at}]"))
        elif not isinstance(name, str) or name not in _INCLUDED:
            raise wrong(f"include[{at}]", "there is no such thing to include")
    most = _whole(fields, "top_logprobs")
    if most:
        chat["logprobs"] = True
        chat["top_logprobs"] = most
