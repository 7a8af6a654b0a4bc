"""What an Envoy, or somebody who claims to be one, says to the ext_proc server.

The first byte chooses bytes as they are, or a script in which every step makes one valid frame
and may spoil it; the second byte how the bytes are cut.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import struct
from collections.abc import Callable
from typing import Any

from hpack import Decoder

from tests.extproc.frames import (
    HELLO,
    block,
    body_message,
    grpc,
    headers_message,
    settings,
    window,
)
from tests.fuzz.targets import Finding, check, split
from wayside.extproc import calls, h2, wire
from wayside.extproc.framed import FramedConnection, FramedServer
from wayside.extproc.session import Door
from wayside.telemetry.meter import Meter
from wayside.vocab.outcome import Forward, Outcome, Record, Reply, Request, Target

MAX_BODY = 5_000
MAX_HELD = 12_000

WORDS = (
    h2.PREFACE,
    HELLO,
    block(),
    grpc(headers_message()),
    grpc(headers_message(ended=True)),
    grpc(body_message(b'{"model":"auto"}')),
    grpc(headers_message({":status": "200"}, phase=wire.RESPONSE_HEADERS)),
    settings(window=0),
    settings(frame=16_384),
    window(0, 1),
    window(1, 65_535),
    h2.frame(h2.PING, 0, 0, b"12345678"),
    h2.frame(h2.RST_STREAM, 0, 1, b"\0\0\0\x08"),
    h2.frame(h2.GOAWAY, 0, 0, b"\0" * 8),
    h2.frame(h2.DATA, 1, 1, b""),
    b"\x0a\x07:status\x1a\x03200",
    b"\x3f\xe1\x1f",
    b"\xff\xff\xff\xff\x0f",
)


class Exchange:
    def __init__(self) -> None:
        self.ends = 0

    def routed(self, record: Record) -> None:
        check(not self.ends, "routed after its end")

    def first_byte(self, status: int) -> None:
        check(not self.ends, "a first byte after its end")

    def measure(self, *, stream: bool, leads: bool, sent: int) -> Meter:
        check(not self.ends, "measured after its end")
        return Meter(stream=stream, leads=leads, asked=sent)

    def ended(self, *, status: int, reason: str = "") -> None:
        self.ends += 1


class Core:
    """Runtime, telemetry and log in one: answers, changes, forwards, and sometimes later."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.errors: list[str] = []

    def begin(self, *, shell: str, request_id: str) -> Exchange:
        self.exchanges.append(Exchange())
        return self.exchanges[-1]

    def log(self, event: str, *, level: str = "info", **fields: Any) -> None:
        if level == "error":
            self.errors.append(f"{event}: {fields}")

    def turned_away(self, request: Request) -> None:
        """Everybody is let in."""

    def handle(self, request: Request) -> Any:
        outcome = self._decide(request)
        return _later(outcome) if b"slow" in request.body else outcome

    def _decide(self, request: Request) -> Outcome:
        if request.method != "POST" or b"{" not in request.body:
            return Reply(status=400, body=b'{"error":{}}', record=Record(path="error"))
        changed = b"auto" in request.body
        return Forward(
            target=Target(name="m", upstream_name="m"),
            path=request.path,
            body=request.body + b" " * 300 if changed else request.body,
            changed=changed,
            set_headers=(("x-selected-model", "m"),),
            remove_headers=("authorization",),
            report=(("x-vsr-selected-model", "m"),),
            record=Record(model="m"),
        )


async def _later(outcome: Outcome) -> Outcome:
    await asyncio.sleep(0)
    return outcome


class Transport:
    """Collects what the server writes."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.closing = False

    def write(self, data: bytes) -> None:
        check(not self.closing, "written after close")
        self.out += data

    def close(self) -> None:
        self.closing = True

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


_loop = asyncio.new_event_loop()
atexit.register(_loop.close)


def run(data: bytes) -> None:
    if len(data) < 2:
        return
    stream = data[2:] if data[0] & 1 else Script(data[2:]).stream()
    if data[0] & 6 == 2:
        stream = HELLO + stream
    _loop.run_until_complete(_converse(split(stream, data[1]), data[0]))


async def _converse(pieces: list[bytes], control: int) -> None:
    core = Core()
    assumed = (wire.BUFFERED, wire.STREAMED, wire.FULL_DUPLEX_STREAMED)[(control >> 3) % 3]
    door = Door(
        core,
        core,
        max_body_bytes=MAX_BODY,
        max_held_bytes=MAX_HELD,
        assumed=assumed,
        log=core.log,
    )
    server = FramedServer(door, clock=lambda: 1.0)
    connection = FramedConnection(server)
    transport = Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    heard = 0
    for i, piece in enumerate(pieces):
        if transport.closing:
            break
        connection.data_received(piece)
        heard += len(piece)
        if control & 0x40:
            await asyncio.sleep(0)
        if control & 0x80 and i == len(pieces) // 2:
            connection.drain()
        _bounded(connection, door)
        check(len(transport.out) < 4_096 + 400 * (heard + 1), "much more is said than heard")
    for _ in range(100):
        if not server.tasks:
            break
        await asyncio.sleep(0)
    check(not server.tasks, "an answer never comes")
    connection.connection_lost(None)
    await asyncio.sleep(0)
    _bounded(connection, door)
    check(not connection.http.streams, "a stream outlives its connection")
    check(door.held == 0, "bytes are held for nobody", door.held)
    check(connection.http._kept == 0, "pieces are kept for nobody", connection.http._kept)
    for exchange in core.exchanges:
        check(exchange.ends == 1, "a request did not end once", exchange.ends)
    if core.errors:
        raise Finding(core.errors[0])
    Reader().read(bytes(transport.out))


def _bounded(connection: FramedConnection, door: Door) -> None:
    http = connection.http
    check(http._kept <= MAX_HELD + h2.MAX_FRAME, "too much is kept", http._kept)
    check(door.held <= MAX_HELD + h2.MAX_FRAME, "too much is held", door.held)
    check(len(http.streams) <= h2.MAX_STREAMS, "too many streams", len(http.streams))


class Reader:
    """Reads what the server said, strictly; what cannot be read is a finding."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._over: set[int] = set()
        self._begun: set[int] = set()
        self._messages: dict[int, bytes] = {}

    def read(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            check(len(data) - at >= 9, "half a frame head", data[at:])
            typed, flags, sid = struct.unpack_from(">IBI", data, at)
            size, kind = typed >> 8, typed & 0xFF
            end = at + 9 + size
            check(end <= len(data), "half a frame", data[at:])
            check(size <= 16_384 or kind == h2.DATA, "a frame that is too large", size)
            self._frame(kind, flags, sid, data[at + 9 : end])
            at = end
        for sid, rest in self._messages.items():
            check(sid not in self._over or not rest, "half a message", sid, rest)

    def _frame(self, kind: int, flags: int, sid: int, payload: bytes) -> None:
        if kind in (h2.DATA, h2.HEADERS):
            check(sid & 1 and sid not in self._over, "a frame after the end of its stream", sid)
            if flags & h2.END_STREAM:
                self._over.add(sid)
        if kind == h2.HEADERS:
            check(flags & h2.END_HEADERS, "a header block in pieces")
            headers = dict(self._decoder.decode(payload, raw=True))
            check((b":status" in headers) == (sid not in self._begun), "two heads", headers)
            self._begun.add(sid)
        elif kind == h2.DATA:
            check(sid in self._begun, "a message before the head")
            self._take(sid, payload)
        elif kind == h2.RST_STREAM:
            check(len(payload) == 4, "an odd RST_STREAM")
            self._over.add(sid)
            self._messages.pop(sid, None)
        else:
            check(kind in (h2.SETTINGS, h2.PING, h2.GOAWAY, h2.WINDOW_UPDATE), "an odd kind", kind)

    def _take(self, sid: int, payload: bytes) -> None:
        rest = self._messages.get(sid, b"") + payload
        while len(rest) >= 5:
            check(rest[0] == 0, "an odd message flag", rest[0])
            end = 5 + int.from_bytes(rest[1:5], "big")
            if end > len(rest):
                break
            _whole(rest[5:end])
            rest = rest[end:]
        self._messages[sid] = rest


def _whole(message: bytes) -> None:
    """A protobuf message, down to the errors we answer with."""
    for number, _, start, end in wire.fields(message, 0, len(message)):
        if number == 7 and start >= 0:
            for inner, _, begin, stop in wire.fields(message, start, end):
                if inner == 3:
                    json.loads(message[begin:stop])


class Script:
    """Bytes as instructions: frames of a conversation, mostly right."""

    def __init__(self, code: bytes) -> None:
        self._code, self._at = code, 0

    def stream(self) -> bytes:
        out = b""
        while self._at < len(self._code) and len(out) < 100_000:
            step = self._byte()
            frame = _STEPS[step % len(_STEPS)](self)
            if step >= 0xC0 and frame:  # spoil one byte, or cut it short
                at = self._byte() % len(frame)
                frame = (
                    frame[:at] + (bytes((self._byte(),)) if step & 1 else b"") + frame[at + 1 :]
                )
            out += frame
        return out

    def _byte(self) -> int:
        byte = self._code[self._at] if self._at < len(self._code) else 0
        self._at += 1
        return byte

    def _bytes(self) -> bytes:
        size = self._byte()
        start = self._at
        self._at += size
        return self._code[start : start + size]

    def _sid(self) -> int:
        return self._byte() % 8

    def _mode(self) -> wire.Protocol | None:
        byte = self._byte()
        return wire.Protocol(byte % 5, byte >> 3 & 3, bool(byte & 0x40)) if byte & 0x80 else None

    def _data(self, message: bytes) -> bytes:
        """A gRPC message in one DATA frame, or in two."""
        sid, flags = self._sid(), self._byte()
        cut = self._byte() if flags & 2 else 0
        parts = [message[:cut], message[cut:]] if cut else [message]
        frames = [h2.frame(h2.DATA, 0, sid, part) for part in parts[:-1]]
        return b"".join([*frames, h2.frame(h2.DATA, flags & 1, sid, parts[-1])])

    def _open(self) -> bytes:
        path = (calls.PROCESS, calls.HEALTH_CHECK, calls.HEALTH_WATCH, b"/x")[self._byte() % 4]
        return h2.frame(h2.HEADERS, 4 | (self._byte() & 1), self._sid(), block(path))

    def _request(self) -> bytes:
        pairs = {":method": "POST", ":path": "/v1/chat/completions", "x-vsr-a": "b"}
        ended = bool(self._byte() & 1)
        return self._data(grpc(headers_message(pairs, ended=ended, protocol=self._mode())))

    def _body(self) -> bytes:
        phase = (wire.REQUEST_BODY, wire.REQUEST_BODY, wire.RESPONSE_BODY)[self._byte() % 3]
        last = bool(self._byte() & 1)
        content = (b'{"model":"auto"}', b'{"slow"', b"{" * 6_000)[self._byte() % 3] + self._bytes()
        return self._data(grpc(body_message(content, last=last, phase=phase)))

    def _response(self) -> bytes:
        status = str(self._byte() * 3)
        pairs = {":status": status, "x-vsr-response-path": "error"}
        return self._data(grpc(headers_message(pairs, phase=wire.RESPONSE_HEADERS)))

    def _trailers(self) -> bytes:
        phase = wire.REQUEST_TRAILERS if self._byte() & 1 else wire.RESPONSE_TRAILERS
        return self._data(grpc(wire.field(phase, b"")))

    def _message(self) -> bytes:
        return self._data(grpc(self._bytes(), self._byte() & 3))

    def _settings(self) -> bytes:
        key = ("window", "frame", "table", "list", "push")[self._byte() % 5]
        return settings(**{key: int.from_bytes(self._bytes()[:4], "big")})

    def _window(self) -> bytes:
        return window(self._sid(), int.from_bytes(self._bytes()[:4], "big"))

    def _control(self) -> bytes:
        kind = (h2.RST_STREAM, h2.PING, h2.GOAWAY, h2.PRIORITY, h2.SETTINGS)[self._byte() % 5]
        size = (4, 8, 8, 5, 0)[self._at % 5]
        return h2.frame(kind, self._byte() & 1, self._sid(), bytes(size))

    def _block(self) -> bytes:
        """A header block of any bytes, perhaps in two frames."""
        sid, content = self._sid(), self._bytes()
        if not self._byte() & 1:
            return h2.frame(h2.HEADERS, 4, sid, content)
        half = len(content) // 2
        first = h2.frame(h2.HEADERS, 0, sid, content[:half])
        return first + h2.frame(h2.CONTINUATION, 4, sid, content[half:])

    def _any(self) -> bytes:
        return h2.frame(self._byte(), self._byte(), self._sid(), self._bytes())

    def _raw(self) -> bytes:
        return self._bytes()


_STEPS: tuple[Callable[[Script], bytes], ...] = (
    Script._open,
    Script._request,
    Script._body,
    Script._response,
    Script._trailers,
    Script._message,
    Script._settings,
    Script._window,
    Script._control,
    Script._block,
    Script._any,
    Script._raw,
    lambda script: HELLO,
)
