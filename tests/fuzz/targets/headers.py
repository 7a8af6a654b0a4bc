"""Requests on the wire: heads alone, and whole connections through the door.

The first byte says what is read, the second how it is cut. Whatever llhttp accepts as well must
mean the same to both, or a request could be smuggled past one of them.
"""

from __future__ import annotations

import re

import httptools

from tests.fuzz.targets import check, split
from tests.fuzz.wires import Plane, Transport, plane
from wayside.gateway.head import CHUNKED, BadHead, read_request, read_response
from wayside.gateway.replies import Refused
from wayside.vocab.headers import is_internal
from wayside.vocab.outcome import Request

WORDS = (
    b"\r\n",
    b"\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n",
    b"GET / HTTP/1.0\r\n",
    b"GET http://evil/v1/x HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"GET /v1/slow HTTP/1.1\r\nhost: x\r\n\r\n",
    b"HEAD /v1/models HTTP/1.1\r\n",
    b"content-length: 2\r\n",
    b"transfer-encoding: chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"connection: close\r\n",
    b"connection: keep-alive, x-a\r\n",
    b"expect: 100-continue\r\n",
    b"x-selected-model: z\r\n",
    b"x_vsr_debug: true\r\n",
    b"x-request-id: a\r\n",
    b"upgrade: h2c\r\n",
    b"0\r\n\r\n",
    b"2;x=y\r\n{}\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"\t ",
    b"\x00",
)

_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_ANSWERS = (
    (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"{}"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", b""),
    (b"HTTP/1.1 404 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", b""),
)


def run(data: bytes) -> None:
    if len(data) < 2:
        return
    kind, cut, rest = data[0] & 3, data[1], data[2:]
    if kind == 0:
        _request_head(rest)
    elif kind == 1:
        _response_head(rest)
    else:
        _connection(split(rest, cut), rest, data[0])


class Heard:
    """One request as llhttp read it."""

    def __init__(self) -> None:
        self.url = b""
        self.method = ""
        self.fields: list[tuple[str, str]] = []
        self.body = b""
        self.whole = False
        self.keeps = True

    @property
    def path(self) -> str:
        text = self.url.decode("latin-1")
        absolute = _ABSOLUTE.match(text)
        if absolute is not None:
            text = text[absolute.end() :]
            text = text if text.startswith("/") else "/" + text
        return text.partition("#")[0]

    def joined(self, name: str) -> str:
        return ", ".join(value for other, value in self.fields if other == name)


class Oracle:
    """What llhttp makes of a byte stream: whole requests, and whether it gave up."""

    def __init__(self, stream: bytes) -> None:
        self.requests: list[Heard] = []
        self.failed = False
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(stream)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.failed = True

    def on_message_begin(self) -> None:
        self.requests.append(Heard())

    def on_url(self, url: bytes) -> None:
        self.requests[-1].url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        pair = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
        if not self.requests[-1].method:  # what follows the head are trailers
            self.requests[-1].fields.append(pair)

    def on_headers_complete(self) -> None:
        self.requests[-1].method = self._parser.get_method().decode()
        self.requests[-1].keeps = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.requests[-1].body += body

    def on_message_complete(self) -> None:
        self.requests[-1].whole = True

    @property
    def whole(self) -> list[Heard]:
        return [request for request in self.requests if request.whole]


def _request_head(block: bytes) -> None:
    try:
        head = read_request(block)
    except Refused as refused:
        check(400 <= refused.status < 600 and str(refused), "an odd refusal", refused.status)
        return
    if b"\r\n\r\n" in block:
        return  # never given to it like this
    for field in head.passed:
        check(field.line.endswith(b"\r\n"), "a line without an end", field.line)
        check(b"\n" not in field.line[:-2] and b"\r" not in field.line[:-2], "a split", field.line)
    oracle = Oracle(block + b"\r\n\r\n")
    if oracle.failed or not oracle.requests or not oracle.requests[0].method:
        return
    heard = oracle.requests[0]
    check(heard.method == head.method, "two methods", heard.method, head.method)
    check(heard.path == head.path, "two paths", heard.url, head.path)
    chunked = heard.joined("transfer-encoding").lower() == "chunked"
    check(chunked == (head.length == CHUNKED), "two framings", block)
    if not chunked:
        length = heard.joined("content-length") or "0"
        check(int(length) == head.length, "two lengths", length, head.length)
    if not head.close:
        check(heard.keeps, "llhttp would close", block)
    for name, value in head.headers.items():
        check(heard.joined(name) == value, "two values", name, value, heard.joined(name))


def _response_head(block: bytes) -> None:
    for bodiless in (False, True):
        try:
            head = read_response(block, bodiless=bodiless)
        except BadHead as error:
            check(str(error), "a refusal without a reason")
            continue
        check(100 <= head.status <= 999, "an odd status", head.status)
        for line in (head.status_line, *head.lines):
            check(line.endswith(b"\r\n") and line.count(b"\n") == 1, "a split response", line)
            name = line.partition(b":")[0].decode("latin-1")
            check(not is_internal(name), "an upstream speaks for us", line)


def _connection(pieces: list[bytes], stream: bytes, control: int) -> None:
    head, body = _ANSWERS[control >> 2 & 3]
    taken: dict[int, int] = {}
    sent: list[Heard] = []

    def serve(upstream: Transport) -> None:
        done = taken.get(id(upstream), 0)
        oracle = Oracle(bytes(upstream.sent[done:]))
        check(not oracle.failed, "a server cannot read what we send", bytes(upstream.sent[done:]))
        check(len(oracle.requests) <= 1, "a request became several", bytes(upstream.sent[done:]))
        if oracle.whole:
            taken[id(upstream)] = len(upstream.sent)
            sent.extend(oracle.whole)
            upstream.receive(head if oracle.whole[0].method == "HEAD" else head + body)

    with plane(serve, choking=bool(control & 0x80)) as made:
        for piece in pieces:
            if not made.client.receive(piece):
                break
        made.loop.settle()
        _agree(made, Oracle(stream), sent)
        for _ in range(4):
            made.wait(400.0)
        check(made.client.closing, "a silent client is kept for ever")
    _answers_can_be_read(bytes(made.client.sent), made)


def _agree(made: Plane, oracle: Oracle, sent: list[Heard]) -> None:
    ours = made.runtime.requests
    theirs = [heard for heard in oracle.whole if heard.path != "*"]
    for mine, other in zip(ours, theirs, strict=False):
        check(mine.method == other.method, "two methods", mine, other.method)
        check(mine.path == other.path, "two paths", mine, other.url)
        check(mine.body == other.body, "two bodies", mine, other.body)
        for name, value in mine.headers.items():
            if name != "x-request-id":
                check(other.joined(name) == value, "two values", name, value)
            check(name == "x-vsr-debug" or not is_internal(name), "a forged header", name)
    if len(ours) > len(theirs):
        check(oracle.failed, "we saw a request that llhttp did not", ours[len(theirs)])
    elif len(theirs) > len(ours):
        let_go = made.client.closing or made.client.ended or made.client.paused
        check(let_go, "llhttp saw a request that we did not", theirs[len(ours)].url)
    forwarded = [mine for mine in ours if mine.path.startswith("/v1/")]
    at = 0
    for heard in sent:  # one that was answered with nothing is sent once more
        at += at < len(forwarded) and not _same(forwarded[at], heard)
        check(at < len(forwarded) and _same(forwarded[at], heard), "another was sent", heard.path)
        for name, value in heard.fields:
            own = (name, value) == ("x-selected-model", "m")
            check(own or not is_internal(name.replace("_", "-")), "a forged header", name, value)


def _same(mine: Request, heard: Heard) -> bool:
    return (heard.method, heard.path, heard.body) == (mine.method, mine.path, mine.body)


class _Replies:
    """Reads what the client got; counts whole, final responses."""

    def __init__(self) -> None:
        self.count = 0
        self.parser = httptools.HttpResponseParser(self)

    def on_message_complete(self) -> None:
        self.count += self.parser.get_status_code() >= 200


def _answers_can_be_read(got: bytes, made: Plane) -> None:
    methods = [request.method for request in made.runtime.requests]
    if "HEAD" in methods or not got:
        return  # llhttp would have to be told
    replies = _Replies()
    try:
        replies.parser.feed_data(got)
    except httptools.HttpParserError as error:
        # After "connection: close" it wants no more, and there must not be more.
        check(False, "a client cannot read our answers", got, error)
    check(replies.count <= len(made.exchanges), "more answers than requests", got)
