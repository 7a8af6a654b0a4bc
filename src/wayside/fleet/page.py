"""Read pages of a model server, beside the requests that it answers: one kept connection each.

A GET or a POST, an answer of bounded size within its time, and that is all: no redirect is
followed, no other host is asked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import replace

import httptools

from wayside.fleet.replica import Secure
from wayside.fleet.resolve import Resolver
from wayside.net.h1 import Answer, ClosedBeforeAnswer, Connection, TooLarge
from wayside.settings.address import Address

MANY_ADDRESSES = 4
"""Of a name, tried one after the other."""


class PageError(Exception):
    """There is no page. ``reason`` says why: connect, timeout, status, size, http."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Pages:
    """The pages of one server. One request at a time; not to be shared between event loops."""

    def __init__(self, address: Address, secure: Secure | None, resolver: Resolver) -> None:
        self.address = address
        self._secure, self._resolver = secure, resolver
        self._connection: Connection | None = None

    async def get(
        self, path: str, *, timeout_s: float, most: int, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Whatever it answers. Raises :class:`PageError` where that is nothing."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        return await self._within(timeout_s, self._head("GET", path, lines), most)

    async def post(self, path: str, body: bytes, *, timeout_s: float, most: int) -> Answer:
        """The same for a JSON body."""
        lines = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        return await self._within(timeout_s, self._head("POST", path, lines) + body, most)

    def _head(self, method: str, path: str, lines: str) -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nhost: {self.address.authority}\r\n"
            f"user-agent: wayside\r\naccept: */*\r\n{lines}\r\n"
        ).encode("latin-1", "replace")

    async def _within(self, timeout_s: float, request: bytes, most: int) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._asked(request, most)
        except TimeoutError as error:
            raise PageError("timeout", f"no answer in {timeout_s:g} s") from error
        except TooLarge as error:
            raise PageError("size", f"a page of more than {most} bytes") from error
        except httptools.HttpParserError as error:
            raise PageError("http", "not an HTTP answer") from error
        except (OSError, ssl.SSLError) as error:
            detail = error.strerror or str(error) or type(error).__name__
            raise PageError("connect", detail) from error

    async def text(
        self, path: str, *, timeout_s: float, most: int, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of a 200. Raises :class:`PageError`."""
        answer = await self.get(path, timeout_s=timeout_s, most=most, headers=headers)
        if answer.status != 200:
            raise PageError("status", f"answered {answer.status}")
        return bytes(answer.body)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.drop()
            self._connection = None

    async def _asked(self, request: bytes, most: int) -> Answer:
        connection, self._connection = self._connection, None
        if connection is not None:
            if not connection.stale:
                try:
                    return await self._exchanged(connection, request, most)
                except ClosedBeforeAnswer:
                    pass  # it was closed while idle
            else:
                connection.drop()
        return await self._exchanged(await self._opened(), request, most)

    async def _exchanged(self, connection: Connection, request: bytes, most: int) -> Answer:
        try:
            return await connection.exchange(request, most, None)
        finally:
            if connection.reusable:
                self._connection = connection
            else:
                connection.drop()

    async def _opened(self) -> Connection:
        address, secure = self.address, self._secure
        hosts = await self._resolver.addresses(address.host, address.port)
        problem: OSError | None = None
        for host in hosts[:MANY_ADDRESSES]:
            try:
                return await Connection.open(
                    replace(address, host=host),
                    None if secure is None else secure.context,
                    None if secure is None else secure.server_name,
                )
            except OSError as error:
                problem = error
        self._resolver.forget(address.host, address.port)
        raise problem or OSError(f"{address.host} has no address")


def beside(base_path: str, path: str) -> str:
    """Where a page is that stands beside the API: ``/v1`` is no part of its path, anything before
    that is (a server behind a prefix of a shared host)."""
    return base_path.removesuffix("/v1") + path
