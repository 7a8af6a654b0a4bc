"""Heads, compared with llhttp: what we accept it accepts, and reads the same."""

from __future__ import annotations

import itertools

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wayside.gateway.chunks import BadChunk, Chunks
from wayside.gateway.fields import PASS, BadField, Fields
from wayside.gateway.head import CHUNKED, BadHead, RequestHead, read_request, read_response
from wayside.gateway.replies import Refused


class Oracle:
    """What llhttp makes of the same bytes."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.whole = False
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode().lower(), value.decode("latin-1").strip(" \t")))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole = True


NAMES = [
    "host",
    "Host",
    "content-length",
    "Content-Length ",
    "transfer-encoding",
    "te",
    "a",
    "X-B",
    "connection",
    "expect",
    "\x0bx",
    "a b",
    "ü",
    "",
    " folded",
    "x-request-id",
]
VALUES = [
    "x",
    "0",
    "3",
    "+3",
    "3,3",
    " 3 ",
    "chunked",
    "Chunked",
    "gzip, chunked",
    "identity",
    "close",
    "a\tb",
    "a\rb",
    "a\nb",
    "a\0b",
    "\x7f",
    "ÿ",
    "100-continue",
    "",
    "chunked\x0b",
]
LINES = [
    "POST / HTTP/1.1",
    "GET /a?b=c HTTP/1.1",
    "POST / HTTP/1.0",
    "POST /  HTTP/1.1",
    "POST http://a/b HTTP/1.1",
    "POST / HTTP/1.2",
    "POST / http/1.1",
    "PO ST / HTTP/1.1",
]

fields = st.tuples(
    st.sampled_from(NAMES) | st.text("aB-_:\x00\r\n ", max_size=3),
    st.sampled_from([":", ": ", " :", ":\t", ""]),
    st.sampled_from(VALUES) | st.text("a,;= \t\r\n\x00", max_size=4),
).map("".join)
heads = st.builds(
    lambda line, rest: "\r\n".join([line, *rest]).encode("latin-1"),
    st.sampled_from(LINES),
    st.lists(fields, max_size=5),
)
BODY = b"abc"
CHUNKED_BODY = b"3\r\nabc\r\n0\r\n\r\n"


@settings(max_examples=600, deadline=None)
@given(head=heads)
@example(head=b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3")
@example(head=b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nte: x")
def test_what_we_accept_llhttp_accepts_and_reads_the_same(head: bytes) -> None:
    if b"\r\n\r\n" in head:
        return
    try:
        ours = read_request(head)
    except Refused:
        return
    oracle = Oracle()
    body = CHUNKED_BODY if ours.length == CHUNKED else BODY[: ours.length]
    oracle.parser.feed_data(head + b"\r\n\r\n" + body)  # raises if it disagrees
    assert oracle.whole or ours.length > len(BODY)
    assert oracle.body == (BODY if ours.length == CHUNKED else body)
    assert oracle.url.decode().endswith(ours.path)
    assert oracle.parser.get_method().decode() == ours.method
    for name, value in ours.headers.items():
        assert value == ", ".join(v for n, v in oracle.headers if n == name)


def head(*lines: bytes) -> RequestHead:
    return read_request(b"\r\n".join([b"GET / HTTP/1.1", b"host: x", *lines]))


def test_a_line_is_read_once_and_the_cache_is_bounded() -> None:
    fields = Fields()
    assert fields[b"A: b"] is fields[b"A: b"]
    assert fields[b"A: b"] == ("a", "b", b"a: b\r\n", PASS)
    for i in range(10_000):
        _ = fields[b"x-%d: y" % i]
    assert len(fields) <= 4096
    _ = fields[b"long: " + b"x" * 1000]
    assert all(len(line) < 600 for line in fields)
    with pytest.raises(BadField):
        _ = fields[b"no colon"]
    assert b"no colon" not in fields


@pytest.mark.parametrize("name", [b"x-vsr-selected-model", b"X-Wayside-A", b"x_selected_model"])
def test_names_that_are_ours_are_neither_read_nor_passed(name: bytes) -> None:
    got = head(name + b": forged")
    assert got.headers == {"host": "x"}
    assert got.passed == []


def test_what_connection_names_ends_here() -> None:
    got = head(b"connection: close, X-Hop", b"x-hop: 1", b"x-kept: 2")
    assert got.close
    assert [f.name for f in got.passed] == ["x-kept"]
    assert "x-hop" not in got.headers


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"HTTP/1.1",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 099 x",
        b"HTTP/2 200 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 OK\r\na",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked",
    ],
)
def test_a_response_head_that_is_not_one_is_refused(block: bytes) -> None:
    with pytest.raises(BadHead):
        read_response(block, bodiless=False)


def test_the_same_length_twice_is_one_length_in_a_response() -> None:
    block = b"HTTP/1.1 200\r\ncontent-length: 3\r\ncontent-length: 3"
    assert read_response(block, bodiless=False).length == 3


# Chunks

chunked = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


@settings(max_examples=200, deadline=None)
@given(parts=chunked, cuts=st.lists(st.integers(0, 300), max_size=8), trailer=st.booleans())
def test_chunks_split_anywhere_are_the_same_chunks(
    parts: list[bytes], cuts: list[int], trailer: bool
) -> None:
    framed = b"".join(b"%X;a=b\r\n%b\r\n" % (len(p), p) for p in parts)
    whole = framed + b"0\r\n" + (b"t: 1\r\n" if trailer else b"") + b"\r\n"
    sent = whole + b"next"
    edges = sorted({0, len(sent), *(c for c in cuts if c < len(sent))})
    chunks, only_followed = Chunks(collect=True), Chunks()
    passed = b""
    at = 0
    for start, stop in itertools.pairwise(edges):
        good, end = chunks.feed(sent[start:stop])
        assert only_followed.feed(sent[start:stop]) == (good, end)
        passed += sent[start : start + good]
        if end >= 0:
            at = start + end
            break
    assert at == len(whole)
    assert passed == framed + b"0\r\n"
    assert chunks.data == b"".join(parts)
    assert chunks.announced == len(b"".join(parts))


@settings(max_examples=300, deadline=None)
@given(data=st.text("01aF;=\r\n x\t\0", max_size=30).map(str.encode), cut=st.integers(0, 30))
def test_chunks_that_we_accept_llhttp_accepts(data: bytes, cut: int) -> None:
    chunks = Chunks(collect=True)
    try:
        _, end = chunks.feed(data[:cut])
        if end < 0:
            _, end = chunks.feed(data[cut:])
            end = end + min(cut, len(data)) if end >= 0 else end
    except BadChunk:
        return
    if end < 0:
        return
    oracle = Oracle()
    oracle.parser.feed_data(
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + data[:end]
    )
    assert oracle.whole
    assert oracle.body == chunks.data


@pytest.mark.parametrize(
    "line", [b"200 OK", b" folded: x", b"a b: c", b"a: \x00", b"a: b\rc", b":"]
)
def test_a_trailer_is_a_header_line(line: bytes) -> None:
    with pytest.raises(BadChunk, match="trailer"):
        Chunks().feed(b"0\r\n" + line + b"\r\n\r\n")


def test_trailers_are_bounded() -> None:
    chunks = Chunks()
    with pytest.raises(BadChunk):
        chunks.feed(b"0\r\n" + b"a: b\r\n" * 3000)
