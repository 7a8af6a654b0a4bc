"""Run a gateway at a share of its saturation for a long time: does it leak, lose or mix up?

    .venv/bin/python bench/soak.py --minutes 30 --share 0.5 --json bench/results/soak.json

Finds saturation in a few seconds, then sends mixed traffic (short, 4 KB, streams; routed and
named models) at the share of that rate, open loop. Each answer must come from the model it
should; memory is read every 10 s. It judges memory from the end of the warm-up: the first tenth
of the run, three minutes at most.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rig
from compare import Up, bring_up
from targets import TARGETS

SAMPLE_S = 10.0
FLAT_SHARE = 0.05
"""Growth after the warm-up, as a share of the memory then, that still counts as flat."""


def mix(up: Up, folder: Path) -> list[rig.Kind]:
    """One of each kind of request, in turns: (size, model asked for, who answers, stream)."""
    routed, answer = up.target.ask, up.target.answer
    rows = [
        ("short", routed, answer, False),
        ("short", "bench-model", "bench-model", False),
        ("4k", routed, answer, False),
        ("short", routed, answer, True),
        ("p250", routed, answer, False),
        ("4k", "bench-model", "bench-model", True),
    ]
    return [
        rig.Kind(
            rig.body_file(folder, size, model, stream=stream),
            (f'"{expect}"', "prompt-whole"),
            stream,
        )
        for size, model, expect, stream in rows
    ]


def slope_mb_h(samples: list[tuple[float, float]]) -> float:
    """Least-squares growth of (seconds, MB), in MB per hour."""
    if len(samples) < 2:
        return 0.0
    mean_t = sum(t for t, _ in samples) / len(samples)
    mean_m = sum(m for _, m in samples) / len(samples)
    above = sum((t - mean_t) * (m - mean_m) for t, m in samples)
    below = sum((t - mean_t) ** 2 for t, _ in samples)
    return 3600 * above / below if below else 0.0


def watch(up: Up, command: list[str], folder: Path, seconds: float) -> tuple[Any, list[Any]]:
    """Run the load to its end. -> its JSON line, and (seconds, MB) samples."""
    samples: list[tuple[float, float]] = []
    start = time.monotonic()
    load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        while load.poll() is None:
            samples.append((time.monotonic() - start, up.running.memory_mb()[0]))
            rig.trim_logs(folder)
            if len(samples) % 6 == 1:
                print(f"{samples[-1][0]:7.0f} s  {samples[-1][1]:7.1f} MB", file=sys.stderr)
            try:
                load.wait(min(SAMPLE_S, max(seconds / 10, 0.5)))
            except subprocess.TimeoutExpired:
                continue
    finally:
        load.kill()
    assert load.stdout is not None
    return json.loads(load.stdout.read()), samples


def soak(up: Up, folder: Path, minutes: float, share: float) -> dict[str, Any]:
    kinds = mix(up, folder)
    peak = rig.load(up.port, kinds, conns=64, seconds=4, warmup=1)
    rate = max(1.0, round(peak["rps"] * share))
    print(f"saturation {peak['rps']:,.0f}/s; soaking at {rate:,.0f}/s", file=sys.stderr)
    seconds = minutes * 60
    before = up.running.memory_mb()[0]
    command = rig.load_command(up.port, kinds, conns=128, seconds=seconds, rate=rate)
    line, samples = watch(up, command, folder, seconds)
    warm_s = min(180.0, seconds / 10)
    settled = [(t, m) for t, m in samples if t >= warm_s] or samples[-1:]
    growth = settled[-1][1] - settled[0][1]
    right = peak["wrong"] + peak["lost"] + line["wrong"] + line["lost"] + line["errors"] == 0
    flat = growth <= FLAT_SHARE * settled[0][1]
    kept_up = line["unsent"] <= 0.001 * rate * seconds
    alive = up.running.exited() is None
    return {
        "target": up.target.name,
        "minutes": minutes,
        "saturation_rps": peak["rps"],
        "rate": rate,
        "requests": line["requests"],
        "lost": peak["lost"] + line["lost"],
        "wrong": peak["wrong"] + line["wrong"],
        "errors": line["errors"],
        "unsent": line["unsent"],
        "p50_us": line["p50_us"],
        "p99_us": line["p99_us"],
        "start_mb": round(before, 1),
        "warm_mb": round(settled[0][1], 1),
        "end_mb": round(settled[-1][1], 1),
        "slope_mb_h": round(slope_mb_h(settled), 2),
        "sample": line["sample"] or peak["sample"],
        "verdict": "PASS" if right and flat and kept_up and alive else "FAIL",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--share", type=float, default=0.5, help="of saturation (0.5)")
    parser.add_argument("--target", default="wayside-full", choices=[t.name for t in TARGETS])
    parser.add_argument("--json", type=Path, metavar="FILE", help="for compare.py --soak")
    args = parser.parse_args()
    rig.build()
    rig.end_on_sigterm()
    root = Path(tempfile.mkdtemp(prefix="wayside-soak-"))
    backend, ports = rig.start_backend(root)
    up: Up | None = None
    try:
        target = next(t for t in TARGETS if t.name == args.target)
        up, note = bring_up(target, root, ports)
        if note:
            print(note, file=sys.stderr)
        result = soak(up, root, args.minutes, args.share)
    except rig.NotReady as error:
        print(f"{args.target} unavailable: {error}", file=sys.stderr)
        return 2
    finally:
        if up:
            up.running.stop()
        backend.stop()
        shutil.rmtree(root, ignore_errors=True)
    for key, value in result.items():
        print(f"{key:>15}: {value:,}" if isinstance(value, int | float) else f"{key:>15}: {value}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1))
    return 0 if result["verdict"] == "PASS" else 1


if __name__ == "__main__":
    sys.exit(main())
