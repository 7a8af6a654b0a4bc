"""Long texts in pieces that fit a model, and one answer from the answers to the pieces.

A model reads a fixed number of tokens. Instead of dropping what comes after them, a text is read
through overlapping windows; at most ``most`` of them, so that the cost of a prompt has a bound.
Of a text that needs more, the beginning, the end and evenly spread places between are read.
Nothing here knows a model: windows are pairs of positions, answers are arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Window = tuple[int, int]
"""The first position of a piece and the one after its last."""
Rows = NDArray[np.float32]


def windows(length: int, size: int, overlap: int, most: int) -> tuple[Window, ...]:
    """Pieces of ``size`` positions, each sharing at least ``overlap`` with the next.

    At most ``most``, evenly spread and always with the first and the last piece; with ``most`` 1
    the first alone. The last is moved back rather than short, so that it has a context too. What
    is no longer than ``size`` is one piece. ``0 <= overlap < size``, else ``ValueError``.
    """
    if not 0 <= overlap < size or most < 1:
        raise ValueError(f"no windows of {size} with overlap {overlap}, at most {most}")
    if length <= size:
        return ((0, length),)
    step = size - overlap
    count = 1 + -(-(length - size) // step)
    starts = [min(i * step, length - size) for i in spread(count, most)]
    return tuple((start, start + size) for start in starts)


def spread(count: int, most: int) -> tuple[int, ...]:
    """At most ``most`` of the numbers below ``count``: the first, the last, evenly between."""
    if count <= most:
        return tuple(range(count))
    if most == 1:
        return (0,)
    return tuple(round(i * (count - 1) / (most - 1)) for i in range(most))


def mean(rows: Rows, lengths: NDArray[np.float32]) -> Rows:
    """The mean of rows, each weighted by the length of its window (never by less than one)."""
    weights = np.maximum(lengths, 1.0)
    combined: Rows = (weights / weights.sum()) @ rows
    return combined


def worst(rows: Rows, positive: NDArray[np.bool_]) -> Rows:
    """The row with the most probability on the ``positive`` labels: for guards, where harmless
    words around an attack must not thin it out."""
    chosen: Rows = rows[int(np.argmax(rows[:, positive].sum(axis=1)))]
    return chosen


def shares(found: tuple[Window, ...]) -> tuple[Window, ...]:
    """Which positions each window answers for: where two overlap, each up to the middle.

    At the edge of a window a token lacks half of its context, so the window in which it stands
    further from the edge decides. The parts returned are in order and do not overlap.
    """
    parts = []
    for i, (start, end) in enumerate(found):
        before = found[i - 1][1] if i else start
        after = found[i + 1][0] if i + 1 < len(found) else end
        first = (start + before) // 2 if before > start else start
        last = (after + end) // 2 if after < end else end
        parts.append((first, last))
    return tuple(parts)
