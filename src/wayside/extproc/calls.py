"""gRPC calls over :mod:`wayside.extproc.h2`: which method, whole messages in, status out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from wayside.extproc import h2, wire
from wayside.extproc.hpack import Header

OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED = 0, 3, 8
UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 12, 13, 14

PROCESS: Final = b"/envoy.service.ext_proc.v3.ExternalProcessor/Process"
HEALTH_CHECK: Final = b"/grpc.health.v1.Health/Check"
HEALTH_WATCH: Final = b"/grpc.health.v1.Health/Watch"

SERVING: Final = wire.message(b"\x08\x01")
NOT_SERVING: Final = wire.message(b"\x08\x02")


class Call(Protocol):
    """What a method does with one stream."""

    def message(self, data: bytes) -> None:
        """A whole message; may raise :class:`~wayside.extproc.wire.WireError`."""

    def too_large(self) -> bool:
        """The next message is larger than allowed; whether the call answered that itself."""

    def ended(self) -> None:
        """The peer has sent its last message."""

    def gone(self, reason: str) -> None:
        """The stream ended early."""


class Calls(h2.Connection):
    """One gRPC connection; ``methods`` makes a :class:`Call` per path."""

    def __init__(
        self,
        methods: dict[bytes, Callable[[Calls, h2.Stream], Call]],
        *,
        max_message: int,
        clock: Callable[[], float],
        max_kept: int = 256 << 20,
    ) -> None:
        super().__init__(clock)
        self._methods = methods
        self._max_message = max_message
        self._max_kept = max_kept
        self._kept = 0

    # --- for calls -----------------------------------------------------------------------------

    def reply(self, stream: h2.Stream, messages: Sequence[wire.Message]) -> None:
        """Send whole messages, together if they fit one frame."""
        if stream.id not in self.streams or not messages:
            return
        parts = messages[0]
        if len(messages) > 1:
            parts = tuple(part for message in messages for part in message)
        if not stream.opened:
            stream.opened = True
            self.out.append(_OPENED_HEAD + stream.id.to_bytes(4, "big") + _OPENED)
        self.send(stream, parts, len(parts[0]) if len(parts) == 1 else sum(map(len, parts)))

    def finish(self, stream: h2.Stream, status: int = OK, why: str = "") -> None:
        """End the call with a gRPC status, after everything sent before."""
        if stream.id not in self.streams or stream.trailers is not None:
            return
        self._drop(stream)
        self.end(stream, _trailers(stream.opened, status, why))

    # --- what HTTP/2 says ----------------------------------------------------------------------

    def on_open(self, stream: h2.Stream, headers: tuple[Header, ...]) -> None:
        found = _REQUESTS.get(headers)
        if found is None:
            found = _request(headers)
            if len(_REQUESTS) < 256:
                _REQUESTS[headers] = found
        path, refusal = found
        if refusal:
            if refusal == b"reset":
                self.reset(stream, h2.PROTOCOL_ERROR)
            else:
                self.end(stream, refusal)
            return
        method = self._methods.get(path)
        if method is None:
            self.finish(stream, UNIMPLEMENTED, "unknown method")
            return
        stream.call = method(self, stream)

    def on_data(self, stream: h2.Stream, data: bytes, start: int, end: int) -> None:
        call: Call | None = stream.call
        if call is None or stream.trailers is not None:
            return
        size = end - start
        if (
            not stream.kept_size
            and size >= 5
            and not data[start]
            and _length(data, start + 1)[0] == size - 5
        ):  # one message in one frame: what Envoy sends nearly always
            stream.heard = True
            try:
                call.message(data[start + 5 : end])
            except wire.WireError as error:
                self._refuse(stream, INVALID_ARGUMENT, str(error))
            return
        stream.kept.append(data[start:end])
        stream.kept_size += size
        self._kept += size
        if stream.kept_size >= stream.wanted:
            self._assemble(stream, call)
        if self._kept > self._max_kept and stream.kept_size:
            self.finish(stream, RESOURCE_EXHAUSTED, "too much is waiting")

    def on_end(self, stream: h2.Stream) -> None:
        call: Call | None = stream.call
        if call is None or stream.trailers is not None:
            return
        if stream.kept_size:
            call.gone("the stream ended inside a message")
            self.finish(stream, INTERNAL, "the stream ended inside a message")
        else:
            call.ended()

    def on_gone(self, stream: h2.Stream, code: int) -> None:
        self._drop(stream)
        call, stream.call = stream.call, None
        if call is not None:
            call.gone("the stream was reset")

    # --- messages ------------------------------------------------------------------------------

    def _assemble(self, stream: h2.Stream, call: Call) -> None:
        """Deliver every whole message among the pieces kept, joined once."""
        kept, wanted = stream.kept, stream.wanted
        stream.wanted = 0
        if stream.kept_size == wanted > 5 and len(kept[0]) >= 5:
            # Exactly one message, whose prefix was read before: join its bytes only once.
            kept[0] = kept[0][5:]
            self._drop(stream)
            stream.heard = True
            self._deliver(stream, call, b"".join(kept))
            return
        data = kept[0] if len(kept) == 1 else b"".join(kept)
        pos, size = 0, len(data)
        self._drop(stream)
        while size - pos >= 5:
            if data[pos]:
                if data[pos] == 1:
                    self._refuse(stream, UNIMPLEMENTED, "compressed messages are not supported")
                else:
                    self._refuse(stream, INTERNAL, "an unknown message flag")
                return
            length = int.from_bytes(data[pos + 1 : pos + 5], "big")
            if length > self._max_message:
                if call.too_large():
                    self.finish(stream)
                else:
                    self._refuse(stream, RESOURCE_EXHAUSTED, "the message is too large")
                return
            end = pos + 5 + length
            if end > size:
                stream.wanted = 5 + length
                break
            stream.heard = True
            self._deliver(stream, call, data[pos + 5 : end])
            pos = end
            if stream.call is None or stream.trailers is not None:
                return
            if stream.id not in self.streams:
                return
        if pos < size:
            stream.kept = [data[pos:] if pos else data]
            stream.kept_size = size - pos
            stream.wanted = stream.wanted or 5
            self._kept += stream.kept_size

    def _deliver(self, stream: h2.Stream, call: Call, message: bytes) -> None:
        try:
            call.message(message)
        except wire.WireError as error:
            self._refuse(stream, INVALID_ARGUMENT, str(error))

    def _refuse(self, stream: h2.Stream, status: int, why: str) -> None:
        call, stream.call = stream.call, None
        if call is not None:
            call.gone(why)
        self.finish(stream, status, why)

    def _drop(self, stream: h2.Stream) -> None:
        self._kept -= stream.kept_size
        stream.kept_size = 0
        stream.kept = []


def _request(headers: tuple[Header, ...]) -> tuple[bytes, bytes]:
    """The path asked for, and the header block that refuses the call, if it must be refused."""
    found = dict(headers)
    path = found.get(b":path", b"")
    if not path or b":method" not in found:
        return path, b"reset"
    if found[b":method"] != b"POST":
        return path, literal(b":status", b"405")
    if not found.get(b"content-type", b"").startswith(b"application/grpc"):
        return path, literal(b":status", b"415")
    return path, b""


_REQUESTS: Final[dict[tuple[Header, ...], tuple[bytes, bytes]]] = {}


def literal(name: bytes, value: bytes) -> bytes:
    """A header as HPACK's "literal without indexing", both sides under 127 bytes."""
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


_length: Final = struct.Struct(">I").unpack_from
_OPENED: Final = b"\x88" + literal(b"content-type", b"application/grpc")  # 0x88: ":status: 200"

_OPENED_HEAD: Final = h2.frame(h2.HEADERS, h2.END_HEADERS, 0, _OPENED)[:5]


def _trailers(opened: bool, status: int, why: str) -> bytes:
    if not status:
        return _TRAILERS_OK if opened else _OPENED + _TRAILERS_OK
    block = b"" if opened else _OPENED
    block += literal(b"grpc-status", b"%d" % status)
    return block + literal(b"grpc-message", why.encode("ascii", "replace")[:120])


_TRAILERS_OK: Final = literal(b"grpc-status", b"0")
