"""Compare gateways side by side: same backends, same load, one core each, answers checked.

    .venv/bin/python bench/compare.py --setup          # install the peers, once
    .venv/bin/python bench/compare.py --quick          # a few minutes, a rough picture
    .venv/bin/python bench/compare.py --json bench/results/run.json --markdown docs/bench.md

All targets are up during the whole run and idle but for the one being measured (their idle
processor time is reported). Each cell of the matrix visits every target before the next cell
starts, so the figures of a ratio are seconds apart. A figure that other processes disturbed is
taken again. A target that does not start is reported and left out. See README.md for the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rig
from report import Figures, bars, everything
from targets import TARGETS, Place, Target


@dataclass(frozen=True, slots=True)
class Cell:
    """One column: what is sent, how fast."""

    name: str
    size: str
    conns: int
    stream: bool = False
    rate: float = 0
    quick: bool = False


CELLS = (
    Cell("short/16", "short", 16),
    Cell("short/64", "short", 64, quick=True),
    Cell("p250/16", "p250", 16),
    Cell("p250/64", "p250", 64, quick=True),
    Cell("4k/16", "4k", 16),
    Cell("4k/64", "4k", 64, quick=True),
    Cell("64k/16", "64k", 16),
    Cell("64k/64", "64k", 64),
    Cell("stream/16", "short", 16, stream=True, quick=True),
    Cell("stream/64", "short", 64, stream=True),
    Cell("50/s", "p250", 16, rate=50, quick=True),
    Cell("1000/s", "p250", 64, rate=1000, quick=True),
)


@dataclass(slots=True)
class Up:
    """A target that is running."""

    target: Target
    running: rig.Running
    port: int
    idle_mb: float = 0.0
    idle_cpu: float = 0.0


def bring_up(target: Target, root: Path, backends: list[int]) -> tuple[Up, str]:
    """-> the running target, and a note on its probes (empty when all is well)."""
    folder = root / target.name
    folder.mkdir()
    running = rig.Running(target.name, folder / "log.txt")
    if target.name == "direct":
        return Up(target, running, backends[0]), ""
    place = Place(folder, rig.free_ports(1)[0], backends)
    try:
        for command in target.start(place):
            running.start(command, cores=target.cores)
        body = rig.request_body("short", target.ask, stream=False)
        rig.wait_ready(running, place.port, body, f'"{target.answer}"', target.ready_s)
    except BaseException:
        running.stop()
        raise
    return Up(target, running, place.port), probe(target, place.port)


def probe(target: Target, port: int) -> str:
    missed = []
    for text, model in target.probes:
        message = {"role": "user", "content": text}
        body = json.dumps({"model": target.ask, "messages": [message]}).encode()
        status, answer = rig.ask(port, body)
        if status != 200 or f'"{model}"' not in answer:
            missed.append(f"{text[:40]!r} did not reach {model}")
    return "; ".join(missed)


def observe_idle(ups: list[Up]) -> None:
    """Memory before any load, and processor time over two idle seconds."""
    time.sleep(1)
    before = [up.running.cpu_s() for up in ups]
    time.sleep(2)
    for up, start in zip(ups, before, strict=True):
        up.idle_cpu = (up.running.cpu_s() - start) / 2
        up.idle_mb = up.running.memory_mb()[0]


QUIET = 0.05
"""A measurement during which others took a larger share of the machine is repeated."""


def measure(
    up: Up, cell: Cell, folder: Path, seconds: float, backend: rig.Running, repeats: int
) -> dict[str, Any]:
    """One figure; of several tries the one in which the machine was least disturbed."""
    tries = [measure_once(up, cell, folder, seconds, backend)]
    while tries[-1]["others"] > QUIET and len(tries) <= repeats:
        tries.append(measure_once(up, cell, folder, seconds, backend))
    best = min(tries, key=lambda line: line["others"])
    for fault in ("wrong", "lost", "errors"):  # a quiet try does not excuse a bad answer
        best[fault] = sum(line[fault] for line in tries)
    best["sample"] = next((line["sample"] for line in tries if line["sample"]), "")
    return best


def measure_once(
    up: Up, cell: Cell, folder: Path, seconds: float, backend: rig.Running
) -> dict[str, Any]:
    body = rig.body_file(folder, cell.size, up.target.ask, stream=cell.stream)
    kind = rig.Kind(body, (f'"{up.target.answer}"', "prompt-whole"), cell.stream)
    span = 2 * seconds if cell.rate else seconds
    warmup = min(0.3, seconds / 3)
    start, cpu = rig.Clock.read(up.running, backend), up.running.cpu_s()
    line = rig.load(up.port, [kind], conns=cell.conns, seconds=span, rate=cell.rate, warmup=warmup)
    others = rig.Clock.read(up.running, backend).others(start)
    used = up.running.cpu_s() - cpu
    rig.trim_logs(folder)
    served = line["requests"] + line["warmup_requests"]
    per_cpu_s = round(served / used) if used else 0
    return line | {"cpu_s": round(used, 3), "per_cpu_s": per_cpu_s, "others": round(others, 3)}


def too_slow(found: dict[str, list[dict[str, Any]]], cell: Cell) -> bool:
    """An open loop faster than the target only measures its queue."""
    best = max((line["rps"] for lines in found.values() for line in lines), default=None)
    return bool(cell.rate) and best is not None and best < 1.2 * cell.rate


def run(args: argparse.Namespace, root: Path) -> Figures:
    rig.build()
    wanted = [t for t in TARGETS if not args.targets or t.name in args.targets]
    cells = [c for c in CELLS if c.name in args.cells] if args.cells else list(CELLS)
    if args.quick and not args.cells:
        cells = [c for c in CELLS if c.quick]
    unavailable: dict[str, str] = {}
    notes: dict[str, str] = {}
    ups: list[Up] = []
    backend, ports = rig.start_backend(root)
    try:
        for target in wanted:
            try:
                up, note = bring_up(target, root, ports)
            except (rig.NotReady, OSError) as error:
                unavailable[target.name] = str(error)
                say(f"{target.name}: unavailable: {error}")
                continue
            ups.append(up)
            say(f"{target.name}: up{'; ' + note if note else ''}")
            if note:
                notes[target.name] = note
        observe_idle(ups)
        rounds: dict[str, dict[str, list[dict[str, Any]]]] = {up.target.name: {} for up in ups}
        for number in range(args.rounds):
            for cell in cells:
                for up in ups[number % len(ups) :] + ups[: number % len(ups)]:
                    name = up.target.name
                    if up.running.exited() is not None:
                        notes[name] = f"died: {up.running.tail()[-200:]}"
                        continue
                    if too_slow(rounds[name], cell):
                        notes.setdefault(name, f"cannot do {cell.name}")
                        continue
                    line = measure(up, cell, root, args.seconds, backend, args.repeats)
                    rounds[name].setdefault(cell.name, []).append(line)
                    if line["sample"]:
                        notes[name] = f"{cell.name}: {line['sample'][:200]}"
                    say(
                        f"round {number + 1} {cell.name:>10} {name:<20} {line['rps']:>9,.0f}/s "
                        f"p50 {line['p50_us']:,.0f} p99 {line['p99_us']:,.0f} µs"
                        + (f"  others {line['others']:.0%}" if line["others"] > QUIET else "")
                        + (f"  BAD {line['wrong']}+{line['lost']}" if line["sample"] else "")
                    )
        sizes = {}
        for up in ups:
            total, largest = up.running.memory_mb()
            sizes[up.target.name] = {
                "idle_mb": up.idle_mb,
                "after_mb": total,
                "largest_mb": largest,
                "idle_cpu": up.idle_cpu,
            }
        sizes.pop("direct", None)
    finally:
        for up in ups:
            up.running.stop()
        backend.stop()
    soak = json.loads(args.soak.read_text()) if args.soak else None
    return Figures(rounds, unavailable, sizes, notes, soak)


def machine(args: argparse.Namespace) -> str:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores of {model}, "
        f"Linux {platform.release()}, Python {platform.python_version()}; proxy on core "
        f"{rig.PROXY_CORE}, load and backend on core {rig.LOAD_CORE}; medians of {args.rounds} "
        f"interleaved rounds of {args.seconds:g} s{', quick subset' if args.quick else ''}; "
        f"{rig.ENDPOINTS} endpoints; every answer checked."
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--setup", action="store_true", help="install the peers and stop")
    parser.add_argument("--quick", action="store_true", help="few cells, 1 round of 1 s")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (3)")
    parser.add_argument("--seconds", type=float, help="per measurement (2; twice that at a rate)")
    parser.add_argument("--repeats", type=int, default=2, help="when others disturb it (2)")
    parser.add_argument("--targets", type=lambda s: s.split(","), help="a,b,c (all)")
    parser.add_argument("--cells", type=lambda s: s.split(","), help="short/16,50/s (all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    parser.add_argument("--soak", type=Path, metavar="FILE", help="result of soak.py --json")
    parser.add_argument("--keep", action="store_true", help="keep the targets' files and logs")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.seconds = args.seconds or (1.0 if args.quick else 2.0)
    args.repeats = 0 if args.quick else args.repeats
    for given, known in (
        (args.targets, [t.name for t in TARGETS]),
        (args.cells, [c.name for c in CELLS]),
    ):
        for name in given or []:
            if name not in known:
                parser.error(f"no {name!r}; choose from {', '.join(known)}")
    return args


def main() -> int:
    args = arguments()
    if args.setup:
        return subprocess.run(["bash", str(rig.BENCH / "setup.sh")], check=False).returncode
    rig.end_on_sigterm()
    root = Path(tempfile.mkdtemp(prefix="wayside-bench-"))
    try:
        figures = run(args, root)
    finally:
        if args.keep:
            say(f"files of this run: {root}")
        else:
            shutil.rmtree(root, ignore_errors=True)
    text = everything(figures, machine(args))
    print(text)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        found = asdict(figures) | {"bars": [asdict(v) for v in bars(figures)]}
        found["machine"] = machine(args)
        args.json.write_text(json.dumps(found, indent=1))
    if args.markdown:
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        args.markdown.write_text(f"# Gateways side by side\n\n{text}\n")
    return 1 if any(v.verdict == "FAIL" for v in bars(figures)) else 0


if __name__ == "__main__":
    sys.exit(main())
