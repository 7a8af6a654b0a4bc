"""The head of a request or a response: what it says, and how its body is framed.

Stricter than most: whatever two HTTP implementations could read differently is refused
(RFC 9112 sections 6.3 and 11.2). Tests compare it with llhttp.
"""

from __future__ import annotations

import re
from functools import lru_cache

from wayside.gateway.fields import DROP, FRAMING, PASS, BadField, Field, Fields
from wayside.gateway.replies import Refused

_REQUEST_LINE = re.compile(rb"([A-Z]{1,20}) ([\x21-\x7e]+) HTTP/(\d)\.(\d)")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")
_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")

FIELDS_MAX = 256
"""Header lines of one request; more is 431."""

CHUNKED = -1
UNTIL_CLOSE = -2
"""Stand for a body's length where there is none."""

ALLOWED = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_METHODS = frozenset(ALLOWED.split(", "))

_request_fields = Fields()
_response_fields = Fields(from_upstream=True)


class RequestHead:
    """A request without its body. ``length`` is bytes, or ``CHUNKED``; ``passed`` goes on."""

    __slots__ = ("close", "expects", "headers", "length", "method", "old", "passed", "path")

    method: str
    path: str
    headers: dict[str, str]
    passed: list[Field]
    length: int
    old: bool
    close: bool
    expects: bool

    @property
    def request_id(self) -> str | None:
        """The client's own, if it is sane: at most 128 visible ASCII characters."""
        given = self.headers.get("x-request-id")
        return given if given is not None and _REQUEST_ID.fullmatch(given) else None


class ResponseHead:
    """A response without its body. ``lines`` are the fields to pass on, ready to send."""

    __slots__ = ("close", "content_type", "length", "lines", "status", "status_line", "stream")

    status: int
    status_line: bytes
    lines: list[bytes]
    length: int
    close: bool
    stream: bool
    content_type: str


def header(lines: list[bytes], name: bytes) -> bytes:
    """The value of the first of ``lines`` that is called ``name`` (lower case), or ``b""``."""
    for line in lines:
        said, _, value = line.partition(b":")
        if said.lower() == name:
            return value.strip()
    return b""


def compressed(lines: list[bytes]) -> bool:
    """Whether any of ``lines`` says that the body is encoded."""
    said = [line.lower().partition(b":") for line in lines]
    return any(
        [name == b"content-encoding" and value.strip() not in _PLAIN for name, _, value in said]
    )


_PLAIN = (b"", b"identity")


def read_request(block: bytes) -> RequestHead:
    """Read a head without its final blank line. Raises :class:`Refused`."""
    lines = block.split(b"\r\n")
    if len(lines) > FIELDS_MAX:
        raise Refused(431, f"more than {FIELDS_MAX} header fields", "headers_too_large")
    head = RequestHead()
    head.method, head.path, head.old = _request_line(lines[0])
    head.headers = headers = {}
    head.passed = passed = []
    framing: list[Field] = []
    known = _request_fields
    try:
        for i in range(1, len(lines)):
            field = known[lines[i]]
            name, value, _, kind = field
            if kind == PASS:
                passed.append(field)
            elif kind == FRAMING:
                framing.append(field)
                if name == "host":
                    headers[name] = value
                continue
            elif kind == DROP:
                continue
            if name in headers:
                headers[name] = f"{headers[name]}, {value}"
            else:
                headers[name] = value
    except BadField:
        raise Refused(400, "a header line is malformed", "malformed_request") from None
    _frame_request(head, framing)
    return head


@lru_cache(1024)
def _request_line(line: bytes) -> tuple[str, str, bool]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Refused(400, "the request line is malformed", "malformed_request")
    if match[3] != b"1" or match[4] not in (b"0", b"1"):
        raise Refused(505, "only HTTP/1.1 and HTTP/1.0 are spoken here", "http_version")
    method, target = match[1].decode(), match[2].decode()
    if method not in _METHODS:
        raise Refused(405, f"method {method} is not allowed", "method_not_allowed", allow=ALLOWED)
    if not target.startswith("/"):
        absolute = _ABSOLUTE.match(target)
        if absolute is not None:  # the authority never chooses an upstream: no forward proxying
            target = target[absolute.end() :]
            target = target if target.startswith("/") else "/" + target
        elif target != "*" or method != "OPTIONS":
            raise Refused(400, "the request target is not a path", "malformed_request")
    return method, target.partition("#")[0], match[4] == b"0"


def _frame_request(head: RequestHead, framing: list[Field]) -> None:
    length = 0
    chunked = close = expects = False
    hosts = 0
    has_length = False
    for name, value, _, _ in framing:
        if name == "host":
            hosts += 1
        elif name == "content-length":
            if has_length or not (value.isascii() and value.isdigit()) or len(value) > 18:
                raise Refused(400, "content-length is not one number", "malformed_request")
            has_length = True
            length = int(value)
        elif name == "transfer-encoding":
            if chunked or value.lower() != "chunked":
                raise Refused(400, "transfer-encoding is not chunked", "malformed_request")
            chunked = True
        elif name == "expect":
            if value.lower() != "100-continue":
                raise Refused(417, "only 100-continue can be expected", "expectation_failed")
            expects = True
        else:
            close = _connection(head, value) or close
    if hosts != 1 and (hosts or not head.old):
        raise Refused(400, "a request has exactly one host header", "malformed_request")
    if chunked and (has_length or head.old):
        raise Refused(400, "transfer-encoding contradicts the rest", "malformed_request")
    head.length = CHUNKED if chunked else length
    head.close = close or head.old
    head.expects = expects and not head.old


def _connection(head: RequestHead, value: str) -> bool:
    """Drop the fields that ``Connection`` names (RFC 9110 section 7.6.1). True for close."""
    named = {token.strip().lower() for token in value.split(",")}
    close = "close" in named
    named -= {"close", "keep-alive", ""}
    if named:
        head.passed = [f for f in head.passed if f.name not in named]
        for name in named:
            head.headers.pop(name, None)
    return close


class BadHead(ValueError):
    """An upstream's head that cannot be trusted; the message says why."""


def read_response(block: bytes, *, bodiless: bool) -> ResponseHead:
    """Read a head without its final blank line. ``bodiless``: it answers a HEAD request.

    Raises :class:`BadHead`.
    """
    lines = block.split(b"\r\n")
    head = ResponseHead()
    old, head.status, head.status_line = _status_line(lines[0])
    head.close = old
    head.stream = False
    head.content_type = ""
    head.lines = passed = []
    length = UNTIL_CLOSE
    known = _response_fields
    named: set[str] = set()
    try:
        for i in range(1, len(lines)):
            name, value, line, kind = known[lines[i]]
            if kind == PASS:
                passed.append(line)
                if name == "content-type":
                    head.content_type = value
                    head.stream = value.startswith("text/event-stream")
            elif kind == DROP:
                continue
            elif name == "content-length":
                if not (value.isascii() and value.isdigit()) or len(value) > 18:
                    raise BadHead("content-length is not a number")
                if length not in (UNTIL_CLOSE, int(value)):
                    raise BadHead("the body's length is given twice")
                length = int(value)
            elif name == "transfer-encoding":
                if length != UNTIL_CLOSE or old or value.lower() != "chunked":
                    raise BadHead("transfer-encoding cannot be followed")
                length = CHUNKED
            elif name == "connection":
                named |= {token.strip().lower() for token in value.split(",")}
    except BadField:
        raise BadHead("a header line is malformed") from None
    if named:
        head.close = head.close or "close" in named
        named -= {"close", "keep-alive", ""}
        if named:
            head.lines = [x for x in passed if x.partition(b":")[0].decode() not in named]
    _frame_response(head, length, bodiless)
    return head


@lru_cache(256)
def _status_line(line: bytes) -> tuple[bool, int, bytes]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise BadHead("the status line is malformed")
    status = int(match[2])
    return match[1] == b"0", status, b"HTTP/1.1 %d %b\r\n" % (status, match[3] or b"")


def _frame_response(head: ResponseHead, length: int, bodiless: bool) -> None:
    """Say how long the body is, and tell the client the same (RFC 9112 section 6.3)."""
    if bodiless or head.status in (204, 304):
        if length >= 0 and head.status != 204:
            head.lines.append(b"content-length: %d\r\n" % length)
        head.length = 0
        return
    head.length = length
    if length >= 0:
        head.lines.append(b"content-length: %d\r\n" % length)
