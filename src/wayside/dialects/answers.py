"""Answers in OpenAI's shapes: completions of our own, and the texts inside other people's.

Sources: the OpenAI API reference for chat completions and completions, streamed and not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from wayside.dialects import encode

DONE = b"data: [DONE]\n\n"
STREAM = "text/event-stream"
JSON = "application/json"

Kind = Literal["text", "reasoning", "arguments", "other"]


class Channel(NamedTuple):
    """One text inside an answer: a choice's words, its reasoning, a tool call's arguments (which
    are JSON), or any ``other`` text that a server puts there."""

    kind: Kind
    choice: int = 0
    call: int = 0
    field: str = ""
    """What the server calls it. Some send their reasoning under two names at once: read as one
    text, its pieces would come twice and nothing in it would be found."""


class Slot(NamedTuple):
    """Where a piece of a channel's text stands in a decoded answer: ``holder[key]``."""

    channel: Channel
    holder: Any
    key: Any


_WORDS: tuple[tuple[str, Kind], ...] = (
    ("content", "text"),
    ("refusal", "text"),
    ("reasoning_content", "reasoning"),
    ("reasoning", "reasoning"),
)
_HEAD = (
    "id", "object", "created", "model", "service_tier", "system_fingerprint", "provider",
)  # fmt: skip
_NO_TEXT = frozenset(_HEAD) | {
    "role", "type", "index", "finish_reason", "native_finish_reason", "stop_reason",
    "matched_stop", "tool_call_id", "code", "param", "obfuscation", "format", "embedding",
    "signature", "thought_signature", "encrypted_content", "b64_json",
}  # fmt: skip
"""Fields whose strings are not the model's words: names of the protocol, and opaque bytes."""
_AT_ONCE = frozenset({"name", "message"})
"""Texts that a stream says in one piece: the name of a tool, the message of an error."""
_ENCODED = frozenset({
    "logprobs", "top_logprobs", "prompt_logprobs", "token_ids", "prompt_token_ids", "tokens",
})  # fmt: skip
"""Fields that repeat the text as tokens, which no filter reads."""


def slots(answer: dict[str, Any]) -> Iterator[Slot]:
    """Every piece of text in a whole answer or in one event of a stream, where we know it."""
    for place, choice in enumerate(_dicts(answer.get("choices"))):
        number = _index(choice, place)
        if isinstance(choice.get("text"), str):
            yield Slot(Channel("text", number), choice, "text")
        for turn in (choice.get("delta"), choice.get("message")):
            if isinstance(turn, dict):
                yield from _of_turn(turn, number)


def _of_turn(turn: dict[str, Any], choice: int) -> Iterator[Slot]:
    for key, kind in _WORDS:
        if isinstance(turn.get(key), str):
            yield Slot(Channel(kind, choice, field=key), turn, key)
    parts = turn.get("content")
    for at, part in enumerate(parts if isinstance(parts, list) else ()):
        if isinstance(part, str):
            yield Slot(Channel("text", choice, field="content"), parts, at)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            yield Slot(Channel("text", choice, field="content"), part, "text")
    for at, call in enumerate(_dicts(turn.get("tool_calls"))):
        asked, custom, number = call.get("function"), call.get("custom"), _index(call, at)
        if isinstance(asked, dict) and isinstance(asked.get("arguments"), str):
            yield Slot(Channel("arguments", choice, number), asked, "arguments")
        if isinstance(custom, dict) and isinstance(custom.get("input"), str):
            yield Slot(Channel("other", choice, number, "input"), custom, "input")
    asked = turn.get("function_call")
    if isinstance(asked, dict) and isinstance(asked.get("arguments"), str):
        yield Slot(Channel("arguments", choice, field="function_call"), asked, "arguments")


class Strays(NamedTuple):
    """What stands in an answer beside the texts that we know."""

    texts: list[Slot]
    """Strings that may be text, in fields that only some servers have."""
    encoded: list[tuple[dict[str, Any], str]]
    """Where the text is repeated as tokens: holder and key."""


def strays(answer: dict[str, Any], known: Iterable[Slot]) -> Strays:
    """Look through all of an answer. Pictures as ``data:`` URLs are left out; nobody reads them
    here."""
    found = {(id(slot.holder), slot.key) for slot in known}
    choices = {id(c): _index(c, at) for at, c in enumerate(_dicts(answer.get("choices")))}
    strays = Strays([], [])
    waiting: list[tuple[Any, int]] = [(answer, 0)]
    while waiting:
        holder, choice = waiting.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, value in items:
            if isinstance(value, str):
                if not value or key in _NO_TEXT or (id(holder), key) in found:
                    continue
                if not value.startswith("data:image/") and not _opaque(holder):
                    channel = Channel("other", choice, field=str(key))
                    strays.texts.append(Slot(channel, holder, key))
            elif isinstance(value, dict | list) and value:
                if key in _ENCODED:
                    strays.encoded.append((holder, key))
                else:
                    waiting.append((value, choices.get(id(value), choice)))
    return strays


def _opaque(holder: Any) -> bool:
    return isinstance(holder, dict) and str(holder.get("type")).endswith("encrypted")


def comes_whole(slot: Slot) -> bool:
    """Whether a stream says this stray text in one piece."""
    return slot.channel.field in _AT_ONCE


def spoken(answer: dict[str, Any]) -> bool:
    """Whether it holds sound, which no filter hears."""
    for choice in _dicts(answer.get("choices")):
        for turn in (choice.get("delta"), choice.get("message")):
            if isinstance(turn, dict) and turn.get("audio"):
                return True
    return False


def finished(event: dict[str, Any]) -> list[int]:
    """The choices that end with this event. Some servers write ``""`` until then."""
    return [
        _index(choice, place)
        for place, choice in enumerate(_dicts(event.get("choices")))
        if choice.get("finish_reason")
    ]


def carries_nothing(event: dict[str, Any]) -> bool:
    """Whether an event whose texts were held back has nothing else to say."""
    if event.get("usage") is not None or not event.get("choices"):
        return False
    for choice in event["choices"]:
        if not isinstance(choice, dict) or choice.get("finish_reason") or choice.get("text"):
            return False
        delta = choice.get("delta") or {}
        if not isinstance(delta, dict) or any(v not in ("", None) for v in delta.values()):
            return False
    return True


def event_with(template: dict[str, Any], channel: Channel, text: str) -> bytes:
    """An event that says ``text`` on ``channel``; id, model and the like are the template's."""
    choice: dict[str, Any] = {"index": channel.choice, "finish_reason": None}
    if template.get("object") == "text_completion":
        choice["text"] = text
    else:
        choice["delta"] = _delta(channel, text)
    return event({**_head(template), "choices": [choice]})


def _delta(channel: Channel, text: str) -> dict[str, Any]:
    if channel.field == "function_call":
        return {"function_call": {"arguments": text}}
    if channel.kind == "arguments":
        return {"tool_calls": [{"index": channel.call, "function": {"arguments": text}}]}
    if channel.kind == "other":
        return {"tool_calls": [{"index": channel.call, "custom": {"input": text}}]}
    return {channel.field or "content": text}


def instead(answer: dict[str, Any], message: str) -> bytes:
    """A whole answer that says ``message`` in the place of all that its choices said."""
    choices: list[dict[str, Any]] = []
    for place, choice in enumerate(_dicts(answer.get("choices")) or [{}]):
        said: dict[str, Any] = {
            "index": _index(choice, place),
            "finish_reason": "content_filter",
        }
        if "text" in choice:
            said["text"] = message
        else:
            said["message"] = {"role": "assistant", "content": message}
        choices.append(said)
    usage = {"usage": answer["usage"]} if isinstance(answer.get("usage"), dict) else {}
    return encode({**_head(answer), "choices": choices, **usage})


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
    return {key: template[key] for key in _HEAD if key in template}


def _dicts(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _index(item: dict[str, Any], place: int) -> int:
    index = item.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) else place
