"""One HTTP/1.1 connection of a client: a request goes out, its answer is read, within bounds.

Bytes are parsed by llhttp (`httptools`, which the simulator needs anyway).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httptools

from wayside.settings.address import Address

LINE: Final = 64 << 10
"""Bytes read at once, and the most that the head of an answer may have."""
CRUMBS: Final = 4096
"""Pieces of a body after which they have to be of 64 bytes on average: each costs a call."""
Enough = Callable[[bytearray], bool]
"""Given the body so far: is what was waited for in it?"""


@dataclass(slots=True)
class Answer:
    """What a server answered."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """Lower-case names; the last of a name counts."""
    body: bytearray = field(default_factory=bytearray)


class TooLarge(Exception):
    """More came than was allowed."""


class ClosedBeforeAnswer(ConnectionError):
    """The other side closed without a byte of an answer."""


class Connection:
    """One connection: a request, then its answer, then perhaps the next."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.reusable = False

    @classmethod
    async def open(
        cls, address: Address, tls: ssl.SSLContext | None, server_name: str | None
    ) -> Connection:
        return cls(
            *await asyncio.open_connection(
                address.host, address.port, ssl=tls, server_hostname=server_name, limit=LINE
            )
        )

    @property
    def stale(self) -> bool:
        """Whether it must not be used again: it is closed, or the server spoke unasked (a 408 to
        an idle connection, say), which would pass for the answer to what is asked next."""
        unasked = bool(getattr(self._reader, "_buffer", b""))
        return unasked or self._reader.at_eof() or self._writer.is_closing()

    def drop(self) -> None:
        self.reusable = False
        self._writer.transport.abort()

    async def exchange(self, request: bytes, most: int, enough: Enough | None) -> Answer:
        self.reusable = False
        reading = _Reading(most)
        parser = reading.parser = httptools.HttpResponseParser(reading)
        self._writer.write(request)
        fed = 0
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise ClosedBeforeAnswer("closed the connection without an answer") from error
        while not reading.done:
            try:
                data = await self._reader.read(LINE)
            except ConnectionResetError as error:
                if fed:
                    raise
                raise ClosedBeforeAnswer("reset the connection without an answer") from error
            if not data:
                if reading.ends_with_connection:
                    return reading.answer
                if not fed:
                    raise ClosedBeforeAnswer("closed the connection without an answer")
                raise ConnectionError("closed the connection in the middle of its answer")
            fed += len(data)
            try:
                parser.feed_data(data)
            except httptools.HttpParserCallbackError as error:
                if not reading.done:
                    raise TooLarge from error
            if fed > LINE and not reading.headed:
                raise TooLarge  # a head without end, or informational ones without end
            if fed > LINE + 2 * most and not reading.done:
                raise TooLarge  # nearly nothing but what stands around chunks
            if reading.headed and enough is not None and enough(reading.answer.body):
                return reading.answer
        self.reusable = reading.kept and not self.stale
        return reading.answer


class _Reading:
    """What the parser calls while an answer comes in."""

    def __init__(self, most: int) -> None:
        self._most, self._heads, self._pieces = most, 0, 0
        self.parser: Any = None
        self.answer = Answer()
        self.headed = self.done = self.kept = False

    def on_message_begin(self) -> None:
        if self.done:  # more than was asked for: neither it nor the connection can be trusted
            self.kept = False
            raise TooLarge

    def on_status(self, status: bytes) -> None:
        """The reason phrase, which nobody reads."""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._heads += len(name) + len(value)
        if self._heads > LINE:
            raise TooLarge
        self.answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.answer.status = self.parser.get_status_code()
        self.headed = self.answer.status >= 200

    def on_body(self, data: bytes) -> None:
        if len(self.answer.body) + len(data) > self._most:
            raise TooLarge
        self._pieces += 1
        if self._pieces > CRUMBS and self._pieces * 64 > len(self.answer.body):
            raise TooLarge
        self.answer.body += data

    def on_message_complete(self) -> None:
        if self.headed:
            self.done, self.kept = True, bool(self.parser.should_keep_alive())
        else:  # 103 Early Hints and the like: the answer is still to come
            self.answer = Answer()

    @property
    def ends_with_connection(self) -> bool:
        told = self.answer.headers
        return self.headed and not {"content-length", "transfer-encoding"} & set(told)
