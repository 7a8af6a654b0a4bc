"""What a request asks, as digests that are equal only where every server must answer alike.

All of a body counts, fields that nobody here knows included, but for those listed in
:data:`UNASKED`. The order of keys and the space between them do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from wayside.dialects import UNREADABLE

UNASKED = frozenset(
    {"model", "stream", "stream_options", "prompt_cache_key", "prompt_cache_retention"}
)
"""Top-level fields that do not change what is answered. Which model answers is told apart by
whoever asks for the digest: by what was chosen, not by what was asked for alone."""
WHO = ("user", "safety_identifier")
"""Fields by which a client tells its own users apart; they change nothing in an answer either."""
_BLANK = "\x00"
_sorted = msgspec.json.Encoder(order="sorted").encode


class Fingerprint(NamedTuple):
    """``exact`` is of the whole request. ``around`` is of the same without its last text, which is
    ``last``: what the user said in the last turn of a chat, where that is text and nothing else;
    otherwise both are ``None``. ``who`` holds the values of :data:`WHO`."""

    exact: str
    around: str | None
    last: str | None
    who: str


def fingerprint(fields: Mapping[str, msgspec.Raw]) -> Fingerprint | None:
    """The digests of a body's fields; ``None`` where one of them cannot be read, or can be read in
    two ways: an object in it has a key twice."""
    try:
        asked = {
            name: msgspec.json.decode(raw) for name, raw in fields.items() if name not in UNASKED
        }
        if sum(_quotes(bytes(fields[name])) for name in asked) != _quotes(
            _sorted(list(asked.values()))
        ):
            return None
        who = digest([asked.pop(name, None) for name in WHO])
        exact = digest([asked])
        last = _last_text(asked.get("messages"))
        if last is None:
            return Fingerprint(exact, None, None, who)
        *before, turn = asked["messages"]
        asked["messages"] = [*before, {**turn, "content": _BLANK}]
        return Fingerprint(exact, digest([asked]), last, who)
    except UNREADABLE:
        return None


def told_twice(raw: bytes, fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether a body, whose fields these are, has a field twice: servers differ in which they
    take."""
    return _quotes(raw) != _quotes(_sorted(fields))


def digest(parts: Iterable[Any]) -> str:
    """One digest (SHA-256, 64 hexadecimal digits) of values that JSON can hold."""
    return hashlib.sha256(_sorted(list(parts))).hexdigest()


def _quotes(said: bytes) -> int:
    """Quotes that are not escaped, but for those after a backslash that is: of every text two, or
    one where it ends so. Where a key stands twice there are more than of what was read; so there
    are where a text's last backslash was written as ``\\u005c``, which nobody does."""
    return said.count(b'"') - said.count(b'\\"')


def _last_text(messages: Any) -> str | None:
    """What the user says in the last message, if it is text alone."""
    turn = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(turn, dict) or turn.get("role") != "user":
        return None
    content = turn.get("content")
    if isinstance(content, list):
        if len(content) != 1 or not isinstance(content[0], dict):
            return None
        part = content[0]
        content = part.get("text") if part.keys() == {"type", "text"} else None
    return content if isinstance(content, str) else None
