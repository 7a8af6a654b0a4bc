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
from typing import TYPE_CHECKING, cast

from wayside.flow.protocols import shell_error
from wayside.flow.report import failed, merged
from wayside.gateway.attempt import NEVER, Attempt
from wayside.gateway.chunks import BadChunk, Chunks
from wayside.gateway.errand import Errand
from wayside.gateway.failures import FAILURES
from wayside.gateway.head import ALLOWED, CHUNKED, RequestHead, ResponseHead, read_request
from wayside.gateway.passage import Passage
from wayside.gateway.ports import Exchange
from wayside.gateway.replies import (
    ERROR_REPORT,
    SCHEMA_VERSION,
    Refused,
    content_type_line,
    encode_pairs,
    status_line,
)
from wayside.runtime.admission import CODE, MESSAGE, SOON, STATUS, counted
from wayside.telemetry.context import SENT
from wayside.vocab.access import Caller
from wayside.vocab.outcome import Forward, HeaderPairs, Outcome, Reply, Request, Tap

if TYPE_CHECKING:
    from wayside.gateway.server import HttpServer


PIPELINE_MAX = 64 << 10
"""Bytes read ahead of a request under way; then the client is no longer read."""
BURST = 16
"""Pipelined requests answered in one turn of the event loop."""
LINGER_S = 2.0
"""How long a refused client may still talk before it is cut off, so that it can read why."""
LINGER_BYTES = 1 << 20

# Waiting for a request; inside its head, its body, its chunks; answering; refused and draining
# what still comes; closing.
IDLE, HEAD, BODY, CHUNKS, BUSY, LINGER, CLOSING = range(7)

_BARE = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\0")


class Door(asyncio.Protocol):
    """``deadline`` is when :meth:`expire` is due, in the loop's time."""

    __slots__ = (
        "_body_chunks",
        "_buffer",
        "_looping",
        "_need",
        "_phase",
        "_reading",
        "_seated",
        "_tap",
        "_task",
        "blocked",
        "caller",
        "deadline",
        "errand",
        "exchange",
        "head",
        "loop",
        "passage",
        "server",
        "transport",
        "wants_plain",
    )

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.loop = server.loop
        self.deadline = NEVER
        self.wants_plain = False
        self._phase = IDLE
        self._buffer = bytearray()
        self._body_chunks: Chunks | None = None
        self._need = 0
        self._reading = True
        self.blocked = False
        self._looping = False
        self._seated = False
        """Whether a request of ours takes room (``limits.max_in_flight``)."""
        self.head: RequestHead | None = None
        self.exchange: Exchange | None = None
        self.caller: Caller | None = None
        """Whose requests these are, where that is known before they are read."""
        self._task: asyncio.Task[None] | None = None
        self._forget()

    def _forget(self) -> None:
        """Nothing of one request is left for the next."""
        self.errand: Errand | None = None
        self.passage: Passage | None = None
        self._tap: Tap | None = None

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        server = self.server
        if server.draining or len(server.doors) >= server.limits.max_connections:
            self._phase = CLOSING
            self.transport.abort()
            return
        server.doors.add(self)
        self.deadline = self.loop.time() + server.limits.idle_timeout_s

    def connection_lost(self, error: Exception | None) -> None:
        self._phase = CLOSING
        self._buffer.clear()
        self.give_up(499, "client_closed")
        self.server.left(self)

    def eof_received(self) -> None:
        """A client that has sent its last byte is taken to be gone, as nginx does."""

    def pause_writing(self) -> None:
        self.blocked = True
        if self.passage is not None:
            self.passage.pause()

    def resume_writing(self) -> None:
        self.blocked = False
        if self.passage is not None:
            self.passage.resume()
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
                self.transport.pause_reading()
        elif phase == LINGER:
            self._need -= len(data)
            if self._need < 0:
                self.transport.abort()

    def _advance(self, data: bytes) -> None:
        """Serve the requests in ``data`` one after another, as far as they go."""
        self._looping = True
        for _ in range(BURST):
            try:
                self._read(data)
            except Refused as refused:
                self._refuse(refused)
            if self._phase != IDLE or self.blocked or not self._buffer:
                break
            data = bytes(self._buffer)
            self._buffer.clear()
        else:
            self._buffer[:0] = data
            self.loop.call_soon(self._resume)
        self._looping = False

    def _resume(self) -> None:
        """Go on with what was read ahead, and read on."""
        if self._phase != IDLE or self.blocked or self._looping:
            return
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
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
        limits = self.server.limits
        if end < 0:
            if len(data) > limits.max_header_bytes:
                raise _too_many_headers()
            if len(data) == start:
                return
            if _BARE.search(data):
                raise Refused(400, "a line does not end in CRLF", "malformed_request")
            self._buffer += data
            self._phase = HEAD
            self.deadline = self.loop.time() + limits.header_timeout_s
            return
        if end - start > limits.max_header_bytes:
            raise _too_many_headers()
        self.head = head = read_request(data[start:end])
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
            if len(buffer) > self.server.limits.max_header_bytes:
                raise _too_many_headers()
            if _BARE.search(buffer, max(0, seen - 1)):
                raise Refused(400, "a line does not end in CRLF", "malformed_request")
            return
        whole = bytes(buffer)
        buffer.clear()
        self._phase = IDLE
        self._read_head(whole)

    def _await_body(self, phase: int, head: RequestHead, begun: bytes) -> None:
        """The rest of a body is still to come, unless nobody would read it."""
        asked = Request(head.method, head.path, head.headers, caller=self.caller)
        refusal = self.server.runtime.turned_away(asked)
        if refusal is not None:
            self._turn_away(head, refusal)
            return
        if not self._seat(head):
            begin = self.server.telemetry.begin
            self.exchange = begin(shell="gateway", request_id=head.request_id)
            self._shed(refused=True)
            return
        self._phase = phase
        self.deadline = self.loop.time() + self.server.limits.body_timeout_s
        if head.expects and not begun:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
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
        limit = self.server.limits.max_body_bytes
        if chunks.announced > limit:
            raise _too_much_body(limit)
        if end >= 0:
            self._body_chunks = None
            self._buffer += data[end:]
            self._serve(bytes(chunks.data))

    # Serving a request

    def _serve(self, body: bytes) -> None:
        head = self.head
        assert head is not None
        server = self.server
        self._phase = BUSY
        self.deadline = NEVER
        self.wants_plain = head.old
        exchange = server.telemetry.begin(shell="gateway", request_id=head.request_id)
        self.exchange = exchange
        head.headers["x-request-id"] = exchange.request_id
        if server.reads is not None:
            server.reads(exchange, head.path, head.headers, body)
            SENT.set(exchange.inside)
        if head.path == "*":
            self.answer(204, b"", "", _OPTIONS)
            return
        if not self._seat(head):
            self._shed()
            return
        try:
            outcome = server.runtime.handle(
                Request(head.method, head.path, head.headers, body, True, self.caller)
            )
        except Exception:  # noqa: BLE001 - the shell's last resort
            self.fault()
            return
        if isinstance(outcome, Forward | Reply):
            self._follow(outcome)
        else:
            self._task = self.loop.create_task(self._wait_for(outcome))
            if isinstance(outcome, Coroutine):
                # Cancelled before its first step, the task never awaits what it was made for.
                self._task.add_done_callback(lambda _: outcome.close())

    def _seat(self, head: RequestHead) -> bool:
        """Whether there is room for this request, which it has from now on."""
        room = self.server.admission
        if room is None or self._seated or not counted(head.method):
            return True
        groups = None if self.caller is None else self.caller.groups
        self._seated = room.enter(head.headers, groups)
        return self._seated

    def _shed(self, *, refused: bool = False) -> None:
        """Answer that there is none; ``refused``: the rest of what the client sends is not
        read."""
        body, more = shell_error(*self.asked(), STATUS, MESSAGE, CODE)
        self.answer(
            STATUS,
            body,
            "application/json",
            merged((*ERROR_REPORT, *SOON), more),
            reason=CODE,
            refused=refused,
        )

    async def _wait_for(self, outcome: Awaitable[Outcome]) -> None:
        try:
            decided = await outcome
            self._task = None
            self._follow(decided)
        except Exception:  # noqa: BLE001 - the shell's last resort
            self._task = None
            self.fault()

    def _follow(self, outcome: Outcome) -> None:
        assert self.exchange is not None
        self.exchange.routed(outcome.record)
        if isinstance(outcome, Reply):
            self.answer(outcome.status, outcome.body, outcome.content_type, outcome.report)
            return
        self._forward_on(outcome)

    # What becomes of a request that is sent on

    def _forward_on(self, forward: Forward) -> None:
        self._take_tap(forward)
        self.errand = errand = Errand(self, forward)
        errand.start(self.loop.time())

    def _take_tap(self, forward: Forward) -> None:
        head = self.head
        self._tap = forward.tap
        # Chunks would be in the filters' way.
        self.wants_plain = forward.tap is not None or (head is not None and head.old)

    def rerouted(self, forward: Forward) -> None:
        """Another model is asked in the place of the one that was chosen."""
        assert self.exchange is not None
        self._take_tap(forward)
        self.exchange.rerouted(forward.record)

    def begin_answer(
        self, errand: Errand, attempt: Attempt, head: ResponseHead, first: bytes
    ) -> None:
        """An answer begins: from here on it is passed on."""
        self.errand = None
        self.passage = passage = Passage(self, errand.forward, attempt, errand.until)
        passage.begin(head, first)

    def urgency(self, forward: Forward) -> int:
        """Whether it goes before others that wait, asked when it has to."""
        head, caller = self.head, forward.record.caller
        headers = {} if head is None else head.headers
        groups = None if caller is None else caller.groups
        return self.server.fleet.urgency.of(headers, forward.urgency, groups)

    def unanswered(
        self, forward: Forward, status: int, message: str, reason: str, pairs: HeaderPairs
    ) -> None:
        """No model gave an answer."""
        self.errand = None
        self.error(status, message, reason, (*failed(forward.report), *pairs))

    def broke_before(self, report: HeaderPairs, reason: str) -> None:
        """An answer broke off of which the client has seen nothing, as it was still judged."""
        status, message = FAILURES.get(reason, FAILURES["upstream_timeout"])
        self.error(status, message, reason, failed(report))

    # Answering, ending, closing

    def error(
        self, status: int, message: str, code: str, report: HeaderPairs = ERROR_REPORT
    ) -> None:
        body, more = shell_error(*self.asked(), status, message, code)
        self.answer(status, body, "application/json", merged(report, more), reason=code)

    def asked(self) -> tuple[str, dict[str, str]]:
        """The path and the headers of the request, as far as they were read."""
        head = self.head
        return ("", {}) if head is None else (head.path, head.headers)

    def _turn_away(self, head: RequestHead, reply: Reply) -> None:
        """Answer who is not let in; the body is not read."""
        begin = self.server.telemetry.begin
        self.exchange = exchange = begin(shell="gateway", request_id=head.request_id)
        exchange.routed(reply.record)
        self.answer(
            reply.status,
            reply.body,
            reply.content_type,
            reply.report,
            reason=reply.record.reason,
            refused=True,
        )

    def _refuse(self, refused: Refused) -> None:
        """Answer what cannot be served; the rest of what the client sends is not read."""
        head = self.head
        if self.exchange is None:
            given = head.request_id if head is not None else None
            self.exchange = self.server.telemetry.begin(shell="gateway", request_id=given)
        report = ERROR_REPORT
        if refused.allow:
            report += (("allow", refused.allow),)
        body, more = shell_error(*self.asked(), refused.status, str(refused), refused.code)
        self.answer(
            refused.status,
            body,
            "application/json",
            merged(report, more),
            reason=refused.code,
            refused=True,
        )

    def fault(self) -> None:
        """A bug of ours. The connection survives it, the request does not."""
        self.server.say(
            "request failed", level="error", shell="gateway", traceback=traceback.format_exc()
        )
        if self.errand is not None:
            self.errand.cancel()
            self.errand = None
        status = 0
        if self.passage is not None:
            self.passage.cancel("internal_error")
            status = self.passage.status
        if self.exchange is None or status:
            self.end(status, "internal_error")
            self.transport.abort()
            return
        self.error(500, "the router failed on this request", "internal_error")

    def answer(
        self,
        status: int,
        body: bytes,
        content_type: str,
        report: HeaderPairs,
        *,
        reason: str = "",
        refused: bool = False,
    ) -> None:
        exchange, head = self.exchange, self.head
        assert exchange is not None
        close = refused or head is None or head.close or self.server.draining
        parts = [status_line(status)]
        if content_type:
            parts.append(content_type_line(content_type))
        if status >= 200 and status not in (204, 304):
            parts.append(b"content-length: %d\r\n" % len(body))
        parts.append(encode_pairs(report))
        if close:
            parts.append(b"connection: close\r\n")
        parts.append(b"x-request-id: %b\r\n\r\n" % exchange.request_id.encode("latin-1"))
        if head is None or head.method != "HEAD":
            parts.append(body)
        self.transport.write(b"".join(parts))
        if refused:
            self.end(status, reason)
            self._linger()
        else:
            if head is not None:
                head.close = close
            self.finish(status, reason)

    def finish(self, status: int, reason: str = "") -> None:
        """A request was answered in full: on to the next."""
        head = self.head
        self.end(status, reason)
        if head is None or head.close:
            self.close()
            return
        self._phase = IDLE
        self.deadline = self.loop.time() + self.server.limits.idle_timeout_s
        if self._buffer or not self._reading:
            self._resume()

    def end(self, status: int, reason: str) -> None:
        """Write the one log line."""
        if self._seated and self.server.admission is not None:
            self._seated = False
            self.server.admission.leave()
        exchange = self.exchange
        if exchange is None:
            return
        self.exchange = None
        if self._tap is not None:
            self.server.runtime.after(self._tap.settle())
        self.head = None
        self._forget()
        exchange.ended(status=status, reason=reason)

    def give_up(self, status: int, reason: str) -> None:
        """Stop whatever is under way for a client that is gone."""
        self._stop_asking()
        if self.passage is not None:
            self.passage.cancel()
            status = self.passage.status or status
        self.end(status, reason)

    def _stop_asking(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self.errand is not None:
            self.errand.cancel()
            self.errand = None

    def close(self) -> None:
        """Close once everything is sent; not for ever."""
        self._phase = CLOSING
        self.deadline = self.loop.time() + max(LINGER_S, self.server.limits.idle_timeout_s)
        self.transport.close()

    def _linger(self) -> None:
        """Closing with unread bytes would reset the connection and take our answer with it."""
        self._phase = LINGER
        self._need = LINGER_BYTES
        self._buffer.clear()
        self.deadline = self.loop.time() + LINGER_S
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
        with contextlib.suppress(OSError, RuntimeError):
            self.transport.write_eof()

    def reset(self) -> None:
        self._phase = CLOSING
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # Called by the server

    def expire(self) -> None:
        """The deadline has passed."""
        phase = self._phase
        self.deadline = NEVER
        if phase == IDLE:
            self.close()
        elif phase == HEAD:
            self._refuse(Refused(408, "the request's head took too long", "request_timeout"))
        elif phase in (BODY, CHUNKS):
            self._refuse(Refused(408, "the request's body took too long", "request_timeout"))
        elif phase == BUSY:
            if self.passage is not None:
                self.passage.expire()
            elif self.errand is not None:
                self.errand.expire()
        else:
            self.transport.abort()

    def drain(self) -> None:
        """The server stops: a connection between two requests has nothing to wait for."""
        if self._phase == IDLE and not self._buffer:
            self.close()

    def cut(self) -> None:
        """The server's patience is at an end. Who has seen nothing of an answer is told so."""
        if self._phase == BUSY and self.exchange is not None and self.passage is None:
            self._stop_asking()
            self.error(503, "the router is stopping; ask again", "shutdown", _SOON)
        else:
            self.give_up(503, "shutdown")
            self.reset()


_SOON: HeaderPairs = (*ERROR_REPORT, ("retry-after", "1"), ("retry-after-ms", "1000"))
_OPTIONS: HeaderPairs = (
    ("allow", ALLOWED),
    ("x-vsr-schema-version", SCHEMA_VERSION),
    ("x-vsr-response-path", "upstream"),
)


def _too_many_headers() -> Refused:
    return Refused(431, "the request's headers are too large", "headers_too_large")


def _too_much_body(limit: int) -> Refused:
    return Refused(413, f"the request's body is larger than {limit} bytes", "request_too_large")
