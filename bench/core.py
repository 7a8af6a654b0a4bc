"""What a decision costs without sockets: `Runtime.handle`, microseconds of processor time.

.venv/bin/python bench/core.py
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import yaml
from targets import KEYWORDS, wayside_config

from wayside.cli.files import read
from wayside.engines import Engines
from wayside.runtime import Runtime, compile_policy
from wayside.vocab.outcome import Request

SIZES = (120, 250, 4_000, 64_000)
KINDS = (
    ("pass", "a named model"),
    ("full", "100 keywords, context, 20 decisions"),
    ("domain", "the same with domain and language"),
)


def body(kind: str, size: int) -> bytes:
    sentence = f"Please tell me about {KEYWORDS[55]} and write something worth reading twice. "
    text = (sentence * (size // len(sentence) + 1))[:size]
    model = "bench-model" if kind == "pass" else "auto"
    message = {"role": "user", "content": text}
    return json.dumps({"model": model, "messages": [message], "max_tokens": 16}).encode()


def cost_us(runtime: Runtime, request: Request, times: int) -> float:
    """The best of five, as a mean over ``times`` calls."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            runtime.handle(request)
        best = min(best, (time.process_time() - began) / times)
    return best * 1e6


def main() -> None:
    answerers = Engines().answerers()
    print("| | " + " | ".join(f"{size:,}" for size in SIZES) + " |")
    print("|---|" + "--:|" * len(SIZES))
    for kind, name in KINDS:
        document = wayside_config(kind, [9000 + i for i in range(16)], 8801, Path("/tmp"))
        settings = read(yaml.safe_dump(document).encode(), "bench.yaml", env={}).settings
        runtime = Runtime(compile_policy(settings), answerers)
        row = []
        for size in SIZES:
            request = Request("POST", "/v1/chat/completions", {}, body(kind, size))
            row.append(f"{cost_us(runtime, request, 2_000 if size < 1_000 else 200):.1f}")
        print(f"| {name} | " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
