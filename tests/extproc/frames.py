"""A client that speaks HTTP/2 frame by frame, so that tests can speak it badly."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import dataclass, field

from hpack import Decoder, Encoder

from wayside.extproc import wire
from wayside.extproc.calls import PROCESS
from wayside.extproc.h2 import PREFACE, frame

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


def settings(**values: int) -> bytes:
    keys = {"table": 1, "push": 2, "streams": 3, "window": 4, "frame": 5, "list": 6}
    return frame(
        SETTINGS, 0, 0, b"".join(struct.pack(">HI", keys[k], v) for k, v in values.items())
    )


def window(sid: int, more: int) -> bytes:
    return frame(WINDOW, 0, sid, struct.pack(">I", more))


HELLO = PREFACE + settings(window=(1 << 31) - 1) + window(0, (1 << 31) - 65_536)
"""A client that never blocks a reply."""


def block(path: bytes = PROCESS, *, huffman: bool = False, **more: str) -> bytes:
    """A gRPC request's header block without dynamic table entries."""
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path.decode()),
        (":authority", "wayside"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *((k.replace("_", "-"), v) for k, v in more.items()),
    ]
    encoder = Encoder()
    encoder.header_table_size = 0
    return bytes(encoder.encode(headers, huffman=huffman))


def opened(sid: int = 1, path: bytes = PROCESS, flags: int = 4) -> bytes:
    return frame(HEADERS, flags, sid, block(path))


def grpc(payload: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + struct.pack(">I", len(payload)) + payload


def headers_message(
    pairs: dict[str, str] | None = None,
    *,
    ended: bool = False,
    phase: int = wire.REQUEST_HEADERS,
    protocol: wire.Protocol | None = None,
) -> bytes:
    """A ProcessingRequest about headers, as Envoy writes one."""
    if pairs is None:
        pairs = {":method": "POST", ":path": "/v1/chat/completions", ":authority": "x"}
    entries = b"".join(
        wire.field(1, wire.field(1, k.encode()) + wire.field(3, wire.octets(v)))
        for k, v in pairs.items()
    )
    message = wire.field(phase, wire.field(1, entries) + (b"\x18\x01" if ended else b"")) + b"B\0"
    if protocol is not None:
        mode = wire.flag(1, protocol.request_body) + wire.flag(2, protocol.response_body)
        message += wire.field(11, mode + wire.flag(3, int(protocol.early_body)))
    return message


def body_message(body: bytes, *, last: bool = True, phase: int = wire.REQUEST_BODY) -> bytes:
    inner = (wire.field(1, body) if body else b"") + (b"\x10\x01" if last else b"")
    return wire.field(phase, inner) + b"B\0"


@dataclass
class Heard:
    """What the server said on one stream."""

    data: bytes = b""
    headers: list[dict[str, str]] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    @property
    def messages(self) -> list[bytes]:
        out, rest = [], self.data
        while len(rest) >= 5:
            size = struct.unpack(">I", rest[1:5])[0]
            out.append(rest[5 : 5 + size])
            rest = rest[5 + size :]
        return out

    @property
    def status(self) -> int | None:
        for headers in self.headers:
            if "grpc-status" in headers:
                return int(headers["grpc-status"])
        return None


@dataclass
class Ears:
    """Takes the server's bytes apart."""

    streams: dict[int, Heard] = field(default_factory=dict)
    goaway: int | None = None
    pongs: list[bytes] = field(default_factory=list)
    settings: int = 0
    granted: dict[int, int] = field(default_factory=dict)
    _rest: bytes = b""
    _decoder: Decoder = field(default_factory=Decoder)

    def hear(self, data: bytes) -> None:
        data = self._rest + data
        while len(data) >= 9:
            size, kind, flags = int.from_bytes(data[:3], "big"), data[3], data[4]
            sid = int.from_bytes(data[5:9], "big")
            if len(data) < 9 + size:
                break
            self._frame(kind, flags, sid, data[9 : 9 + size])
            data = data[9 + size :]
        self._rest = data

    def _frame(self, kind: int, flags: int, sid: int, payload: bytes) -> None:
        stream = self.streams.setdefault(sid, Heard())
        if kind == DATA:
            stream.data += payload
        elif kind == HEADERS:
            decoded = self._decoder.decode(payload)
            stream.headers.append({str(k): str(v) for k, v in decoded})
        elif kind == RST:
            stream.reset = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")
        elif kind == PING and flags & 1:
            self.pongs.append(payload)
        elif kind == SETTINGS:
            self.settings += 1
        elif kind == WINDOW:
            more = int.from_bytes(payload, "big")
            self.granted[sid] = self.granted.get(sid, 0) + more
        if kind in (DATA, HEADERS) and flags & 1:
            stream.ended = True


class Client(Ears):
    """One connection."""

    @classmethod
    async def connect(cls, unix: str) -> Client:
        client = cls()
        client.reader, client.writer = await asyncio.open_unix_connection(unix)
        return client

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    closed: bool = False

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def listen(self) -> None:
        """Hear one more read; sets ``closed`` at the end."""
        try:
            data = await asyncio.wait_for(self.reader.read(1 << 16), 5)
        except ConnectionError:
            data = b""
        if data:
            self.hear(data)
        else:
            self.closed = True

    async def until_ended(self, sid: int = 1) -> Heard:
        while not self.closed:
            heard = self.streams.get(sid)
            if heard is not None and (heard.ended or heard.reset is not None):
                break
            await self.listen()
        return self.streams.setdefault(sid, Heard())

    async def until_messages(self, count: int, sid: int = 1) -> list[bytes]:
        while not self.closed:
            heard = self.streams.get(sid)
            if heard is not None and len(heard.messages) >= count:
                break
            await self.listen()
        return self.streams.setdefault(sid, Heard()).messages

    async def until_closed(self) -> None:
        while not self.closed:
            await self.listen()

    async def hang_up(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()
