"""The numbers that a signal's rule compares its value with, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

Limits = Mapping[str, float]
"""Any of ``gt``, ``gte``, ``lt``, ``lte``, ``eq``; empty where the rule compares no number."""

_BOUNDS = ("gt", "gte", "lt", "lte", "eq")
_SIGNS = {"gt": ">", "gte": "≥", "lt": "<", "lte": "≤", "eq": "="}
_FIELDS = {"threshold": "gte", "min_tokens": "gte", "max_tokens": "lte"}


def limits(rule: Any) -> Limits:
    """What a rule's settings say its value must be.

    Known by name, in any kind: ``threshold``, ``min_tokens`` and ``max_tokens``, and a
    ``predicate`` of ``gt``, ``gte``, ``lt``, ``lte``, ``eq``.
    """
    found: dict[str, float] = {}
    for name, bound in _FIELDS.items():
        number = getattr(rule, name, None)
        if _is_number(number):
            found[bound] = float(number)
    predicate = getattr(rule, "predicate", None)
    for bound in _BOUNDS:
        number = getattr(predicate, bound, None)
        if _is_number(number):
            found[bound] = float(number)
    return found


def threshold(bounds: Limits) -> float | None:
    """The one number from which on a rule matches, if that is how it works."""
    return bounds["gte"] if set(bounds) == {"gte"} else None


def holds(bounds: Limits, value: float) -> bool:
    """Whether ``value`` keeps every bound."""
    return (
        value > bounds.get("gt", float("-inf"))
        and value < bounds.get("lt", float("inf"))
        and value >= bounds.get("gte", float("-inf"))
        and value <= bounds.get("lte", float("inf"))
        and ("eq" not in bounds or value == bounds["eq"])
    )


def written(bounds: Limits) -> str:
    """``≥ 0.50``, ``≥ 2000 and ≤ 8000``."""
    return " and ".join(f"{_SIGNS[k]} {number(v)}" for k, v in bounds.items())


def number(value: float) -> str:
    """Two digits where they matter: 0.46, 12, 1500.5."""
    if value == int(value) and abs(value) >= 2:
        return str(int(value))
    return f"{value:.2f}" if abs(value) >= 0.01 or not value else f"{value:.2g}"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
