"""Compare how routers pick replicas: same simulated fleet, same recorded load, one after another.

    .venv/bin/python bench/compare.py --setup             # install the peers, once
    .venv/bin/python bench/picking.py --quick             # two minutes, a rough picture
    .venv/bin/python bench/picking.py --json run.json --markdown run.md --svg run.svg
    .venv/bin/python bench/picking.py --only hot,slow --targets vllm-cache,wayside-default
    .venv/bin/python bench/picking.py --report run.json --svg run.svg      # measure nothing

Waits are simulated, so what is compared is decisions: which replica had the prompt's beginning
in its cache, which one had room. See docs/explanation/picking-performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import rig
import uvloop
import yaml
from picking.load import SCENARIOS, Scenario
from picking.measure import Figures, Length, measure
from picking.picture import picture
from picking.report import Table, markdown
from picking.routers import ROUTERS, Router, ours

T = TypeVar("T")

LATE_S = 0.01
"""A run whose client was later than this (90th percentile) is taken again."""


def main() -> int:
    options = _options()
    rig.end_on_sigterm()
    if options.report:
        found = [Figures(**f) for path in options.report for f in json.loads(path.read_text())]
    else:
        try:
            found = _measure(options)
        except asyncio.CancelledError:
            return 143
    table = Table(found)
    text = markdown(table, judged=options.judge)
    print(text)
    if options.json and not options.report:
        options.json.write_text(json.dumps([asdict(f) for f in found], indent=1))
    if options.markdown:
        options.markdown.write_text(text)
    if options.page:
        into_page(options.page, text)
    if options.svg:
        options.svg.write_text(picture(table, judged=options.judge))
    return 0


BEGIN, END = "<!-- figures: bench/picking.py --page -->", "<!-- end of figures -->"


def into_page(page: Path, text: str) -> None:
    """Replace what is between the page's two marks."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{page} has no line {BEGIN}, or no {END} after it")
    page.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}")


def _measure(options: argparse.Namespace) -> list[Figures]:
    scenarios, routers = _scenarios(options), _routers(options)
    length = Length(*options.seconds)
    each = length.warm + length.measured + 3
    minutes = options.repeats * len(scenarios) * len(routers) * each / 60
    print(f"{len(routers)} routers, {len(scenarios)} scenarios: about {minutes:.0f} minutes")
    found: list[Figures] = []
    for seed in range(options.seed, options.seed + options.repeats):
        for scenario in scenarios:
            for turn in range(len(routers)):
                router = routers[(turn + seed) % len(routers)]
                if router.named and scenario.name != "sessions":
                    continue
                try:
                    figures = _one(router, scenario, seed, length, options.tries)
                except rig.NotReady as error:
                    print(f"{scenario.name:11}{router.name:24} unavailable: {error}", flush=True)
                    continue
                found.append(figures)
                print(line(figures), flush=True)
                if options.json:
                    options.json.write_text(json.dumps([asdict(f) for f in found], indent=1))
    return found


def _one(router: Router, scenario: Scenario, seed: int, length: Length, tries: int) -> Figures:
    """The least disturbed of at most ``tries``."""
    best: Figures | None = None
    for _ in range(tries):
        with _alone(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            figures = runner.run(_stoppable(measure(router, scenario, seed, length)))
        if best is None or figures.late < best.late:
            best = figures
        if best.late <= LATE_S:
            break
        time.sleep(1)
    assert best is not None
    return best


async def _stoppable(run: Awaitable[Figures]) -> Figures:
    """Let SIGTERM end a run as Ctrl-C does; raised in a callback, the loop would swallow it."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await run
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait for the turn of this program's other processes on the machine, if there are any."""
    with (Path(tempfile.gettempdir()) / "wayside-picking.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def line(f: Figures) -> str:
    times = "  ".join(
        f"{name} {value * 1e3:5.0f}"
        for name, value in (("p50", f.p50), ("p90", f.p90), ("p99", f.p99))
    )
    return (
        f"{f.scenario:11}{f.router:24} seed {f.seed}  hit {f.hit:4.0%}  ttft {times} ms"
        f"  {f.completed:5.1f} req/s  {f.tokens:5.0f} tok/s  errors {f.errors:3d}/{f.requests}"
        f"  imbalance {f.imbalance:4.2f}"
        f"  (late {f.late * 1e3:.0f} ms, busy {f.busy:.0%}, router {f.cpu:.0%})"
    )


def _scenarios(options: argparse.Namespace) -> list[Scenario]:
    return _chosen({s.name: s for s in SCENARIOS}, options.only, "--only")


def _routers(options: argparse.Namespace) -> list[Router]:
    more = {}
    for text in options.picking:
        name, _, value = text.partition("=")
        more[f"wayside-{name}"] = ours(name, yaml.safe_load(value))
    known = {r.name: r for r in ROUTERS} | more
    if not options.targets:
        return [r for r in known.values() if r.quick or not options.quick]
    return _chosen(known, options.targets, "--targets")


def _chosen(known: dict[str, T], names: str | None, option: str) -> list[T]:
    wanted = names.split(",") if names else list(known)
    if unknown := [name for name in wanted if name not in known]:
        sys.exit(f"{option}: no {', '.join(unknown)}; there is {', '.join(known)}")
    return [known[name] for name in wanted]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="scenarios, with commas")
    parser.add_argument("--targets", help="routers, with commas")
    parser.add_argument(
        "--picking",
        action="append",
        default=[],
        metavar="NAME=YAML",
        help="one more of ours, wayside-NAME, with this models.<model>.picking",
    )
    parser.add_argument("--repeats", type=int, default=3, help="each with a seed of its own")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument(
        "--seconds",
        type=lambda text: tuple(map(float, text.split(","))),
        default=(5.0, 12.0, 6.0),
        metavar="WARM,MEASURED,DRAIN",
    )
    parser.add_argument("--tries", type=int, default=2, help="for a run that was disturbed")
    parser.add_argument("--quick", action="store_true", help="one short repeat, fewer routers")
    parser.add_argument("--judge", default="wayside-balanced", help="which of ours must be first")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--page", type=Path, help="put the tables between a page's two marks")
    parser.add_argument("--svg", type=Path)
    parser.add_argument(
        "--report", type=Path, action="append", help="figures of earlier runs; measure nothing"
    )
    options = parser.parse_args()
    if options.quick:
        options.repeats, options.tries = 1, 1
        options.seconds = (3.0, 5.0, 3.0)
        options.targets = options.targets or "vllm-rr,sglang-cache,wayside-balanced"
        options.only = options.only or "multi-turn,mixed,hot"
    return options


if __name__ == "__main__":
    sys.exit(main())
