"""A fake API server for bad days, and a genuine one for what its answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from .fake import FakeApi, serving


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    config: object, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What goes over the wire runs on uvloop, which carries production, and on plain asyncio."""
    plain = {"asyncio": asyncio.SelectorEventLoop}
    if item.path.name not in ("test_client.py", "test_watch.py"):
        return plain
    return {"uvloop": uvloop.new_event_loop, **plain}


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with serving() as api:
        yield api
