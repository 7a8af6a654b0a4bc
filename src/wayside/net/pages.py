"""A few pages over HTTP/1.1, ``/metrics`` and ``/healthz``, and nothing worth a web framework."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_HEAD_BYTES: Final = 16 << 10
_PATIENCE_S: Final = 30.0
_CONNECTIONS: Final = 64
_REASONS: Final = {
    200: "OK",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}

Page = Callable[[str], Awaitable[tuple[int, str, bytes]]]
"""From the ``authorization`` header to a status, a content type and a body."""


class PageServer:
    """Serves ``pages`` by path, to a bounded number of connections."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = dict(pages)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(
            self._serve, host or None, port, ssl=tls, limit=_HEAD_BYTES
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if len(self._tasks) <= _CONNECTIONS:
                with contextlib.suppress(
                    OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError
                ):
                    while await self._one(reader, writer):
                        pass
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether another may follow."""
        async with asyncio.timeout(_PATIENCE_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.split("\r\n")
        method, _, target = line.partition(" ")
        fields = {k.strip().lower(): v.strip() for k, _, v in (h.partition(":") for h in rest)}
        page = self._pages.get(target.split(" ")[0].partition("?")[0])
        status, kind, body = 404, "text/plain", b""
        if method not in ("GET", "HEAD"):
            status = 405
        elif page is not None:
            status, kind, body = await page(fields.get("authorization", ""))
        stays = status == 200 and fields.get("connection", "").lower() != "close"
        writer.write(
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\ncontent-type: {kind}\r\n"
            f"content-length: {len(body)}\r\n"
            f"connection: {'keep-alive' if stays else 'close'}\r\n\r\n".encode()
            + (body if method == "GET" else b"")
        )
        async with asyncio.timeout(_PATIENCE_S):
            await writer.drain()
        return stays
