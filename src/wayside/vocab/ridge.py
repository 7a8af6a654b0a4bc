"""A line fitted to what was seen, a little more each time, that forgets.

Ridge regression (Hoerl and Kennard 1970) whose sums decay with time, by the normal equations
(A + r I) w = b + r w0: A is the sum of x x', b that of x y, r the strength with which the weights
w are held to w0, which is what one believes without having seen anything. No weight but the first
is let below 0: what is found negative is left out and the rest fitted again (an active set of one
direction, after Lawson and Hanson 1974, "Solving Least Squares Problems", chapter 23). For that is
how load works, and a weight that is negative by chance would send more to who has most.
"""

from __future__ import annotations

from collections.abc import Sequence


class Ridge:
    """What was seen of y at x, which begins with 1. ``half_life`` has the unit of ``now``."""

    __slots__ = ("_a", "_at", "_b", "_half_life")

    def __init__(self, size: int, half_life: float) -> None:
        self._half_life = half_life
        self._at = float("-inf")
        self._b = [0.0] * size
        self._a = [[0.0] * (i + 1) for i in range(size)]  # below the diagonal, with it

    def see(self, x: Sequence[float], y: float, now: float) -> None:
        """Take in that y was seen at x."""
        self.fade(now)
        b = self._b
        for i, (xi, row) in enumerate(zip(x, self._a, strict=True)):
            b[i] += xi * y
            if xi:
                for j in range(i + 1):
                    row[j] += xi * x[j]

    def fade(self, now: float) -> None:
        """Forget, up to now, what time makes one forget."""
        past = now - self._at
        if past <= 0.0:
            return
        self._at = now
        if self._a[0][0]:
            kept = 0.5 ** min(past / self._half_life, 1000.0)
            self._b = [kept * v for v in self._b]
            self._a = [[kept * v for v in row] for row in self._a]

    @property
    def seen(self) -> float:
        """How many times, what is forgotten taken off."""
        return self._a[0][0]

    @property
    def mean(self) -> float:
        """Of y; 0 where nothing was seen."""
        return self._b[0] / self._a[0][0] if self._a[0][0] > 0.0 else 0.0

    def fit(self, prior: Sequence[float], strength: float = 1.0) -> list[float]:
        """The weights, held to ``prior`` as by that many things seen."""
        size = len(self._b)
        used = list(range(size))
        while True:
            rows = [
                [self._a[i][j] if j <= i else self._a[j][i] for j in used]
                + [self._b[i] + strength * prior[i]]
                for i in used
            ]
            for k, row in enumerate(rows):
                row[k] += strength
            found = _solved(rows)
            lost = [i for i, w in zip(used, found, strict=True) if w < 0.0 and i]
            if not lost:
                weights = [0.0] * size
                for i, w in zip(used, found, strict=True):
                    weights[i] = w
                return weights
            used = [i for i in used if i not in lost]


def _solved(rows: list[list[float]]) -> list[float]:
    """Of equations with a symmetric positive definite matrix, each with its right side at the end:
    Gauss, which needs no pivots for those."""
    size = len(rows)
    for k, top in enumerate(rows):
        for row in rows[k + 1 :]:
            share = row[k] / top[k]
            if share:
                for j in range(k, size + 1):
                    row[j] -= share * top[j]
    found = [0.0] * size
    for k in range(size - 1, -1, -1):
        row = rows[k]
        found[k] = (row[size] - sum([row[j] * found[j] for j in range(k + 1, size)])) / row[k]
    return found
