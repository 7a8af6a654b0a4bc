"""One run: a fresh fleet, a fresh router, a warm-up, the load, the figures."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
from rig import BOTH_CORES, NotReady, Running, free_ports

from picking.client import Client, Sample
from picking.fleet import Counts, RunningFleet
from picking.load import MODEL, REPLICAS, Scenario
from picking.routers import Router, Where


@dataclass(frozen=True, slots=True)
class Figures:
    """What was seen of the requests sent after the warm-up. Times are seconds."""

    scenario: str
    router: str
    seed: int
    requests: int
    errors: int
    why: dict[str, int]
    """Errors by what went wrong."""
    hit: float
    """Share of prompt tokens that were in the prefix cache, 0..1."""
    p50: float
    p90: float
    p99: float
    """To the first token, from when the client sent the request."""
    completed: float
    """Requests completed per second of the measured time."""
    tokens: float
    """Output tokens of those per second."""
    imbalance: float
    """Requests of the busiest replica over the mean of all."""
    late: float
    """How much later than due the client itself was, 90th percentile: above some milliseconds
    the machine was too busy for these figures."""
    busy: float
    """Share of the machine that was in use, by this run and by whatever else ran."""
    cpu: float = 0.0
    """Cores that the router itself kept busy."""


@dataclass(frozen=True, slots=True)
class Length:
    """Seconds of a run: before measuring, measuring, and waiting for answers afterwards."""

    warm: float = 5.0
    measured: float = 12.0
    drain: float = 6.0


async def measure(router: Router, scenario: Scenario, seed: int, length: Length) -> Figures:
    """Raises :class:`NotReady` where the router does not start."""
    with tempfile.TemporaryDirectory(prefix="picking-") as name:
        folder = Path(name)
        port, events, *ports = free_ports(REPLICAS + 2)
        place = Where(folder, port, ports, events)
        heard = place.events_address if router.events else None
        fleet = RunningFleet(scenario.fleet, ports, folder, heard)
        running = Running(router.name, folder / "router.log")
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3600)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            try:
                fleet.start()
                await fleet.ready(session)
                running.start(router.start(place), cores=BOTH_CORES)
                url = f"http://127.0.0.1:{port}"
                await _ready(running, session, url)
                return await _run(router, scenario, seed, length, fleet, session, url, running)
            finally:
                running.stop()
                fleet.stop()


async def _run(
    router: Router,
    scenario: Scenario,
    seed: int,
    length: Length,
    fleet: RunningFleet,
    session: aiohttp.ClientSession,
    url: str,
    running: Running,
) -> Figures:
    client = Client(session, url)
    until = length.warm + length.measured
    talks = scenario.load(seed, length.warm, length.measured)
    counts: list[list[Counts]] = []
    shares: list[float] = []

    async def watch() -> None:
        await asyncio.sleep(length.warm)
        counts.append(await fleet.counts(session))
        psutil.cpu_percent()
        used = running.cpu_s()
        if scenario.fleet.dies:
            start = time.monotonic()
            for share, act in zip(scenario.fleet.dies, ("kill", "revive"), strict=True):
                await asyncio.sleep(start + share * length.measured - time.monotonic())
                if act == "kill":
                    await fleet.kill_last(session)
                else:
                    fleet.revive_last()
            await asyncio.sleep(start + length.measured - time.monotonic())
        else:
            await asyncio.sleep(length.measured)
        shares.append(psutil.cpu_percent() / 100)
        shares.append((running.cpu_s() - used) / length.measured)
        counts.append(await fleet.counts(session))

    watching = asyncio.create_task(watch())
    await client.play(talks, until, length.drain)
    await watching
    before, after = counts
    return _figures(router, scenario, seed, length, client.samples, before, after, shares)


def _figures(
    router: Router,
    scenario: Scenario,
    seed: int,
    length: Length,
    samples: list[Sample],
    before: list[Counts],
    after: list[Counts],
    shares: list[float],
) -> Figures:
    until = length.warm + length.measured
    took = [a.minus(b) for a, b in zip(after, before, strict=True)]
    measured = [s for s in samples if s.sent >= length.warm]
    # An answer that has not begun when the run ends has waited at least until then.
    end = until + length.drain
    firsts = sorted(
        (s.first or end) - s.sent for s in measured if s.first or s.why == "unfinished"
    )
    why: dict[str, int] = {}
    for sample in measured:
        if sample.why:
            why[sample.why] = why.get(sample.why, 0) + 1
    inside = [s for s in samples if s.end and length.warm <= s.end < until]
    requests = [c.requests for c in took]
    return Figures(
        scenario=scenario.name,
        router=router.name,
        seed=seed,
        requests=len(measured),
        errors=sum(why.values()),
        why=why,
        hit=sum(c.hit for c in took) / max(1.0, sum(c.queried for c in took)),
        p50=_rank(firsts, 0.5),
        p90=_rank(firsts, 0.9),
        p99=_rank(firsts, 0.99),
        completed=len(inside) / length.measured,
        tokens=sum(s.answer for s in inside) / length.measured,
        imbalance=max(requests) / max(1e-9, sum(requests) / len(requests)),
        late=_rank(sorted(s.late for s in measured if s.late is not None), 0.9),
        busy=shares[0],
        cpu=shares[1],
    )


def _rank(ranked: list[float], share: float) -> float:
    """Nearest rank; 0 where there is nothing."""
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


async def _ready(running: Running, session: aiohttp.ClientSession, url: str) -> None:
    """Return once two requests in a row were answered."""
    message = {"role": "user", "content": "Are you there?"}
    body = {"model": MODEL, "max_tokens": 1, "messages": [message]}
    good, last, until = 0, "never answered", time.monotonic() + 60.0
    while time.monotonic() < until:
        if (status := running.exited()) is not None:
            raise NotReady(f"exited with {status}: {running.tail()[-300:]}")
        try:
            async with session.post(url + "/v1/chat/completions", json=body) as answer:
                said = await answer.text()
                good = good + 1 if answer.status == 200 else 0
                last = f"answered {answer.status}: {said[:160]}"
        except (aiohttp.ClientError, OSError) as error:
            good, last = 0, f"{type(error).__name__}: {error}"
        if good == 2:
            return
        await asyncio.sleep(0.1)
    raise NotReady(f"not ready in 60 s; {last}; log: {running.tail()[-200:]}")


def machine() -> str:
    """The machine, in words."""
    return f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB"
