"""What the response cache's stores add to a request, at a thousand, 100,000 and a million entries.

.venv/bin/python bench/cache.py                     memory, 1k and 100k; Redis where there is one
.venv/bin/python bench/cache.py --entries 1000000   half an hour: a graph of a million is built

Times are microseconds of one lookup, the best of several rounds; beside each stands how many
times a lookup in an *empty* store of the same run it is, which is the figure to compare between
machines and days. ``bytes`` is what the store counts for one entry, ``rss`` what the process grew
by. ``found`` is how often the nearest answer of all was among those found, against a comparison
with every vector. ``slowest`` is the slowest of all additions, in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import inspect
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.stores.redis_rig import RedisServer, plain, stack  # noqa: E402

from wayside.stores.base import Tools  # noqa: E402
from wayside.stores.memory import MemorySettings, MemoryStore  # noqa: E402
from wayside.stores.redis import RedisSettings, RedisStore  # noqa: E402
from wayside.vocab.stores import Recall, Remember  # noqa: E402

WIDTH = 256
BODY = 1_500
PER_USER = 50
LOOKUPS = 200
ROUNDS = 5
SHORT = 40
"""Lookups of a round."""
HIT = 0.9
"""The threshold of a near lookup."""


def vectors(count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Questions in groups of about twenty that are alike, at length one."""
    dice = np.random.default_rng(seed)
    centres = dice.standard_normal((max(1, count // 20), WIDTH)).astype(np.float32)
    for _ in range(count):
        row = centres[dice.integers(len(centres))] + 0.5 * dice.standard_normal(WIDTH)
        yield (row / np.linalg.norm(row)).astype(np.float32)


class Filled:
    """What is in a store, to ask for it again."""

    def __init__(self, count: int, users: bool) -> None:
        self.count, self.users = count, users
        self.rows = np.empty((count, WIDTH), np.float32)
        for i, row in enumerate(vectors(count)):
            self.rows[i] = row

    def partition(self, i: int) -> str:
        user = i // PER_USER if self.users else 0
        return f"-/auto/support/small/{user:032x}"

    def remember(self, i: int) -> Remember:
        body = (b"%d " % i) * (BODY // len(b"%d " % i))
        question = f"What is question number {i} about, if it is about anything?"
        vector = tuple(self.rows[i].tolist())
        return Remember("s", self.partition(i), f"{i:032x}", body, 86_400, question, vector)

    def near(self, i: int, jitter: float = 0.02) -> tuple[float, ...]:
        dice = np.random.default_rng(i)
        row = self.rows[i] + jitter * dice.standard_normal(WIDTH).astype(np.float32) / 16
        return tuple((row / np.linalg.norm(row)).tolist())


async def fill(store: Any, filled: Filled, at_once: int = 1) -> tuple[float, float]:
    """Seconds of one addition on average, and of the slowest."""
    clock = time.process_time if isinstance(store, MemoryStore) else time.perf_counter
    slowest, began = 0.0, clock()
    for start in range(0, filled.count, at_once):
        one = clock()
        some = [
            store.remember(filled.remember(i))
            for i in range(start, min(start + at_once, filled.count))
        ]
        if inspect.isawaitable(some[0]):
            await asyncio.gather(*some)
        slowest = max(slowest, clock() - one)
    return (clock() - began) / filled.count, slowest / at_once


async def lookup(store: Any, asks: list[Recall]) -> float:
    """Microseconds of one lookup: processor time in this process, or time until a server's answer;
    the best of short rounds, since other work on the machine interrupts long ones."""
    clock = time.process_time if isinstance(store, MemoryStore) else time.perf_counter
    best = float("inf")
    for _ in range(ROUNDS):
        for start in range(0, len(asks), SHORT):
            began = clock()
            for question in asks[start : start + SHORT]:
                found = store.recall(question)
                if inspect.isawaitable(found):
                    await found
            best = min(best, clock() - began)
    return best / SHORT * 1e6


async def found_share(store: Any, filled: Filled) -> float:
    """How often the nearest of the partition is among those found."""
    dice, good = np.random.default_rng(7), 0
    picks = dice.integers(filled.count, size=100)
    for i in picks:
        vector = filled.near(int(i))
        question = Recall("s", filled.partition(int(i)), "", vector, 0.0, 8)
        said = store.recall(question)
        said = await said if inspect.isawaitable(said) else said
        low = i // PER_USER * PER_USER if filled.users else 0
        high = low + PER_USER if filled.users else filled.count
        nearest = low + int(np.argmax(filled.rows[low:high] @ np.asarray(vector, np.float32)))
        good += any(hit.question == filled.remember(nearest).question for hit in said.hits)
    return good / len(picks)


async def measured(name: str, make: Callable[[], Any], filled: Filled, at_once: int) -> None:
    store = make()
    empty = await lookup(store, [Recall("s", "p", f"{i:032x}") for i in range(LOOKUPS)])
    gc.collect()
    before = psutil.Process().memory_info().rss
    added, slowest = await fill(store, filled, at_once)
    grown = psutil.Process().memory_info().rss - before
    picks = np.random.default_rng(3).integers(filled.count, size=LOOKUPS)
    at = [(filled.partition(int(i)), f"{int(i):032x}", int(i)) for i in picks]
    times = {
        "hit": await lookup(store, [Recall("s", p, k) for p, k, _ in at]),
        "miss": await lookup(store, [Recall("s", p, k[::-1] + "x") for p, k, _ in at]),
        "near": await lookup(
            store, [Recall("s", p, "", filled.near(i), HIT, 8) for p, _, i in at]
        ),
    }
    held = await store.held()
    shown = "  ".join(f"{k} {v:7.1f} ({v / empty:5.1f}x)" for k, v in times.items())
    print(
        f"{name:<28} {filled.count:>9,}  empty {empty:6.1f}  {shown}"
        f"  add {added * 1e6:6.0f}  slowest {slowest * 1e3:6.1f}"
        f"  bytes {held.bytes / filled.count:6.0f}  rss {grown / filled.count:6.0f}"
        f"  found {await found_share(store, filled):.2f}",
        flush=True,
    )
    store.close()
    await asyncio.sleep(0)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, nargs="*", default=[1_000, 100_000])
    parser.add_argument("--only", choices=["memory", "redis"], default=None)
    parser.add_argument("--layout", choices=["users", "one"], default=None)
    chosen = parser.parse_args()
    print(f"{WIDTH} numbers a vector, {BODY} bytes an answer; {PER_USER} answers a user, or one")
    print("partition for all. Times in microseconds, slowest addition in milliseconds.\n")
    layouts = [chosen.layout] if chosen.layout else ["users", "one"]
    for count in chosen.entries:
        for layout in layouts:
            filled = Filled(count, layout == "users")
            if chosen.only != "redis":
                await measured(
                    f"memory, {layout}",
                    lambda: MemoryStore(MemorySettings(max_bytes=64 << 30), Tools("s")),
                    filled,
                    1,
                )
            if chosen.only != "memory":
                for kind, there in (("plain", plain()), ("search", stack())):
                    if there:
                        await over_redis(f"redis {kind}, {layout}", kind == "search", filled)


async def over_redis(name: str, search: bool, filled: Filled) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), search=search).start()
        try:
            rule = RedisSettings(url=server.url, timeout_ms=10_000, index_max_bytes=64 << 30)

            def make() -> RedisStore:
                return RedisStore(rule, Tools("s"))

            await measured(name, make, filled, 50)
        finally:
            server.close()


if __name__ == "__main__":
    asyncio.run(main())
