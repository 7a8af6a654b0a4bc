"""Servers and requests for tests of what chooses among them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from wayside.vocab.endpoint import Endpoint, Need, Roster, Vitals


def servers(count: int = 3, **vitals: Sequence[Any]) -> Roster:
    """``servers(3, waiting=[0, 1, 2])``: named a, b, c at 10.0.0.1 and so on."""
    found = []
    for i in range(count):
        e = Endpoint("abcdefghijklmnopqrstuvwxyz"[i % 26] * (1 + i // 26), f"10.0.0.{i + 1}:8000")
        e.vitals = Vitals(at=0.0, **{name: values[i] for name, values in vitals.items()})
        found.append(e)
    return Roster(tuple(found))


def need(
    text: str = "Why is the sky blue?",
    *,
    model: str = "m",
    headers: Mapping[str, str] | None = None,
    now: float = 0.0,
    seed: int = 0,
    priority: int = 0,
    **body: Any,
) -> Need:
    """A chat request that asks ``text``."""
    asked = {"model": model, "messages": [{"role": "user", "content": text}], **body}
    return Need(
        model,
        body=json.dumps(asked).encode(),
        headers=headers or {},
        now=now,
        dice=random.Random(seed).random,
        priority=priority,
    )
