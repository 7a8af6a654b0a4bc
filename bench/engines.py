"""What an ONNX model costs behind the engine: sizes, 8-bit weights, threads, batches, long texts.

.venv/bin/python bench/engines.py --model FOLDER      (a folder with model.onnx, such as a MiniLM)

Figures are processor time of the whole process, the least of several rounds, and every comparison
alternates its sides within a round, so that a busy machine disturbs both. Read the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from typing import Any

from wayside.engines.base import Tools
from wayside.engines.onnx import OnnxEncoder, OnnxSettings

ROUNDS = 7
WORDS = ("please", "tell", "me", "how", "the", "quick", "brown", "fox", "can", "jump", "over")


def text(tokens: int) -> str:
    """About so many tokens of everyday words, special tokens included."""
    return " ".join(WORDS[i % len(WORDS)] for i in range(max(1, tokens - 2)))


def engine(folder: str, **settings: Any) -> OnnxEncoder:
    rule = {"model": folder, "task": "embed", "deadline_ms": 600_000, "queue": 1000, **settings}
    return OnnxEncoder(OnnxSettings.model_validate(rule), Tools("bench"))


async def least(*sides: Callable[[], Awaitable[Any]], rounds: int = ROUNDS) -> list[float]:
    """The least processor milliseconds of each side; the sides take turns."""
    best = [float("inf")] * len(sides)
    for side in sides:
        await side()
    for _ in range(rounds):
        for i, side in enumerate(sides):
            began = time.process_time()
            await side()
            best[i] = min(best[i], (time.process_time() - began) * 1e3)
    return best


async def main(folder: str) -> None:
    exact, small = engine(folder, file="model.onnx"), engine(folder, file="model.onnx", int8=True)
    print("one text, one thread (ms)    fp32   int8  int8/fp32")
    for tokens in (16, 128, 256):
        said = (text(tokens),)
        a, b = await least(
            lambda e=exact, s=said: e.embed(s),  # type: ignore[misc]
            lambda e=small, s=said: e.embed(s),  # type: ignore[misc]
        )
        print(f"  {tokens:4} tokens             {a:7.2f}{b:7.2f}{b / a:11.2f}")

    print("sixteen asks at once, one thread: time of batch 8 over batch 1")
    for name, kept, sizes in (
        ("all 16 tokens, fp32", {}, [16] * 16),
        ("all 128 tokens, fp32", {}, [128] * 16),
        ("8 to 256 tokens, fp32", {}, [8, 200, 16, 30, 64, 12, 256, 20] * 2),
        ("6 to 40 tokens, fp32", {}, [6, 8, 12, 16, 9, 20, 40, 14] * 2),
        ("all 16 tokens, int8", {"int8": True}, [16] * 16),
        ("all 128 tokens, int8", {"int8": True}, [128] * 16),
    ):
        one = engine(folder, file="model.onnx", **kept)
        eight = engine(folder, file="model.onnx", batch=8, **kept)
        asks = [(text(size),) for size in sizes]

        async def all_of(e: OnnxEncoder, asks: Any = asks) -> None:
            await asyncio.gather(*(e.embed(ask) for ask in asks))

        a, b = await least(
            lambda e=one, f=all_of: f(e),  # type: ignore[misc]
            lambda e=eight, f=all_of: f(e),  # type: ignore[misc]
            rounds=4,
        )
        print(f"  {name:24} {a:8.1f} ms {b:8.1f} ms   {b / a:.2f}")
        one.close()
        eight.close()

    print("long texts, at most 8 windows of 256 tokens (ms, over one window)")
    (base,) = await least(lambda: exact.embed((text(256),)), rounds=3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for tokens in (1_000, 10_000, 1_000_000):
        said = (text(tokens),)
        (a,) = await least(lambda s=said: exact.embed(s), rounds=2)  # type: ignore[misc]
        print(f"  {tokens:8} tokens  {a:8.1f}  {a / base:5.1f}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"  peak memory grew by {grown / 1024:.0f} MB")

    pool = await least(lambda: exact.embed((text(16),)), rounds=30)

    async def direct() -> None:
        exact._answer([((text(16),), "")])

    bare = await least(direct, rounds=30)
    print(f"the pool and its thread add {1e3 * (pool[0] - bare[0]):.0f} us to {bare[0]:.2f} ms")
    for each in (exact, small):
        each.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    asyncio.run(main(parser.parse_args().model))
