"""What several workers count, as one answer of the console."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

MERGED: Final = frozenset(("/overview", "/models", "/costs", "/cache"))
_LARGEST: Final = frozenset(
    (
        *("p50_ms", "p95_ms", "p99_ms", "routing_p50_ms", "routing_p99_ms", "first_byte_ms"),
        *("at", "loaded_at", "scraped_at", "generation", "waiting", "running", "kv_use"),
    )
)
"""Percentiles of several cannot be added up: the worst worker's are told. What a server says of
itself is the same from whoever asks it."""
_SAME: Final = frozenset(("price", "context", "currency", "config", "threshold", "ttl_s"))
_SMALLEST: Final = frozenset(("since",))
_IDENTITY: Final = ("endpoint", "name", "model", "decision")
_NEWEST: Final = "last"
MOST: Final = 100


def merged(answers: Sequence[Any], key: str = "") -> Any:
    """Several answers of one shape as one; ``key`` is where they stand."""
    known = [answer for answer in answers if answer is not None]
    if not known:
        return None
    first = known[0]
    if len(known) == 1 or key in _SAME:
        return first
    if isinstance(first, dict):
        if first.get("kind") not in (None, "memory") and "entries" in first:
            return {**_of_dicts(known), **{k: first[k] for k in ("entries", "bytes")}}  # shared
        return _of_dicts(known)
    if isinstance(first, list):
        return _of_lists(known, key)
    if isinstance(first, bool) or not isinstance(first, int | float):
        return first
    if key in _LARGEST:
        return max(known)
    return min(known) if key in _SMALLEST else round(sum(known), 9)


def _of_dicts(known: Sequence[dict[str, Any]]) -> dict[str, Any]:
    keys = dict.fromkeys(key for answer in known for key in answer)
    return {key: merged([answer.get(key) for answer in known], key) for key in keys}


def _of_lists(known: Sequence[list[Any]], key: str) -> list[Any]:
    """Rows that are about the same are one row; of requests, the newest of all."""
    rows = [row for answer in known for row in answer]
    if not rows or not isinstance(rows[0], dict):
        return known[0]
    if key == _NEWEST:
        most = max(map(len, known))
        return sorted(rows, key=lambda row: -row["at"])[: min(most, MOST)]
    if key == "series":
        aligned = zip(*(answer[::-1] for answer in known), strict=False)
        return [_of_dicts(rows) for rows in aligned][::-1]
    name = next((name for name in _IDENTITY if name in rows[0]), None)
    if name is None:
        return known[0]
    by: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        by.setdefault(row[name], []).append(row)
    return [merged(same) for same in by.values()]
