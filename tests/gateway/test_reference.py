"""The gateway and the plain library variant answer one corpus the same way."""

from __future__ import annotations

import asyncio
import json

import httptools

from wayside.settings.model import LimitSettings

from .reference import reference
from .rig import Plane, plane, post, read_request, talk, upstream

LIMIT = 1000
BIG = b'{"a": "%b"}' % (b"x" * 900)
STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

CORPUS: dict[str, bytes] = {
    "a reply": post(path=b"/health"),
    "a reply that is an error": post(path=b"/missing"),
    "a bug": post(path=b"/boom"),
    "json": post(b'{"model": "m"}', b"content-type: application/json"),
    "a query": post(b'{"model": "m"}', path=b"/v1/json?a=b&c=%20d"),
    "no body": b"GET /v1/json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "head": b"HEAD /v1/head HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "head of a reply": b"HEAD /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "delete": b"DELETE /v1/json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "options": b"OPTIONS /v1/json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "trace": b"TRACE /v1/json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "big": post(BIG),
    "too big": post(b"x" * (LIMIT + 1)),
    "an empty post": post(b""),
    "chunks": b"POST /v1/json HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"
    b"connection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "a stream": post(path=b"/v1/stream"),
    "an error of the server": post(path=b"/v1/error"),
    "headers": post(
        b"{}",
        b"x-request-id: mine",
        b"x-many: a",
        b"X-Many: b",
        b"x-vsr-debug: true",
        b"x-vsr-selected-model: forged",
        b"x_selected_model: forged",
        b"authorization: Bearer k",
        b"accept-encoding: gzip",
        b"te: trailers",
    ),
    "a strange id": post(b"{}", b"x-request-id: a b"),
    "hop": post(b"{}", b"x-hop: 1").replace(b"connection: close", b"connection: close, x-hop"),
    "closed": post(path=b"/v1/closed"),
    "broken": post(path=b"/v1/broken"),
}


class Server:
    """A model server that answers by path and remembers what it was sent."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, list[bytes], bytes]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await read_request(reader)
            line, *fields = head.strip().split(b"\r\n")
            lowered = [
                n.lower() + b": " + v.strip() for n, _, v in (f.partition(b":") for f in fields)
            ]
            # aiohttp says that a DELETE has no body, we do not; the host is each server's own.
            mine = [f for f in lowered if f != b"content-length: 0" and not f.startswith(b"host:")]
            self.seen.append((line, sorted(mine), body))
            path = line.split()[1].partition(b"?")[0]
            if path == b"/v1/stream":
                writer.write(STREAM + b"9\r\ndata: 1\n\n\r\n")
                await asyncio.sleep(0.01)
                writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            elif path == b"/v1/error":
                writer.write(
                    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nx-vsr-x: 1\r\n"
                    b"x-selected-model: y\r\nx-hop: 1\r\nconnection: x-hop\r\n"
                    b"x-request-id: z\r\ncontent-length: 4\r\n\r\nslow"
                )
            elif path == b"/v1/head":
                writer.write(JSON + b"content-length: 7\r\n\r\n")
            elif path == b"/v1/closed":
                return
            elif path == b"/v1/broken":
                writer.write(STREAM + b"9\r\ndata: 1\n\n\r\n" + b"ff\r\nhalf")
                await asyncio.sleep(0.02)
                return
            else:
                text = json.dumps({"size": len(body)}).encode()
                writer.write(JSON + b"content-length: %d\r\n\r\n%b" % (len(text), text))


class Answer:
    def __init__(self, raw: bytes, *, bodiless: bool) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.whole = bodiless
        parser = httptools.HttpResponseParser(self)
        parser.feed_data(raw)
        self.status = parser.get_status_code()

    def on_header(self, name: bytes, value: bytes) -> None:
        # The framing is each server's own; that it is right is what `whole` says.
        if name.lower() not in (b"connection", b"transfer-encoding", b"content-length"):
            self.headers.append((name.decode().lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole = True

    def comparable(self) -> tuple[object, ...]:
        body: object = self.body
        if ("x-vsr-response-path", "error") in self.headers:
            error = json.loads(self.body)["error"]
            body = (error["type"], error["code"])
        kept = [(n, v) for n, v in self.headers if n != "allow"]
        return self.status, sorted(kept), body, self.whole


async def _ask_both(p: Plane, other: int, raw: bytes) -> tuple[Answer, Answer]:
    bodiless = raw.startswith(b"HEAD")
    ours, theirs = await talk(p.port, raw), await talk(other, raw)
    return Answer(ours, bodiless=bodiless), Answer(theirs, bodiless=bodiless)


async def test_both_answer_the_corpus_the_same_way() -> None:
    limits = LimitSettings(max_body_bytes=LIMIT)
    one, two = Server(), Server()
    async with (
        upstream(one) as up_one,
        upstream(two) as up_two,
        plane(up_one.port, limits=limits) as p,
        reference(up_two.port, LIMIT) as (port, runtime),
    ):
        for name, raw in CORPUS.items():
            ours, theirs = await _ask_both(p, port, raw)
            assert ours.comparable() == theirs.comparable(), name
            assert ours.whole == (name != "broken"), name
            assert p.runtime.requests[-1:] == runtime.requests[-1:], name
            assert one.seen[-1:] == two.seen[-1:], name
        assert len(one.seen) > 10
