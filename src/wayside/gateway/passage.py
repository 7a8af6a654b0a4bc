"""An answer on its way to the client: as it comes, or through the tap that watches it.

From its first byte on there is no way back: what breaks off here breaks off for the client, who
is told so and never gets a tidy end.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from wayside.dialects.trim import Trimmer
from wayside.endpoints import TPOT
from wayside.flow.protocols import shell_broken
from wayside.flow.report import merged
from wayside.gateway.attempt import NEVER, Attempt
from wayside.gateway.head import CHUNKED, ResponseHead, compressed
from wayside.gateway.ports import Meter
from wayside.gateway.replies import content_type_line, encode_pairs
from wayside.gateway.trimmed import FramedTrimmer
from wayside.gateway.upstream import Upstream
from wayside.gateway.watch import Watch
from wayside.telemetry.context import SENT
from wayside.vocab.ask import Flow
from wayside.vocab.headers import PROVIDER_LIMITS
from wayside.vocab.outcome import Ended, Forward, HeaderPairs, Tap

if TYPE_CHECKING:
    from wayside.gateway.door import Door

T = TypeVar("T")
LINE_MAX = 1 << 20
"""Bytes of a stream without a line's end before it is broken off."""

_LIMITS = tuple([name.encode() for name in PROVIDER_LIMITS])
PACED = 8
"""Events of a stream beyond which they tell how long each token took."""

# How the response's bytes leave: as they are, each piece as a chunk, or until we close.
AS_IS, RECHUNKED, TO_CLOSE = range(3)


class Passage:
    """Owns the winning attempt's connection until its response ends. ``status`` is that of the
    answer once its head went out, 0 before."""

    __slots__ = (
        "_attempt",
        "_began",
        "_door",
        "_framed",
        "_idle_s",
        "_leads",
        "_limited",
        "_line",
        "_meter",
        "_open",
        "_report",
        "_said",
        "_sent",
        "_stream",
        "_tap",
        "_trim",
        "_trimmer",
        "_until",
        "_upstream",
        "_waits",
        "_watch",
        "_watched",
        "framing",
        "status",
        "wants_plain",
    )

    def __init__(self, door: Door, forward: Forward, attempt: Attempt, until: float) -> None:
        self._door = door
        self._attempt = attempt
        self._upstream = attempt.upstream
        self._report = forward.report
        if attempt.need is not None:
            said = attempt.pool.says(attempt.replica, attempt.need)
            self._report = merged(self._report, said)
        self._tap: Tap | None = forward.tap
        self._watch: Watch | None = None
        self._watched: ResponseHead | None = None
        """The head of an answer whose body is taken whole, until it is written."""
        self._until = until
        self._idle_s = attempt.replica.timeouts.idle_s
        self._stream = False
        self._began = 0.0
        self._waits = 0.0
        """When the first token of a stream is due that has only sent comments; else 0."""
        self._line = 0
        """Bytes of a stream since the last end of a line."""
        self._said = 0
        """The status that the server gave."""
        self._open = True
        """Whether the attempt is still under way."""
        self.wants_plain = door.wants_plain
        self.framing = AS_IS
        self.status = 0
        self._leads = forward.target.protocol == "anthropic"
        self._sent = len(forward.body)
        self._meter: Meter | None = None
        self._limited = forward.record.caller is not None
        """Whether the client has limits of ours."""
        self._trim = forward.trim
        self._trimmer: Trimmer | None = None
        self._framed: FramedTrimmer | None = None
        """Of a stream whose usage the client did not ask for: its events, or its chunks."""

    def begin(self, head: ResponseHead, first: bytes) -> None:
        """The head is here, and the body's first bytes."""
        door = self._door
        request, exchange, tap = door.head, door.exchange, self._tap
        assert request is not None
        assert exchange is not None
        if self._upstream is not None:
            self._upstream.hand_over(self)
            if door.blocked:
                self._upstream.pause()
        self._said = head.status
        self._stream = head.stream
        self._began = door.loop.time()
        self._meter = meter = exchange.measure(
            stream=head.stream, leads=self._leads, sent=self._sent
        )
        if self._trim and head.stream and head.length < 0:
            if head.length == CHUNKED and not self.wants_plain:
                self._framed = FramedTrimmer(self._trim)
            else:
                self._trimmer = Trimmer(self._trim)
        if first:
            meter.feed(first)
        if self._trim and head.status in (400, 422) and b"stream_options" in first:
            why = f"set usage: asked for model {self._attempt.model}, whose server refuses it"
            door.server.say("usage refused", level="warning", why=why)
        exchange.first_byte(head.status)
        if tap is not None and self._begin_watch(tap, head):
            self._respond_watched(head, first)
            return
        self.status = head.status
        if head.stream and self._comments(first, head):
            self._waits = self._attempt.sent_at + self._attempt.replica.token_s
        if head.length != len(first):  # else it is over at once
            self._wait()
        parts = [head.status_line, *self._shown(head.lines), encode_pairs(self._report)]
        if head.length < 0:
            if request.old:
                self.framing = TO_CLOSE
            else:
                parts.append(b"transfer-encoding: chunked\r\n")
                if head.length != CHUNKED:
                    self.framing = RECHUNKED
        if request.close or door.server.draining:
            request.close = True
            parts.append(b"connection: close\r\n")
        parts.append(b"x-request-id: %b\r\n\r\n" % exchange.request_id.encode("latin-1"))
        first = self._trimmed(first)
        if first:
            parts.append(
                b"%x\r\n%b\r\n" % (len(first), first) if self.framing == RECHUNKED else first
            )
        door.transport.write(b"".join(parts))

    def _shown(self, lines: list[bytes]) -> list[bytes]:
        """Those that the client gets."""
        if not self._limited:
            return lines
        return [line for line in lines if not line.lower().startswith(_LIMITS)]

    def _wait(self) -> None:
        """Set the deadline for what comes next."""
        due = self._waits or self._door.loop.time() + self._idle_s
        self._door.deadline = due if due < self._until else self._until

    def _comments(self, data: bytes, head: ResponseHead | None = None) -> bool:
        """Whether all of this is comments of an event stream, by which servers keep proxies
        patient while they think."""
        if head is not None and head.length == CHUNKED and not self.wants_plain:
            data = data.partition(b"\r\n")[2]
        return data.startswith(b":") and b"\ndata" not in data

    def relay(self, data: bytes) -> None:
        if self._waits and b"data" in data:
            self._waits = 0.0
        self._wait()
        if self._stream and not self._has_lines(data):
            self._broken("upstream_line_too_long")
            return
        assert self._meter is not None
        self._meter.feed(data)
        if self._watch is not None:
            self._watch.push(data)
            self._spare()
            return
        data = self._trimmed(data)
        if data:
            self._write(data)

    def _trimmed(self, data: bytes) -> bytes:
        """What of this the client gets."""
        if self._framed is not None and data:
            upstream = self._upstream
            return self._framed.feed(data, boundary=upstream is not None and upstream.at_boundary)
        return data if self._trimmer is None else self._trimmer.feed(data)

    def _has_lines(self, data: bytes) -> bool:
        """Whether a stream's lines end now and then. The CRLF around chunks is no line's end,
        but a bare LF is, and so is one CRLF after another."""
        if b"\n\n" in data or b"\r\n\r\n" in data or data.count(b"\n") > data.count(b"\r\n"):
            self._line = 0
            return True
        self._line += len(data)
        return self._line <= LINE_MAX

    def response_ended(self, upstream: Upstream) -> None:
        self._upstream = None
        attempt = self._attempt
        if upstream.reusable and upstream.alive:
            attempt.replica.keep(upstream, self._door.loop.time())
        else:
            upstream.close()
        self._over("ok" if self._said < 400 else f"status_{self._said}")
        if self._watch is not None:
            self._watch.end()
            return
        rest = b"" if self._trimmer is None else self._trimmer.rest()
        if rest:
            self._write(rest)
        if self.framing == RECHUNKED:
            self._door.transport.write(b"0\r\n\r\n")
        self._door.finish(self.status)

    def _over(self, outcome: str, *, failed: bool = False) -> None:
        """The attempt is over: report it, once."""
        if not self._open:
            return
        self._open = False
        attempt = self._attempt
        replica, pool = attempt.replica, attempt.pool
        door = self._door
        now = door.loop.time()
        if failed:
            pool.failed(replica, now)
        elif replica.troubled and self._said < 500 and self._said != 429 and outcome == "ok":
            replica.completed()
        assert door.exchange is not None
        door.exchange.tried(attempt.tried(outcome, now, self._said))
        need = None if replica.retired else attempt.need
        if need is not None and self._stream and outcome == "ok" and self._meter:
            events = self._meter.events
            if events > PACED:
                need.memo[TPOT] = (now - self._began) / events
        pool.ended(replica, attempt.need)

    # An answer that filters watch

    def _begin_watch(self, tap: Tap, head: ResponseHead) -> bool:
        """Whether the body goes through ``tap``."""
        taken = tap.begin(head.status, head.content_type)
        if taken == "pass":
            if head.length == CHUNKED and not self._is_old:
                self.framing = RECHUNKED  # its chunks were taken off already
            return False
        self._watch = Watch(
            tap,
            self._drive,
            released=self._released,
            ended=self._watch_ended,
            failed=self._watch_failed,
            crowded=self._crowded,
        )
        if taken == "whole":
            self._watched = head
        return True

    def _drive(self, flow: Flow[T]) -> T | Awaitable[T]:
        """Run a flow of the tap; what it asks belongs to this request's trace."""
        door = self._door
        if door.server.reads is not None and door.exchange is not None:
            SENT.set(door.exchange.inside)
        return door.server.runtime.drive(flow)

    @property
    def _is_old(self) -> bool:
        return self._door.head is not None and self._door.head.old

    def _respond_watched(self, head: ResponseHead, first: bytes) -> None:
        """Begin an answer that goes through a tap: a stream's head at once, a whole one's last."""
        watch = self._watch
        assert watch is not None
        self._wait()
        if compressed(head.lines):
            self._drop("unchecked")
            self._watch = self._watched = None
            why = "the answer is compressed and cannot be checked"
            self._door.error(502, why, "unchecked")
            return
        if self._watched is None:
            self.status = head.status
            self._stream = True
            self.framing = TO_CLOSE if self._is_old else RECHUNKED
            self._write_watched_head(head, self._report, length=None)
        if first:
            watch.push(first)

    def _write_watched_head(
        self, head: ResponseHead, report: HeaderPairs, *, length: int | None
    ) -> None:
        door, tap = self._door, self._tap
        request, exchange = door.head, door.exchange
        assert request is not None
        assert exchange is not None
        assert tap is not None
        dropped: tuple[bytes, ...] = (b"content-length:", b"transfer-encoding:")
        if tap.content_type:
            dropped += (b"content-type:",)
        lines = [line for line in self._shown(head.lines) if not line.lower().startswith(dropped)]
        parts = [head.status_line, *lines, encode_pairs(report)]
        if tap.content_type:
            parts.append(content_type_line(tap.content_type))
        if length is not None:
            parts.append(b"content-length: %d\r\n" % length)
        elif not request.old:
            parts.append(b"transfer-encoding: chunked\r\n")
        if request.close or door.server.draining:
            request.close = True
            parts.append(b"connection: close\r\n")
        parts.append(b"x-request-id: %b\r\n\r\n" % exchange.request_id.encode("latin-1"))
        door.transport.write(b"".join(parts))

    def _released(self, data: bytes) -> None:
        if self._trimmer is not None:
            data = self._trimmer.feed(data)
        if data:
            self._write(data)
        self._spare()

    def _write(self, data: bytes) -> None:
        if self.framing == RECHUNKED:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._door.transport.write(data)

    def _spare(self) -> None:
        """Spare the model the rest of an answer that a filter has ended."""
        watch = self._watch
        if watch is not None and watch.stopped and self._upstream is not None:
            self._drop("stopped")
            watch.end()

    def _watch_ended(self, ended: Ended) -> None:
        """The filters have seen all of it."""
        door = self._door
        if self._watch is not None and self._watch.detail:
            door.server.say("answer unchecked", level="warning", why=self._watch.detail)
        self._watch = None
        head, self._watched = self._watched, None
        if head is None:
            if ended.body:
                self._released(ended.body)
            rest = b"" if self._trimmer is None else self._trimmer.rest()
            if rest:
                self._write(rest)
            if self.framing == RECHUNKED:
                door.transport.write(b"0\r\n\r\n")
            door.finish(self.status, ended.reason)
            return
        report = merged(self._report, ended.report)
        if ended.status is not None:
            door.answer(ended.status, ended.body, "application/json", report, reason=ended.reason)
            return
        self.status = head.status
        self._write_watched_head(head, report, length=len(ended.body))
        door.transport.write(ended.body)
        door.finish(head.status, ended.reason)

    def _watch_failed(self) -> None:
        self._watch = self._watched = None
        self._drop("internal_error")
        self._door.fault()

    def _crowded(self, yes: bool) -> None:
        if yes:
            self.pause()
        elif not self._door.blocked:
            self.resume()

    def _drop(self, outcome: str) -> None:
        if self._upstream is not None:
            self._upstream.drop()
            self._upstream = None
        self._over(outcome)

    # What breaks off

    def upstream_lost(self, upstream: Upstream, reason: str) -> None:
        """The upstream connection ended before its response did."""
        self._upstream = None
        self._lost(reason, boundary=upstream.at_boundary)

    def _broken(self, reason: str, *, failed: bool = True) -> None:
        """What comes cannot be passed on."""
        upstream, self._upstream = self._upstream, None
        boundary = upstream is not None and upstream.at_boundary
        if upstream is not None:
            upstream.drop()
        self._lost(reason, boundary=boundary, failed=failed)

    def _lost(self, reason: str, *, boundary: bool, failed: bool = True) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = self._watched = None
        self._over(reason, failed=failed)
        if self.status:
            self._break_off(reason, boundary=boundary)
        else:
            self._door.broke_before(self._report, reason)

    def _break_off(self, reason: str, *, boundary: bool) -> None:
        """The response broke in its middle: the client must not take it for a whole one.

        Chunks and a counted body end early, without the last chunk or the missing bytes; a
        client reads that as an error and still gets all that was sent. Only a response that
        ends with its connection (HTTP/1.0) needs a reset to say so.
        """
        door = self._door
        # A trimmer passes on whole events only, in whole chunks.
        trims = self._trimmer is not None or self._framed is not None
        boundary = trims or (boundary and self._at_event_boundary())
        path, headers = door.asked()
        door.end(self.status, reason)
        if self.framing == TO_CLOSE:
            door.reset()
            return
        if boundary:
            event = shell_broken(path, headers, 502, "the model's server broke off", reason)
            door.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        door.close()

    def _at_event_boundary(self) -> bool:
        """Whether the client's event stream can take one more event, in a chunk of its own."""
        if not self._stream or self.framing == TO_CLOSE:
            return False
        tail = b"" if self._meter is None else self._meter.tail
        if self.framing == AS_IS:
            tail = tail[:-2]  # the CRLF that ends a chunk
        return tail.endswith((b"\n\n", b"\r\n\r\n"))

    # Called by the door

    def expire(self) -> None:
        """The deadline has passed."""
        door = self._door
        if self._upstream is None:  # the filters are still at it
            door.deadline = NEVER
            return
        now = door.loop.time()
        if door.blocked and now < self._until:
            if self._watch is not None:
                self._watch.cancel()
                self._watch = self._watched = None
            door.give_up(499, "client_stalled")
            door.reset()
        elif now >= self._until:
            self._broken("upstream_timeout", failed=False)  # it spoke until we stopped it
        else:
            self._broken("upstream_idle")

    def pause(self) -> None:
        if self._upstream is not None:
            self._upstream.pause()

    def resume(self) -> None:
        if self._upstream is not None:
            self._upstream.resume()

    def cancel(self, outcome: str = "cancelled") -> None:
        """The client is gone, or we are stopping."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = self._watched = None
        self._drop(outcome)
