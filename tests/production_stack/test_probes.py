"""Health checks of many backends: those that hang do not hold up the others (A3-32)."""

from __future__ import annotations

import asyncio

import pytest

from wayside.operator import prober
from wayside.resources import Probe


async def test_backends_that_hang_wait_for_each_other_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prober, "AT_ONCE", 2)
    monkeypatch.setattr(prober, "FIRST_S", 0.0)
    asked = 0

    async def well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    servers = [await asyncio.start_server(how, "127.0.0.1", 0) for how in (well, hang)]
    good, bad = (f"http://127.0.0.1:{s.sockets[0].getsockname()[1]}" for s in servers)
    said = {"successes": 1, "failures": 1}
    probes = prober.Prober(lambda _: None)
    ill = [Probe(url=f"{bad}/{i}", period_s=0.01, timeout_s=0.3, **said) for i in range(8)]
    probes.want(("StaticRoute", "a", "ill"), ill)
    async with asyncio.timeout(10):
        while not all((a := probes.answer(p)) and a.healthy is False for p in ill):
            await asyncio.sleep(0.02)
    probes.want(
        ("StaticRoute", "b", "well"), [Probe(url=good, period_s=0.02, timeout_s=5.0, **said)]
    )
    await asyncio.sleep(1.0)
    assert asked > 15  # it would be about one for each 0.3 s
    await probes.stop()
    for server in servers:
        server.close()
