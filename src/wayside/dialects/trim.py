"""The usage of a stream: asking for it where the client did not, and taking it out again.

A stream of OpenAI's API counts its tokens only where it is asked to
(``stream_options.include_usage``), in one more event without choices; vLLM also in each event
(``continuous_usage_stats``). Nothing here decodes events: quotes inside a JSON string are escaped,
so the bytes ``"usage":`` are a key wherever they stand.
"""

from __future__ import annotations

import re
from typing import Final

from wayside.dialects import Edit
from wayside.vocab.outcome import Trim, Usage

HELD_MAX: Final = 1 << 20
"""Bytes of an event held for its end; a longer one goes on as it is."""

_MARKS: Final = (b"\n\n", b"\r\n\r\n")
_END: Final = b'{"include_usage":true}'
_EACH: Final = b'{"include_usage":true,"continuous_usage_stats":true}'
_SAID = re.compile(rb'"usage":\s*\{')
_NO_CHOICES = re.compile(rb'"choices":\s*\[\s*\]')
_OBJECT = re.compile(
    rb'\{(?:[^{}"]++|"(?:[^"\\]++|\\.)*+"|\{(?:[^{}"]++|"(?:[^"\\]++|\\.)*+")*+\})*+\}', re.DOTALL
)
"""With objects inside, but none inside those."""
_COMMA = re.compile(rb"\s*,\s*")


def asked(raw: bytes, usage: Usage) -> tuple[bytes, Trim]:
    """A streaming request's bytes, with its usage asked for; and what the client did not."""
    if usage == "asked":
        return raw, ""
    if b'"stream_options"' not in raw:
        body = raw.rstrip(b" \t\r\n")
        if body.endswith(b"}"):  # an object, which has a model at least
            each = usage == "each"
            most = memoryview(body)[:-1]  # bodies are long: one copy will do
            said = b"".join((most, b',"stream_options":', _EACH if each else _END, b"}"))
            return said, "all" if each else "end"
    edit = Edit(raw)
    trim = ask(edit, usage)
    return (edit.encode(), trim) if trim else (raw, "")


def ask(edit: Edit, usage: Usage) -> Trim:
    """The same, of a request that is being edited."""
    if usage == "asked":
        return ""
    options = edit.get("stream_options")
    if options is not None and not isinstance(options, dict):
        return ""  # its server will say what is wrong with it
    wants = options or {}
    end = wants.get("include_usage") is not True
    each = usage == "each" and wants.get("continuous_usage_stats") is not True
    if end:
        edit.set_inside("stream_options", "include_usage", True)
    if each:
        edit.set_inside("stream_options", "continuous_usage_stats", True)
    if end and each:
        return "all"
    return "end" if end else "each" if each else ""


class Trimmer:
    """Takes the usage that only we asked for out of one stream of events, without its framing.

    What is passed on ends where an event ends.
    """

    __slots__ = ("_each", "_end", "_held")

    def __init__(self, trim: Trim) -> None:
        self._end, self._each = trim in ("end", "all"), trim in ("each", "all")
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What of the stream may go on now that ``data`` has come."""
        if self._held:
            data = self._held + data
            self._held = b""
        if not data.endswith(b"\n\n"):
            end = _event_start(data, 0, len(data))
            if len(data) - end > HELD_MAX:
                end = len(data)
            self._held = data[end:]
            data = data[:end]
        if said_at(data) >= 0:
            return self._without(data)
        return data

    @property
    def holds(self) -> bool:
        """Whether the beginning of an event is held."""
        return bool(self._held)

    def rest(self) -> bytes:
        """What is held of an event when the stream has ended without ending it."""
        data, self._held = self._held, b""
        return data

    def _without(self, data: bytes) -> bytes:
        if _NO_CHOICES.search(data) is None:
            return _stripped(data) if self._each else data
        at = 0
        out: list[bytes] = []
        while (said := _SAID.search(data, at)) is not None:
            key = said.start()
            begins, ends = _event_start(data, at, key), _event_end(data, key)
            out.append(data[at:begins])
            event = data[begins:ends]
            alone = _NO_CHOICES.search(event) is not None
            if alone and self._end:
                event = b""
            elif self._each and not alone:
                event = _stripped(event)
            out.append(event)
            at = ends
        out.append(data[at:])
        return b"".join(out)


def said_at(data: bytes) -> int:
    """Where usage is said last, or -1. OpenAI's own servers say ``"usage": null`` in every other
    event, which is none."""
    at = data.rfind(b'"usage":')
    while at >= 0 and _SAID.match(data, at) is None:
        at = data.rfind(b'"usage":', 0, at)
    return at


def _stripped(data: bytes) -> bytes:
    """Events without their ``usage``, and without the comma that stood beside it."""
    at = 0
    out: list[bytes] = []
    while (said := _SAID.search(data, at)) is not None:
        value = _OBJECT.match(data, said.end() - 1)
        begins = said.start()
        if value is None:
            out.append(data[at : said.end()])
            at = said.end()
            continue
        before = data[at:begins].rstrip()
        ends = value.end()
        if before.endswith(b","):
            before = before[:-1]
        elif (comma := _COMMA.match(data, ends)) is not None:
            ends = comma.end()
        out.append(before)
        at = ends
    out.append(data[at:])
    return b"".join(out)


def _event_start(data: bytes, low: int, at: int) -> int:
    """Where the event at ``at`` begins, not before ``low``."""
    found = [(data.rfind(mark, low, at), len(mark)) for mark in _MARKS]
    return max([start + size for start, size in found if start >= 0], default=low)


def _event_end(data: bytes, at: int) -> int:
    found = [(data.find(mark, at), len(mark)) for mark in _MARKS]
    return min([start + size for start, size in found if start >= 0], default=len(data))
