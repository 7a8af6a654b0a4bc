"""Answers the gateway gives itself, as bytes of HTTP."""

from __future__ import annotations

import http
import re
from functools import lru_cache

from wayside.vocab.outcome import HeaderPairs

SCHEMA_VERSION = "2"
ERROR_REPORT: HeaderPairs = (
    ("x-vsr-schema-version", SCHEMA_VERSION),
    ("x-vsr-response-path", "error"),
)

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Refused(Exception):
    """A request the gateway answers itself. ``code`` is told as the error's."""

    def __init__(self, status: int, message: str, code: str, *, allow: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.allow = status, code, allow


@lru_cache(1024)
def encode_pairs(pairs: HeaderPairs) -> bytes:
    """Header lines, each ending in CRLF. What cannot be sent in a value becomes a space, so that
    no name taken from the settings or a request can add a header of its own."""
    lines = []
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        clean = _UNSENDABLE.sub(" ", value)
        try:
            encoded = clean.encode("latin-1")  # how client headers were read
        except UnicodeEncodeError:
            encoded = clean.encode("utf-8", "replace")
        lines.append(b"%b: %b\r\n" % (name.encode(), encoded))
    return b"".join(lines)


@lru_cache(64)
def status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())


@lru_cache(64)
def content_type_line(value: str) -> bytes:
    """The header line that says what a body is."""
    return encode_pairs((("content-type", value),))
