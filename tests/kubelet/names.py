"""The cluster's DNS: A records of Services, over UDP and TCP, as CoreDNS answers them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import cast

Lookup = Callable[[str], list[str] | None]
"""The addresses of a name in small letters without its last dot; ``None`` for no such name."""
A, AAAA, ANY = 1, 28, 255
TTL_S = 5


def answer(query: bytes, lookup: Lookup) -> bytes:
    """The answer to one query of one question. Raises ``ValueError`` for anything else."""
    if len(query) < 17 or struct.unpack_from("!H", query, 4) != (1,):
        raise ValueError("no single question")
    labels, at = [], 12
    while length := query[at]:
        if length > 63 or at + length + 6 > len(query):
            raise ValueError("no name")
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
        at += 1 + length
    (kind,) = struct.unpack_from("!H", query, at + 1)
    question = query[12 : at + 5]
    found = lookup(".".join(labels))
    records = [
        b"\xc0\x0c" + struct.pack("!HHIH", A, 1, TTL_S, 4) + socket.inet_aton(address)
        for address in (found or ())
        if kind in (A, ANY)
    ]
    flags = 0x8580 | (3 if found is None else 0)  # an authority's, recursion "available"
    head = query[:2] + struct.pack("!5H", flags, 1, len(records), 0, 0)
    return head + question + b"".join(records)


class Datagrams(asyncio.DatagramProtocol):
    """UDP. An answer that does not fit (about thirty pods) says so, and is asked for over TCP."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        with contextlib.suppress(ValueError, IndexError, struct.error):
            said = answer(data, self._lookup)
            if len(said) > 512:
                said = answer(data, lambda _: [])
                said = said[:2] + bytes([said[2] | 2]) + said[3:]
            self._transport.sendto(said, addr)


def over_tcp(
    lookup: Lookup,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], asyncio.Future[None]]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            ValueError, IndexError, struct.error, OSError, asyncio.IncompleteReadError
        ):
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                said = answer(await reader.readexactly(length), lookup)
                writer.write(struct.pack("!H", len(said)) + said)
        writer.close()

    return handle  # type: ignore[return-value]
