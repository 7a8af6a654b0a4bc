"""HTTP/1.1 over asyncio and llhttp: requests in, answers out, and connections broken on purpose.

It knows nothing of models. Keep-alive, pipelining (answered in order), chunked bodies and
`Expect: 100-continue` work; heads and bodies are limited. A client that goes away cancels the
answer being made for it.
"""

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import httptools

from .refusal import phrase

log = logging.getLogger(__name__)

Headers = tuple[tuple[str, str], ...]

_PIPELINE = 16
"""Requests read ahead of the one being answered before reading pauses."""
_FLUSH_S = 1.0
"""Longest wait for written bytes to leave before a connection is cut."""
_LINGER_S = 1.0
"""How long a client that was refused may go on sending."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whole."""

    method: str
    target: str
    headers: Headers
    fields: Mapping[str, str]
    """Headers by lower-case name; the last one of a name wins."""
    body: bytes
    version: str
    keep_alive: bool
    sni: str | None = None
    too_large: Literal[400, 413, 431] | None = None
    """Set when it could not be read: answer this status and hang up."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest head and body accepted, and how long an idle connection lives (None: for ever)."""

    head_bytes: int
    body_bytes: int
    keep_alive_s: float | None = None


Handler = Callable[[Request, "Reply"], Awaitable[None]]


class Reply:
    """The answer to one request: `whole`, or `start`, `write`..., `end`; or a `cut`."""

    __slots__ = ("_chunked", "_connection", "_head_only", "_keep_alive", "ended", "status")

    def __init__(self, connection: "Connection", request: Request) -> None:
        self._connection = connection
        self._keep_alive = request.keep_alive
        self._head_only = request.method == "HEAD"
        self._chunked = request.version != "1.0"
        self.status = 0
        self.ended = False

    @property
    def started(self) -> bool:
        """Whether the head has gone out."""
        return self.status != 0

    def whole(
        self, status: int, body: bytes, headers: Headers = (), kind: str = "application/json"
    ) -> None:
        """Send a complete answer."""
        self._connection.write(self._whole(status, body, headers, kind))
        self.ended = True

    def half(self, status: int, body: bytes, headers: Headers = ()) -> bytes:
        """Send the head of a complete answer and half of its body; `rest` sends what is left."""
        data = self._whole(status, body, headers, "application/json")
        middle = len(data) - (len(body) + 1) // 2
        self._connection.write(data[:middle])
        return data[middle:]

    def rest(self, data: bytes) -> None:
        """Send what `half` left."""
        self._connection.write(data)
        self.ended = True

    def start(self, status: int, headers: Headers = (), kind: str = "text/event-stream") -> None:
        """Send the head of a streamed answer."""
        framing = "transfer-encoding: chunked\r\n" if self._chunked else ""
        self._keep_alive = self._keep_alive and self._chunked
        self._connection.write(self._head(status, headers, kind, framing))

    def write(self, pieces: Iterable[bytes]) -> None:
        """Send pieces of a streamed body, each its own HTTP chunk."""
        if self._chunked:
            pieces = (b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        self._connection.write(b"".join(pieces))

    def end(self) -> None:
        """Finish a streamed body."""
        if self._chunked:
            self._connection.write(b"0\r\n\r\n")
        self.ended = True

    async def drain(self) -> None:
        """Wait until the client has read enough for more to be written."""
        await self._connection.drain()

    async def cut(self, how: Literal["reset", "close"]) -> None:
        """End the connection here: by TCP RST, or by a FIN that leaves the answer unfinished."""
        self.ended = True
        await self._connection.cut(how)

    @property
    def keep_alive(self) -> bool:
        return self._keep_alive

    def hang_up_after(self) -> None:
        """Close the connection once this answer is sent."""
        self._keep_alive = False

    def _whole(self, status: int, body: bytes, headers: Headers, kind: str) -> bytes:
        head = self._head(status, headers, kind, f"content-length: {len(body)}\r\n")
        return head if self._head_only else head + body

    def _head(self, status: int, headers: Headers, kind: str, framing: str) -> bytes:
        self.status = status
        extra = "".join(f"{name}: {value}\r\n" for name, value in headers)
        close = "" if self._keep_alive else "connection: close\r\n"
        text = phrase(status) if status != 200 else "OK"
        return (
            f"HTTP/1.1 {status} {text}\r\ncontent-type: {kind}\r\n{framing}{extra}"
            f"{self._connection.always}{close}\r\n"
        ).encode("latin-1", "replace")


class Connection(asyncio.Protocol):
    """One client connection."""

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        *,
        open_connections: set["Connection"],
        on_cancel: Callable[[], None],
        sni_of: Callable[[object], str | None],
        always: Headers = (),
    ) -> None:
        """`always` are headers of every answer."""
        self.always = "".join(f"{name}: {value}\r\n" for name, value in always)
        self._handler = handler
        self._limits = limits
        self._open = open_connections
        self._on_cancel = on_cancel
        self._sni_of = sni_of
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._pending: deque[Request] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._refused = False
        self._fields: dict[str, str] = {}
        self._head_bytes = 0
        self._in_head = True
        self._begin()

    # What asyncio tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods but not the base class.
        self._transport = cast(asyncio.Transport, transport)
        self._sni = self._sni_of(self._transport.get_extra_info("ssl_object"))
        self._open.add(self)
        self._wait_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._stop_idling()
        self._pending.clear()
        self.resume_writing()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._stop_idling()
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # A request that asks for another protocol (h2c, CONNECT): the bytes that follow it
            # would be in that protocol, so it is the last one read here.
            self._refused = True
        except httptools.HttpParserError:
            self._refuse(400)
        if self._in_head and self._head_bytes > self._limits.head_bytes:
            self._refuse(431)

    # What llhttp tells us

    def on_message_begin(self) -> None:
        self._begin()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are dropped
            self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._fields = {name.lower(): value for name, value in self._headers}
        length = self._fields.get("content-length", "0")
        head = len(self._target) + sum(len(name) + len(value) for name, value in self._headers)
        if head > self._limits.head_bytes:
            self._refuse(431)
        elif length.isdecimal() and int(length) > self._limits.body_bytes:
            self._refuse(413)
        elif self._fields.get("expect", "").lower() == "100-continue" and self._task is None:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._refuse(413)
        elif not self._refused:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            self._accept(self._request(self._parser.should_keep_alive()))
        self._head_bytes = 0
        self._in_head = True

    # What a reply asks for

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def drain(self) -> None:
        if self._writable is not None:
            await self._writable

    async def cut(self, how: Literal["reset", "close"]) -> None:
        give_up = self._loop.time() + _FLUSH_S
        while self._transport.get_write_buffer_size() and self._loop.time() < give_up:
            await asyncio.sleep(0.001)
        if how == "close":
            self._transport.close()
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            # Closing with a zero linger time makes the kernel send RST instead of FIN.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    # How one request follows another

    def _begin(self) -> None:
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._fields = {}
        self._body: list[bytes] = []
        self._body_bytes = 0

    def _request(
        self, keep_alive: bool, too_large: Literal[400, 413, 431] | None = None
    ) -> Request:
        parser = self._parser
        return Request(
            method=(parser.get_method() or b"").decode("latin-1") if self._target else "",
            target=self._target.decode("latin-1"),
            headers=tuple(self._headers),
            fields=self._fields,
            body=b"".join(self._body),
            version=parser.get_http_version() if self._target else "1.1",
            keep_alive=keep_alive,
            sni=self._sni,
            too_large=too_large,
        )

    def _refuse(self, status: Literal[400, 413, 431]) -> None:
        if not self._refused:
            self._refused = True
            self._body.clear()
            self._accept(self._request(keep_alive=False, too_large=status))

    def _accept(self, request: Request) -> None:
        self._pending.append(request)
        if self._task is None:
            self._next()
        elif len(self._pending) >= _PIPELINE:
            self._transport.pause_reading()

    def _next(self) -> None:
        request = self._pending.popleft()
        if len(self._pending) == _PIPELINE - 1 and not self._transport.is_closing():
            self._transport.resume_reading()
        self._task = self._loop.create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        reply = Reply(self, request)
        try:
            await self._handler(request, reply)
        except asyncio.CancelledError:
            self._on_cancel()
            raise
        except Exception:
            # One broken answer must not end the server.
            log.exception("answer failed")
            if reply.started:
                self._transport.abort()
            else:
                reply.hang_up_after()
                reply.whole(500, b'{"error": {"message": "simulator bug; see its log"}}')
        self._task = None
        if self._transport.is_closing():
            return
        if request.too_large:
            self._linger()
        elif not reply.keep_alive:
            self._transport.close()
        elif self._pending:
            self._next()
        elif self._refused:
            self._transport.close()
        else:
            self._wait_idle()

    def _linger(self) -> None:
        # Closing with unread bytes sends RST, which can reach the client before the answer does.
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._idle = self._loop.call_later(_LINGER_S, self._transport.close)

    def _wait_idle(self) -> None:
        if self._limits.keep_alive_s is not None:
            self._idle = self._loop.call_later(self._limits.keep_alive_s, self._transport.close)

    def _stop_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
