"""The same fleets and loads in virtual time: no sockets, no waiting, the same figures every run.

    .venv/bin/python bench/picking/virtual.py --only hot,slow NAME=YAML ...
    .venv/bin/python bench/picking/virtual.py --markdown every.md       # every strategy

Only for ours: strategies are called directly, on the simulator's own engines. A scenario takes a
second, so this is where weights are tried out before ``bench/picking.py`` measures the real
thing. What a gateway adds (connections, scrapes, retries) is as simple here as can be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import selectors
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from picking.load import MODEL, REPLICAS, SCENARIOS, Conversation, Scenario, Turn
from picking.routers import PICKING
from wayside.catalog import catalog
from wayside.endpoints import Profile
from wayside.fleet.picking import profile
from wayside.settings.picking import PickingSettings
from wayside.sim.engine import Engine, Work
from wayside.sim.settings import SimModel, parse_settings
from wayside.vocab.endpoint import Endpoint, Need, Roster, Vitals

SCRAPE_S = 0.2
OUT_S = 1.0
"""How long a server is left out that did not answer."""


class _Selector(selectors.DefaultSelector):
    """Where a loop would wait, time passes at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is due, and nothing will ever be")
        self.now += max(0.0, timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run in virtual time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)


@dataclass(slots=True)
class Seen:
    """One request, as :class:`picking.client.Sample`."""

    sent: float
    first: float = 0.0
    end: float = 0.0
    prompt: int = 0
    cached: int = 0
    replica: int = -1
    failed: bool = False


class World:
    """A fleet, and a strategy that chooses among its replicas."""

    def __init__(self, scenario: Scenario, chosen: Profile, seed: int, scrape_s: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.profile, self.scenario, self.scrape_s = chosen, scenario, scrape_s
        servers = [scenario.fleet.server(n, 9000 + n) for n in range(REPLICAS)]
        self.models: list[SimModel] = [
            server.models[0] for server in parse_settings({"servers": servers}).servers
        ]
        self.endpoints = [Endpoint(f"r{n}", f"127.0.0.1:{9000 + n}") for n in range(REPLICAS)]
        self.engines = [self._engine(n) for n in range(REPLICAS)]
        self.out = [0.0] * REPLICAS
        self.dead: set[int] = set()
        self.tasks: dict[int, set[asyncio.Task[Any]]] = {n: set() for n in range(REPLICAS)}
        self.dice = random.Random(seed)
        self.seen: list[Seen] = []
        self.roster = Roster(tuple(self.endpoints))

    def _engine(self, number: int) -> Engine:
        return Engine(
            self.models[number],
            clock=self.loop.time,
            dice=random.Random(0),
            changed=lambda: None,
        )

    async def scrape(self) -> None:
        while True:
            now = self.loop.time()
            for n, (endpoint, engine) in enumerate(zip(self.endpoints, self.engines, strict=True)):
                if n not in self.dead:
                    endpoint.vitals = Vitals(
                        at=now,
                        waiting=engine.waiting,
                        running=engine.running,
                        kv=engine.kv_usage(),
                        blocks=engine.model.kv_blocks,
                        block_size=engine.model.block_size,
                    )
            self._reroster()
            await asyncio.sleep(self.scrape_s)

    def _reroster(self) -> None:
        now = self.loop.time()
        inside = [e for e, out in zip(self.endpoints, self.out, strict=True) if out <= now]
        self.roster = Roster(tuple(inside or self.endpoints))

    async def die(self, start: float, seconds: float) -> None:
        if self.scenario.fleet.dies is None:
            return
        kill, revive = self.scenario.fleet.dies
        last = REPLICAS - 1
        await asyncio.sleep(start + kill * seconds)
        self.dead.add(last)
        for task in tuple(self.tasks[last]):
            task.cancel()
        await asyncio.sleep((revive - kill) * seconds)
        self.dead.discard(last)
        self.engines[last] = self._engine(last)

    async def talk(self, talk: Conversation, until: float) -> None:
        for turn in talk.turns:
            if (ahead := turn.at - self.loop.time()) > 0:
                await asyncio.sleep(ahead)
            elif self.loop.time() >= until:
                return
            await self.ask(turn, dict(talk.headers))

    async def ask(self, turn: Turn, headers: dict[str, str]) -> None:
        now = self.loop.time()
        seen = Seen(now, prompt=turn.prompt)
        self.seen.append(seen)
        for _ in range(3):
            need = Need(
                MODEL,
                body=turn.body,
                headers=headers,
                now=self.loop.time(),
                dice=self.dice.random,
            )
            endpoint = self.profile.pick(need, self.roster)[0]
            number = self.endpoints.index(endpoint)
            self.profile.chosen(need, endpoint)
            endpoint.in_flight += 1
            task = asyncio.ensure_future(self._serve(number, turn, seen, need))
            self.tasks[number].add(task)
            try:
                if number in self.dead:
                    task.cancel()
                await task
                return
            except asyncio.CancelledError:
                self.out[number] = self.loop.time() + OUT_S
                self._reroster()
                if seen.first:
                    seen.failed = True
                    return
            finally:
                self.tasks[number].discard(task)
                endpoint.in_flight -= 1
                self.profile.ended(need, endpoint)
        seen.failed = True

    async def _serve(self, number: int, turn: Turn, seen: Seen, need: Need) -> None:
        engine = self.engines[number]
        sent = self.loop.time()
        text = "\n".join(_texts(turn.body))
        sequence = await engine.enter(Work(text, turn.prompt, turn.answer, turn.answer))
        ending = "abort"
        try:
            await asyncio.sleep(sequence.first_at - self.loop.time())
            seen.first, seen.replica = self.loop.time(), number
            seen.cached = sequence.cached_tokens
            self.profile.answered(need, self.endpoints[number], seen.first - sent)
            await asyncio.sleep(max(0.0, sequence.last_at - self.loop.time()))
            seen.end, ending = self.loop.time(), "length"
        finally:
            engine.leave(sequence, ending)


def _texts(body: bytes) -> list[str]:
    return [m["content"] for m in json.loads(body)["messages"]]


async def _play(
    scenario: Scenario,
    chosen: Profile,
    seed: int,
    warm: float,
    seconds: float,
    scrape: float,
) -> dict[str, float]:
    world = World(scenario, chosen, seed, scrape)
    talks = scenario.load(seed, warm, seconds)
    others = [
        asyncio.create_task(world.scrape()),
        asyncio.create_task(world.die(warm, seconds)),
    ]
    tasks = [asyncio.create_task(world.talk(t, warm + seconds)) for t in talks]
    _, late = await asyncio.wait(tasks, timeout=warm + seconds + 6)
    end = world.loop.time()
    for task in (*others, *late):
        task.cancel()
    await asyncio.gather(*tasks, *others, return_exceptions=True)
    for task in tasks:
        if not task.cancelled() and task.exception():
            raise task.exception()  # type: ignore[misc]
    measured = [s for s in world.seen if s.sent >= warm]
    firsts = sorted((s.first or end) - s.sent for s in measured if not s.failed)
    inside = [s for s in world.seen if s.end and warm <= s.end < warm + seconds]
    served = [sum(s.replica == n for s in measured) for n in range(REPLICAS)]
    return {
        "hit": sum(s.cached for s in measured) / sum(s.prompt for s in measured),
        "p50": firsts[len(firsts) // 2],
        "p90": firsts[int(len(firsts) * 0.9)],
        "p99": firsts[int(len(firsts) * 0.99)],
        "rate": len(inside) / seconds,
        "imbalance": max(served) * REPLICAS / max(1, sum(served)),
        "errors": sum(s.failed for s in measured),
    }


def play(
    scenario: Scenario,
    picking: Any,
    seeds: range = range(1, 4),
    *,
    warm: float = 5.0,
    seconds: float = 12.0,
    scrape: float = SCRAPE_S,
) -> dict[str, float]:
    """Medians over ``seeds``. ``picking`` is as in the settings, or makes a profile."""

    def build() -> Profile:
        if callable(picking):
            return picking()  # type: ignore[no-any-return]
        return profile(PickingSettings.model_validate(picking))

    runs = [run(_play(scenario, build(), s, warm, seconds, scrape)) for s in seeds]
    return {key: median(r[key] for r in runs) for key in runs[0]}


ELSEWHERE = {
    "context_length": "goes by labels of servers of different sorts",
    "gpu_load": "goes by what GPUs say",
    "lora_affinity": "goes by adapters",
    "precise_prefix_cache": "goes by events over ZeroMQ: measured with sockets",
    "topology": "goes by zones",
}
"""Strategies of which a fleet of eight equals says nothing."""


def strategies() -> dict[str, Any]:
    """Every strategy by itself that this fleet can tell something of, and the compositions."""
    names = [*catalog.names("picker"), *catalog.names("scorer")]
    composed = {f"{name} (composed)": PICKING[name] for name in ("llm-d", "balanced")}
    return composed | {name: name for name in names if name not in ELSEWHERE}


def markdown(rows: dict[str, dict[str, dict[str, float]]]) -> str:
    """A row per strategy; per scenario the hit rate, and p50 / p90 in milliseconds."""
    scenarios = list(next(iter(rows.values())))
    lines = ["| strategy | " + " | ".join(scenarios) + " |"]
    lines.append("| --- |" + " ---: |" * len(scenarios))
    for name, found in sorted(rows.items(), key=lambda row: _badness(row[1])):
        cells = [
            f"{f['hit']:.0%} {f['p50'] * 1e3:,.0f}/{f['p90'] * 1e3:,.0f}" for f in found.values()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _badness(found: dict[str, dict[str, float]]) -> float:
    """The product of its p90s: what is twice as slow in one scenario counts as much anywhere."""
    return prod(f["p90"] for f in found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="scenarios, with commas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scrape", type=float, default=SCRAPE_S, help="seconds between scrapes")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument(
        "strategies", nargs="*", metavar="NAME=YAML", help="without any: every one there is"
    )
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else [s.name for s in SCENARIOS]
    given = [text.partition("=") for text in options.strategies]
    chosen = {name: yaml.safe_load(value or name) for name, _, value in given} or strategies()
    seeds = range(1, options.seeds + 1)
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for name, picking in chosen.items():
        for scenario in SCENARIOS:
            if scenario.name not in wanted:
                continue
            found = play(scenario, picking, seeds, scrape=options.scrape)
            rows.setdefault(name, {})[scenario.name] = found
            print(
                f"{name:26}{scenario.name:11} hit {found['hit']:4.0%}"
                f"  ttft p50 {found['p50'] * 1e3:5.0f}  p90 {found['p90'] * 1e3:6.0f}"
                f"  p99 {found['p99'] * 1e3:6.0f} ms  {found['rate']:5.1f} req/s"
                f"  imbalance {found['imbalance']:.2f}  errors {found['errors']:.0f}",
                flush=True,
            )
    if options.markdown:
        options.markdown.write_text(markdown(rows) + "\n")


if __name__ == "__main__":
    main()
