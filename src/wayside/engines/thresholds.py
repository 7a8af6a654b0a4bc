"""What each threshold of a score would come to: precision, recall and F1, from one sweep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

POINTS: Final = 100


class AtScore(NamedTuple):
    """Where scores of at least ``threshold`` count as a match; shares of nothing are 0."""

    threshold: float
    precision: float
    recall: float
    f1: float


def curve(scored: Iterable[tuple[float, bool]], points: int = POINTS) -> list[AtScore]:
    """By ascending threshold, at most ``points``: each is a score that was seen, and what has the
    same score goes together. ``scored`` are scores with whether they ought to match."""
    ordered = sorted(scored, key=lambda one: -one[0])
    positives = sum(right for _, right in ordered)
    found: list[AtScore] = []
    hits = 0
    for n, (score, right) in enumerate(ordered, 1):
        hits += right
        if n < len(ordered) and ordered[n][0] == score:
            continue
        precision = hits / n
        recall = hits / positives if positives else 0.0
        both = precision + recall
        found.append(
            AtScore(score, precision, recall, 2 * precision * recall / both if both else 0.0)
        )
    found.reverse()
    if len(found) <= points:
        return found
    step = (len(found) - 1) / (points - 1)
    return [found[round(i * step)] for i in range(points)]
