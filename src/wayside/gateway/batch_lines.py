"""The lines of a batch's files: requests in, answers out, one JSON object each.

Source: OpenAI's Batch API guide ("Preparing your batch file", "Retrieving the results") and API
reference (the request input and output objects).
"""

from __future__ import annotations

import secrets
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from wayside.flow.protocols import BODIES

ENDPOINTS = tuple(path for path in BODIES if path != "/v1/messages")
"""Paths that a batch may ask."""
MAX_ERRORS = 100
"""Errors of one file that are told."""
MAX_CUSTOM_ID = 512


class Line(NamedTuple):
    """Where a request stands in its file: its number (from 1), its first byte, its length."""

    number: int
    start: int
    length: int
    custom_id: str


class Checked(NamedTuple):
    """A file that was read: its requests, or what is wrong with it."""

    lines: list[Line]
    errors: list[dict[str, Any]]


class _Input(msgspec.Struct):
    custom_id: str
    url: str
    body: msgspec.Raw
    method: str = "POST"


class _Stream(msgspec.Struct):
    stream: Any = False


_NO_JSON = b'{"error":{"message":"the answer is not JSON","type":"server_error"}}'
_input = msgspec.json.Decoder(_Input)
_stream = msgspec.json.Decoder(_Stream)


def check(path: Path, endpoint: str, most: int) -> Checked:
    """Read a whole file, line by line. Raises ``OSError``."""
    lines: list[Line] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, start, raw in _numbered(path):
        wrong = _wrong(raw, endpoint, seen)
        if isinstance(wrong, str):
            lines.append(Line(number, start, len(raw), wrong))
            if len(lines) > most:
                said = f"The file has more than {most} requests."
                return Checked([], [_error("too_many_requests", said, None)])
        elif len(errors) < MAX_ERRORS:
            errors.append({**wrong, "line": number})
    if not lines and not errors:
        errors.append(_error("empty_file", "The file has no requests.", None))
    return Checked([] if errors else lines, errors)


def _numbered(path: Path) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if number == 1 and raw.startswith(BOM_UTF8):
                raw, at = raw.removeprefix(BOM_UTF8), len(BOM_UTF8)
            if raw.strip():
                yield number, at, raw
            at += len(raw)


def _wrong(raw: bytes, endpoint: str, seen: set[str]) -> str | dict[str, Any]:
    """The request's ``custom_id``, or what is wrong with it. ``seen`` are those before it."""
    try:
        asked = _input.decode(raw)
        streams = _stream.decode(asked.body).stream
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _error("invalid_json_line", f"This line cannot be read: {str(error)[:200]}", None)
    if asked.method != "POST":
        return _error("invalid_method", "The method must be POST.", "method")
    if asked.url != endpoint:
        said = f"The url must be that of the batch, {endpoint}."
        return _error("mismatched_url", said, "url")
    if not asked.custom_id or len(asked.custom_id) > MAX_CUSTOM_ID:
        said = f"A custom_id has 1 to {MAX_CUSTOM_ID} characters."
        return _error("invalid_custom_id", said, "custom_id")
    if asked.custom_id in seen:
        said = "The custom_id is that of an earlier line; each needs its own."
        return _error("duplicate_custom_id", said, "custom_id")
    if streams:
        return _error("invalid_body", "Answers of a batch are not streamed.", "body.stream")
    seen.add(asked.custom_id)
    return asked.custom_id


def _error(code: str, message: str, param: str | None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": param, "line": None}


def body_of(path: Path, line: Line) -> bytes:
    """The body of one request. Raises ``OSError``; ``ValueError`` where the file has changed."""
    with path.open("rb") as file:
        file.seek(line.start)
        return bytes(_input.decode(file.read(line.length)).body)


def answered(line: Line, status: int, request_id: str, body: bytes) -> bytes:
    """The line of an answer, whatever its status."""
    try:
        msgspec.json.decode(body)
        told = msgspec.json.format(body, indent=-1)  # on one line
    except (msgspec.MsgspecError, RecursionError):
        told = _NO_JSON
    response = {"status_code": status, "request_id": request_id, "body": msgspec.Raw(told)}
    return _line(line.custom_id, response, None)


def unanswered(line: Line, code: str, message: str) -> bytes:
    """The line of a request that got no answer."""
    return _line(line.custom_id, None, {"code": code, "message": message})


def _line(custom_id: str, response: Any, error: Any) -> bytes:
    id = f"batch_req_{secrets.token_hex(12)}"
    told = {"id": id, "custom_id": custom_id, "response": response, "error": error}
    return msgspec.json.encode(told) + b"\n"
