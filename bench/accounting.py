"""What counting tokens costs: requests per processor second of the router, beside not counting.

.venv/bin/python bench/accounting.py [--seconds 2] [--rounds 5]

The clients do not ask for usage. Streams of the backend have 20 events and a usage event in 6
writes. ``asked``: what the client sends goes on untouched; ``end``: usage is asked for and taken
out again (the default); ``each``: with every event. Behind Envoy: answers are shown to us (the
default), or not. A figure is the best of the rounds, which take turns.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rig
from compare import Cell, bring_up, measure
from targets import ENVOY_PATH, GATEWAY, Place, Target, wayside_config

CELLS = (Cell("short/16", "short", 16), Cell("stream/16", "short", 16, stream=True))


def _started(command: list[str], change: Callable[[dict[str, Any]], None]) -> Any:
    def start(place: Place) -> list[list[str]]:
        config = wayside_config("pass", place.backends, place.port, place.folder)
        if command is ENVOY_PATH:
            config["extproc"] = {"unix": str(place.folder / "extproc.sock")}
        change(config)
        return [[*command, place.write("wayside.yaml", config)]]

    return start


def _usage(how: str) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["models"]["bench-model"].update(usage=how)


def _shown(yes: bool) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["extproc"].update(count_usage=yes)


TARGETS = (
    Target("asked", "", _started(GATEWAY, _usage("asked"))),
    Target("end", "", _started(GATEWAY, _usage("end"))),
    Target("each", "", _started(GATEWAY, _usage("each"))),
    Target("envoy-blind", "", _started(ENVOY_PATH, _shown(False))),
    Target("envoy-shown", "", _started(ENVOY_PATH, _shown(True))),
)
BESIDE = {"asked": "asked", "end": "asked", "each": "asked"} | dict.fromkeys(
    ("envoy-blind", "envoy-shown"), "envoy-blind"
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rig.build()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        body = json.loads(rig.request_body("short", "bench-model", stream=True))
        del body["stream_options"]
        rig.body_file(root, "short", "bench-model", stream=True).write_text(json.dumps(body))
        backend, ports = rig.start_backend(root)
        ups = [bring_up(target, root, ports)[0] for target in TARGETS]
        best: dict[tuple[str, str], dict[str, float]] = {}
        try:
            for number in range(args.rounds):
                turn = number % len(ups)
                for cell in CELLS:
                    for up in ups[turn:] + ups[:turn]:
                        line = measure(up, cell, root, args.seconds, backend, 0)
                        assert not line["wrong"] + line["lost"] + line["errors"], line
                        key = (cell.name, up.target.name)
                        if key not in best or line["per_cpu_s"] > best[key]["per_cpu_s"]:
                            best[key] = line
        finally:
            for up in ups:
                up.running.stop()
            backend.stop()
    print("| | " + " | ".join(f"{c.name}: per CPU s | ratio | p50" for c in CELLS) + " |")
    print("|---|" + "--:|--:|--:|" * len(CELLS))
    for up in ups:
        row = []
        for cell in CELLS:
            line = best[cell.name, up.target.name]
            beside = best[cell.name, BESIDE[up.target.name]]
            ratio = line["per_cpu_s"] / beside["per_cpu_s"]
            row.append(f"{line['per_cpu_s']:,} | {ratio:.2f} | {line['p50_us']:,.0f} µs")
        print(f"| {up.target.name} | " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
