"""Open a connection to a replica: every address of its name, TLS verified, within its time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TypeVar

from wayside.fleet.replica import Replica
from wayside.fleet.resolve import Resolver

HEAD_START_S = 0.25
"""An address gets this long before the next one is tried beside it (RFC 8305 section 5)."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


class DialError(Exception):
    """No connection, so nothing was sent. ``reason`` is connect_failed, connect_timeout,
    dns_failed or tls_failed."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


async def dial(replica: Replica, resolver: Resolver, factory: Callable[[], P]) -> P:
    """A protocol made by ``factory``, connected. Raises :class:`DialError`."""
    address = replica.address
    try:
        async with asyncio.timeout(replica.timeouts.connect_s):
            try:
                hosts = await resolver.addresses(address.host, address.port)
            except OSError as error:
                raise DialError("dns_failed", f"{address.host}: {error}") from error
            try:
                return await _first_of(hosts, replica, factory)
            except ssl.SSLError as error:
                raise DialError("tls_failed", str(error)) from error
            except OSError as error:
                resolver.forget(address.host, address.port)
                raise DialError("connect_failed", str(error)) from error
    except TimeoutError as error:
        resolver.forget(address.host, address.port)
        raise DialError("connect_timeout", f"{address} did not answer in time") from error


async def _first_of(hosts: list[str], replica: Replica, factory: Callable[[], P]) -> P:
    """Happy eyeballs, the short version: staggered attempts, the first to connect wins."""
    if len(hosts) == 1:
        return await _connect(hosts[0], replica, factory)
    attempts: set[asyncio.Task[P]] = set()
    error: OSError | None = None
    waiting = list(hosts)
    try:
        while attempts or waiting:
            if waiting:
                host = waiting.pop(0)
                attempts.add(asyncio.create_task(_connect(host, replica, factory)))
            done, attempts = await asyncio.wait(
                attempts,
                timeout=HEAD_START_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            winner: P | None = None
            for task in done:
                failure = task.exception()
                if failure is None:
                    if winner is None:
                        winner = task.result()
                    else:
                        _let_go(task)
                elif isinstance(failure, OSError):
                    error = failure
                else:
                    raise failure
            if winner is not None:
                return winner
    finally:
        for task in attempts:
            task.cancel()
            task.add_done_callback(_let_go)
    raise error or OSError("no address to connect to")


def _let_go(task: asyncio.Task[P]) -> None:
    """Close the connection of an attempt that came second."""
    if not task.cancelled() and task.exception() is None:
        close = getattr(task.result(), "close", None)
        if close is not None:
            close()


async def _connect(host: str, replica: Replica, factory: Callable[[], P]) -> P:
    loop = asyncio.get_running_loop()
    secure = replica.secure
    if secure is None:
        _, protocol = await loop.create_connection(factory, host, replica.address.port)
    else:
        _, protocol = await loop.create_connection(
            factory,
            host,
            replica.address.port,
            ssl=secure.context,
            server_hostname=secure.server_name,
        )
    return protocol
