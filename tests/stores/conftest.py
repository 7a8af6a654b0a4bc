"""The Redis store's own tests run on uvloop, which carries production, and on plain asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    config: object, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    plain = {"asyncio": asyncio.SelectorEventLoop}
    if item.path.name not in ("test_redis.py", "test_redis_faults.py"):
        return plain
    return {"uvloop": uvloop.new_event_loop, **plain}
