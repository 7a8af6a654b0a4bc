"""The fast ext_proc server: our own HTTP/2 and gRPC, one ``asyncio.Protocol`` per connection.

No task is made for a request whose outcome is ready at once, and everything that one read
brought is answered with one write. When a peer does not read, nothing more is read from it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Protocol, cast

from wayside.extproc import calls, h2, wire
from wayside.extproc.session import Replies, Say

STALL_S: Final = 30.0
"""A peer that reads nothing, or opens no window, for this long is cut off."""
GREETING_S: Final = 10.0
"""So long a peer may take to shake hands, and once more to say the first of HTTP/2."""


class Talk(Protocol):
    """One stream of ProcessingRequests, as :class:`~wayside.extproc.session.Session` is."""

    done: bool
    pending: Awaitable[Any] | None

    def receive(self, data: bytes) -> Replies: ...
    def resume(self, outcome: Any) -> Replies: ...
    def too_large(self) -> Replies: ...
    def close(self, reason: str = "") -> None: ...


class Serves(Protocol):
    """What is served: begins talks, and says how much may be held for them."""

    max_body_bytes: int
    max_held_bytes: int
    log: Say

    def session(self) -> Talk: ...


class FramedServer:
    """Listens, serves ``door`` and answers health checks. Use :meth:`start`, then :meth:`stop`."""

    def __init__(self, door: Serves, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.door = door
        self.serving = True
        """What health checks say."""
        self.clock = clock
        self.port = 0
        """The TCP port of the listener started last, or 0."""
        self.connections: set[FramedConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._sockets: list[Path] = []
        self._sweeper: asyncio.Task[None] | None = None
        # Room for the headers and the fields around the largest body.
        self.max_message = door.max_body_bytes + (1 << 20)

    async def start(
        self,
        *,
        unix: str | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
        tls: ssl.SSLContext | None = None,
        reuse_port: bool = False,
    ) -> int:
        """Listen on a Unix socket, or on TCP; the TCP port, or 0. Callable more than once."""
        loop = asyncio.get_running_loop()
        secured: dict[str, Any] = {}
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            secured = {
                "ssl": tls,
                "ssl_handshake_timeout": GREETING_S,
                "ssl_shutdown_timeout": GREETING_S,
            }
        if unix is not None:
            path = Path(unix)
            _remove_stale_socket(path)
            server = await loop.create_unix_server(self._connect, unix, backlog=1024, **secured)
            path.chmod(0o600)
            self._sockets.append(path)
        else:
            server = await loop.create_server(
                self._connect,
                host,
                port or 0,
                backlog=1024,
                reuse_port=reuse_port or None,
                **secured,
            )
            self.port = int(server.sockets[0].getsockname()[1])
        self._servers.append(server)
        if self._sweeper is None:
            self._sweeper = loop.create_task(self._sweep())
        return self.port

    async def stop(self, drain_s: float = 30.0) -> None:
        """Take no new connections, let streams under way end, then close. Never raises."""
        self.serving = False
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.drain()
        deadline = self.clock() + drain_s
        while self.connections and self.clock() < deadline:
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        for path in self._sockets:
            path.unlink(missing_ok=True)

    def health(self, request: bytes) -> wire.Message:
        """The answer to a HealthCheckRequest: the same whatever service is asked about."""
        return calls.SERVING if self.serving else calls.NOT_SERVING

    def tell_watchers(self) -> None:
        """What :meth:`health` says has changed."""
        for connection in self.connections:
            connection.tell_watchers()

    def _connect(self) -> FramedConnection:
        return FramedConnection(self)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(STALL_S / 6)
            now = self.clock()
            for connection in list(self.connections):
                connection.check(now)


class FramedConnection(asyncio.Protocol):
    """One transport and its HTTP/2 connection."""

    def __init__(self, server: FramedServer) -> None:
        self.server = server
        self.http = calls.Calls(
            {
                calls.PROCESS: self._process,
                calls.HEALTH_CHECK: self._health,
                calls.HEALTH_WATCH: self._health_watch,
            },
            max_message=server.max_message,
            max_kept=server.door.max_held_bytes,
            clock=server.clock,
        )
        self._transport: asyncio.Transport | None = None
        self._since = server.clock()
        self._stalled: float | None = None
        self._paused = False

    # --- asyncio -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.connections.add(self)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.http.receive(data)
        self.flush()

    def eof_received(self) -> bool:
        return False  # close: HTTP/2 has no half-closed connections

    def connection_lost(self, error: Exception | None) -> None:
        self.server.connections.discard(self)
        self._transport = None
        self.http.lost()

    def pause_writing(self) -> None:
        self._paused = True
        self._stalled = self.server.clock()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        self._stalled = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # --- for the server ------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what has been answered since the last flush, at once."""
        http, transport = self.http, self._transport
        if transport is None or transport.is_closing():
            http.out.clear()
            return
        out = http.out
        if out:
            transport.write(b"".join(out))
            out.clear()
        if http.closing:
            if http.failure:
                self._ended_by_us(http.failure)
            transport.close()

    def drain(self) -> None:
        self.http.drain()
        for stream in list(self.http.streams.values()):
            if isinstance(stream.call, _Health):
                stream.call.stopped()
        self.flush()

    def tell_watchers(self) -> None:
        for stream in list(self.http.streams.values()):
            if isinstance(stream.call, _Health):
                stream.call.again()
        self.flush()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def check(self, now: float) -> None:
        """Cut the peer off if it takes nothing of what it is owed, or never began to speak."""
        if not self.http.greeted:
            if now - self._since > GREETING_S:
                self.abort()
            return
        if not self._paused:
            if not self.http.waits_for_window:
                self._stalled = None
            elif self._stalled is None:
                self._stalled = now
        if self._stalled is not None and now - self._stalled > STALL_S:
            self._ended_by_us("the peer does not read")
            self.abort()

    def _ended_by_us(self, why: str) -> None:
        self.server.door.log("extproc connection ended", level="warning", reason=why)

    # --- methods -------------------------------------------------------------------------------

    def _process(self, http: calls.Calls, stream: h2.Stream) -> calls.Call:
        return _Process(self, stream)

    def _health(self, http: calls.Calls, stream: h2.Stream) -> calls.Call:
        return _Health(self, stream, watches=False)

    def _health_watch(self, http: calls.Calls, stream: h2.Stream) -> calls.Call:
        return _Health(self, stream, watches=True)


BACKLOG = 4096
BACKLOG_BYTES = 16 << 20
"""Messages, and their bytes, that may wait while an engine is asked about the one before."""


class _Process:
    """ExternalProcessor.Process: one HTTP request."""

    __slots__ = ("_backlog", "_connection", "_ended", "_session", "_stream", "_task")

    def __init__(self, connection: FramedConnection, stream: h2.Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._session: Talk = connection.server.door.session()
        self._task: asyncio.Task[None] | None = None
        self._backlog: list[bytes] = []
        self._ended = False

    def message(self, data: bytes) -> None:
        session = self._session
        if session.pending is not None:
            if len(self._backlog) > BACKLOG or sum(map(len, self._backlog)) > BACKLOG_BYTES:
                raise wire.WireError("messages come before the one before is answered")
            self._backlog.append(data)
            return
        replies = session.receive(data)
        if session.pending is None and not session.done:
            self._connection.http.reply(self._stream, replies)
        else:
            self._send(replies)

    def too_large(self) -> bool:
        self._stop_waiting()
        self._send(self._session.too_large())
        return self._session.done

    def ended(self) -> None:
        self._ended = True
        if self._session.pending is None:
            self._session.close()
            self._connection.http.finish(self._stream)

    def gone(self, reason: str) -> None:
        self._stop_waiting()
        self._session.close(reason)

    def _stop_waiting(self) -> None:
        task, self._task = self._task, None
        self._session.pending = None
        if task is not None:
            task.cancel()

    def _send(self, replies: list[wire.Message]) -> None:
        session, http, stream = self._session, self._connection.http, self._stream
        if replies:
            http.reply(stream, replies)
        pending = session.pending
        if pending is not None:
            server = self._connection.server
            self._task = task = asyncio.ensure_future(self._wait(pending))
            server.tasks.add(task)
            task.add_done_callback(server.tasks.discard)
            # Cancelled before its first step, the task never awaits what it was made for.
            task.add_done_callback(lambda _: _close(pending))
        elif session.done:
            session.close()
            http.finish(stream)

    async def _wait(self, pending: Awaitable[Any]) -> None:
        outcome: Any
        try:
            outcome = await pending
        except Exception as error:  # noqa: BLE001  a bug must cost one request, not the server
            outcome = error
        self._task = None
        session = self._session
        if session.done:
            return
        try:
            self._send(session.resume(outcome))
            backlog, self._backlog = self._backlog, []
            for data in backlog:
                self.message(data)
        except wire.WireError as error:
            session.close(str(error))
            self._connection.http.finish(self._stream, calls.INVALID_ARGUMENT, str(error))
        if self._ended and session.pending is None:
            self.ended()
        self._connection.flush()


def _close(pending: Awaitable[Any]) -> None:
    if isinstance(pending, Coroutine):
        pending.close()


class _Health:
    """grpc.health.v1."""

    __slots__ = ("_asked", "_connection", "_said", "_stream", "_watches")

    def __init__(self, connection: FramedConnection, stream: h2.Stream, *, watches: bool) -> None:
        self._connection, self._stream, self._watches = connection, stream, watches
        self._asked: bytes | None = None
        self._said: wire.Message = ()

    def message(self, data: bytes) -> None:
        self._asked = data
        self._said = self._connection.server.health(data)
        self._connection.http.reply(self._stream, [self._said])
        if not self._watches:
            self._connection.http.finish(self._stream)

    def too_large(self) -> bool:
        return False

    def ended(self) -> None:
        if not self._watches:
            why = "a health check without a message"
            self._connection.http.finish(self._stream, calls.INVALID_ARGUMENT, why)

    def gone(self, reason: str) -> None:
        pass

    def again(self) -> None:
        """A watcher hears what has changed."""
        if self._asked is None or not self._watches:
            return
        status = self._connection.server.health(self._asked)
        if status != self._said:
            self._said = status
            self._connection.http.reply(self._stream, [status])

    def stopped(self) -> None:
        """A watcher hears that the server is leaving, and is let go."""
        self._connection.http.reply(self._stream, [calls.NOT_SERVING])
        self._connection.http.finish(self._stream)


def _remove_stale_socket(path: Path) -> None:
    """A socket file that nobody listens on is left over from a crash; a live one is not ours."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
