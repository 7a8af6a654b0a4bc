"""The reference ext_proc server, on ``grpc.aio``: slow, and somebody else's HTTP/2.

It runs the same :class:`~wayside.extproc.session.Session` as the fast one, so that whatever
differs between the two is a matter of framing. Needs the ``grpcio`` extra.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from wayside.extproc import wire
from wayside.extproc.session import Door, Replies, Session
from wayside.vocab.errors import ConfigError

_SERVING = b"\x08\x01"
_NOT_SERVING = b"\x08\x02"


class GrpcioServer:
    """Listens, serves ``door`` and answers health checks. Use :meth:`start`, then :meth:`stop`."""

    def __init__(self, door: Door) -> None:
        try:
            import grpc
        except ImportError as error:
            raise ConfigError.one(
                "the grpcio server is not installed",
                where="extproc.server",
                fix="run: pip install 'wayside[grpcio]', or use the framed server",
            ) from error
        self.door = door
        self.serving = True
        """What health checks say."""
        self.port = 0
        self._grpc = grpc
        self._server: Any = None
        self._stopping = asyncio.Event()
        self._socket: Path | None = None

    async def start(
        self, *, unix: str | None = None, host: str = "127.0.0.1", port: int | None = None
    ) -> int:
        """Listen on a Unix socket, or on TCP; the TCP port, or 0."""
        grpc = self._grpc
        largest = self.door.max_body_bytes + (1 << 20)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", largest),
                ("grpc.max_send_message_length", largest),
                ("grpc.so_reuseport", 0),
            ]
        )
        # Without serializers, messages pass as the bytes they are.
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "envoy.service.ext_proc.v3.ExternalProcessor",
                    {"Process": grpc.stream_stream_rpc_method_handler(self._process)},
                ),
                grpc.method_handlers_generic_handler(
                    "grpc.health.v1.Health",
                    {
                        "Check": grpc.unary_unary_rpc_method_handler(self._check),
                        "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
                    },
                ),
            )
        )
        if unix is not None:
            self._socket = Path(unix)
            self._server.add_insecure_port(f"unix:{unix}")
        else:
            name = f"[{host}]" if ":" in host else host
            self.port = int(self._server.add_insecure_port(f"{name}:{port or 0}"))
        await self._server.start()
        if self._socket is not None:
            self._socket.chmod(0o600)
        return self.port

    async def stop(self, drain_s: float = 30.0) -> None:
        """Take no new calls, let those under way end, then close."""
        self.serving = False
        self._stopping.set()
        if self._server is not None:
            await self._server.stop(drain_s)
        if self._socket is not None:
            self._socket.unlink(missing_ok=True)

    async def _process(self, requests: AsyncIterator[bytes], context: Any) -> None:
        session = Session(self.door)
        reason = "the stream was reset"
        try:
            async for data in requests:
                await _write(context, session.receive(data))
                while session.pending is not None:
                    await _write(context, session.resume(await _outcome(session)))
                if session.done:
                    break
            reason = ""
        except wire.WireError as error:
            reason = str(error)
            await context.abort(self._grpc.StatusCode.INVALID_ARGUMENT, reason)
        finally:
            session.close(reason)

    async def _check(self, request: bytes, context: Any) -> bytes:
        return _SERVING if self.serving else _NOT_SERVING

    async def _watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield _SERVING if self.serving else _NOT_SERVING
        await self._stopping.wait()
        yield _NOT_SERVING


async def _outcome(session: Session) -> Any:
    assert session.pending is not None
    try:
        return await session.pending
    except Exception as error:  # noqa: BLE001  a bug must cost one request, not the server
        return error


async def _write(context: Any, replies: Replies) -> None:
    for reply in replies:
        await context.write(b"".join(reply)[5:])  # grpc adds the length prefix itself
