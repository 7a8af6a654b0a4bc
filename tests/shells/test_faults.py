"""Simulated model servers that are killed, stopped, flapping and overloaded, as processes of their
own. Every request is counted: answered, or failed in a way that its client can see.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests.running import Running, chat, running

LAG_S = 0.25
"""The longest that the router's event loop may be held up, with everything on two cores."""


class Server:
    """A simulator in a process of its own, at a port that stays its own."""

    def __init__(self, *arguments: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wayside", "sim", "--json", "--port", str(self.port)),
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            line = await self._process.stdout.readline()
        assert json.loads(line)["url"] == self.url

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self.send(signal.SIGKILL)
            await self._process.wait()

    async def stats(self) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.url + "/_sim/stats") as response,
        ):
            found: dict[str, Any] = await response.json()
            return found


@contextlib.asynccontextmanager
async def servers(*kinds: tuple[str, ...]) -> AsyncIterator[list[Server]]:
    made = [Server(*arguments) for arguments in kinds]
    try:
        await asyncio.gather(*(server.start() for server in made))
        yield made
    finally:
        for server in made:
            await server.kill()


SMALL = ("--model", "small,ttft_s=0.02,itl_s=0.005", "--answer-tokens", "20")


def settings(*of: Server, fallback: Server | None = None, **small: Any) -> dict[str, Any]:
    models: dict[str, Any] = {"small": {"endpoints": [s.url for s in of], **small}}
    if fallback is not None:
        models["big"] = {"endpoints": [fallback.url]}
        models["small"]["fallbacks"] = ["big"]
    return {"models": models, "routing": {"default_model": "small"}}


class Tally:
    """What became of requests, as their clients saw it."""

    def __init__(self, router: Running) -> None:
        self._router = router
        self.seen: Counter[str] = Counter()

    async def ask(self, *, stream: bool) -> None:
        try:
            body = chat("hello", "small", stream=stream)
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session,
                session.post(f"{self._router.url}/v1/chat/completions", json=body) as response,
            ):
                said = await response.read()
                self.seen[_became(response.status, said, stream)] += 1
        except aiohttp.ClientPayloadError:
            self.seen["broken off"] += 1

    async def many(self, count: int, *, stream: bool = False, every_s: float = 0.0) -> None:
        asking = []
        for _ in range(count):
            asking.append(asyncio.create_task(self.ask(stream=stream)))
            await asyncio.sleep(every_s)
        await asyncio.gather(*asking)


def _became(status: int, said: bytes, stream: bool) -> str:
    if status != 200:
        assert "error" in json.loads(said), said
        return str(status)
    if not stream:
        assert json.loads(said)["choices"][0]["message"]["content"]
        return "answered"
    if said.rstrip().endswith(b"data: [DONE]"):
        return "answered"
    return "broken off" if b'"error"' in said else "LOST"  # a tidy end of half an answer


@contextlib.asynccontextmanager
async def router_of(document: dict[str, Any]) -> AsyncIterator[tuple[Running, Tally]]:
    """A router, and a watch on its event loop."""
    lags: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.01)
            lags.append(time.perf_counter() - began - 0.01)

    async with running("gateway", document) as router:
        watching = asyncio.create_task(watch())
        try:
            yield router, Tally(router)
        finally:
            watching.cancel()
        fleet = router.app.fleet
        assert {pool.in_flight for pool in fleet.pools.values()} == {0}, "nothing is left behind"
        assert router.app.telemetry.in_flight == 0
    assert max(lags) < LAG_S, "nothing holds up the event loop"


def outcomes(router: Running) -> Counter[str]:
    """What the log says of attempts that were not all there was to a request."""
    tries = [t for line in router.access.lines for t in line.get("attempts", ())]
    return Counter(t["outcome"] for t in tries)


async def test_a_server_killed_in_the_middle_costs_only_the_answers_it_had_begun() -> None:
    slow = ("--model", "small,ttft_s=0.6,itl_s=0.15", "--answer-tokens", "12")
    async with servers(slow, slow) as (one, two), router_of(settings(one, two)) as (router, tally):
        early = asyncio.create_task(tally.many(12, stream=True))
        await asyncio.sleep(0.9)  # these have begun to be answered
        late = asyncio.create_task(tally.many(12, stream=True))
        await asyncio.sleep(0.1)  # and these wait for their first token
        await one.kill()
        await asyncio.gather(early, late)
        assert tally.seen.total() == 24
        assert set(tally.seen) == {"answered", "broken off"}
        assert 3 <= tally.seen["broken off"] <= 12, "only those that had begun"
        broken = [line for line in router.access.lines if line.get("reason")]
        assert len(broken) == tally.seen["broken off"], "each is in the log, with its reason"
        await tally.many(5)
        assert tally.seen["answered"] >= 17


async def test_a_server_that_is_stopped_is_left_for_another() -> None:
    times = {"first_token_s": 0.5}
    async with servers(SMALL, SMALL) as (one, two):
        async with router_of(settings(one, two, timeouts=times)) as (router, tally):
            await tally.many(4)
            one.send(signal.SIGSTOP)
            try:
                await tally.many(20, stream=True, every_s=0.02)
            finally:
                one.send(signal.SIGCONT)
            assert tally.seen == {"answered": 24}
            assert outcomes(router)["upstream_timeout"] >= 2


async def test_a_server_that_comes_and_goes_loses_no_request() -> None:
    async with servers(SMALL, SMALL) as (one, two):
        async with router_of(settings(one, two)) as (router, tally):
            asking = asyncio.create_task(tally.many(150, every_s=0.025))
            for _ in range(2):
                await asyncio.sleep(0.4)
                await one.kill()
                await asyncio.sleep(0.3)
                await one.start()
            await asking
            assert tally.seen == {"answered": 150}
            assert outcomes(router)["ok"] >= 1, "some had to be sent again"


RESETS = ("--fault", "reset=0.3")
ERRORS = ("--fault", "status=0.3,code=503")
STORM = ("--fault", "status=1,code=429,retry_after_s=1")


@pytest.mark.parametrize("fault", [RESETS, ERRORS], ids=["resets", "errors"])
async def test_a_server_that_fails_now_and_then_is_asked_within_a_budget(
    fault: tuple[str, ...],
) -> None:
    retries = {"budget": 0.2, "budget_at_least": 0}
    async with servers((*SMALL, *fault), SMALL) as (bad, good):
        document = settings(bad, good, retries=retries, breaker={"failures": 100, "errors": 0})
        async with router_of(document) as (router, tally):
            await tally.many(200, every_s=0.005)
            assert tally.seen.total() == 200
            assert set(tally.seen) <= {"answered", "502", "503"}
            assert tally.seen["answered"] >= 185
            retried = sum(
                t["kind"] == "retry"
                for line in router.access.lines
                for t in line.get("attempts", ())
            )
            assert retried <= 41


async def test_a_storm_of_429_goes_around_the_server_that_asked_for_peace() -> None:
    async with servers((*SMALL, *STORM), SMALL) as (limited, good):
        async with router_of(settings(limited, good)) as (_, tally):
            await tally.many(100, every_s=0.005)
            assert tally.seen == {"answered": 100}
            asked = (await limited.stats())["requests"]
            assert asked <= 12, "it said so, and was left alone"


async def test_a_slow_first_token_is_hedged() -> None:
    slow = ("--model", "small,ttft_s=3")
    hedge = {"after_s": 0.1, "share": 1}
    async with servers(slow, SMALL) as (one, two):
        async with router_of(settings(one, two, hedge=hedge)) as (router, tally):
            began = time.monotonic()
            await tally.many(10)
            assert time.monotonic() - began < 2.5
            assert tally.seen == {"answered": 10}
            assert outcomes(router)["hedge_lost"] >= 1
            await asyncio.sleep(0.1)
            assert (await one.stats())["running"] == 0, "the losers were cancelled"


async def test_when_every_server_is_gone_another_model_answers_then_nobody() -> None:
    big = ("--model", "big")
    async with servers(SMALL, big) as (one, other):
        async with router_of(settings(one, fallback=other)) as (router, tally):
            await tally.many(5)
            await one.kill()
            await tally.many(10)
            assert tally.seen == {"answered": 15}
            lines = [line for line in router.access.lines if line.get("fallback_from")]
            assert len(lines) == 10
            assert {line["model"] for line in lines} == {"big"}
            await other.kill()
            await tally.many(5)
            assert tally.seen["answered"] == 15
            assert tally.seen["502"] + tally.seen["503"] == 5
