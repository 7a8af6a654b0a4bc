"""Which of the vectors of one partition are nearest? Exactly while few, by a graph when many.

Measured (``bench/cache.py``): up to about four thousand vectors one matrix product is as quick as
a walk of an HNSW graph, needs no building and forgets without a trace. Beyond that the product
grows with the partition while the walk hardly does, so that the rows move into a graph of the
library usearch, a few at each addition so that no request pays for many.

The matrix keeps single precision: numpy turns half precision back twenty times more slowly than it
multiplies. The graph keeps halves, which found the same eight nearest of 50,000 as comparing all,
with cosines within 0.0001; in bytes it found 95 % of them, with cosines off by up to 0.006.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

K = TypeVar("K", bound=Hashable)

EXACT = 4096
"""From so many vectors on a partition uses a graph."""
EXACT_ALONE = 16_384
"""As many does it compare with exactly where the library is absent, a millisecond's work; the
oldest are then no longer found by meaning."""
MOVED = 4
"""Rows that move into the graph with each addition: about half a millisecond."""
ROUNDING = 1e-6
"""A vector's product with itself may fall this short of one; in a graph, which keeps halves,
``HALF``."""
HALF = 2e-4
BYTES = 900
"""Of an empty index, measured with tracemalloc; and of each vector beside its numbers."""
BYTES_EACH = 110


@cache
def library() -> Any:
    """``usearch.index``, or ``None`` where it is not installed."""
    try:
        from usearch import index
    except ImportError:
        return None
    return index


def unit(vector: Sequence[float] | NDArray[np.float32]) -> NDArray[np.float32] | None:
    """``vector`` at length one; ``None`` where it has no direction."""
    row = np.asarray(vector, dtype=np.float32)
    length = float(np.sqrt(row @ row))
    if not 0.0 < length < np.inf:  # nor NaN
        return None
    return row if abs(length - 1.0) < ROUNDING else row / length


class Vectors(Generic[K]):
    """The vectors of one partition by key. All have one width: another width begins anew."""

    __slots__ = (
        "_at", "_graph", "_graph_bytes", "_keys", "_labels", "_next", "_rows", "_weighed",
    )  # fmt: skip

    def __init__(self) -> None:
        self._begin(0)

    def _begin(self, width: int) -> None:
        self._rows: NDArray[np.float32] = np.empty((0, width), np.float32)
        self._keys: list[K] = []
        self._at: dict[K, int] = {}
        """The row of a key or, below zero, its label in the graph, inverted."""
        self._graph: Any = None
        self._labels: dict[int, K] = {}
        self._next = 0
        self._graph_bytes = self._weighed = 0
        """What the graph took when it was last asked, and at which label it is asked again: it
        goes through all of itself for that."""

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, key: K) -> bool:
        return key in self._at

    @property
    def exact(self) -> bool:
        """Whether every comparison is made; a graph may miss one in a hundred."""
        return self._graph is None

    @property
    def nbytes(self) -> int:
        """What all this takes, slack included."""
        if self._graph is None:
            self._graph_bytes = self._weighed = 0
        elif self._next >= self._weighed:
            self._graph_bytes = int(self._graph.memory_usage)
            self._weighed = self._next + max(self._next // 16, 64)
        return BYTES + BYTES_EACH * len(self._at) + self._rows.nbytes + self._graph_bytes

    def add(self, key: K, vector: Sequence[float]) -> None:
        """Keep a vector in the place of the key's earlier one; one without direction is not."""
        self.remove(key)
        row = unit(vector)
        if row is None:
            return
        if self._rows.shape[1] != row.size:
            self._begin(row.size)
        count = len(self._keys)
        if count == len(self._rows):
            grown = np.empty((max(1, count + count // 2 + 1), row.size), np.float32)
            grown[:count] = self._rows[:count]
            self._rows = grown
        self._rows[count] = row
        self._keys.append(key)
        self._at[key] = count
        if self._graph is not None or count >= EXACT:
            self._settle()

    def remove(self, key: K) -> None:
        row = self._at.pop(key, None)
        if row is None:
            return
        if row < 0:
            del self._labels[~row]
            self._graph.remove(~row)
            if not self._labels:
                self._graph = None
            return
        last = len(self._keys) - 1
        if row != last:  # the last row fills the hole
            self._rows[row] = self._rows[last]
            self._keys[row] = self._keys[last]
            self._at[self._keys[row]] = row
        self._keys.pop()
        if last < len(self._rows) // 4:
            self._rows = self._rows[: max(1, last + last // 2)].copy()

    def nearest(
        self, vector: Sequence[float], most: int, threshold: float
    ) -> list[tuple[K, float]]:
        """Up to ``most`` keys whose cosine to ``vector`` is at least ``threshold``, best first."""
        asked = unit(vector)
        if asked is None or asked.size != self._rows.shape[1] or most < 1:
            return []
        found: list[tuple[K, float]] = []
        count = len(self._keys)
        if count:
            scores = self._rows[:count] @ asked
            above = np.flatnonzero(scores >= threshold - ROUNDING)
            if above.size > most:
                above = above[np.argpartition(scores[above], -most)[-most:]]
            found = [(self._keys[row], min(1.0, float(scores[row]))) for row in above]
        if self._graph is not None:
            matches = self._graph.search(asked, most, threads=1)
            for label, distance in zip(
                matches.keys.tolist(), matches.distances.tolist(), strict=True
            ):
                if 1.0 - distance >= threshold - HALF and label in self._labels:
                    found.append((self._labels[label], min(1.0, 1.0 - distance)))
        found.sort(key=lambda pair: -pair[1])
        return found[:most]

    def _settle(self) -> None:
        """Move a few rows into the graph or, where there can be none, forget the oldest."""
        if library() is None:
            if len(self._keys) > EXACT_ALONE:
                self.remove(next(iter(self._at)))
            return
        if self._graph is None:
            self._graph = library().Index(ndim=self._rows.shape[1], metric="ip", dtype="f16")
        for _ in range(min(MOVED, len(self._keys))):
            key = self._keys[-1]
            row = self._rows[len(self._keys) - 1].copy()
            self.remove(key)
            self._next += 1
            self._graph.add(self._next, row, threads=1)
            self._labels[self._next] = key
            self._at[key] = ~self._next
