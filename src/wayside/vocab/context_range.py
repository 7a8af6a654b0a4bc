"""How long the contexts are that a server is made for: ``0-2048``, or ``0-2048,8192-16384``."""

from __future__ import annotations

import re

LABEL = "llm-d.ai/context-length-range"
"""Where llm-d has them written on a server."""

Ranges = tuple[tuple[int, int], ...]
"""Tokens, from (included) and to (included)."""

_ONE = re.compile(r"\s*(\d{1,18})\s*-\s*(\d{1,18})\s*\Z")
_MOST = 64


def read(text: str | None) -> Ranges:
    """The ranges a label names; none where it is absent, or not one pair of numbers with a hyphen
    between, the lesser first, or several with commas between."""
    if not text:
        return ()
    found = []
    for part in text.split(",", _MOST)[:_MOST]:
        match = _ONE.match(part)
        if match is None:
            return ()
        low, high = int(match[1]), int(match[2])
        if low > high:
            return ()
        found.append((low, high))
    return tuple(found)


def narrowest(ranges: Ranges, tokens: int) -> int | None:
    """How many lengths the narrowest of those that hold ``tokens`` has; ``None`` where none
    does."""
    return min([high - low + 1 for low, high in ranges if low <= tokens <= high], default=None)


def nearness(ranges: Ranges, tokens: int) -> float:
    """How near the nearest of ``ranges`` comes to ``tokens``, which none holds: the lesser of both
    lengths by the greater, 0 (included) to 1."""
    return max([high / tokens if tokens > high else tokens / low for low, high in ranges])
