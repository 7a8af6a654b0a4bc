"""One router for all faults, with real model servers: over HTTP, and behind a real Envoy.

Both live for the whole session on one event loop. That they still answer after forty faults is
part of what is shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from inspect import iscoroutinefunction
from typing import Any

import pytest
import pytest_asyncio

from tests.running import SHELLS, Running, running
from wayside.sim import Sim, SimModel, SimServer, serve_sim

MAX_BODY = 128 << 10
"""Bytes that a request may have here, so that larger ones cost no time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every coroutine of this folder runs on the loop that the routers live on."""
    for item in items:
        if item.path.parent.name == "faults" and iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def document(url: str) -> dict[str, Any]:
    """``small`` unless the word of a rule leads to ``big``; ``slow`` takes its time."""
    return {
        "limits": {
            "max_body_bytes": MAX_BODY,
            "header_timeout_s": 0.5,
            "body_timeout_s": 0.8,
            "drain_s": 0.5,
        },
        "models": {name: {"endpoints": [url]} for name in ("small", "big", "slow")},
        "routing": {
            "default_model": "small",
            "signals": {"keyword": {"hard": {"keywords": ["theorem"]}}},
            "decisions": [{"name": "hard", "when": "keyword:hard", "models": ["big"]}],
        },
    }


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sim() -> AsyncIterator[Sim]:
    """A server of all three."""
    slow = SimModel("slow", ttft_s=0.2, itl_s=0.05)
    async with serve_sim([SimServer((SimModel("small"), SimModel("big"), slow))]) as (found,):
        yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(sim: Sim) -> AsyncIterator[Running]:
    """The router that clients talk to themselves."""
    async with running("gateway", document(sim.url)) as found:
        yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def envoy(sim: Sim) -> AsyncIterator[Running]:
    """The same behind a real Envoy."""
    async with running("envoy", document(sim.url)) as found:
        yield found


@pytest.fixture(scope="session", params=SHELLS)
def router(request: pytest.FixtureRequest) -> Running:
    """Either of them."""
    found: Running = request.getfixturevalue(request.param)
    return found
