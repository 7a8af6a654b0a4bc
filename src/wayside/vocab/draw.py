"""Draws by weight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence


def two_by_weight(bounds: Sequence[float], dice: Callable[[], float]) -> tuple[int, int]:
    """Two distinct positions of at least two, each drawn in proportion to its weight; ``bounds``
    are the weights summed up, ``dice`` is uniform in [0, 1)."""
    total = bounds[-1]
    last = len(bounds) - 1
    i = min(bisect_right(bounds, dice() * total), last)
    low = bounds[i - 1] if i else 0.0
    width = bounds[i] - low
    point = dice() * (total - width)  # a point outside the first one's interval
    j = min(bisect_right(bounds, point if point < low else point + width), last)
    if j == i:  # rounding at the very end of the line
        j = i - 1 if i == last else i + 1
    return i, j
