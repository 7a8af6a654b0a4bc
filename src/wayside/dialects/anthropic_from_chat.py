"""An OpenAI chat, told as a request of Anthropic's Messages API.

Chats that came from a client of that API (:mod:`wayside.dialects.anthropic_request`) get back what
only it can say; of others everything is translated that has a counterpart, and the rest is a
:class:`~wayside.dialects.stage.Loss` or, where the answer would not be what was asked for, an
error.

Source: Anthropic's API reference for ``POST /v1/messages``, and the types of its SDK 2.12.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wayside.dialects import UNREADABLE
from wayside.dialects.anthropic_request import BLOCK, EXTRA, unchanged
from wayside.dialects.stage import Loss
from wayside.vocab.errors import RequestError

MAX_TOKENS = 4096
"""``max_tokens``, which this API wants, where a chat names no limit."""
BUDGETS = {"minimal": 1024, "low": 1024, "medium": 4096, "high": 16384, "xhigh": 32768}
"""Tokens to think with for an effort of OpenAI's API; 1024 is the least that may be asked for."""
_LEAST_BUDGET = 1024
_SAME = frozenset({"model", "stream", "top_p", "top_k"})
_SILENT = frozenset({
    "messages", "max_tokens", "max_completion_tokens", "stop", "temperature", "n", "tools",
    "tool_choice", "parallel_tool_calls", "functions", "function_call", "stream_options", "user",
    "metadata", "response_format", "reasoning_effort", "thinking", "store", EXTRA,
    "safety_identifier", "prompt_cache_key", "modalities", "logprobs",
})  # fmt: skip
"""Fields of a chat that are read below, or mean nothing to the answer."""
_SYSTEM = ("system", "developer")


def from_chat(chat: dict[str, Any]) -> tuple[dict[str, Any], tuple[Loss, ...]]:
    """The request and what was lost. Raises :class:`RequestError` for what cannot be asked."""
    losses: list[Loss] = []
    native = chat.get(EXTRA)
    said: dict[str, Any] = dict(native) if isinstance(native, dict) else {}
    said |= {key: chat[key] for key in chat if key in _SAME and chat[key] is not None}
    for key, value in chat.items():
        if key not in _SAME and key not in _SILENT and value not in (None, 0, {}, []):
            losses.append(Loss("warning", "unsupported", key))
    _refuse(chat)
    if chat.get("logprobs"):
        losses.append(Loss("warning", "unsupported", "logprobs"))
    limit = chat.get("max_completion_tokens") or chat.get("max_tokens")
    if not isinstance(limit, int):
        limit = MAX_TOKENS
        losses.append(Loss("info", f"default_{MAX_TOKENS}", "max_tokens"))
    said["max_tokens"] = limit
    _stops(chat.get("stop"), said, losses)
    _turns(_list(chat, "messages"), said, losses, native=isinstance(native, dict))
    _tools(chat, said, losses)
    _format(chat.get("response_format"), said, losses)
    user = chat.get("metadata")
    user = user.get("user_id") if isinstance(user, dict) else None
    user = user or chat.get("user") or chat.get("safety_identifier")
    if isinstance(user, str):
        said["metadata"] = {"user_id": user}
    _thinking(chat, said, losses)
    theirs = isinstance(native, dict) and said.get("thinking") == native.get("thinking")
    _temperature(chat.get("temperature"), said, losses, checked=theirs)
    return said, tuple(losses)


def _refuse(chat: dict[str, Any]) -> None:
    if chat.get("n") not in (None, 1):
        raise _cannot("n", "more than one answer at once")
    if "audio" in _list(chat, "modalities"):
        raise _cannot("modalities", "spoken answers")


def _list(chat: dict[str, Any], name: str) -> list[Any]:
    found = chat.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise RequestError(f"Invalid value for '{name}': expected a list.", param=name)
    return found


def _cannot(param: str, what: str) -> RequestError:
    return RequestError(
        f"The model that answers speaks Anthropic's API, which has no {what}.",
        param=param,
        code="unsupported_parameter",
    )


def _stops(stop: Any, said: dict[str, Any], losses: list[Loss]) -> None:
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    kept = [text for text in stops if isinstance(text, str) and text.strip()]
    if kept:
        said["stop_sequences"] = kept
    if len(kept) < len(stops):
        losses.append(Loss("warning", "blank", "stop"))


# Turns


def _turns(turns: list[Any], said: dict[str, Any], losses: list[Loss], *, native: bool) -> None:
    system: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    called = ""
    for i, turn in enumerate(turns):
        if not isinstance(turn, dict):
            continue
        where, role = f"messages[{i}]", turn.get("role")
        if role in _SYSTEM:
            blocks = _blocks(turn.get("content"), where, losses)
            if found and native:
                found.append({"role": "system", "content": blocks})
                continue
            if found:
                losses.append(Loss("info", "moved", where))
            system += blocks
            continue
        if role == "assistant":
            if isinstance(turn.get("function_call"), dict):
                called = f"call_{i}"
            blocks = _of_assistant(turn, where, called, losses)
        elif role in ("tool", "function"):
            blocks = [_result(turn, where, called, losses)]
        else:
            role, blocks = "user", _blocks(turn.get("content"), where, losses)
        role = "assistant" if role == "assistant" else "user"
        if found and found[-1]["role"] == role:
            found[-1]["content"] += blocks
        elif blocks:
            found.append({"role": role, "content": blocks})
    for turn in found:
        # Results come first in the turn that follows a call, or the API refuses it.
        turn["content"].sort(key=lambda block: block.get("type") != "tool_result")
    said["messages"] = found
    if system:
        said["system"] = system


def _of_assistant(
    turn: dict[str, Any], where: str, called: str, losses: list[Loss]
) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    thought = turn.get("reasoning_content")
    if isinstance(thought, str) and isinstance(turn.get("signature"), str):
        # Without its signature the API refuses a thought.
        signed = {"thinking": thought, "signature": turn["signature"]}
        blocks.append({"type": "thinking", **signed})
    kept = turn.get("anthropic_blocks")
    blocks += [b for b in kept if isinstance(b, dict)] if isinstance(kept, list) else []
    blocks += _blocks(turn.get("content"), where, losses)
    if isinstance(turn.get("refusal"), str):
        blocks += _blocks(turn["refusal"], where, losses)
    calls = turn.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            blocks.append(_use(call, str(call.get("id")), losses))
    if isinstance(turn.get("function_call"), dict):
        blocks.append(_use({"function": turn["function_call"]}, called, losses))
    return blocks


def _use(call: dict[str, Any], number: str, losses: list[Loss]) -> dict[str, Any]:
    asked = call.get("function") or call.get("custom")
    asked = asked if isinstance(asked, dict) else {}
    arguments = asked.get("arguments", asked.get("input"))
    block = {
        "type": "tool_use",
        "id": number,
        "name": str(asked.get("name")),
        "input": arguments_of(arguments),
    }
    return block | _cached(call)


def arguments_of(arguments: Any) -> dict[str, Any]:
    """What a tool was called with, as an object; what is none stands under ``arguments``."""
    if isinstance(arguments, str) and arguments.strip():
        try:
            arguments = msgspec.json.decode(arguments)
        except UNREADABLE:
            return {"arguments": arguments}
    if isinstance(arguments, dict):
        return arguments
    return (
        {} if arguments in (None, "") or not str(arguments).strip() else {"arguments": arguments}
    )


def _result(turn: dict[str, Any], where: str, called: str, losses: list[Loss]) -> dict[str, Any]:
    content = turn.get("content")
    told = content if isinstance(content, str) else _blocks(content, where, losses)
    block = {
        "type": "tool_result",
        "tool_use_id": str(turn.get("tool_call_id") or called),
        "content": told,
    }
    if "is_error" in turn:
        block["is_error"] = turn["is_error"]
    return block | _cached(turn)


def _blocks(content: Any, where: str, losses: list[Loss]) -> list[dict[str, Any]]:
    """The blocks of a content; the API refuses empty texts, so they are left out."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    parts = content if isinstance(content, list) else ()
    blocks = [_block(part, where, losses) for part in parts]
    return [block for block in blocks if block is not None]


def _block(part: Any, where: str, losses: list[Loss]) -> dict[str, Any] | None:
    if isinstance(part, str):
        part = {"type": "text", "text": part}
    if not isinstance(part, dict):
        return None
    kind = part.get("type")
    block: dict[str, Any] | None = None
    if kind in ("text", "refusal"):
        text = part.get("text") if kind == "text" else part.get("refusal")
        block = {"type": "text", "text": text} if text else None
    elif kind == BLOCK:
        same = unchanged(part)
        if same is not None:
            return same
        block = {"type": "text", "text": part.get("text")} if part.get("text") else None
    elif kind in ("thinking", "redacted_thinking"):
        signed = isinstance(part.get("thinking"), str) and part.get("signature")
        if signed or kind == "redacted_thinking":
            block = {key: value for key, value in part.items() if key != "cache_control"}
        else:
            losses.append(Loss("info", "unsigned", f"{where}.thinking"))
    elif kind == "image_url":
        block = {"type": "image", "source": _source(part.get("image_url"), where)}
    elif kind == "file":
        block = _document(part.get("file"), where)
    else:
        raise _cannot(f"{where}.content", f"parts of type {str(kind)[:64]!r}")
    return None if block is None else block | _cached(part)


def _source(image: Any, where: str) -> dict[str, Any]:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise RequestError(f"Missing required parameter: '{where}.image_url.url'.", param=where)
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "base64", "media_type": kind, "data": data}


def _document(file: Any, where: str) -> dict[str, Any]:
    data = file.get("file_data") if isinstance(file, dict) else None
    if not isinstance(data, str) or not data.startswith("data:application/pdf;base64,"):
        raise _cannot(f"{where}.content", "files but PDFs that stand in the request")
    source = _source(data, where)
    block = {"type": "document", "source": source}
    name = file.get("filename")
    return block | ({"title": name} if isinstance(name, str) and name != "document.pdf" else {})


def _cached(holder: dict[str, Any]) -> dict[str, Any]:
    mark = holder.get("cache_control")
    return {} if mark is None else {"cache_control": mark}


# Tools, and how to answer


def _tools(chat: dict[str, Any], said: dict[str, Any], losses: list[Loss]) -> None:
    given = [*_list(chat, "tools"), *_list(chat, "functions")]
    native = isinstance(chat.get(EXTRA), dict)
    tools = [told for tool in given if (told := _tool(tool, losses, native)) is not None]
    if not tools:
        return
    said["tools"] = tools
    wanted = chat.get("tool_choice", chat.get("function_call"))
    choice: dict[str, Any] = {"type": "auto"}
    if isinstance(wanted, dict):
        named = wanted.get("function", wanted)
        if isinstance(named, dict) and isinstance(named.get("name"), str):
            choice = {"type": "tool", "name": named["name"]}
        else:
            losses.append(Loss("warning", "unsupported", "tool_choice"))
    elif wanted in ("none", "required"):
        choice = {"type": "any" if wanted == "required" else "none"}
    if chat.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    if wanted is not None or len(choice) > 1:
        said["tool_choice"] = choice


def _tool(tool: Any, losses: list[Loss], native: bool) -> dict[str, Any] | None:
    if not isinstance(tool, dict):
        return None
    asked = tool.get("function", tool if "type" not in tool else None)
    if not isinstance(asked, dict):
        if native:
            return tool
        losses.append(Loss("warning", "unsupported", f"tools.{tool.get('type')}"))
        return None
    told: dict[str, Any] = {"name": asked.get("name")}
    if asked.get("description") is not None:
        told["description"] = asked["description"]
    told["input_schema"] = asked.get("parameters") or {"type": "object", "properties": {}}
    if asked.get("strict") is not None:
        told["strict"] = asked["strict"]
    rest = {k: v for k, v in tool.items() if k not in ("type", "function")} if native else {}
    return told | (rest if tool is not asked else {}) | _cached(tool)


def _format(wanted: Any, said: dict[str, Any], losses: list[Loss]) -> None:
    if not isinstance(wanted, dict) or wanted.get("type") in (None, "text"):
        return
    inner = wanted.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if wanted["type"] != "json_schema" or not isinstance(schema, dict):
        losses.append(Loss("warning", "unsupported", f"response_format.{wanted['type']}"))
        return
    output = said.get("output_config")
    output = dict(output) if isinstance(output, dict) else {}
    said["output_config"] = {**output, "format": {"type": "json_schema", "schema": schema}}


def _thinking(chat: dict[str, Any], said: dict[str, Any], losses: list[Loss]) -> None:
    """How hard to think: what was decided here goes before what the client said."""
    effort, asked = str(chat.get("reasoning_effort")), chat.get("thinking")
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind == "disabled" or effort == "none":
        said["thinking"] = {"type": "disabled"}
    elif isinstance(asked, dict) and kind not in (None, "enabled"):
        said["thinking"] = asked
    elif kind == "enabled" or (effort in BUDGETS and not said.get("thinking")):
        budget = asked.get("budget_tokens") if isinstance(asked, dict) else None
        wanted = budget if isinstance(budget, int) else BUDGETS.get(effort, BUDGETS["medium"])
        room = said["max_tokens"] - 1 if budget else said["max_tokens"] // 2
        if (said.get("tool_choice") or {}).get("type") in ("any", "tool"):
            losses.append(Loss("warning", "tool_is_forced", "reasoning_effort"))
        elif room < _LEAST_BUDGET:
            losses.append(Loss("warning", "max_tokens_too_small", "reasoning_effort"))
        else:
            said["thinking"] = {"type": "enabled", "budget_tokens": min(wanted, room)}


def _temperature(wanted: Any, said: dict[str, Any], losses: list[Loss], *, checked: bool) -> None:
    """At most 1, and none while a budget is thought with, as the API wants it; ``checked``: the
    client said both, in the API's own words."""
    thinking = said.get("thinking")
    if not checked and isinstance(thinking, dict) and thinking.get("type") == "enabled":
        for key in ("temperature", "top_k"):
            given = wanted if key == "temperature" else said.pop(key, None)
            if given not in (None, 1):
                losses.append(Loss("info", "thinking", key))
        return
    if not isinstance(wanted, int | float):
        return
    if wanted > 1:
        losses.append(Loss("warning", "at_most_1", "temperature"))
    said["temperature"] = min(wanted, 1)
