"""A server of pages that a test can change, hang and count."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any


class PageServer:
    """Answers every GET with ``body``; ``answer`` may be set to do it otherwise, from the path
    and head of a request to the whole of its answer, ``None`` for silence."""

    def __init__(self, body: str = "") -> None:
        self.body = body
        self.answer: Callable[[str, str], bytes | None] = lambda path, head: ok(self.body)
        self.asked: list[str] = []
        """Paths, in the order in which they were asked for."""
        self.connections = 0
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split()[1]
                self.asked.append(path)
                answer = self.answer(path, head)
                if answer is not None:
                    writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


def ok(body: str, status: str = "200 OK") -> bytes:
    content = body.encode()
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content


@contextlib.asynccontextmanager
async def page_servers(*bodies: str) -> AsyncIterator[list[PageServer]]:
    made = [PageServer(body) for body in bodies]
    try:
        for server in made:
            await server.up()
        yield made
    finally:
        for server in made:
            await server.down()


async def until(true: Callable[[], Any], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)
