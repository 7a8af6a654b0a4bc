"""An OpenAI chat, told as a request of OpenAI's Responses API.

Everything is translated that has a counterpart. Of the rest, what would make the answer another
one than was asked for is refused, and what only shapes it is a
:class:`~wayside.dialects.stage.Loss`. Fields that neither API knows go on as they are, for the
servers that know them.

Nothing is kept at the server (``store: false``): conversations live with this router, or with the
client. Source: the OpenAI API reference for ``POST /v1/chat/completions`` and
``POST /v1/responses``.
"""

from __future__ import annotations

from typing import Any

from wayside.dialects.openai_responses_items import wrong
from wayside.dialects.stage import Loss
from wayside.vocab.errors import RequestError

_READ = frozenset({
    "messages", "tools", "functions", "tool_choice", "function_call", "response_format",
    "verbosity", "max_tokens", "max_completion_tokens", "reasoning_effort", "logprobs",
    "top_logprobs", "n", "modalities", "audio", "store", "stream_options",
})  # fmt: skip
"""Fields of a chat that are read below."""
_LOST = frozenset({
    "stop", "seed", "frequency_penalty", "presence_penalty", "logit_bias", "prediction",
    "web_search_options", "min_p", "min_tokens", "repetition_penalty", "ignore_eos",
})  # fmt: skip
"""Fields of a chat that responses have no place for: their servers refuse them."""
_OF_RESPONSES = frozenset({
    "input", "instructions", "prompt", "previous_response_id", "conversation", "background",
    "include", "text", "reasoning", "max_output_tokens", "max_tool_calls", "truncation",
    "context_management", "previous_input_messages", "previous_response_messages",
})  # fmt: skip
"""Fields that mean nothing in a chat, and much to these servers: nobody has read them as what
they would be there. The last two are vLLM's."""
_LOGPROBS = "message.output_text.logprobs"


def from_chat(chat: dict[str, Any]) -> tuple[dict[str, Any], tuple[Loss, ...]]:
    """The request and what was lost. Raises :class:`RequestError` for what cannot be asked."""
    if chat.get("n") not in (None, 1):
        raise _cannot("n", "more than one answer at once")
    if "audio" in _list(chat, "modalities") or chat.get("audio") is not None:
        raise _cannot("modalities", "spoken answers")
    losses: list[Loss] = []
    said: dict[str, Any] = {}
    for key, value in chat.items():
        if key in _LOST or key in _OF_RESPONSES:
            if value not in (None, 0, {}, []):
                losses.append(Loss("warning", "unsupported", key))
        elif key not in _READ and value is not None:
            said[key] = value
    said["input"] = _items(_list(chat, "messages"), losses)
    said["store"] = False
    limit = chat.get("max_completion_tokens")
    limit = chat.get("max_tokens") if limit is None else limit
    if limit is not None:
        said["max_output_tokens"] = limit
    if chat.get("reasoning_effort") is not None:
        said["reasoning"] = {"effort": chat["reasoning_effort"]}
    _tools(chat, said)
    text: dict[str, Any] = {}
    wanted = _format(chat.get("response_format"))
    if wanted is not None:
        text["format"] = wanted
    if chat.get("verbosity") is not None:
        text["verbosity"] = chat["verbosity"]
    if text:
        said["text"] = text
    if chat.get("logprobs"):
        said["include"] = [_LOGPROBS]
        if chat.get("top_logprobs"):
            said["top_logprobs"] = chat["top_logprobs"]
    return said, tuple(losses)


def _cannot(param: str, what: str) -> RequestError:
    return RequestError(
        f"The model that answers speaks OpenAI's Responses API, which has no {what}.",
        param=param,
        code="unsupported_parameter",
    )


def _list(chat: dict[str, Any], name: str) -> list[Any]:
    found = chat.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise wrong(name, "a list is expected")
    return found


# Turns


def _items(turns: list[Any], losses: list[Loss]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    called = ""
    for at, turn in enumerate(turns):
        where = f"messages[{at}]"
        if not isinstance(turn, dict):
            raise wrong(where, "each message is an object")
        if turn.get("name") is not None and turn.get("role") != "function":
            losses.append(Loss("info", "unsupported", f"{where}.name"))
        match turn.get("role"):
            case "system" | "developer" | "user" as role:
                content = _content(turn.get("content"), f"{where}.content")
                items.append({"type": "message", "role": role, "content": content})
            case "assistant":
                if isinstance(turn.get("function_call"), dict):
                    called = f"call_{at}"
                items += _of_assistant(turn, where, called, losses)
            case "tool" | "function":
                number = turn.get("tool_call_id") or called
                given = _content(turn.get("content"), f"{where}.content")
                result = {"type": "function_call_output", "call_id": number, "output": given}
                items.append(result)
            case _:
                roles = "system, developer, user, assistant, tool, function"
                raise wrong(f"{where}.role", f"one of {roles} is expected")
    return items


def _of_assistant(
    turn: dict[str, Any], where: str, called: str, losses: list[Loss]
) -> list[dict[str, Any]]:
    """The words, then the calls. What the model thought stays here: the API wants it back
    encrypted or not at all."""
    if turn.get("reasoning_content") or turn.get("reasoning"):
        losses.append(Loss("info", "reasoning_not_sent", where))
    items: list[dict[str, Any]] = []
    words: list[str] = []
    refusals = [turn["refusal"]] if isinstance(turn.get("refusal"), str) else []
    content = turn.get("content")
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            words.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            words.append(part["text"])
        elif isinstance(part, dict) and isinstance(part.get("refusal"), str):
            refusals.append(part["refusal"])
        elif part is not None:
            raise wrong(f"{where}.content", "an assistant's parts are text and refusal")
    said: Any = "".join(words)
    if refusals:
        parts = [{"type": "refusal", "refusal": refusal} for refusal in refusals if refusal]
        said = [*([{"type": "output_text", "text": said}] if said else []), *parts]
    if said:
        items.append({"type": "message", "role": "assistant", "content": said})
    calls = turn.get("tool_calls")
    for at, call in enumerate(calls if isinstance(calls, list) else ()):
        path = f"{where}.tool_calls[{at}]"
        asked = call.get("function") if isinstance(call, dict) else None
        if not isinstance(asked, dict):
            raise _cannot(path, "calls of anything but functions here")
        items.append(_call(asked, call.get("id")))
    if isinstance(turn.get("function_call"), dict):
        items.append(_call(turn["function_call"], called))
    return items


def _call(asked: dict[str, Any], number: Any) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": number,
        "name": asked.get("name"),
        "arguments": asked.get("arguments") or "{}",
    }


def _content(content: Any, path: str) -> str | list[dict[str, Any]]:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise wrong(path, "a string or a list of parts is expected")
    return [_part(part, f"{path}[{at}]") for at, part in enumerate(content)]


def _part(part: Any, path: str) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    if not isinstance(part, dict):
        raise wrong(path, "an object is expected")
    kind = part.get("type")
    if kind == "text":
        return {"type": "input_text", "text": part.get("text")}
    if kind == "image_url":
        image = part.get("image_url")
        image = image if isinstance(image, dict) else {"url": image}
        detail = image.get("detail") or "auto"
        return {"type": "input_image", "image_url": image.get("url"), "detail": detail}
    if kind == "file" and isinstance(part.get("file"), dict):
        known = ("file_data", "file_id", "filename")
        file = {key: part["file"][key] for key in known if part["file"].get(key) is not None}
        return {"type": "input_file", **file}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part.get("input_audio")}
    raise _cannot(path, f"parts of type {str(kind)[:64]!r}")


# Tools, and how to answer


def _tools(chat: dict[str, Any], said: dict[str, Any]) -> None:
    tools = [
        _tool(tool, f"{name}[{at}]")
        for name in ("tools", "functions")
        for at, tool in enumerate(_list(chat, name))
    ]
    if not tools:
        return
    said["tools"] = tools
    wanted = chat.get("tool_choice", chat.get("function_call"))
    if wanted is not None:
        said["tool_choice"] = _choice(wanted)


def _tool(tool: Any, path: str) -> dict[str, Any]:
    """A function. ``strict`` is always said: where nothing is, the chat API means no and this
    one yes."""
    if not isinstance(tool, dict):
        raise wrong(path, "an object is expected")
    kind = tool.get("type")
    asked = tool if kind is None and "function" not in tool else tool.get("function")
    if not isinstance(asked, dict):
        raise _cannot(f"{path}.type", f"tools of type {str(kind)[:64]!r} from a chat")
    told = {
        "type": "function",
        "name": asked.get("name"),
        "parameters": asked.get("parameters") or {"type": "object", "properties": {}},
        "strict": bool(asked.get("strict")),
    }
    if asked.get("description") is not None:
        told["description"] = asked["description"]
    return told


def _choice(wanted: Any) -> Any:
    if isinstance(wanted, str):
        return wanted
    allowed = wanted.get("allowed_tools") if isinstance(wanted, dict) else None
    if isinstance(allowed, dict) and isinstance(allowed.get("tools"), list):
        return {
            "type": "allowed_tools",
            "mode": allowed.get("mode", "auto"),
            "tools": [_named(tool) for tool in allowed["tools"]],
        }
    return _named(wanted)


def _named(tool: Any) -> dict[str, Any]:
    named = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(named, dict) or not isinstance(named.get("name"), str):
        raise wrong("tool_choice", "'auto', 'none', 'required', or a function is expected")
    return {"type": "function", "name": named["name"]}


def _format(wanted: Any) -> dict[str, Any] | None:
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind in ("text", "json_object"):
        return {"type": kind}
    inner = wanted.get("json_schema") if kind == "json_schema" else None
    if not isinstance(inner, dict):
        raise wrong("response_format", "text, json_object or a json_schema is expected")
    return {"type": "json_schema", **inner}
