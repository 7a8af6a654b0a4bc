"""An answer whose body is read while it comes: one watch on a connection of its own.

How long it may be silent is for TCP to say (see :func:`_keep_alive`), since a watch may have
nothing to tell.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import httptools

from wayside.net.h1 import TooLarge
from wayside.settings.address import Address

MAX_LINE: Final = 8 << 20
"""Bytes of one event of a watch. An object has at most 1.5 MB in etcd."""
CHUNK: Final = 256 << 10
"""Bytes read at once, and the most that the head of an answer may have."""


class Stream:
    """The answer to one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._heads = 0
        self._headed = self._done = False
        self.status = 0
        self.headers: dict[str, str] = {}

    @classmethod
    async def open(
        cls, server: Address, tls: ssl.SSLContext | None, name: str | None, request: bytes
    ) -> Stream:
        """Send ``request`` on a new connection and read the head of what comes. Raises
        ``OSError``, :class:`TooLarge`, and httptools' ``HttpParserError``."""
        reader, writer = await asyncio.open_connection(
            server.host, server.port, ssl=tls, server_hostname=name, limit=CHUNK
        )
        _keep_alive(writer.get_extra_info("socket"))
        stream = cls(reader, writer)
        try:
            writer.write(request)
            await writer.drain()
            while not stream._headed:
                await stream._feed()
        except BaseException:
            stream.close()
            raise
        return stream

    def close(self) -> None:
        self._writer.transport.abort()

    async def rest(self, most: int) -> bytearray:
        """The body, or a little more than ``most`` bytes of it."""
        while not self._done and len(self._body) <= most:
            await self._feed()
        return self._body

    async def lines(self) -> AsyncIterator[bytes]:
        """Its lines that are not empty. Half a line at the end is an event that did not arrive."""
        searched = 0
        while True:
            end = self._body.find(b"\n", searched)
            if end >= 0:
                line = bytes(self._body[:end])
                del self._body[: end + 1]
                searched = 0
                if line:
                    yield line
                continue
            searched = len(self._body)
            if searched > MAX_LINE:
                raise TooLarge
            if self._done:
                return
            await self._feed()

    async def _feed(self) -> None:
        data = await self._reader.read(CHUNK)
        if not data:
            if not self._headed:
                raise ConnectionError("closed the connection without an answer")
            if {"content-length", "transfer-encoding"} & set(self.headers):
                raise ConnectionError("closed the connection in the middle of its answer")
            self._done = True
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            raise TooLarge from error

    def on_header(self, name: bytes, value: bytes) -> None:
        self._heads += len(name) + len(value)
        if self._heads > CHUNK:
            raise TooLarge
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._headed = self.status >= 200
        if not self._headed:
            self.headers.clear()

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self._done = self._headed


def _keep_alive(sock: Any) -> None:
    """Let the kernel find out within half a minute that nobody is at the other end any more.

    A watch can be silent for minutes, and a server that vanished says nothing either; client-go
    sends HTTP/2 pings after 30 s for the same reason.
    """
    if sock is None:
        return
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if (option := getattr(socket, name, None)) is not None:
            options.append((socket.IPPROTO_TCP, option, value))
    for level, option, value in options:
        with suppress(OSError):
            sock.setsockopt(level, option, value)
