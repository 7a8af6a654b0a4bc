"""Answers in OpenAI's shapes: completions of our own, and the texts inside other people's.

Sources: the OpenAI API reference for chat completions and completions, streamed and not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from wayside.dialects import encode

DONE = b"data: [DONE]\n\n"
STREAM = "text/event-stream"
JSON = "application/json"


class Channel(NamedTuple):
    """One text inside an answer: a choice's words, its reasoning, or a tool call's arguments."""

    kind: Literal["text", "reasoning", "arguments"]
    choice: int = 0
    call: int = 0


class Slot(NamedTuple):
    """Where a piece of a channel's text stands in a decoded answer: ``holder[key]``."""

    channel: Channel
    holder: dict[str, Any]
    key: str


_WORDS: tuple[tuple[str, Literal["text", "reasoning"]], ...] = (
    ("content", "text"),
    ("refusal", "text"),
    ("reasoning_content", "reasoning"),
    ("reasoning", "reasoning"),
)


def slots(answer: dict[str, Any]) -> Iterator[Slot]:
    """Every piece of text in a whole answer or in one event of a stream."""
    for place, choice in enumerate(_dicts(answer.get("choices"))):
        number = _index(choice, place)
        if isinstance(choice.get("text"), str):
            yield Slot(Channel("text", number), choice, "text")
        turn = choice.get("delta", choice.get("message"))
        if not isinstance(turn, dict):
            continue
        for key, kind in _WORDS:
            if isinstance(turn.get(key), str):
                yield Slot(Channel(kind, number), turn, key)
        for part in _dicts(turn.get("content")):
            if isinstance(part.get("text"), str):
                yield Slot(Channel("text", number), part, "text")
        for at, call in enumerate(_dicts(turn.get("tool_calls"))):
            asked = call.get("function")
            if isinstance(asked, dict) and isinstance(asked.get("arguments"), str):
                channel = Channel("arguments", number, _index(call, at))
                yield Slot(channel, asked, "arguments")
        asked = turn.get("function_call")
        if isinstance(asked, dict) and isinstance(asked.get("arguments"), str):
            yield Slot(Channel("arguments", number), asked, "arguments")


def finished(event: dict[str, Any]) -> list[int]:
    """The choices that end with this event."""
    return [
        _index(choice, place)
        for place, choice in enumerate(_dicts(event.get("choices")))
        if choice.get("finish_reason") is not None
    ]


def carries_nothing(event: dict[str, Any]) -> bool:
    """Whether an event whose texts were held back has nothing else to say."""
    if event.get("usage") is not None:
        return False
    for choice in _dicts(event.get("choices")):
        if choice.get("finish_reason") is not None or choice.get("text"):
            return False
        delta = choice.get("delta") or {}
        if any(value not in ("", None) for value in delta.values()):
            return False
    return True


def event_with(template: dict[str, Any], channel: Channel, text: str) -> bytes:
    """An event that says ``text`` on ``channel``; id, model and the like are the template's."""
    choice: dict[str, Any] = {"index": channel.choice, "finish_reason": None}
    if template.get("object") == "text_completion":
        choice["text"] = text
    elif channel.kind == "arguments":
        call = {"index": channel.call, "function": {"arguments": text}}
        choice["delta"] = {"tool_calls": [call]}
    else:
        key = "content" if channel.kind == "text" else "reasoning_content"
        choice["delta"] = {key: text}
    return event({**_head(template), "choices": [choice]})


def ending(template: dict[str, Any], message: str, choices: list[int], reason: str) -> bytes:
    """The events that end a stream with ``message`` and this finish reason, `[DONE]` included."""
    ended = []
    for number in choices:
        choice: dict[str, Any] = {"index": number, "finish_reason": reason}
        if template.get("object") == "text_completion":
            choice["text"] = message
        else:
            choice["delta"] = {"content": message}
        ended.append(choice)
    return event({**_head(template), "choices": ended}) + DONE


def event(data: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return b"data: " + encode(data) + b"\n\n"


class Canned(NamedTuple):
    """What a completion of our own says of itself. ``created`` is in Unix seconds."""

    model: str
    message: str
    created: int
    number: int
    """Any number below 2**53: makes the id."""
    finish_reason: str = "stop"
    stream: bool = False
    usage: bool = False
    """Whether a stream ends with an event of usage (``stream_options.include_usage``)."""


_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def chat(canned: Canned) -> bytes:
    """A chat completion, or all events of its stream."""
    head = {"id": f"chatcmpl-{canned.number:014x}", "created": canned.created}
    if not canned.stream:
        turn = {"role": "assistant", "content": canned.message, "refusal": None}
        choice = {
            "index": 0,
            "message": turn,
            "logprobs": None,
            "finish_reason": canned.finish_reason,
        }
        whole = {**head, "object": "chat.completion", "model": canned.model}
        return encode({**whole, "choices": [choice], "usage": _USAGE})
    each = {**head, "object": "chat.completion.chunk", "model": canned.model}
    deltas: tuple[tuple[dict[str, str], str | None], ...] = (
        ({"role": "assistant", "content": ""}, None),
        ({"content": canned.message}, None),
        ({}, canned.finish_reason),
    )
    sent = [
        event({**each, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})
        for delta, end in deltas
    ]
    return b"".join([*sent, *_usage_event(each, canned), DONE])


def completion(canned: Canned) -> bytes:
    """A completion of the older API, or all events of its stream."""
    each = {
        "id": f"cmpl-{canned.number:014x}",
        "object": "text_completion",
        "created": canned.created,
        "model": canned.model,
    }
    choice = {
        "index": 0,
        "text": canned.message,
        "logprobs": None,
        "finish_reason": canned.finish_reason,
    }
    if not canned.stream:
        return encode({**each, "choices": [choice], "usage": _USAGE})
    sent = event({**each, "choices": [choice]})
    return b"".join([sent, *_usage_event(each, canned), DONE])


def _usage_event(each: dict[str, Any], canned: Canned) -> list[bytes]:
    return [event({**each, "choices": [], "usage": _USAGE})] if canned.usage else []


def _head(template: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in template.items() if key not in ("choices", "usage", "error")
    }


def _dicts(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _index(item: dict[str, Any], place: int) -> int:
    index = item.get("index")
    return index if isinstance(index, int) else place
