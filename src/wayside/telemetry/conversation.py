"""Prompts and answers as OpenTelemetry's conventions write them down, for those who ask for them.

A list of messages ``{"role", "parts": [{"type": "text", "content"}]}`` as JSON, bounded. What a
body says in a way that is not known here is left out; nothing here raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

MAX_TEXT: Final = 16 << 10
"""Characters of one message."""
MAX_MESSAGES: Final = 64
"""The last ones are told."""

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def asked(body: bytes) -> str:
    """``gen_ai.input.messages`` of a request of any API; ``""`` where there are none."""
    given = _object(body)
    found = [
        _message(str(one.get("role", "user")), _text(one.get("content")))
        for one in _list(given.get("messages", given.get("input")))[-MAX_MESSAGES:]
        if isinstance(one, dict) and one.get("role") != "system"
    ]
    if not found:
        text = _text(given.get("prompt", given.get("input")))
        found = [_message("user", text)] if text else []
    return _json(found)


def system(body: bytes) -> str:
    """``gen_ai.system_instructions``: what stands before the conversation."""
    given = _object(body)
    texts = [_text(given.get("system")), _text(given.get("instructions"))]
    texts += [
        _text(one.get("content"))
        for one in _list(given.get("messages"))
        if isinstance(one, dict) and one.get("role") == "system"
    ]
    return _json([{"type": "text", "content": text} for text in texts if text])


def said(answer: bytes) -> str:
    """``gen_ai.output.messages`` of an answer, whole or a stream, of any API."""
    texts: dict[int, str] = {}
    finish = ""
    for event in _events(answer):
        for choice, text, reason in _pieces(event):
            finish = reason or finish
            if len(texts.get(choice, "")) < MAX_TEXT and len(texts) < MAX_MESSAGES:
                texts[choice] = texts.get(choice, "") + text
    found = [_message("assistant", text) for text in texts.values() if text]
    for message in found:
        message["finish_reason"] = finish
    return _json(found)


def prompt(body: bytes, most: int) -> str:
    """What was asked last, for the log: at most so many characters."""
    given = _object(body)
    messages = _list(given.get("messages", given.get("input")))
    texts = [
        text
        for one in messages
        if isinstance(one, dict) and one.get("role", "user") == "user"
        if (text := _text(one.get("content")))
    ]
    text = texts[-1] if texts else _text(given.get("prompt", given.get("input")))
    return text if len(text) <= most else text[: most - 1] + "…"


def _events(answer: bytes) -> Iterator[dict[str, Any]]:
    # One that came in a single chunk still has the chunk's size before it.
    whole = _object(answer[answer.find(b"{") : answer.rfind(b"}") + 1])
    if whole:
        yield whole
        return
    for line in answer.splitlines():
        if line.startswith(b"data:"):
            found = _object(line[5:])
            if found:
                yield found


def _pieces(event: dict[str, Any]) -> Iterator[tuple[int, str, str]]:
    """Each text of an event: of which choice it is, and how that ended."""
    for i, choice in enumerate(_list(event.get("choices"))):
        if isinstance(choice, dict):
            inner = choice.get("message") or choice.get("delta") or {}
            text = _text(inner.get("content")) if isinstance(inner, dict) else ""
            index = choice.get("index", i)
            text = text or _text(choice.get("text"))
            yield (
                index if isinstance(index, int) else i,
                text,
                str(choice.get("finish_reason") or ""),
            )
    kind = event.get("type")
    if kind == "message":  # Anthropic's
        yield 0, _text(event.get("content")), str(event.get("stop_reason") or "")
    elif kind == "content_block_delta" and isinstance(event.get("delta"), dict):
        yield 0, _text(event["delta"].get("text")), ""
    elif kind == "response.output_text.delta":
        yield 0, _text(event.get("delta")), ""
    elif event.get("object") == "response":
        for item in _list(event.get("output")):
            if isinstance(item, dict):
                yield 0, _text(item.get("content")), ""


def _text(content: Any) -> str:
    """The words of a message's content: a text, or the texts among its parts."""
    if isinstance(content, str):
        return content[:MAX_TEXT]
    texts = [
        part if isinstance(part, str) else part.get("text")
        for part in _list(content)
        if isinstance(part, str | dict)
    ]
    return "\n".join([text for text in texts if isinstance(text, str)])[:MAX_TEXT]


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role[:32], "parts": [{"type": "text", "content": text}]}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except _UNREADABLE:
        return {}
    return found if isinstance(found, dict) else {}


def _json(found: list[Any]) -> str:
    return msgspec.json.encode(found).decode() if found else ""
