"""The connection to a model server: one response at a time, followed but never rewritten.

Reads the head strictly, follows the body's framing to know where it ends, and hands the bytes
on as they come. It tells a response that ended from one that broke off.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol, cast

from wayside.gateway.chunks import BadChunk, Chunks
from wayside.gateway.head import CHUNKED, UNTIL_CLOSE, BadHead, ResponseHead, read_response

HEAD_MAX = 64 << 10
"""Bytes of a response head, informational ones included; more is a bad response."""
SMALL_BODY = 16 << 10
"""Bodies up to here are copied next to their head into one write."""

_HEAD, _LENGTH, _CHUNKS, _UNTIL_CLOSE = range(4)


class Reader(Protocol):
    """Whom the rest of a response is for, once its head was read."""

    def relay(self, data: bytes) -> None: ...

    def response_ended(self, upstream: Upstream) -> None: ...

    def upstream_lost(self, upstream: Upstream, reason: str) -> None: ...


class Owner(Reader, Protocol):
    """Whom a response is for. ``wants_plain``: it cannot be sent chunks (HTTP/1.0).

    Either may hand the rest over to somebody else at any time (:meth:`Upstream.hand_over`).
    """

    wants_plain: bool

    def respond(self, head: ResponseHead, first: bytes) -> None: ...


class Upstream(asyncio.Protocol):
    """``answered``: bytes of the current response have come. ``uses`` counts requests."""

    __slots__ = (
        "_bodiless",
        "_buffer",
        "_chunks",
        "_eof",
        "_first",
        "_left",
        "_mode",
        "_owner",
        "_paused",
        "_sent_much",
        "_transport",
        "alive",
        "answered",
        "born",
        "idle_since",
        "reusable",
        "sent_at",
        "uses",
    )

    def __init__(self, born: float) -> None:
        self.born = self.idle_since = self.sent_at = born
        self.alive = False
        self.answered = False
        self.reusable = False
        self.uses = 0
        self._first: Owner | None = None
        self._owner: Reader | None = None
        self._chunks: Chunks | None = None
        self._buffer = b""
        self._mode = _HEAD
        self._left = 0
        self._eof = self._paused = self._bodiless = self._sent_much = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.alive = True

    def begin(self, owner: Owner, head: bytes, body: bytes, *, bodiless: bool, now: float) -> None:
        """Send a request. ``bodiless``: its response has no body whatever it says (HEAD)."""
        self._owner = self._first = owner
        self._mode = _HEAD
        self._left = 0  # until the head is here: bytes of informational ones
        self._bodiless = bodiless
        self.answered = False
        self.uses += 1
        self.sent_at = now
        if len(body) <= SMALL_BODY:
            self._sent_much = False
            self._transport.write(head + body)
        else:
            self._sent_much = True
            self._transport.write(head)
            self._transport.write(body)

    def hand_over(self, reader: Reader) -> None:
        """The rest of the response is for somebody else."""
        self._owner = reader

    def data_received(self, data: bytes) -> None:
        owner = self._owner
        if owner is None:  # a server that speaks unasked cannot be trusted with a request
            self.close()
            return
        mode = self._mode
        try:
            if mode == _CHUNKS:
                data, ended, clean = self._chunked(data)
                if data:
                    owner.relay(data)
                if ended:
                    self._finish(clean=clean)
            elif mode == _LENGTH:
                left = self._left - len(data)
                self._left = left
                if left > 0:
                    owner.relay(data)
                else:
                    owner.relay(data if left == 0 else data[:left])
                    self._finish(clean=left == 0)
            elif mode == _HEAD:
                self.answered = True
                assert self._first is not None
                self._read_head(self._first, data)
            else:
                owner.relay(data)
        except (BadHead, BadChunk):
            self._fail("upstream_bad_response")

    def _read_head(self, owner: Owner, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > HEAD_MAX or not b"HTTP/1.".startswith(data[:7]):
                    raise BadHead("this is no HTTP head")
                self._buffer = data
                return
            if end > HEAD_MAX:
                raise BadHead("the head is too long")
            head = read_response(data[:end], bodiless=self._bodiless)
            data = data[end + 4 :]
            if head.status >= 200:
                break
            self._left += end + 4
            if self._left > HEAD_MAX:
                raise BadHead("too many informational heads")
            if head.status == 101:  # we never ask for another protocol
                raise BadHead("an upgrade nobody asked for")
        self.reusable = not head.close
        length = head.length
        if length >= 0:
            left = length - len(data)
            self._mode = _LENGTH
            self._left = left
            owner.respond(head, data if left >= 0 else data[:length])
            if left <= 0:
                self._finish(clean=left == 0)
        elif length == CHUNKED:
            self._mode = _CHUNKS
            self._chunks = Chunks(collect=owner.wants_plain)
            first, ended, clean = self._chunked(data)
            owner.respond(head, first)
            if ended:
                self._finish(clean=clean)
        elif length == UNTIL_CLOSE:
            self._mode = _UNTIL_CLOSE
            self.reusable = False
            owner.respond(head, data)

    def _chunked(self, data: bytes) -> tuple[bytes, bool, bool]:
        """What of ``data`` the client gets; whether the body ended; and whether at its end."""
        chunks = self._chunks
        assert chunks is not None
        good, end = chunks.feed(data)
        clean = end == len(data)
        if chunks.data is not None:
            data = bytes(chunks.data)
            chunks.data.clear()
        elif end >= 0:
            # Trailers stay here: the blank line that ends them is all that is passed on.
            if not clean or good + 2 != end:
                data = data[:good] + b"\r\n"
        elif good != len(data):
            data = data[:good]
        return data, end >= 0, clean

    def _finish(self, *, clean: bool) -> None:
        """The response ended. Not ``clean``: bytes follow that belong to nothing."""
        owner = self._owner
        if owner is None:
            # Its owner dropped us on seeing the last of it, and may be at its next request by now.
            return
        self._owner = self._first = None
        self._chunks = None
        # An answer that came before its request was sent leaves the rest of it in the pipe.
        if not clean or (self._sent_much and self._transport.get_write_buffer_size()):
            self.reusable = False
        if self._paused:
            self.resume()
        owner.response_ended(self)

    def _fail(self, reason: str) -> None:
        owner = self._owner
        if owner is not None:
            owner.upstream_lost(self, reason)
        self.drop()

    def eof_received(self) -> None:
        self._eof = _is_tidy(self._transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.alive = False
        owner = self._owner
        if owner is None:
            return
        if self._mode == _UNTIL_CLOSE and self._eof and error is None:
            self._finish(clean=False)
        else:
            self._owner = None
            owner.upstream_lost(self, "upstream_reset" if error else "upstream_closed")

    @property
    def at_boundary(self) -> bool:
        """Whether a chunk of our own could be put here."""
        if self._mode == _CHUNKS:
            return self._chunks is not None and self._chunks.at_boundary
        return self._mode == _UNTIL_CLOSE

    def pause(self) -> None:
        if self.alive and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if self.alive:
                self._transport.resume_reading()

    def close(self) -> None:
        """Let an idle connection go."""
        self.alive = False
        self._transport.close()

    def drop(self) -> None:
        """Nobody wants the response any more; the server sees the connection go at once."""
        self._owner = None
        self.alive = False
        self._transport.abort()


def _is_tidy(transport: asyncio.BaseTransport) -> bool:
    """Whether the server meant its end. Over TLS a bare FIN could come from anybody on the way,
    and asyncio reports it like a close_notify; the TLS object knows the difference."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return bool(tls.read(1) == b"")
    except ssl.SSLError:
        return False
