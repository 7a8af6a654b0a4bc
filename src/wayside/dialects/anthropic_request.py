"""A request of Anthropic's Messages API, told as an OpenAI chat.

The chat is *rich*: it keeps what only Anthropic's servers understand where OpenAI's servers would
not look (marks for caching, signed thoughts, the tools of Anthropic's own), so that it can be told
as Anthropic's request again without loss. :func:`plain` takes all that out for everybody else and
says what was lost.

* A block with no counterpart is a part of type ``anthropic_block``: ``block`` is the block, and
  ``text`` every string in it, which is what guards judge.
* Fields with no counterpart stand under ``anthropic`` at the top level.

Source: Anthropic's API reference for ``POST /v1/messages``, and the types of its SDK 2.12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from wayside.dialects import check_keys, encode
from wayside.dialects.stage import Loss
from wayside.vocab.errors import RequestError

BLOCK = "anthropic_block"
"""The type of a part that stands for a block with no counterpart."""
EXTRA = "anthropic"
"""The field of a rich chat that holds what has no counterpart."""
_SAME = ("temperature", "top_p", "top_k", "stream", "max_tokens")
_FIELDS = frozenset({
    "model", "messages", "system", "tools", "tool_choice", "stop_sequences", "metadata",
    "thinking", "output_config", *_SAME,
})  # fmt: skip
_OF_TURN = frozenset({"role", "content"})
_OF_BLOCK = frozenset({
    "type", "text", "source", "content", "thinking", "signature", "data", "input", "name", "id",
    "tool_use_id", "title", "context", "is_error",
})  # fmt: skip
_CACHE = "cache_control"
_THOUGHT: tuple[str, ...] = ("thinking", "signature")


def to_chat(said: Mapping[str, Any]) -> dict[str, Any]:
    """The rich chat. Raises :class:`RequestError` for what is no request of this API."""
    check_keys(said, _FIELDS)
    chat: dict[str, Any] = {"model": said.get("model"), "messages": _turns(said)}
    extra = {
        key: value
        for key, value in said.items()
        if key not in _FIELDS or key in ("thinking", "output_config")
    }
    for key in _SAME:
        if said.get(key) is not None:
            chat[key] = said[key]
    if said.get("stop_sequences"):
        chat["stop"] = said["stop_sequences"]
    if chat.get("stream"):
        chat["stream_options"] = {"include_usage": True}
    metadata = said.get("metadata")
    if isinstance(metadata, dict):
        chat["metadata"] = metadata
    if said.get("tools") is not None:
        chat["tools"] = [_tool(tool, i) for i, tool in enumerate(_list(said["tools"], "tools"))]
    _choice(said.get("tool_choice"), chat)
    chat[EXTRA] = extra
    return chat


def _turns(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    system = said.get("system")
    if isinstance(system, str):
        turns.append({"role": "system", "content": system})
    elif system is not None:
        parts = [_part(block, f"system[{i}]") for i, block in enumerate(_list(system, "system"))]
        turns.append({"role": "system", "content": parts})
    if "messages" not in said:
        raise RequestError("Missing required parameter: 'messages'.", param="messages")
    for i, turn in enumerate(_list(said["messages"], "messages")):
        where = f"messages[{i}]"
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            raise _wrong(where, "an object with a role and a content")
        check_keys(turn, _OF_TURN, where)
        content = turn.get("content")
        if isinstance(content, str):
            turns.append({"role": turn["role"], "content": content})
        else:
            blocks = _list(content, f"{where}.content")
            turns += _of_blocks(turn["role"], blocks, f"{where}.content")
    return turns


def _of_blocks(role: str, blocks: list[Any], where: str) -> Iterator[dict[str, Any]]:
    """A turn: results of tools are turns of their own, before the rest of what the user says."""
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for i, block in enumerate(blocks):
        at = f"{where}[{i}]"
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise _wrong(at, "a block with a type")
        check_keys(block, _OF_BLOCK, at)
        if block["type"] == "tool_result":
            yield _result(block, at)
        elif block["type"] == "tool_use":
            calls.append(_call(block))
        else:
            parts.append(_part(block, at))
    if parts or calls:
        turn: dict[str, Any] = {"role": role, "content": parts or None}
        if calls:
            turn["tool_calls"] = calls
        yield turn


def _result(block: dict[str, Any], where: str) -> dict[str, Any]:
    content = block.get("content")
    if content is None:
        content = ""
    elif not isinstance(content, str):
        items = enumerate(_list(content, f"{where}.content"))
        content = [_part(item, f"{where}.content[{i}]") for i, item in items]
    turn = {"role": "tool", "tool_call_id": str(block.get("tool_use_id")), "content": content}
    return turn | {key: block[key] for key in ("is_error", _CACHE) if key in block}


def _call(block: dict[str, Any]) -> dict[str, Any]:
    asked = {
        "name": str(block.get("name")),
        "arguments": encode(block.get("input") or {}).decode(),
    }
    call = {"id": str(block.get("id")), "type": "function", "function": asked}
    return call | ({_CACHE: block[_CACHE]} if _CACHE in block else {})


def _part(block: Any, where: str) -> dict[str, Any]:
    if not isinstance(block, dict):
        raise _wrong(where, "a block with a type")
    check_keys(block, _OF_BLOCK, where)
    found = _known_part(block)
    if found is None:
        return {"type": BLOCK, "text": "\n".join(strings_of(block)), "block": block}
    return found | ({_CACHE: block[_CACHE]} if _CACHE in block else {})


def _known_part(block: dict[str, Any]) -> dict[str, Any] | None:
    source = block.get("source")
    source = source if isinstance(source, dict) else {}
    match block.get("type"), source.get("type"):
        case "text", _ if isinstance(block.get("text"), str) and not block.get("citations"):
            return {"type": "text", "text": block["text"]}
        case "thinking", _ if isinstance(block.get("thinking"), str):
            kept = {key: block[key] for key in _THOUGHT if key in block}
            return {"type": "thinking", **kept}
        case "redacted_thinking", _:
            return {"type": "redacted_thinking", "data": block.get("data")}
        case "image", "base64":
            url = f"data:{source.get('media_type')};base64,{source.get('data')}"
            return {"type": "image_url", "image_url": {"url": url}}
        case "image", "url":
            return {"type": "image_url", "image_url": {"url": source.get("url")}}
        case "document", "base64" if not any([block.get(k) for k in ("context", "citations")]):
            url = f"data:{source.get('media_type')};base64,{source.get('data')}"
            name = block.get("title") or "document.pdf"
            return {"type": "file", "file": {"filename": name, "file_data": url}}
    return None


def strings_of(found: Any) -> list[str]:
    """Every text in a block, but for names of the protocol and opaque bytes."""
    texts: list[str] = []
    waiting = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list):
            waiting += reversed(value)
        elif isinstance(value, dict):
            opaque = value.get("type") == "base64"
            waiting += reversed([v for k, v in value.items() if not _mute(k, v, opaque)])
    return texts


_NO_TEXT = frozenset({
    "cache_control", "media_type", "signature", "encrypted_content", "encrypted_index",
})  # fmt: skip
_NAMES = frozenset({"type", "id", "tool_use_id", "file_id"})
_NAME = re.compile(r"[a-z_]{1,64}|[a-z]+_[A-Za-z0-9_]{8,128}")


def _mute(key: str, value: Any, opaque: bool) -> bool:
    """Whether nobody could say something here: what only looks like a name is read."""
    if key in _NAMES:
        return isinstance(value, str) and _NAME.fullmatch(value) is not None
    return key in _NO_TEXT or (opaque and key == "data")


def unchanged(part: dict[str, Any]) -> dict[str, Any] | None:
    """The block that a part stands for, unless a guard changed what it says."""
    block = part.get("block")
    if isinstance(block, dict) and part.get("text") == "\n".join(strings_of(block)):
        return block
    return None


def _tool(tool: Any, place: int) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise _wrong(f"tools[{place}]", "an object")
    if tool.get("type") not in (None, "custom"):
        return tool  # one of Anthropic's own: it stays as it is
    if not isinstance(tool.get("name"), str):
        raise RequestError(f"Missing required parameter: 'tools[{place}].name'.", param="tools")
    asked: dict[str, Any] = {"name": tool["name"]}
    if tool.get("description") is not None:
        asked["description"] = tool["description"]
    asked["parameters"] = tool.get("input_schema") or {"type": "object", "properties": {}}
    if tool.get("strict") is not None:
        asked["strict"] = tool["strict"]
    told = ("type", "name", "description", "input_schema", "strict")
    rest = {key: value for key, value in tool.items() if key not in told}
    return {"type": "function", "function": asked, **rest}


def _choice(choice: Any, chat: dict[str, Any]) -> None:
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool":
        chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif kind in ("auto", "any", "none"):
        chat["tool_choice"] = "required" if kind == "any" else kind
    else:
        raise _wrong("tool_choice", "an object of type auto, any, tool or none")
    if choice.get("disable_parallel_tool_use") is True:
        chat["parallel_tool_calls"] = False


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(where, "a list")
    return value


def _wrong(where: str, wanted: str) -> RequestError:
    return RequestError(f"Invalid value for '{where}': expected {wanted}.", param=where)


def plain(chat: dict[str, Any]) -> tuple[dict[str, Any], tuple[Loss, ...]]:
    """A rich chat for servers of OpenAI's API, and what they will not be told."""
    losses: list[Loss] = []
    found = {key: value for key, value in chat.items() if key not in (EXTRA, "metadata")}
    _plain_extra(chat.get(EXTRA) or {}, found, losses)
    metadata = chat.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("user_id"), str):
        found["user"] = metadata["user_id"]
    turns: list[dict[str, Any]] = []
    pictures: list[dict[str, Any]] = []
    for i, turn in enumerate(chat.get("messages") or ()):
        told, moved = _plain_turn(turn, f"messages[{i}]", losses)
        if pictures and told["role"] == "user":
            said = told["content"]
            said = said if isinstance(said, list) else [{"type": "text", "text": said}]
            told["content"] = [*pictures, *said]
            pictures = []
        elif pictures and told["role"] != "tool":
            turns.append({"role": "user", "content": pictures})
            pictures = []
        turns.append(told)
        pictures += moved
    if pictures:
        turns.append({"role": "user", "content": pictures})
    found["messages"] = turns
    tools = [_plain_tool(tool, losses) for tool in found.pop("tools", None) or ()]
    tools = [tool for tool in tools if tool is not None]
    if tools:
        found["tools"] = tools
    else:
        found.pop("tool_choice", None)
        found.pop("parallel_tool_calls", None)
    return found, tuple(losses)


def _plain_extra(extra: dict[str, Any], found: dict[str, Any], losses: list[Loss]) -> None:
    output = extra.get("output_config")
    wanted = output.get("format") if isinstance(output, dict) else None
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        schema = {"name": "output", "schema": wanted.get("schema"), "strict": True}
        found.setdefault("response_format", {"type": "json_schema", "json_schema": schema})
    if isinstance(output, dict) and output.get("effort"):
        losses.append(Loss("info", "unsupported", "output_config.effort"))
    thinking = extra.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") != "disabled":
        losses.append(Loss("warning", "unsupported", "thinking"))
    for key in extra:
        if key not in ("output_config", "thinking"):
            harmless = key in (_CACHE, "service_tier", "inference_geo", "speed", "diagnostics")
            losses.append(Loss("info" if harmless else "warning", "unsupported", key))


def _plain_turn(
    turn: dict[str, Any], where: str, losses: list[Loss]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The turn, and the pictures that a tool gave: they follow as the user's, for no server takes
    them from a tool."""
    found = {key: value for key, value in turn.items() if key not in (_CACHE, "is_error")}
    if turn.get("is_error"):
        losses.append(Loss("info", "unsupported", f"{where}.is_error"))
    calls = found.get("tool_calls")
    if isinstance(calls, list):
        found["tool_calls"] = [
            {key: value for key, value in call.items() if key != _CACHE} for call in calls
        ]
    content = turn.get("content")
    if not isinstance(content, list):
        return found, []
    parts = [kept for part in content if (kept := _plain_part(part, where, losses)) is not None]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    others = [part for part in parts if part["type"] != "text"]
    if found["role"] == "tool" or not others:
        joint = "" if found["role"] == "assistant" else "\n\n"
        found["content"] = joint.join(texts) if texts or found["role"] == "tool" else None
    else:
        found["content"] = parts
    if found["content"] is None and not calls:
        found["content"] = ""
    if found["role"] == "tool" and others:
        losses.append(Loss("info", "moved", f"{where}.content"))
        return found, others
    return found, []


def _plain_part(part: Any, where: str, losses: list[Loss]) -> dict[str, Any] | None:
    if not isinstance(part, dict):
        return {"type": "text", "text": str(part)}
    kind = part.get("type")
    if kind in ("thinking", "redacted_thinking"):
        losses.append(Loss("info", "unsupported", f"{where}.thinking"))
        return None
    if _CACHE in part:
        losses.append(Loss("info", "unsupported", _CACHE))
    if kind == BLOCK:
        block = part.get("block")
        name = block.get("type") if isinstance(block, dict) else None
        same = unchanged(part)
        if name == "text" and same is not None:
            return {"type": "text", "text": same["text"]}  # without its citations
        losses.append(Loss("warning", "told_as_text", f"{where}.{name}"))
        return {"type": "text", "text": part["text"]} if part.get("text") else None
    return {key: value for key, value in part.items() if key != _CACHE}


def _plain_tool(tool: Any, losses: list[Loss]) -> dict[str, Any] | None:
    if not isinstance(tool, dict) or not isinstance(tool.get("function"), dict):
        name = tool.get("type") if isinstance(tool, dict) else None
        losses.append(Loss("warning", "unsupported", f"tools.{name}"))
        return None
    return {"type": "function", "function": tool["function"]}
