"""Model servers' answers: whatever they send, however it is cut, wherever it breaks off.

The first byte says who asks, how the server ends, and whether the client reads slowly; the second
how the bytes are cut. An independent reader (h11) looks at both sides: the client gets the very
bytes or the start of them, and what broke off never looks whole.
"""

from __future__ import annotations

import json

import h11

from tests.fuzz.targets import check, split
from tests.fuzz.wires import Plane, Transport, plane

WORDS = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 X\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 304 \r\n",
    b"content-type: text/event-stream\r\n",
    b"transfer-encoding: chunked\r\n",
    b"content-length: 5\r\n",
    b"content-length: 0\r\n",
    b"connection: close\r\n",
    b"connection: x-a\r\nx-a: 1\r\n",
    b"x-vsr-selected-model: forged\r\n",
    b"trailer: x-t\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"5\r\nhello\r\n",
    b"b\r\ndata: {}\n\n\r\n\r\n",
    b"0\r\n\r\n",
    b"0\r\nx-t: 1\r\n\r\n",
    b"5;ext=1\r\n",
    b"FFFFFFFFFFFFFFF\r\n",
    b"data: [DONE]\n\n",
    b'"usage":{"prompt_tokens":1}',
)

TIDY, BROKEN, SILENT, DESERTED = range(4)
"""How it ends: the server closes, resets, says no more; or the client leaves."""

_ASKS = (
    ("POST", b"POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"),
    ("POST", b"POST /v1/x HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}"),
    ("HEAD", b"HEAD /v1/x HTTP/1.1\r\nhost: x\r\n\r\n"),
    ("POST", b"POST /v1/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
)
_OTHER = b"POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nother"
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond"


class Reading:
    """An answer as h11 reads it. ``whole``: it ended as it said it would."""

    def __init__(self, raw: bytes, method: str, *, closed: bool) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.whole = False
        self.failed = ""
        conn = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        conn.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        conn.send(h11.EndOfMessage())
        try:
            conn.receive_data(raw)
            self._read(conn)
            if closed and not self.whole:
                conn.receive_data(b"")
                self._read(conn)
        except h11.RemoteProtocolError as error:
            self.failed = str(error)

    def _read(self, conn: h11.Connection) -> None:
        while True:
            event = conn.next_event()
            if isinstance(event, h11.Response):
                self.status = event.status_code
                self.headers = dict(event.headers)
            elif isinstance(event, h11.Data):
                self.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self.whole = True
                return
            elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                return


def run(data: bytes) -> None:
    if len(data) < 2:
        return
    control, raw = data[0], data[2:]
    pieces = split(raw, data[1])
    method, ask = _ASKS[control & 3]
    ending = control >> 2 & 3
    waiting: list[Transport] = []

    def serve(upstream: Transport) -> None:
        said = bytes(upstream.sent)
        if said.endswith(b"other"):
            upstream.receive(_ANSWER)
        elif said.endswith(b"\r\n\r\n") or said.endswith(b"{}"):
            waiting.append(upstream)

    with plane(serve, choking=bool(control & 0x80)) as made:
        if control & 0x10:  # the connection has served before
            made.client.receive(_OTHER)
        before = len(made.client.sent)
        made.client.receive(ask)
        while waiting:
            _speak(made, waiting.pop(), pieces, ending)
        if control & 0x20 and not made.client.closing and ending == SILENT:
            _next_request_is_its_own(made)
            return
        got = bytes(made.client.sent[before:])
        made.loop.settle()
        for _ in range(3):
            made.wait(400.0)
    _compare(made, raw, got, method, ending, old=control & 3 == 1)


def _speak(made: Plane, upstream: Transport, pieces: list[bytes], ending: int) -> None:
    for piece in pieces:
        for _ in range(100):
            if upstream.receive(piece) or upstream.closing:
                break
            made.loop.settle()
    if ending == TIDY:
        upstream.hang_up()
    elif ending == BROKEN:
        upstream.reset()
    elif ending == DESERTED:
        made.client.hang_up()
        check(upstream.closing or _idle(made), "an answer is fetched for nobody")
    elif not _idle(made):
        made.wait(301.0)


def _idle(made: Plane) -> bool:
    """Nothing is under way: every request has ended."""
    return all(exchange.ends for exchange in made.exchanges)


def _next_request_is_its_own(made: Plane) -> None:
    """Nothing of one answer may reach the request after it."""
    if not _idle(made):
        return
    before = len(made.client.sent)
    made.client.receive(_OTHER)
    made.loop.settle()
    reading = Reading(bytes(made.client.sent[before:]), "POST", closed=False)
    if made.client.closing and not reading.status:
        return
    check(reading.body == b"second" and reading.whole, "answers were mixed", made.client.sent)


def _compare(made: Plane, raw: bytes, got: bytes, method: str, ending: int, *, old: bool) -> None:
    exchange = made.exchanges[-1]
    tidy = made.client.closing and not made.client.aborted and ending != DESERTED
    client = Reading(got, method, closed=tidy)
    server = Reading(raw, method, closed=ending == TIDY)
    if not exchange.began:
        _own_error(client, ending, method)
        return
    check(client.status, "an answer without a head", got)
    check(not client.failed or not client.whole, "the client cannot read it", client.failed, got)
    if server.status:
        check(client.status == server.status, "another status", client.status, server.status)
    body = client.body if client.whole else _without_event(client.body)
    if not server.failed or client.whole:
        check(server.body.startswith(body), "other bytes", server.body, body)
    # h11 reads trailers as if they framed something; they are not passed on, so we need not.
    about_trailers = server.status and "Only Transfer-Encoding" in server.failed
    about_trailers = about_trailers or (server.status and "Content-Length" in server.failed)
    if client.whole:
        check(
            server.whole or about_trailers, "what broke off looks whole", server.failed, raw, got
        )
        check(client.body == server.body, "not all of it", server.body, client.body)
    elif server.whole and ending in (TIDY, SILENT):
        strict = exchange.ends[-1][1] == "upstream_bad_response"  # than h11, about trailers
        check(strict, "what was whole looks broken", raw, got)
    chunked = server.headers.get(b"transfer-encoding", b"").lower() == b"chunked"
    if chunked and not old and method != "HEAD" and server.status not in (204, 304):
        _same_bytes(_after_head(raw), got.partition(b"\r\n\r\n")[2])


def _without_event(body: bytes) -> bytes:
    """What broke off, without the event that says so."""
    start = body.rfind(b'data: {"error":{')
    if start < 0 or not body.endswith(b"\n\n"):
        return body
    code = json.loads(body[start + 6 :])["error"]["code"]
    return body[:start] if code.startswith("upstream_") else body


def _own_error(client: Reading, ending: int, method: str) -> None:
    """The server's answer could not be used at all, so the gateway gave its own."""
    if ending == DESERTED:
        return
    check(client.status in (502, 503, 504), "an odd status of our own", client.status)
    check(client.whole, "an error that breaks off", client.failed)
    if method != "HEAD":
        check("error" in json.loads(client.body), "an error without a shape", client.body)


def _after_head(raw: bytes) -> bytes:
    at = 0
    while True:
        end = raw.find(b"\r\n\r\n", at) + 4
        if raw[at + 9 : at + 10] != b"1":
            return raw[end:]
        at = end


def _same_bytes(sent: bytes, got: bytes) -> None:
    """Chunks as they came: framing, extensions and all, but for trailers and an error event."""
    if sent.startswith(got):
        return
    same = next((i for i, (a, b) in enumerate(zip(sent, got, strict=False)) if a != b), len(sent))
    rest = got[same:]
    start = got.rfind(b"data: {", 0, len(got))
    event = (
        start >= 0
        and got.endswith(b"\n\n\r\n")
        and sent.startswith(got[: got.rfind(b"\r\n", 0, start - 2) + 2])
    )
    check(rest == b"\r\n" or event, "the framing was changed", sent[same:], rest)
