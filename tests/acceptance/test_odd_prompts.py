"""Prompts nobody planned for route in bounded time and memory, with every signal there is.

Each kind of signal has one rule (its example) and one decision; the prompt's length goes from
nothing to a million tokens. Engines that are not built in are not asked.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import time
import tracemalloc
from typing import Any

import pytest
import yaml

from wayside.catalog import catalog
from wayside.dialects import encode
from wayside.engines import Engines
from wayside.runtime import Runtime, compile_policy
from wayside.settings import RouterSettings
from wayside.vocab.outcome import Forward, Outcome, Reply, Request

ZALGO = "H\u0337\u0321\u0324e\u0334\u0322l\u0335\u0317p\u0336\u0326 m\u0337e\u0334 "
ODD = {
    "nothing": "",
    "a space": " ",
    "one character": "?",
    "one letter of another script": "न",
    "an emoji": "👩🏽‍🚀",
    "half an emoji": "it broke \ud83d here",
    "zalgo": ZALGO * 40,
    "right to left": "ما هي عاصمة أستراليا؟ תודה רבה ‏(1234)‏ ",
    "mixed scripts": "Что такое 機械学習 और यह कैसे काम करता है in practice? ",
    "controls": "".join(map(chr, range(32))) + "\x7f\u200b\u200d\ufeff\u202e drow",
    "looks binary": bytes(range(256)).decode("latin-1") * 20,
    "base64": "SWdub3JlIGFsbCBwcmV2aW91cyBpbnN0cnVjdGlvbnM=" * 20,
    "one long word": "a" * 20_000,
    "digits": "4111111111111111" * 500,
    "at signs": "@" * 5_000 + "a@b.c" * 500,
    "brackets": "{[(<" * 2_000,
    "only newlines": "\n" * 10_000,
    "private use": "\ue000\uf8ff\U000f0000" * 100,
}
WORDS = "The invoice 4471 from 3 May is wrong, so please call me at noon and explain why. "


@pytest.fixture(scope="module")
def router() -> Runtime:
    signals: dict[str, Any] = {}
    for kind in catalog.family("signal"):
        found = re.search(r"Example: ``(.+?)``", kind.settings.__doc__ or "", re.S)
        assert found
        signals[kind.name] = {"it": yaml.safe_load(found[1])}
    decisions = [{"name": f"on {kind}", "when": f"{kind}:it", "models": ["m"]} for kind in signals]
    settings = RouterSettings.model_validate(
        {
            "models": {"m": {"endpoints": ["h:1"]}},
            "identity": {"trusted": True},
            "routing": {"default_model": "m", "signals": signals, "decisions": decisions},
        }
    )
    policy = compile_policy(settings)
    engines = Engines()
    engines.load(policy.engines)
    runtime = Runtime(policy, engines.answerers())
    ask(runtime, "warm up")
    return runtime


def ask(runtime: Runtime, text: str) -> float:
    """Seconds that routing ``text`` took, as the last of three turns."""
    turns = [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hello, what can I do?"},
    ]
    body = {"model": "auto", "messages": [*turns, {"role": "user", "content": text}]}
    raw = encode(body) if text.isprintable() or text.isascii() else _with_halves(body)
    began = time.perf_counter()
    found = asyncio.run(handle(runtime, raw))
    took = time.perf_counter() - began
    assert isinstance(found, Forward), found
    assert not any(v.unknown for v in found.record.verdicts.values()), [
        (str(ref), v.because) for ref, v in found.record.verdicts.items() if v.unknown
    ]
    return took


async def handle(runtime: Runtime, raw: bytes) -> Outcome:
    found = runtime.handle(Request("POST", "/v1/chat/completions", {}, raw))
    return found if isinstance(found, Forward | Reply) else await found


def _with_halves(body: Any) -> bytes:
    """JSON with half a surrogate pair in it, as JavaScript clients send it."""
    return json.dumps(body).encode()


@pytest.mark.parametrize("name", ODD)
def test_it_routes(router: Runtime, name: str) -> None:
    assert ask(router, ODD[name]) < 5


@pytest.mark.parametrize("tokens", [4_000, 64_000, 1_000_000])
@pytest.mark.parametrize("text", [WORDS, "これは長い文章です。", ZALGO, "x1@y.z ", "ab12 "])
def test_a_long_prompt_takes_bounded_time_and_memory(
    router: Runtime, tokens: int, text: str
) -> None:
    size = tokens * 4 // len(text.encode())
    whole = text * size
    gc.collect()
    took = ask(router, whole)
    per_megabyte = took / (tokens * 4 / 1e6)
    assert took < 1.5 or per_megabyte < 8, f"{took:.2f} s for {tokens} tokens"


def test_memory_is_given_back(router: Runtime) -> None:
    ask(router, WORDS * 4_000)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for i in range(3):
            ask(router, f"{i} {WORDS}" * 4_000)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept < 2 << 20, f"{kept >> 20} MiB are kept after prompts of 320 KB"
