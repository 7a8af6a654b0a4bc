"""Header lines into fields, strictly, and each distinct line only once.

Clients and servers send the same lines over and over, so a line that was read before costs one
dictionary look-up. The cache is bounded: it is emptied when full.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from wayside.vocab.headers import CONTROLS, ENVOYS, HOP_BY_HOP, is_internal

PASS = 0
"""For the core to read, and passed on."""
READ = 1
"""For the core to read, and replaced or dropped on the way out."""
DROP = 2
"""Neither read nor passed on."""
FRAMING = 3
"""Says how the message is framed or where its connection goes; the gateway's own business."""

_FRAMING = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding"})
_REPLACED = frozenset({"accept-encoding", "x-request-id"}) | CONTROLS
# RFC 9110 section 5.5: visible characters, obs-text, spaces and tabs. No CR, LF or NUL, and a
# line that begins with a space (obs-fold) has no name, so both are refused.
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_CACHE_LINES = 4096
_CACHE_LINE_BYTES = 512


class Field(NamedTuple):
    """``name`` is lower-case, ``line`` what is sent on (ending in CRLF)."""

    name: str
    value: str
    line: bytes
    kind: int


class BadField(ValueError):
    """A line that RFC 9112 does not allow."""


class Fields(dict[bytes, Field]):
    """Fields by the line they came from; a line never seen is read when it is looked up."""

    def __init__(self, *, from_upstream: bool = False) -> None:
        super().__init__()
        self._from_upstream = from_upstream

    def __missing__(self, line: bytes) -> Field:
        field = _read(line, self._from_upstream)
        if len(line) <= _CACHE_LINE_BYTES:
            if len(self) >= _CACHE_LINES:
                self.clear()
            self[line] = field
        return field


def _read(line: bytes, from_upstream: bool) -> Field:
    match = _LINE.fullmatch(line)
    if match is None:
        raise BadField
    name = match[1].lower()
    value = match[2].rstrip(b" \t")
    text = name.decode("ascii")
    return Field(
        text,
        value.decode("latin-1"),
        b"%b: %b\r\n" % (name, value),
        _kind(text, from_upstream),
    )


def _kind(name: str, from_upstream: bool) -> int:
    if name in _FRAMING:
        return FRAMING
    # Servers that read headers through CGI names take "_" for "-", so both spellings are ours.
    plain = name.replace("_", "-")
    if name in HOP_BY_HOP or (is_internal(plain) and name not in CONTROLS):
        return DROP
    if not from_upstream and plain.startswith(ENVOYS):
        return DROP
    if from_upstream:
        return DROP if name == "x-request-id" or name in CONTROLS else PASS
    return READ if name in _REPLACED else PASS
