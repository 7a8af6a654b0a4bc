"""One client's connection: its requests, one at a time, and what becomes of each.

No task is made for a request that is answered by an idle upstream connection: two callbacks
carry it. Every wait has a deadline, which the server's sweep enforces.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import traceback
from collections.abc import Awaitable, Coroutine
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from wayside.fleet import DialError, Pool, Replica, dial
from wayside.flow.protocols import shell_broken, shell_error
from wayside.flow.report import failed, merged
from wayside.gateway.chunks import BadChunk, Chunks
from wayside.gateway.head import (
    ALLOWED,
    CHUNKED,
    RequestHead,
    ResponseHead,
    compressed,
    header,
    read_request,
)
from wayside.gateway.ports import Exchange
from wayside.gateway.replies import (
    ERROR_REPORT,
    SCHEMA_VERSION,
    Refused,
    encode_pairs,
    status_line,
)
from wayside.gateway.upstream import Upstream
from wayside.gateway.watch import Watch
from wayside.vocab.headers import HOP_BY_HOP
from wayside.vocab.outcome import Ended, Forward, HeaderPairs, Outcome, Reply, Request, Tap

if TYPE_CHECKING:
    from wayside.gateway.server import HttpServer


NEVER = float("inf")
PIPELINE_MAX = 64 << 10
"""Bytes read ahead of a request under way; then the client is no longer read."""
BURST = 16
"""Pipelined requests answered in one turn of the event loop."""
LINGER_S = 2.0
"""How long a refused client may still talk before it is cut off, so that it can read why."""
LINGER_BYTES = 1 << 20
STALE_S = 1.0
"""A kept connection that dies this soon after a request, unanswered, was closed before it."""
ATTEMPTS = 3
"""Replicas tried for one request when connecting fails."""
TAIL = 4096
"""Bytes of a response's end kept for its usage."""

# Waiting for a request; inside its head, its body, its chunks; answering; refused and draining
# what still comes; closing.
IDLE, HEAD, BODY, CHUNKS, BUSY, LINGER, CLOSING = range(7)

# How the response's bytes leave: as they are, each piece as a chunk, or until we close.
_AS_IS, _RECHUNKED, _TO_CLOSE = range(3)

_BARE = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\0")
_CHUNK_BETWEEN = re.compile(rb"\r\n[0-9A-Fa-f]+(?:;[^\r\n]*)?\r\n")
_PATH = re.compile(r"/[\x21-\x7e]*")
_OURS_UPSTREAM = HOP_BY_HOP | {"accept-encoding", "content-length", "expect", "host"}
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})

_FAILURES = {
    "connect_failed": (502, "the model's server cannot be reached"),
    "connect_timeout": (504, "the model's server did not accept a connection in time"),
    "dns_failed": (502, "the model's server has no address"),
    "tls_failed": (502, "the model's server could not be verified"),
    "upstream_reset": (502, "the model's server broke off the connection"),
    "upstream_closed": (502, "the model's server closed the connection without an answer"),
    "upstream_bad_response": (502, "the model's server answered with something that is not HTTP"),
    "upstream_timeout": (504, "the model's server did not answer in time"),
    "no_endpoint": (503, "the model has no server"),
}
"""Why an upstream gave no response: the status and the message for the client."""


class Door(asyncio.Protocol):
    """``deadline`` is when :meth:`expire` is due, in the loop's time."""

    __slots__ = (
        "_blocked",
        "_body_chunks",
        "_buffer",
        "_exchange",
        "_forward",
        "_framing",
        "_head",
        "_loop",
        "_looping",
        "_need",
        "_phase",
        "_pool",
        "_reading",
        "_replica",
        "_retried",
        "_server",
        "_status",
        "_stream",
        "_tail",
        "_tap",
        "_task",
        "_transport",
        "_tried",
        "_upstream",
        "_watch",
        "_watched",
        "deadline",
        "wants_plain",
    )

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._loop = server.loop
        self.deadline = NEVER
        self.wants_plain = False
        self._phase = IDLE
        self._buffer = bytearray()
        self._body_chunks: Chunks | None = None
        self._need = 0
        self._reading = True
        self._blocked = False
        self._looping = False
        self._head: RequestHead | None = None
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._forget()

    def _forget(self) -> None:
        """Nothing of one request is left for the next."""
        self._forward: Forward | None = None
        self._pool: Pool | None = None
        self._replica: Replica | None = None
        self._upstream: Upstream | None = None
        self._tried: tuple[Replica, ...] = ()
        self._retried = False
        self._status = 0
        self._stream = False
        self._framing = _AS_IS
        self._tail = b""
        self._tap: Tap | None = None
        self._watch: Watch | None = None
        self._watched: ResponseHead | None = None
        """The head of an answer whose body is taken whole, until it is written."""

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        server = self._server
        if server.draining or len(server.doors) >= server.limits.max_connections:
            self._phase = CLOSING
            self._transport.abort()
            return
        server.doors.add(self)
        self.deadline = self._loop.time() + server.limits.idle_timeout_s

    def connection_lost(self, error: Exception | None) -> None:
        self._phase = CLOSING
        self._buffer.clear()
        self._give_up(499, "client_closed")
        self._server.left(self)

    def eof_received(self) -> None:
        """A client that has sent its last byte is taken to be gone, as nginx does."""

    def pause_writing(self) -> None:
        self._blocked = True
        if self._upstream is not None:
            self._upstream.pause()

    def resume_writing(self) -> None:
        self._blocked = False
        if self._upstream is not None:
            self._upstream.resume()
        else:
            self._resume()

    # Reading requests

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if (phase == IDLE and not self._buffer) or phase in (HEAD, BODY, CHUNKS):
            self._advance(data)
        elif phase in (BUSY, IDLE):
            self._buffer += data
            if len(self._buffer) > PIPELINE_MAX and self._reading:
                self._reading = False
                self._transport.pause_reading()
        elif phase == LINGER:
            self._need -= len(data)
            if self._need < 0:
                self._transport.abort()

    def _advance(self, data: bytes) -> None:
        """Serve the requests in ``data`` one after another, as far as they go."""
        self._looping = True
        for _ in range(BURST):
            try:
                self._read(data)
            except Refused as refused:
                self._refuse(refused)
            if self._phase != IDLE or self._blocked or not self._buffer:
                break
            data = bytes(self._buffer)
            self._buffer.clear()
        else:
            self._buffer[:0] = data
            self._loop.call_soon(self._resume)
        self._looping = False

    def _resume(self) -> None:
        """Go on with what was read ahead, and read on."""
        if self._phase != IDLE or self._blocked or self._looping:
            return
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            self._advance(data)

    def _read(self, data: bytes) -> None:
        phase = self._phase
        if phase == IDLE:
            self._read_head(data)
        elif phase == HEAD:
            self._read_more_head(data)
        elif phase == BODY:
            self._buffer += data
            need = self._need
            if len(self._buffer) >= need:
                with memoryview(self._buffer) as view:
                    body, rest = bytes(view[:need]), bytes(view[need:])
                self._buffer = bytearray(rest)
                self._serve(body)
        else:
            self._read_chunks(data)

    def _read_head(self, data: bytes) -> None:
        start = 2 if data.startswith(b"\r\n") else 0  # RFC 9112 section 2.2: one is ignored
        end = data.find(b"\r\n\r\n", start)
        limits = self._server.limits
        if end < 0:
            if len(data) > limits.max_header_bytes:
                raise _too_many_headers()
            if len(data) == start:
                return
            if _BARE.search(data):
                raise Refused(400, "a line does not end in CRLF", "malformed_request")
            self._buffer += data
            self._phase = HEAD
            self.deadline = self._loop.time() + limits.header_timeout_s
            return
        if end - start > limits.max_header_bytes:
            raise _too_many_headers()
        self._head = head = read_request(data[start:end])
        start = end + 4
        length = head.length
        if length == 0:
            if len(data) > start:
                self._buffer += data[start:]
            self._serve(b"")
        elif length == CHUNKED:
            self._await_body(CHUNKS, head, data[start:])
        elif length > limits.max_body_bytes:
            raise _too_much_body(limits.max_body_bytes)
        elif len(data) - start >= length:
            end = start + length
            if len(data) > end:
                self._buffer += data[end:]
            self._serve(data[start:end])
        else:
            self._need = length
            self._await_body(BODY, head, data[start:])

    def _read_more_head(self, data: bytes) -> None:
        buffer = self._buffer
        seen = max(0, len(buffer) - 3)  # never search what was searched before
        buffer += data
        if buffer.find(b"\r\n\r\n", seen) < 0:
            if len(buffer) > self._server.limits.max_header_bytes:
                raise _too_many_headers()
            if _BARE.search(buffer, max(0, seen - 1)):
                raise Refused(400, "a line does not end in CRLF", "malformed_request")
            return
        whole = bytes(buffer)
        buffer.clear()
        self._phase = IDLE
        self._read_head(whole)

    def _await_body(self, phase: int, head: RequestHead, begun: bytes) -> None:
        self._phase = phase
        self.deadline = self._loop.time() + self._server.limits.body_timeout_s
        if head.expects and not begun:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if phase == CHUNKS:
            self._body_chunks = Chunks(collect=True)
            if begun:
                self._read_chunks(begun)
        else:
            self._buffer += begun

    def _read_chunks(self, data: bytes) -> None:
        chunks = self._body_chunks
        assert chunks is not None
        assert chunks.data is not None
        try:
            _, end = chunks.feed(data)
        except BadChunk as error:
            raise Refused(400, str(error), "malformed_request") from None
        limit = self._server.limits.max_body_bytes
        if chunks.announced > limit:
            raise _too_much_body(limit)
        if end >= 0:
            self._body_chunks = None
            self._buffer += data[end:]
            self._serve(bytes(chunks.data))

    # Serving a request

    def _serve(self, body: bytes) -> None:
        head = self._head
        assert head is not None
        server = self._server
        self._phase = BUSY
        self.deadline = NEVER
        self.wants_plain = head.old
        exchange = server.telemetry.begin(shell="gateway", request_id=head.request_id)
        self._exchange = exchange
        head.headers["x-request-id"] = exchange.request_id
        if head.path == "*":
            self._answer(204, b"", "", _OPTIONS)
            return
        try:
            outcome = server.runtime.handle(Request(head.method, head.path, head.headers, body))
        except Exception:  # noqa: BLE001 - the shell's last resort
            self._fault()
            return
        if isinstance(outcome, Forward | Reply):
            self._follow(outcome)
        else:
            self._task = self._loop.create_task(self._wait_for(outcome))
            if isinstance(outcome, Coroutine):
                # Cancelled before its first step, the task never awaits what it was made for.
                self._task.add_done_callback(lambda _: outcome.close())

    async def _wait_for(self, outcome: Awaitable[Outcome]) -> None:
        try:
            decided = await outcome
            self._task = None
            self._follow(decided)
        except Exception:  # noqa: BLE001 - the shell's last resort
            self._task = None
            self._fault()

    def _follow(self, outcome: Outcome) -> None:
        assert self._exchange is not None
        self._exchange.routed(outcome.record)
        if isinstance(outcome, Reply):
            self._answer(outcome.status, outcome.body, outcome.content_type, outcome.report)
            return
        self._forward = outcome
        if outcome.tap is not None:
            self.wants_plain = True  # chunks would be in the filters' way
            self._tap = outcome.tap
        self._pool = self._server.fleet.pools.get(outcome.target.name)
        self._attempt("no_endpoint")

    def _attempt(self, otherwise: str) -> None:
        """Try the next replica; ``otherwise`` is why there is no answer if none is left."""
        now = self._loop.time()
        pool = self._pool
        replica = None
        if pool is not None and len(self._tried) < ATTEMPTS:
            replica = pool.pick(now, self._server.dice, self._tried)
        if replica is None:
            self._no_response(otherwise)
            return
        assert self._exchange is not None
        self._exchange.attempt(replica.name)
        self._replica = replica
        replica.in_flight += 1
        idle = replica.take(now)
        if idle is not None:
            self._send(cast(Upstream, idle), now)
        else:
            self._task = self._loop.create_task(self._connect(replica))

    async def _connect(self, replica: Replica) -> None:
        loop = self._loop
        try:
            upstream = await dial(
                replica, self._server.fleet.resolver, lambda: Upstream(loop.time())
            )
        except DialError as error:
            self._task = None
            self._leave_replica(failed=True)
            self._tried += (replica,)
            self._attempt(error.reason)
            return
        except Exception:  # noqa: BLE001 - the shell's last resort
            self._task = None
            self._fault()
            return
        self._task = None
        if self._phase != BUSY:
            upstream.drop()
            return
        self._send(upstream, loop.time())

    def _send(self, upstream: Upstream, now: float) -> None:
        forward, head, replica = self._forward, self._head, self._replica
        exchange = self._exchange
        assert forward is not None
        assert head is not None
        assert replica is not None
        assert exchange is not None
        body = forward.body
        method = head.method
        try:
            ours, lines = _prepared(
                forward.set_headers, forward.remove_headers, forward.target.keeps_authorization
            )
            parts = [_start_line(method, forward.path), replica.host_line, lines]
        except ValueError:
            upstream.drop()
            self._fault()
            return
        parts += [f.line for f in head.passed if f.name not in ours]
        if body or method not in _WITHOUT_BODY:
            parts.append(b"content-length: %d\r\n" % len(body))
        parts.append(b"x-request-id: %b\r\n\r\n" % exchange.request_id.encode("latin-1"))
        self._upstream = upstream
        self.deadline = now + replica.timeouts.first_byte_s
        if not upstream.alive:  # it closed between its connect and now
            self.upstream_lost(upstream, "upstream_closed")
            return
        upstream.begin(self, b"".join(parts), body, bodiless=method == "HEAD", now=now)
        if self._blocked:
            upstream.pause()

    # The upstream's answer

    def respond(self, head: ResponseHead, first: bytes) -> None:
        forward, request, replica = self._forward, self._head, self._replica
        exchange = self._exchange
        assert forward is not None
        assert request is not None
        assert replica is not None
        assert exchange is not None
        if forward.tap is not None and self._begin_watch(forward, forward.tap, head):
            self._respond_watched(head, first)
            return
        self._forward = None  # its body is not needed any more
        self._status = head.status
        self._stream = head.stream
        exchange.first_byte(head.status)
        replica.on_trial = False
        self.deadline = self._loop.time() + replica.timeouts.idle_s
        parts = [head.status_line, *head.lines, encode_pairs(forward.report)]
        if head.length < 0:
            if request.old:
                self._framing = _TO_CLOSE
            else:
                parts.append(b"transfer-encoding: chunked\r\n")
                if head.length != CHUNKED:
                    self._framing = _RECHUNKED
        if request.close or self._server.draining:
            request.close = True
            parts.append(b"connection: close\r\n")
        parts.append(b"x-request-id: %b\r\n\r\n" % exchange.request_id.encode("latin-1"))
        if first:
            self._tail = first
            parts.append(
                b"%x\r\n%b\r\n" % (len(first), first) if self._framing == _RECHUNKED else first
            )
        self._transport.write(b"".join(parts))

    def relay(self, data: bytes) -> None:
        replica = self._replica
        assert replica is not None
        self.deadline = self._loop.time() + replica.timeouts.idle_s
        self._tail = data if len(data) >= TAIL else self._tail[-TAIL:] + data
        if self._watch is not None:
            self._watch.push(data)
            self._spare()
            return
        if self._framing == _RECHUNKED:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._transport.write(data)

    def response_ended(self, upstream: Upstream) -> None:
        replica = self._replica
        assert replica is not None
        self._upstream = None
        if upstream.reusable and upstream.alive:
            replica.keep(upstream, self._loop.time())
        else:
            upstream.close()
        self._leave_replica(failed=False)
        if self._watch is not None:
            self._watch.end()
            return
        if self._framing == _RECHUNKED:
            self._transport.write(b"0\r\n\r\n")
        self._finish(self._status)

    # An answer that filters watch

    def _begin_watch(self, forward: Forward, tap: Tap, head: ResponseHead) -> bool:
        """Whether the body goes through ``tap``."""
        said = header(head.lines, b"content-type")
        taken = tap.begin(head.status, said.decode("latin-1"))
        if taken == "pass":
            if head.length == CHUNKED and not self._head_is_old:
                self._framing = _RECHUNKED  # its chunks were taken off already
            return False
        self._watch = Watch(
            tap,
            self._server.runtime.drive,
            released=self._released,
            ended=self._watch_ended,
            failed=self._watch_failed,
            crowded=self._crowded,
        )
        if taken == "whole":
            self._watched = head
        return True

    @property
    def _head_is_old(self) -> bool:
        return self._head is not None and self._head.old

    def _respond_watched(self, head: ResponseHead, first: bytes) -> None:
        """Begin an answer that goes through a tap: a stream's head at once, a whole one's last."""
        replica, exchange, watch = self._replica, self._exchange, self._watch
        assert replica is not None
        assert exchange is not None
        assert watch is not None
        exchange.first_byte(head.status)
        replica.on_trial = False
        self.deadline = self._loop.time() + replica.timeouts.idle_s
        if compressed(head.lines):
            self._drop_upstream()
            self._watch = self._watched = None
            self._error(502, "the answer is compressed and cannot be checked", "unchecked")
            return
        if self._watched is None:
            self._status = head.status
            self._stream = True
            forward = self._forward
            assert forward is not None
            self._forward = None
            self._framing = _TO_CLOSE if self._head_is_old else _RECHUNKED
            self._write_watched_head(head, forward.report, length=None)
        if first:
            self._tail = first
            watch.push(first)

    def _write_watched_head(
        self, head: ResponseHead, report: HeaderPairs, *, length: int | None
    ) -> None:
        request, exchange, tap = self._head, self._exchange, self._tap
        assert request is not None
        assert exchange is not None
        assert tap is not None
        dropped: tuple[bytes, ...] = (b"content-length:", b"transfer-encoding:")
        if tap.content_type:
            dropped += (b"content-type:",)
        lines = [line for line in head.lines if not line.lower().startswith(dropped)]
        parts = [head.status_line, *lines, encode_pairs(report)]
        if tap.content_type:
            parts.append(_content_type(tap.content_type))
        if length is not None:
            parts.append(b"content-length: %d\r\n" % length)
        elif not request.old:
            parts.append(b"transfer-encoding: chunked\r\n")
        if request.close or self._server.draining:
            request.close = True
            parts.append(b"connection: close\r\n")
        parts.append(b"x-request-id: %b\r\n\r\n" % exchange.request_id.encode("latin-1"))
        self._transport.write(b"".join(parts))

    def _released(self, data: bytes) -> None:
        if self._framing == _RECHUNKED:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._transport.write(data)
        self._spare()

    def _spare(self) -> None:
        """Spare the model the rest of an answer that a filter has ended."""
        watch = self._watch
        if watch is not None and watch.stopped and self._upstream is not None:
            self._drop_upstream()
            watch.end()

    def _watch_ended(self, ended: Ended) -> None:
        """The filters have seen all of it."""
        if self._watch is not None and self._watch.detail:
            self._server.say("answer unchecked", level="warning", why=self._watch.detail)
        self._watch = None
        head, forward = self._watched, self._forward
        if head is None:
            if ended.body:
                self._released(ended.body)
            if self._framing == _RECHUNKED:
                self._transport.write(b"0\r\n\r\n")
            self._finish(self._status, ended.reason)
            return
        assert forward is not None
        self._forward = self._watched = None
        report = merged(forward.report, ended.report)
        if ended.status is not None:
            self._answer(ended.status, ended.body, "application/json", report, reason=ended.reason)
            return
        self._status = head.status
        self._write_watched_head(head, report, length=len(ended.body))
        self._transport.write(ended.body)
        self._finish(head.status, ended.reason)

    def _watch_failed(self) -> None:
        self._watch = self._watched = None
        self._drop_upstream()
        self._fault()

    def _crowded(self, yes: bool) -> None:
        if self._upstream is not None:
            if yes:
                self._upstream.pause()
            elif not self._blocked:
                self._upstream.resume()

    def _drop_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.drop()
            self._upstream = None
        self._leave_replica(failed=False)

    def upstream_lost(self, upstream: Upstream, reason: str) -> None:
        """The upstream connection ended before its response did."""
        self._upstream = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = self._watched = None
            if not self._status:
                self._leave_replica(failed=True)
                self._no_response(reason)
                return
        if self._status:
            self._break_off(upstream, reason)
            return
        replica = self._replica
        assert replica is not None
        now = self._loop.time()
        if (
            upstream.uses > 1
            and not upstream.answered
            and not self._retried
            and now - upstream.sent_at < STALE_S
        ):
            # The server closed a kept connection while our request was on its way to it, so it
            # has not read it (RFC 9112 section 9.3.1). Once, on a connection of its own.
            self._retried = True
            self.deadline = NEVER
            assert self._exchange is not None
            self._exchange.attempt(replica.name)
            self._task = self._loop.create_task(self._connect(replica))
            return
        self._leave_replica(failed=True)
        self._no_response(reason)

    def _no_response(self, reason: str) -> None:
        status, message = _FAILURES[reason]
        report = ERROR_REPORT if self._forward is None else failed(self._forward.report)
        self._error(status, message, reason, report)

    def _break_off(self, upstream: Upstream, reason: str) -> None:
        """The response broke in its middle: the client must not take it for a whole one.

        Chunks and a counted body end early, without the last chunk or the missing bytes; a
        client reads that as an error and still gets all that was sent. Only a response that
        ends with its connection (HTTP/1.0) needs a reset to say so.
        """
        framing = self._framing
        boundary = self._at_event_boundary(upstream)
        path, headers = self._asked()
        self._leave_replica(failed=True)
        self._end(self._status, reason)
        if framing == _TO_CLOSE:
            self._reset()
            return
        if boundary:
            event = shell_broken(path, headers, 502, "the model's server broke off", reason)
            self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        self._close()

    def _at_event_boundary(self, upstream: Upstream) -> bool:
        """Whether the client's event stream can take one more event, in a chunk of its own."""
        if not self._stream or not upstream.at_boundary or self._framing == _TO_CLOSE:
            return False
        tail = self._tail
        if self._framing == _AS_IS:
            tail = tail[:-2]  # the CRLF that ends a chunk
        return tail.endswith((b"\n\n", b"\r\n\r\n"))

    # Answering, ending, closing

    def _error(
        self, status: int, message: str, code: str, report: HeaderPairs = ERROR_REPORT
    ) -> None:
        body, more = shell_error(*self._asked(), status, message, code)
        self._answer(status, body, "application/json", (*report, *more), reason=code)

    def _asked(self) -> tuple[str, dict[str, str]]:
        """The path and the headers of the request, as far as they were read."""
        head = self._head
        return ("", {}) if head is None else (head.path, head.headers)

    def _refuse(self, refused: Refused) -> None:
        """Answer what cannot be served; the rest of what the client sends is not read."""
        head = self._head
        if self._exchange is None:
            given = head.request_id if head is not None else None
            self._exchange = self._server.telemetry.begin(shell="gateway", request_id=given)
        report = ERROR_REPORT
        if refused.allow:
            report += (("allow", refused.allow),)
        body, more = shell_error(*self._asked(), refused.status, str(refused), refused.code)
        self._answer(
            refused.status,
            body,
            "application/json",
            (*report, *more),
            reason=refused.code,
            refused=True,
        )

    def _fault(self) -> None:
        """A bug of ours. The connection survives it, the request does not."""
        self._server.say(
            "request failed", level="error", shell="gateway", traceback=traceback.format_exc()
        )
        if self._exchange is None or self._status:
            self._leave_replica(failed=False)
            self._end(self._status, "internal_error")
            self._transport.abort()
            return
        self._leave_replica(failed=False)
        self._error(500, "the router failed on this request", "internal_error")

    def _answer(
        self,
        status: int,
        body: bytes,
        content_type: str,
        report: HeaderPairs,
        *,
        reason: str = "",
        refused: bool = False,
    ) -> None:
        exchange, head = self._exchange, self._head
        assert exchange is not None
        close = refused or head is None or head.close or self._server.draining
        parts = [status_line(status)]
        if content_type:
            parts.append(_content_type(content_type))
        if status >= 200 and status not in (204, 304):
            parts.append(b"content-length: %d\r\n" % len(body))
        parts.append(encode_pairs(report))
        if close:
            parts.append(b"connection: close\r\n")
        parts.append(b"x-request-id: %b\r\n\r\n" % exchange.request_id.encode("latin-1"))
        if head is None or head.method != "HEAD":
            parts.append(body)
        self._transport.write(b"".join(parts))
        if refused:
            self._end(status, reason)
            self._linger()
        else:
            if head is not None:
                head.close = close
            self._finish(status, reason)

    def _finish(self, status: int, reason: str = "") -> None:
        """A request was answered in full: on to the next."""
        head = self._head
        self._end(status, reason)
        if head is None or head.close:
            self._close()
            return
        self._phase = IDLE
        self.deadline = self._loop.time() + self._server.limits.idle_timeout_s
        if self._buffer or not self._reading:
            self._resume()

    def _end(self, status: int, reason: str) -> None:
        """Write the one log line."""
        exchange = self._exchange
        if exchange is None:
            return
        self._exchange = None
        if self._tap is not None:
            self._server.runtime.after(self._tap.settle())
        tail = self._tail[-TAIL:]
        if tail and self._framing == _AS_IS and b"\r\n" in tail:
            tail = _CHUNK_BETWEEN.sub(b"", tail)
        self._head = None
        self._forget()
        exchange.ended(status=status, reason=reason, tail=tail)

    def _leave_replica(self, *, failed: bool) -> None:
        replica = self._replica
        if replica is None:
            return
        self._replica = None
        replica.in_flight -= 1
        if not failed:
            if replica.failures:
                replica.completed()
        elif self._pool is not None:
            self._pool.failed(replica, self._loop.time())

    def _give_up(self, status: int, reason: str) -> None:
        """Stop whatever is under way for a client that is gone."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._upstream is not None:
            self._upstream.drop()
            self._upstream = None
        if self._replica is not None:
            self._replica.in_flight -= 1
            self._replica = None
        self._end(self._status or status, reason)

    def _close(self) -> None:
        """Close once everything is sent; not for ever."""
        self._phase = CLOSING
        self.deadline = self._loop.time() + max(LINGER_S, self._server.limits.idle_timeout_s)
        self._transport.close()

    def _linger(self) -> None:
        """Closing with unread bytes would reset the connection and take our answer with it."""
        self._phase = LINGER
        self._need = LINGER_BYTES
        self._buffer.clear()
        self.deadline = self._loop.time() + LINGER_S
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        with contextlib.suppress(OSError, RuntimeError):
            self._transport.write_eof()

    def _reset(self) -> None:
        self._phase = CLOSING
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # Called by the server

    def expire(self) -> None:
        """The deadline has passed."""
        phase = self._phase
        self.deadline = NEVER
        if phase == IDLE:
            self._close()
        elif phase == HEAD:
            self._refuse(Refused(408, "the request's head took too long", "request_timeout"))
        elif phase in (BODY, CHUNKS):
            self._refuse(Refused(408, "the request's body took too long", "request_timeout"))
        elif phase == BUSY:
            self._expire_response()
        else:
            self._transport.abort()

    def _expire_response(self) -> None:
        upstream = self._upstream
        if upstream is None:
            return
        if self._watch is not None:
            self._watch.cancel()
            self._watch = self._watched = None
        if self._blocked:
            self._give_up(499, "client_stalled")
            self._reset()
            return
        self._upstream = None
        upstream.drop()
        if self._status:
            self._break_off(upstream, "upstream_idle")
        else:
            self._leave_replica(failed=True)
            self._no_response("upstream_timeout")

    def drain(self) -> None:
        """The server stops: a connection between two requests has nothing to wait for."""
        if self._phase == IDLE and not self._buffer:
            self._close()

    def cut(self) -> None:
        """The server's patience is at an end."""
        self._give_up(503, "shutdown")
        self._reset()


_OPTIONS: HeaderPairs = (
    ("allow", ALLOWED),
    ("x-vsr-schema-version", SCHEMA_VERSION),
    ("x-vsr-response-path", "upstream"),
)


def _too_many_headers() -> Refused:
    return Refused(431, "the request's headers are too large", "headers_too_large")


def _too_much_body(limit: int) -> Refused:
    return Refused(413, f"the request's body is larger than {limit} bytes", "body_too_large")


@lru_cache(1024)
def _start_line(method: str, path: str) -> bytes:
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} cannot be sent as a path")
    return f"{method} {path} HTTP/1.1\r\n".encode("ascii")


@lru_cache(64)
def _content_type(value: str) -> bytes:
    return encode_pairs((("content-type", value),))


@lru_cache(1024)
def _prepared(
    given: HeaderPairs, removed: tuple[str, ...], keeps_authorization: bool
) -> tuple[frozenset[str], bytes]:
    """Which of the client's headers do not go upstream, and the lines that do instead.

    A response must be readable for its usage, so compression is never asked for.
    """
    ours = {name.lower() for name in removed}
    if not keeps_authorization:
        ours.add("authorization")
    pairs = []
    for name, value in given:
        lower = name.lower()
        if lower in _OURS_UPSTREAM or lower == "x-request-id":
            continue
        ours.add(lower)
        pairs.append((lower, value))
    pairs.append(("accept-encoding", "identity"))
    return frozenset(ours), encode_pairs(tuple(pairs))
