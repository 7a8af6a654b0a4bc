"""A real server on loopback that answers as a test tells it, well or badly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Handler = Callable[[dict[str, Any]], Any]


class Server:
    """Answers every POST with what ``handler`` makes of its JSON; remembers what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.connections: set[Any] = set()


@asynccontextmanager
async def serving(handler: Handler, ssl_context: Any = None) -> AsyncIterator[Server]:
    """``handler`` returns JSON to send, an aiohttp response, or an awaitable of either."""
    server = Server()

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        headers = {name.lower(): value for name, value in request.headers.items()}
        server.asked.append((request.path, headers, body))
        server.connections.add(request.transport.get_extra_info("peername"))
        found = handler(body)
        if asyncio.iscoroutine(found):
            found = await found
        return found if isinstance(found, web.StreamResponse) else web.json_response(found)

    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context)
        await site.start()
        port = runner.addresses[0][1]
        server.url = f"{'https' if ssl_context else 'http'}://127.0.0.1:{port}"
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def saying(*replies: bytes | None, then: str = "close") -> AsyncIterator[Server]:
    """Raw bytes, one reply a connection (the last again and again); ``None`` closes at once.

    ``then`` is what follows: ``close``, or ``hang``: nothing, for ever.
    """
    server = Server()
    left = list(replies)
    hanging: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        hanging.add(task)
        reply = left.pop(0) if len(left) > 1 else left[0]
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            server.asked.append((head.split()[1].decode(), {}, json.loads(body)))
            if reply is not None:
                writer.write(reply)
                await writer.drain()
                if then == "hang":
                    await asyncio.Event().wait()
        except (OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            hanging.discard(task)

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{made.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        made.close()
        for task in list(hanging):
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        await made.wait_closed()
