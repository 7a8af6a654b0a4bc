"""Clients for simulated servers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from wayside.sim import Sim


def chat(content: object = "Hello", model: str = "small", **more: object) -> dict[str, Any]:
    """A chat completion body."""
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def openai_for() -> AsyncIterator[Callable[..., AsyncOpenAI]]:
    async with contextlib.AsyncExitStack() as stack:
        made: list[AsyncOpenAI] = []

        def make(sim: Sim, key: str = "unused") -> AsyncOpenAI:
            made.append(AsyncOpenAI(base_url=f"{sim.url}/v1", api_key=key, max_retries=0))
            return made[-1]

        yield make
        for client in made:
            await stack.enter_async_context(client)


Exchange = Callable[[Sim, bytes], Awaitable[bytes]]


@pytest.fixture
def exchange() -> Exchange:
    """Send bytes on a connection of their own; everything that comes back until it ends."""

    async def send(sim: Sim, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
        try:
            writer.write(data)
            return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    return send
