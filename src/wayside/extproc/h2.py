"""The server's half of HTTP/2 (RFC 9113), for peers that open streams: bytes in, bytes out.

No I/O and no tasks. A subclass says what streams mean. Every violation ends in GOAWAY or
RST_STREAM with the proper code; nothing raises, and what is kept per connection is bounded: one
frame, one header block, and the subclass's own replies.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from wayside.extproc.hpack import Decoder, Header, HpackError

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITISED: Final = 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 5, 6, 7, 8, 9
ENHANCE_YOUR_CALM: Final = 11

MAX_FRAME: Final = 256 << 10
"""Bytes a frame from the peer may have."""
MAX_STREAMS: Final = 1000
MAX_BLOCK: Final = 64 << 10
"""Bytes of one header block, over all its CONTINUATION frames."""
STREAM_WINDOW: Final = 1 << 20
CONNECTION_WINDOW: Final = 64 << 20
_LARGEST: Final = (1 << 31) - 1

# A peer may cost us this many answers to frames that carry nothing, at once and per second.
_PATIENCE: Final = 1000.0
_PATIENCE_PER_S: Final = 50.0

_HEAD = struct.Struct(">IBI")
_unpack_head = _HEAD.unpack_from
_pack_head = _HEAD.pack
_U32 = struct.Struct(">I")
_SETTING = struct.Struct(">HI")


def frame(kind: int, flags: int, sid: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return _pack_head(len(payload) << 8 | kind, flags, sid) + payload


_HELLO: Final = frame(
    SETTINGS,
    0,
    0,
    # HEADER_TABLE_SIZE 0: blocks are then context-free, and decoded once per distinct one.
    _SETTING.pack(1, 0)
    + _SETTING.pack(3, MAX_STREAMS)
    + _SETTING.pack(4, STREAM_WINDOW)
    + _SETTING.pack(5, MAX_FRAME)
    + _SETTING.pack(6, MAX_BLOCK),
) + frame(WINDOW_UPDATE, 0, 0, _U32.pack(CONNECTION_WINDOW - 65_535))
_SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0)


class Fault(Exception):
    """The peer broke the protocol; the connection ends with ``code``. Never leaves this module."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Stream:
    """One stream that is open on at least one side."""

    __slots__ = (
        "call",
        "heard",
        "id",
        "kept",
        "kept_size",
        "opened",
        "queue",
        "receive_window",
        "remote_closed",
        "send_window",
        "trailers",
        "wanted",
    )

    def __init__(self, sid: int, send_window: int) -> None:
        self.id = sid
        self.send_window = send_window
        self.receive_window = STREAM_WINDOW
        self.remote_closed = False
        self.opened = False
        """Response headers were sent."""
        self.queue: deque[memoryview] | None = None
        """What the peer's windows do not let through yet."""
        self.trailers: bytes | None = None
        self.heard = False
        """A message arrived on it."""
        # For the layer above.
        self.call: Any = None
        self.kept: list[bytes] = []
        self.kept_size = 0
        self.wanted = 0


class Connection:
    """One connection. After :meth:`receive`, write :attr:`out`; close once :attr:`closing`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.out: list[bytes | memoryview] = [_HELLO]
        self.closing = False
        self.streams: dict[int, Stream] = {}
        self.failure = ""
        """Why we ended the connection, if the peer was to blame."""
        self._clock = clock
        self._parts: list[bytes] = []
        self._missing = 0
        self._preface = False
        self._greeted = False
        self._decoder = Decoder()
        self._block: tuple[int, int, list[bytes]] | None = None
        self._last = 0
        self._window = 65_535
        self._initial_window = 65_535
        self._max_frame = 16_384
        self._receive_window = CONNECTION_WINDOW
        self._blocked: dict[int, Stream] = {}
        self._patience = _PATIENCE
        self._since = clock()
        self._draining = 0
        self._peer_leaves = False

    # --- for the subclass ----------------------------------------------------------------------

    def on_open(self, stream: Stream, headers: tuple[Header, ...]) -> None:
        """A stream began; :attr:`Stream.remote_closed` tells whether anything follows."""

    def on_data(self, stream: Stream, data: bytes, start: int, end: int) -> None:
        """``data[start:end]`` arrived, which is not empty."""

    def on_end(self, stream: Stream) -> None:
        """The peer has said all."""

    def on_gone(self, stream: Stream, code: int) -> None:
        """The stream ended early: reset by either side, or the connection is lost."""

    def send(self, stream: Stream, parts: Iterable[bytes | memoryview], size: int) -> None:
        """Send ``parts`` (``size`` bytes together) as far as the peer's windows allow."""
        if (
            stream.queue is None
            and size <= self._max_frame
            and size <= stream.send_window
            and size <= self._window
        ):
            stream.send_window -= size
            self._window -= size
            self.out.append(_pack_head(size << 8, 0, stream.id))
            self.out.extend(parts)
            return
        if stream.queue is None:
            stream.queue = deque()
        stream.queue.append(memoryview(b"".join(parts)))
        self._flush(stream)

    def end(self, stream: Stream, trailers: bytes) -> None:
        """Send the header block ``trailers`` after everything queued, and forget the stream."""
        if stream.queue:
            stream.trailers = trailers
            return
        self.out.append(
            _pack_head(len(trailers) << 8 | HEADERS, END_HEADERS | END_STREAM, stream.id)
        )
        self.out.append(trailers)
        if not stream.remote_closed:
            # RFC 9113 section 8.1: an early answer asks the peer to stop sending.
            self.out.append(frame(RST_STREAM, 0, stream.id, _U32.pack(NO_ERROR)))
        self._forget(stream)

    def reset(self, stream: Stream, code: int) -> None:
        """End the stream at once."""
        self.out.append(frame(RST_STREAM, 0, stream.id, _U32.pack(code)))
        self._forget(stream)
        self.on_gone(stream, code)

    # --- for the shell -------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes as they came. Does nothing once :attr:`closing`."""
        if self.closing:
            return
        if self._missing:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._parts)
            self._parts = []
        self._missing = 0
        try:
            pos = self._frames(data)
        except Fault as fault:
            self._abort(fault.code, str(fault))
        except HpackError as error:
            self._abort(COMPRESSION_ERROR, str(error))
        else:
            if pos < len(data):
                self._parts.append(data[pos:] if pos else data)
            else:
                self._missing = 0

    def lost(self) -> None:
        """The transport is gone."""
        self.closing = True
        self.out.clear()
        self._end_all(CANCEL)

    def drain(self) -> None:
        """Take no further streams, end those under way, then close (RFC 9113 section 6.8)."""
        if self._draining or self.closing:
            return
        # Streams that are already on their way are served: the last one is only named when the
        # peer has answered a PING, and so has read the first GOAWAY.
        self._draining = 1
        self._goaway(_LARGEST, NO_ERROR, b"")
        self.out.append(frame(PING, 0, 0, b"wayside!"))

    @property
    def greeted(self) -> bool:
        """Whether the peer has said its preface and its settings."""
        return self._greeted

    @property
    def waits_for_window(self) -> bool:
        """Whether replies are held because the peer does not open its windows."""
        return bool(self._blocked)

    # --- frames --------------------------------------------------------------------------------

    def _frames(self, data: bytes) -> int:
        """Handle each whole frame; where the rest begins, and how much of it is missing."""
        pos, size = 0, len(data)
        if not self._preface:
            if data[:24] != PREFACE[:size]:
                raise Fault(PROTOCOL_ERROR, "not an HTTP/2 connection preface")
            if size < 24:
                self._missing = 24 - size
                return 0
            self._preface = True
            pos = 24
        while size - pos >= 9:
            typed, flags, sid = _unpack_head(data, pos)
            length, kind = typed >> 8, typed & 0xFF
            if length > MAX_FRAME:
                raise Fault(FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            end = pos + 9 + length
            if end > size:
                self._missing = end - size
                return pos
            sid &= _LARGEST
            start = pos + 9
            pos = end
            if self._block is not None and kind != CONTINUATION:
                raise Fault(PROTOCOL_ERROR, "a frame inside a header block")
            if kind == DATA:
                self._on_data(sid, flags, data, start, end)
            elif not self._greeted and (kind != SETTINGS or flags & ACK):
                raise Fault(PROTOCOL_ERROR, "the first frame is not SETTINGS")
            else:
                handler = _HANDLERS.get(kind)
                if handler is not None:  # unknown kinds are ignored (section 4.1)
                    handler(self, sid, flags, data[start:end])
            if self.closing:
                return size
        self._missing = 9 - (size - pos) if pos < size else 0
        return pos

    def _on_data(self, sid: int, flags: int, data: bytes, start: int, end: int) -> None:
        size = end - start
        # Both windows are filled up at half, which is more than a frame may have: a peer cannot
        # overrun them, and what is held for a slow core is bounded elsewhere, by its bytes.
        self._receive_window -= size
        if self._receive_window < CONNECTION_WINDOW // 2:
            grant = CONNECTION_WINDOW - self._receive_window
            self._receive_window = CONNECTION_WINDOW
            self.out.append(frame(WINDOW_UPDATE, 0, 0, _U32.pack(grant)))
        if flags & PADDED:
            if not size or data[start] >= size:
                raise Fault(PROTOCOL_ERROR, "more padding than payload")
            end -= data[start]
            start += 1
        stream = self.streams.get(sid)
        if stream is None:
            if not sid & 1 or sid > self._last:
                raise Fault(PROTOCOL_ERROR, "DATA on a stream that was never opened")
            return  # it was on its way when we ended the stream
        if stream.remote_closed:
            self.reset(stream, STREAM_CLOSED)
            return
        window = stream.receive_window - size
        ended = flags & END_STREAM
        if window < STREAM_WINDOW // 2 and not ended:
            update = _U32.pack(STREAM_WINDOW - window)
            self.out.append(frame(WINDOW_UPDATE, 0, sid, update))
            window = STREAM_WINDOW
        stream.receive_window = window
        if ended:
            stream.remote_closed = True
        if end > start:
            self.on_data(stream, data, start, end)
        if ended and sid in self.streams:
            self.on_end(stream)
            self._left()

    def _on_headers(self, sid: int, flags: int, payload: bytes) -> None:
        if not sid & 1:
            raise Fault(PROTOCOL_ERROR, "HEADERS on a stream that a client cannot open")
        start, end = 0, len(payload)
        if flags & PADDED:
            if not payload or payload[0] >= end:
                raise Fault(PROTOCOL_ERROR, "more padding than payload")
            end -= payload[0]
            start = 1
        if flags & PRIORITISED:
            if end - start < 5:
                raise Fault(FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            start += 5
        block = payload[start:end]
        if flags & END_HEADERS:
            self._on_block(sid, flags, block)
        else:
            self._block = (sid, flags, [block])

    def _on_continuation(self, sid: int, flags: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != sid:
            raise Fault(PROTOCOL_ERROR, "CONTINUATION without its HEADERS")
        _, first, parts = self._block
        parts.append(payload)
        if len(parts) > 64 or sum(map(len, parts)) > MAX_BLOCK:
            raise Fault(ENHANCE_YOUR_CALM, "the header block is too large")
        if flags & END_HEADERS:
            self._block = None
            self._on_block(sid, first, b"".join(parts))

    def _on_block(self, sid: int, flags: int, block: bytes) -> None:
        if len(block) > MAX_BLOCK:
            raise Fault(ENHANCE_YOUR_CALM, "the header block is too large")
        headers = self._decoder.decode(block)
        stream = self.streams.get(sid)
        if stream is not None:
            self._on_trailers(stream, flags)
            return
        if sid <= self._last:
            self._spend()
            self.out.append(frame(RST_STREAM, 0, sid, _U32.pack(STREAM_CLOSED)))
            return
        self._last = sid
        if len(self.streams) >= MAX_STREAMS or self._draining == 2 or self._peer_leaves:
            self._spend()
            self.out.append(frame(RST_STREAM, 0, sid, _U32.pack(REFUSED_STREAM)))
            return
        stream = self.streams[sid] = Stream(sid, self._initial_window)
        stream.remote_closed = bool(flags & END_STREAM)
        self.on_open(stream, headers)
        if stream.remote_closed and sid in self.streams:
            self.on_end(stream)
            self._left()

    def _on_trailers(self, stream: Stream, flags: int) -> None:
        if stream.remote_closed:
            self.reset(stream, STREAM_CLOSED)
        elif not flags & END_STREAM:
            self.reset(stream, PROTOCOL_ERROR)
        else:
            stream.remote_closed = True
            self.on_end(stream)
            self._left()

    def _on_priority(self, sid: int, flags: int, payload: bytes) -> None:
        if not sid:
            raise Fault(PROTOCOL_ERROR, "PRIORITY without a stream")
        if len(payload) != 5:
            stream = self.streams.get(sid)
            if stream is not None:
                self.reset(stream, FRAME_SIZE_ERROR)

    def _on_rst(self, sid: int, flags: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Fault(FRAME_SIZE_ERROR, "RST_STREAM is not four bytes")
        if not sid & 1 or sid > self._last:
            raise Fault(PROTOCOL_ERROR, "RST_STREAM on a stream that was never opened")
        stream = self.streams.get(sid)
        if stream is None:
            return
        if not stream.heard:
            self._spend()  # opening and resetting is cheaper for the peer than for us
        self._forget(stream)
        self.on_gone(stream, _U32.unpack(payload)[0])

    def _on_settings(self, sid: int, flags: int, payload: bytes) -> None:
        if sid:
            raise Fault(PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & ACK and payload):
            raise Fault(FRAME_SIZE_ERROR, "SETTINGS of a wrong length")
        if flags & ACK:
            return
        self._spend()
        self._greeted = True
        for key, value in _SETTING.iter_unpack(payload):
            if key == 4:
                self._resize_windows(value)
            elif key == 5:
                if not 16_384 <= value < 1 << 24:
                    raise Fault(PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
                self._max_frame = min(value, MAX_FRAME)
            elif key == 2 and value > 1:
                raise Fault(PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
        self.out.append(_SETTINGS_ACK)

    def _resize_windows(self, value: int) -> None:
        if value > _LARGEST:
            raise Fault(FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE out of range")
        change = value - self._initial_window
        self._initial_window = value
        for stream in list(self.streams.values()):
            stream.send_window += change
            if stream.send_window > _LARGEST:
                raise Fault(FLOW_CONTROL_ERROR, "a stream's window grows beyond 2^31-1")
            if stream.queue:
                self._flush(stream)

    def _on_ping(self, sid: int, flags: int, payload: bytes) -> None:
        if sid:
            raise Fault(PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise Fault(FRAME_SIZE_ERROR, "PING is not eight bytes")
        if not flags & ACK:
            self._spend()
            self.out.append(frame(PING, ACK, 0, payload))
        elif self._draining == 1:
            self._draining = 2
            self._goaway(self._last, NO_ERROR, b"")
            self._left()

    def _on_goaway(self, sid: int, flags: int, payload: bytes) -> None:
        if sid:
            raise Fault(PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise Fault(FRAME_SIZE_ERROR, "GOAWAY is too short")
        self._peer_leaves = True
        self._left()

    def _on_window(self, sid: int, flags: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Fault(FRAME_SIZE_ERROR, "WINDOW_UPDATE is not four bytes")
        more = _U32.unpack(payload)[0] & _LARGEST
        if not sid:
            if not more:
                raise Fault(PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            self._window += more
            if self._window > _LARGEST:
                raise Fault(FLOW_CONTROL_ERROR, "the window grows beyond 2^31-1")
            for stream in list(self._blocked.values()):
                self._flush(stream)
                if self._window <= 0:
                    break
            return
        stream = self.streams.get(sid)  # type: ignore[assignment]
        if stream is None:
            if not sid & 1 or sid > self._last:
                raise Fault(PROTOCOL_ERROR, "WINDOW_UPDATE on a stream that was never opened")
            return
        if not more:
            self.reset(stream, PROTOCOL_ERROR)
            return
        stream.send_window += more
        if stream.send_window > _LARGEST:
            self.reset(stream, FLOW_CONTROL_ERROR)
        elif stream.queue:
            self._flush(stream)

    def _on_push(self, sid: int, flags: int, payload: bytes) -> None:
        raise Fault(PROTOCOL_ERROR, "a client cannot push")

    # --- inner workings ------------------------------------------------------------------------

    def _flush(self, stream: Stream) -> None:
        queue = stream.queue
        while queue:
            room = min(self._max_frame, stream.send_window, self._window)
            if room <= 0:
                self._blocked[stream.id] = stream
                return
            piece = queue[0]
            if len(piece) <= room:
                queue.popleft()
            else:
                queue[0] = piece[room:]
                piece = piece[:room]
            size = len(piece)
            stream.send_window -= size
            self._window -= size
            self.out.append(_pack_head(size << 8, 0, stream.id))
            self.out.append(piece)
        stream.queue = None
        self._blocked.pop(stream.id, None)
        if stream.trailers is not None:
            self.end(stream, stream.trailers)

    def _forget(self, stream: Stream) -> None:
        self.streams.pop(stream.id, None)
        self._blocked.pop(stream.id, None)
        stream.queue = None
        self._left()

    def _left(self) -> None:
        """Close when both sides are done with this connection."""
        if not self.streams and (self._peer_leaves or self._draining == 2):
            self.closing = True

    def _spend(self) -> None:
        now = self._clock()
        earned = (now - self._since) * _PATIENCE_PER_S
        self._since = now
        self._patience = min(_PATIENCE, self._patience + earned) - 1
        if self._patience < 0:
            raise Fault(ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def _goaway(self, last: int, code: int, why: bytes) -> None:
        self.out.append(frame(GOAWAY, 0, 0, _U32.pack(last) + _U32.pack(code) + why))

    def _abort(self, code: int, why: str) -> None:
        self.failure = why
        self._parts = []
        self._goaway(self._last, code, why.encode())
        self.closing = True
        self._end_all(code)

    def _end_all(self, code: int) -> None:
        streams, self.streams = list(self.streams.values()), {}
        self._blocked.clear()
        for stream in streams:
            stream.queue = None
            self.on_gone(stream, code)


_HANDLERS: Final[dict[int, Callable[[Connection, int, int, bytes], None]]] = {
    HEADERS: Connection._on_headers,
    PRIORITY: Connection._on_priority,
    RST_STREAM: Connection._on_rst,
    SETTINGS: Connection._on_settings,
    PUSH_PROMISE: Connection._on_push,
    PING: Connection._on_ping,
    GOAWAY: Connection._on_goaway,
    WINDOW_UPDATE: Connection._on_window,
    CONTINUATION: Connection._on_continuation,
}
