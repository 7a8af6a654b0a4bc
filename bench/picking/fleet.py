"""The simulated fleet: seven replicas in one process, the eighth alone, which may be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from rig import NotReady

from picking.load import REPLICAS, Fleet

SIMULATOR = [sys.executable, "-m", "wayside", "sim", "--json", "--config"]


@dataclass(slots=True)
class Counts:
    """What one replica has counted so far."""

    requests: float = 0
    queried: float = 0
    """Prompt tokens looked up in the prefix cache."""
    hit: float = 0

    def minus(self, other: Counts) -> Counts:
        return Counts(
            self.requests - other.requests, self.queried - other.queried, self.hit - other.hit
        )

    def plus(self, other: Counts) -> Counts:
        return self.minus(Counts(-other.requests, -other.queried, -other.hit))


_FAMILIES = {
    "vllm:request_success_total": "requests",
    "vllm:prefix_cache_queries_total": "queried",
    "vllm:prefix_cache_hits_total": "hit",
}


@dataclass(slots=True)
class RunningFleet:
    """Eight replicas that listen on ``ports``; the last one lives alone."""

    fleet: Fleet
    ports: list[int]
    folder: Path
    events: str | None = None
    """Where they send their KV cache events."""
    many: subprocess.Popen[bytes] | None = None
    one: subprocess.Popen[bytes] | None = None
    _banked: Counts = field(default_factory=Counts)
    """What the last replica counted before it was killed."""

    def start(self) -> None:
        self.many = self._start("many", range(REPLICAS - 1))
        self.one = self._start("one", [REPLICAS - 1])

    def _start(self, name: str, numbers: range | list[int]) -> subprocess.Popen[bytes]:
        settings = {"servers": [self.fleet.server(n, self.ports[n], self.events) for n in numbers]}
        path = self.folder / f"fleet-{name}.json"
        path.write_text(json.dumps(settings))
        with (self.folder / "fleet.log").open("ab") as log:
            return subprocess.Popen(
                [*SIMULATOR, str(path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self) -> None:
        for child in (self.many, self.one):
            if child is not None:
                child.kill()
                child.wait()
        self.many = self.one = None

    async def ready(self, session: aiohttp.ClientSession, patience_s: float = 20.0) -> None:
        until = time.monotonic() + patience_s
        for port in self.ports:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    async with session.get(f"http://127.0.0.1:{port}/health") as answer:
                        if answer.status == 200:
                            break
                if time.monotonic() > until:
                    said = (self.folder / "fleet.log").read_text(errors="replace")
                    raise NotReady(f"the fleet is not ready: {said[-300:]}")
                await asyncio.sleep(0.05)

    async def kill_last(self, session: aiohttp.ClientSession) -> None:
        """SIGKILL the last replica, having read its counters."""
        self._banked = self._banked.plus(await _read(session, self.ports[-1]))
        if self.one is not None:
            self.one.kill()
            self.one.wait()

    def revive_last(self) -> None:
        """Start it again, with an empty cache."""
        self.one = self._start("one", [REPLICAS - 1])

    async def counts(self, session: aiohttp.ClientSession) -> list[Counts]:
        """What each replica has counted since the fleet was started."""
        found = [await _read(session, port) for port in self.ports]
        found[-1] = found[-1].plus(self._banked)
        return found

    def pids(self) -> list[int]:
        return [child.pid for child in (self.many, self.one) if child is not None]


async def _read(session: aiohttp.ClientSession, port: int) -> Counts:
    try:
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            page = await answer.text()
    except (aiohttp.ClientError, OSError):
        return Counts()  # killed, and not back yet
    counts = Counts()
    for name, value in _samples(page):
        setattr(counts, name, getattr(counts, name) + value)
    return counts


def _samples(page: str) -> Iterator[tuple[str, float]]:
    for line in page.splitlines():
        family, brace, rest = line.partition("{")
        if brace and family in _FAMILIES:
            yield _FAMILIES[family], float(rest.rpartition("}")[2])
