"""Connecting for real: several addresses, deadlines, reasons."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from wayside.fleet import DialError, Replica, Resolver, dial
from wayside.settings.address import parse_address
from wayside.settings.model import TimeoutSettings


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await asyncio.sleep(0.01)


class Peer(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport


def replica(port: int, connect_s: float = 2.0) -> Replica:
    address = parse_address(f"http://llm.test:{port}")
    return Replica("r", address, timeouts=TimeoutSettings(connect_s=connect_s))


def resolving(*addresses: str) -> Resolver:
    async def lookup(host: str, port: int) -> list[str]:
        return list(addresses)

    return Resolver(lookup=lookup)


async def test_the_next_address_is_tried_when_one_refuses(port: int) -> None:
    for _ in range(3):  # whichever comes first
        resolver = resolving("127.0.0.1", "127.0.0.99")
        peer = await dial(replica(port), resolver, Peer)
        assert peer.transport.get_extra_info("peername")[0] == "127.0.0.1"
        peer.transport.close()


async def test_the_next_address_is_tried_when_one_is_silent(port: int) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as full:  # a backlog of one that is taken: further SYNs wait
        full.bind(("127.0.0.98", port))
        full.listen(0)
        taken = [socket.socket() for _ in range(3)]
        for sock in taken:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.98", port))
        started = loop.time()
        peers = [
            await dial(replica(port), resolving("127.0.0.98", "127.0.0.1"), Peer) for _ in range(2)
        ]
        assert loop.time() - started < 1.5
        for peer in peers:
            assert peer.transport.get_extra_info("peername")[0] == "127.0.0.1"
            peer.transport.close()
        with pytest.raises(DialError) as caught:
            await dial(replica(port, 0.2), resolving("127.0.0.98"), Peer)
        assert caught.value.reason == "connect_timeout"
        for sock in taken:
            sock.close()


async def test_reasons_are_told_apart(port: int) -> None:
    with pytest.raises(DialError) as caught:
        await dial(replica(port), resolving("127.0.0.97", "127.0.0.96"), Peer)
    assert caught.value.reason == "connect_failed"
    with pytest.raises(DialError) as caught:
        await dial(replica(port), resolving(), Peer)
    assert caught.value.reason == "dns_failed"
