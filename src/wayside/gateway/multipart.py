"""A form with files in it (``multipart/form-data``), taken apart strictly.

Source: RFC 7578, and RFC 2046 section 5.1 for its boundaries.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from wayside.vocab.errors import RequestError

MAX_PARTS = 32
MAX_HEAD = 4096
"""Bytes of one part's headers."""
_BOUNDARY = re.compile(r'boundary="?([0-9A-Za-z\'()+_,./:=? -]{1,70})"?\s*(?:;|$)', re.IGNORECASE)
_PARAMETER = re.compile(r'; *(name|filename)="((?:[^"\\]|\\.)*)"')


class Part(NamedTuple):
    """One field of a form; ``filename`` is empty where it is none."""

    name: str
    filename: str
    content: bytes

    @property
    def text(self) -> str:
        """A field that is no file."""
        return self.content.decode("utf-8", "replace").strip()


def parts(content_type: str, body: bytes) -> dict[str, Part]:
    """The fields by name, the first of each. Raises :class:`RequestError` for what is no form."""
    kind = content_type.partition(";")[0].strip().lower()
    found = _BOUNDARY.search(content_type)
    if kind != "multipart/form-data" or found is None:
        raise _bad("send the file as multipart/form-data", "unsupported_media_type")
    mark = b"--" + found[1].rstrip().encode()
    if body.startswith(mark):
        at = len(mark)
    else:
        start = body.find(b"\r\n" + mark)
        if start < 0:
            raise _bad("the form does not have the boundary that its header names")
        at = start + 2 + len(mark)
    fields: dict[str, Part] = {}
    for _ in range(MAX_PARTS):
        if body.startswith(b"--", at):
            return fields
        line = body.find(b"\r\n", at, at + 128)  # spaces may stand behind a boundary
        if line < 0 or body[at:line].strip(b" \t"):
            raise _bad("a boundary of the form does not end its line")
        end = body.find(b"\r\n" + mark, line)
        if end < 0:
            raise _bad("the form has no end")
        part = _part(body, line, end)
        fields.setdefault(part.name, part)
        at = end + 2 + len(mark)
    raise _bad(f"the form has more than {MAX_PARTS} fields")


def _part(body: bytes, start: int, end: int) -> Part:
    """What stands between two boundaries, ``start`` being where the first one's line ends."""
    blank = body.find(b"\r\n\r\n", start, min(end + 2, start + MAX_HEAD))
    if blank < 0:
        raise _bad("a field of the form has no headers, or too many")
    said: dict[str, str] = {}
    for line in body[start + 2 : blank].split(b"\r\n"):
        name, _, value = line.decode("utf-8", "replace").partition(":")
        if name.strip().lower() == "content-disposition":
            said = {key: re.sub(r"\\(.)", r"\1", text) for key, text in _PARAMETER.findall(value)}
    if "name" not in said:
        raise _bad("a field of the form has no name")
    return Part(said["name"], said.get("filename", ""), body[blank + 4 : end])


def _bad(what: str, code: str = "invalid_form") -> RequestError:
    return RequestError(f"The request's body cannot be read: {what}.", code=code)
