"""What choosing a server costs, per strategy and composition: microseconds for one choice.

    .venv/bin/python bench/picks.py                  # all, as a table
    .venv/bin/python bench/picks.py queue balanced   # those named, and random

Each figure is the least of several repeats, of the processor's time; "x random" is the ratio to
the picker `random` at the same size, measured in the same run, which a busy machine disturbs less.
A choice is what a shell does: pick, chosen, answered, ended; `pick` alone is counted. Every
request has its own prompt, and every EVERY requests servers' metrics are read anew, so that what
is worked out once per reading is paid for as often as it is with 50 ms between readings and 2,000
requests/s. Against the plan: 5 us at 8, 15 us at 64 and 60 us at 512 for what depends on metrics
alone, 100 us at 512 for what looks at requests in flight.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from time import process_time

import wayside.endpoints
from wayside.catalog import catalog, discover
from wayside.fleet.picking import profile
from wayside.settings import PickingSettings
from wayside.vocab.endpoint import Endpoint, Need, Roster, Vitals

SIZES = (8, 64, 512)
EVERY = 100
REPEATS = 7
OWN = {"label": {"label": "zone", "values": ["a", "b"]}, "role": {"role": "decode"}}
OWN["label_selector"] = {"match_labels": {"zone": "a"}}
OWN["topology"] = {"mine": {"topology.kubernetes.io/zone": "a"}}
COMPOSED: dict[str, dict[str, object]] = {
    "queue 2, kv 2 (llm-d without a cache)": {
        "scorers": [{"queue": {}, "weight": 2}, {"kv_utilization": {}, "weight": 2}]
    },
    "the same, power_of_two": {
        "scorers": [{"queue": {}, "weight": 2}, {"kv_utilization": {}, "weight": 2}],
        "picker": "power_of_two",
    },
    "role, utilization, queue, kv": {
        "filters": [{"role": OWN["role"]}, "utilization"],
        "scorers": ["queue", "kv_utilization"],
    },
    "queue 2, kv 2, active_requests 1": {
        "scorers": [
            {"queue": {}, "weight": 2},
            {"kv_utilization": {}, "weight": 2},
            "active_requests",
        ]
    },
    "load_guard, queue 2, kv 2, prefix_cache 3": {
        "filters": ["load_guard"],
        "scorers": [
            {"queue": {}, "weight": 2},
            {"kv_utilization": {}, "weight": 2},
            {"prefix_cache": {}, "weight": 3},
        ],
    },
}


def strategies() -> dict[str, dict[str, object]]:
    """Settings of ``picking`` by name: each filter, scorer and picker, and compositions."""
    discover(wayside.endpoints)
    found: dict[str, dict[str, object]] = {}
    for kind in catalog.family("picker"):
        found[f"picker {kind.name}"] = {"picker": {kind.name: OWN.get(kind.name, {})}}
    for kind in catalog.family("scorer"):
        found[f"scorer {kind.name}"] = {"scorers": [{kind.name: OWN.get(kind.name, {})}]}
    for kind in catalog.family("filter"):
        found[f"filter {kind.name}"] = {
            "filters": [{kind.name: OWN.get(kind.name, {})}],
            "picker": "random",
        }
    return found | COMPOSED


def fleet(size: int, dice: random.Random) -> tuple[Endpoint, ...]:
    found = []
    for i in range(size):
        zone = dice.choice("abc")
        labels = {"zone": zone, "topology.kubernetes.io/zone": zone}
        labels["llm-d.ai/context-length-range"] = dice.choice(["0-8192", "0-131072"])
        labels["llm-d.ai/role"] = dice.choice(["decode", "prefill-decode", "prefill"])
        found.append(Endpoint(f"s{i}", f"10.0.{i >> 8}.{i & 255}:8000", labels=labels))
    return tuple(found)


def read_anew(endpoints: tuple[Endpoint, ...], now: float, dice: random.Random) -> Roster:
    for e in endpoints:
        e.vitals = Vitals(
            at=now,
            waiting=float(dice.randrange(8)),
            running=float(dice.randrange(64)),
            kv=dice.random(),
            gpu=dice.random(),
            gpu_memory=0.9,
        )
    return Roster(endpoints)


def body(i: int) -> bytes:
    """2,000 characters, of which 1,500 are the same for one in ten."""
    text = f"system prompt {i % 10} " * 100
    return json.dumps(
        {
            "model": "m",
            "stream": True,
            "messages": [{"role": "user", "content": f"{text:.1500} {i:>499}"}],
        }
    ).encode()


def cost_us(settings: dict[str, object], size: int, times: int) -> float:
    """The least of the repeats, as a mean over ``times`` choices."""
    dice = random.Random(size)
    chooser = profile(PickingSettings.model_validate(settings))
    endpoints = fleet(size, dice)
    bodies = [body(i) for i in range(times)]
    least, now = float("inf"), 0.0
    clock: Callable[[], float] = process_time
    for _ in range(REPEATS):
        under_way: list[tuple[Need, Endpoint]] = []
        roster, took = read_anew(endpoints, now, dice), 0.0
        for i, asked in enumerate(bodies):
            now += 0.0005
            if i % EVERY == EVERY - 1:
                roster = read_anew(endpoints, now, dice)
            need = Need("m", body=asked, now=now, dice=dice.random)
            began = clock()
            picked = chooser.pick(need, roster)
            took += clock() - began
            endpoint = picked[0] if picked else endpoints[0]
            endpoint.in_flight += 1
            chooser.chosen(need, endpoint)
            chooser.answered(need, endpoint, 0.05 + 0.01 * endpoint.vitals.waiting)
            under_way.append((need, endpoint))
            if len(under_way) > 4 * size:
                done, where = under_way.pop(0)
                where.in_flight -= 1
                chooser.ended(done, where)
        for done, where in under_way:
            where.in_flight -= 1
            chooser.ended(done, where)
        least = min(least, took / times)
    return least * 1e6


def overhead_us() -> float:
    """What reading the clock twice costs."""
    least = float("inf")
    for _ in range(REPEATS):
        took = 0.0
        for _ in range(2_000):
            began = process_time()
            took += process_time() - began
        least = min(least, took / 2_000)
    return least * 1e6


def main(named: list[str]) -> None:
    chosen = {
        name: settings
        for name, settings in strategies().items()
        if not named or any(word in name for word in named)
    }
    clock = overhead_us()
    times = {8: 2_000, 64: 1_000, 512: 400}
    base = {size: cost_us({"picker": "random"}, size, times[size]) - clock for size in SIZES}
    print("| us per choice | " + " | ".join(f"{size} | x random" for size in SIZES) + " |")
    print("|---|" + "--:|--:|" * len(SIZES))
    for name, settings in chosen.items():
        cells = []
        for size in SIZES:
            cost = cost_us(settings, size, times[size]) - clock
            cells.append(f"{cost:.1f} | {cost / base[size]:.0f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
