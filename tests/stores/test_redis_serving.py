"""Two routers and a simulated model, as processes, over a Redis that fails under traffic."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.stores.redis_rig import RedisServer

KEY = {"authorization": "Bearer one-and-the-same"}
SLOWEST_S = 2.0
"""A request of these on two busy cores; a Redis that is waited for would take ten."""


class Process:
    """A command that says JSON lines, and how it ended."""

    def __init__(self, folder: Path, name: str) -> None:
        self._log = folder / name
        self.process: asyncio.subprocess.Process

    async def start(self, *arguments: str) -> None:
        with self._log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "wayside", *arguments), stdout=log, stderr=log
            )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line[:1] == "{"]

    def events(self, *names: str) -> list[str]:
        return [e["event"] for e in self.lines() if e.get("event") in names]

    async def until(self, key: str, value: Any = None) -> dict[str, Any]:
        """The first line that has ``key`` (with ``value``)."""
        end = time.monotonic() + 40
        while time.monotonic() < end:
            for line in self.lines():
                if key in line and (value is None or line[key] == value):
                    return line
            assert self.process.returncode is None, self._log.read_text()
            await asyncio.sleep(0.05)
        raise AssertionError(f"no {key} in {self._log.read_text()}")

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), 20)


class Router(Process):
    """``wayside serve`` with a shared cache."""

    async def ready(self) -> None:
        self.url: str = (await self.until("event", "serving"))["url"]
        self.management: str = (await self.until("event", "management"))["url"]


async def ask(session: aiohttp.ClientSession, router: Router, text: str) -> tuple[int, str, float]:
    """Status, what the cache says, and how long it took."""
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    began = time.monotonic()
    async with session.post(f"{router.url}/chat/completions", json=body, headers=KEY) as answer:
        await answer.read()
        said = answer.headers.get("x-wayside-cache", "")
        return answer.status, said, time.monotonic() - began


async def get(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as answer:
        return await answer.text()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path).start()
    yield server
    server.close()


@pytest.fixture
async def routers(tmp_path: Path, redis: RedisServer) -> AsyncIterator[list[Router]]:
    model = Process(tmp_path, "sim.log")
    await model.start("sim", "--json", "--port", "0", "--model", "small,ttft_s=0.02,itl_s=0.001")
    address = (await model.until("url"))["url"]
    cached = {"mode": "exact", "store": "shared", "wait_s": 1.0}
    document = {
        "listen": {"port": 0},
        "management": {"port": 0},
        "limits": {"drain_s": 5},
        "stores": {"shared": {"redis": {"url": redis.url}}},
        "models": {"small": {"endpoints": [address]}},
        "routing": {
            "decisions": [
                {"name": "all", "models": ["small"], "plugins": {"response_cache": cached}}
            ]
        },
    }
    (tmp_path / "wayside.yaml").write_text(yaml.safe_dump(document))
    made = [Router(tmp_path, f"router{i}.log") for i in range(2)]
    try:
        for router in made:
            await router.start("serve", "--config", str(tmp_path / "wayside.yaml"))
        for router in made:
            await router.ready()
        yield made
    finally:
        for process in [*made, model]:
            await process.stop()


@pytest.mark.slow
async def test_no_request_is_lost_to_a_redis_that_is_killed_stalled_and_started_again(
    routers: list[Router], redis: RedisServer
) -> None:
    one, other = routers
    async with aiohttp.ClientSession() as session:
        for router in routers:
            await router.until("event", "store up")
        assert (await ask(session, one, "hello"))[:2] == (200, "miss; scope=key")
        await asyncio.sleep(0.3)
        assert (await ask(session, other, "hello"))[:2] == (200, "hit; scope=key")

        ended = asyncio.Event()
        seen: list[tuple[int, str, float]] = []

        async def client(router: Router, number: int) -> None:
            count = 0
            while not ended.is_set():
                count += 1
                seen.append(await ask(session, router, f"{number} asks {count // 2}"))
                await asyncio.sleep(0.01)

        clients = [asyncio.create_task(client(routers[i % 2], i)) for i in range(6)]
        await asyncio.sleep(0.5)
        redis.pause()
        await asyncio.sleep(1.0)
        redis.resume()
        await asyncio.sleep(0.5)
        redis.kill()
        await asyncio.sleep(0.7)
        degraded = await get(session, f"{one.management}/metrics")
        health = json.loads(await get(session, f"{one.management}/api/v1/response-cache/health"))
        redis.start()
        await asyncio.sleep(2.5)
        ended.set()
        await asyncio.gather(*clients)

        assert {status for status, _, _ in seen} == {200}
        assert max(took for _, _, took in seen) < SLOWEST_S
        said = {what.partition(";")[0] for _, what, _ in seen}
        assert {"hit", "miss", "off"} <= said
        assert 'wayside_store_degraded{store="shared"} 1.0' in degraded
        assert health["status"] == "degraded" and not health["stores"][0]["healthy"]

        assert (await ask(session, one, "again"))[1].startswith("miss")
        await asyncio.sleep(0.3)
        assert (await ask(session, other, "again"))[1].startswith("hit")
        told = await get(session, f"{one.management}/metrics")
        assert 'wayside_store_degraded{store="shared"} 0.0' in told
        assert 'wayside_cache_misses_total{decision="all"}' in told
        assert 'llm_cache_plugin_misses_total{decision_name="all"}' in told

    for router in routers:
        states = router.events("store up", "store down")
        assert states[0] == states[-1] == "store up"
        assert len(states) < 12, states
        assert await router.stop() == 0
        assert "Traceback" not in router._log.read_text()
        assert "Task was destroyed" not in router._log.read_text()
    assert redis.command_line("CLIENT", "LIST").count(b"id=") <= 2  # it and an old one of ours
