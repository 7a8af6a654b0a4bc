"""Names into addresses, remembered for a few seconds so that a changed record is soon followed."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

TTL_S = 5.0
"""getaddrinfo does not tell a record's own TTL; five seconds is CoreDNS's Kubernetes default."""

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""All addresses of a host, best first; raises ``OSError`` when there are none."""


class Resolver:
    """A small DNS cache. Lookups of one name under way at the same time are one lookup."""

    def __init__(
        self,
        *,
        lookup: Lookup | None = None,
        clock: Callable[[], float] | None = None,
        ttl_s: float = TTL_S,
    ) -> None:
        self._lookup = lookup or system_lookup
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._ttl_s = ttl_s
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[list[str]]] = {}
        self._turn = 0

    async def addresses(self, host: str, port: int) -> list[str]:
        """Addresses to try in this order. Raises ``OSError`` if the name has none.

        Families alternate (RFC 8305 section 4), and each call begins one address further on, so
        that a headless service's pods share the connections.
        """
        if is_ip(host):
            return [host]
        key = (host, port)
        known = self._known.get(key)
        if known is None or known[0] <= self._clock():
            found = await self._ask(key)
        else:
            found = known[1]
        self._turn += 1
        start = self._turn % len(found)
        return found[start:] + found[:start]

    def known(self, host: str, port: int) -> list[str]:
        """Its addresses as they were last looked up, however long ago; empty where never."""
        found = self._known.get((host, port))
        return list(found[1]) if found else []

    def forget(self, host: str, port: int) -> None:
        """No address of this name answered: look it up again next time."""
        self._known.pop((host, port), None)

    async def _ask(self, key: tuple[str, int]) -> list[str]:
        task = self._asked.get(key)
        if task is None:
            task = asyncio.ensure_future(self._remember(key))
            self._asked[key] = task
            task.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(task)  # a client that leaves must not end it for the others

    def _answered(self, key: tuple[str, int], task: asyncio.Task[list[str]]) -> None:
        del self._asked[key]
        if not task.cancelled():
            task.exception()  # read here, in case every client that waited has left

    async def _remember(self, key: tuple[str, int]) -> list[str]:
        found = alternate(await self._lookup(*key))
        if not found:
            raise OSError(f"{key[0]} has no address")
        self._known[key] = (self._clock() + self._ttl_s, found)
        return found


def is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def system_lookup(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for _, _, _, _, sockaddr in found))


def alternate(addresses: list[str]) -> list[str]:
    """Interleave IPv6 and IPv4, beginning with the family that came first."""
    six = [a for a in addresses if ":" in a]
    four = [a for a in addresses if ":" not in a]
    first, second = (six, four) if addresses and ":" in addresses[0] else (four, six)
    mixed: list[str] = []
    for i in range(max(len(first), len(second))):
        mixed += first[i : i + 1] + second[i : i + 1]
    return mixed
