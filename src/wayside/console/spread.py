"""How times are spread, in few numbers: quantiles within five per cent, from sparse buckets."""

from __future__ import annotations

from math import ceil, exp, log
from typing import Final

GROWTH: Final = log(1.1)
"""Of the logarithm, from one bucket to the next: each is a tenth wider than the one below."""
LEAST_S, MOST_S = 1e-5, 1e4
_LOWEST, _HIGHEST = (round(log(s) / GROWTH) for s in (LEAST_S, MOST_S))


class Spread:
    """Counts of times (seconds) by bucket: some 220 at most, and only those that were seen."""

    __slots__ = ("buckets", "count")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0

    def add(self, seconds: float) -> None:
        at = round(log(seconds) / GROWTH) if seconds > LEAST_S else _LOWEST
        at = min(at, _HIGHEST)
        self.buckets[at] = self.buckets.get(at, 0) + 1
        self.count += 1

    def join(self, other: Spread) -> None:
        """Count what ``other`` has as well."""
        self.count += other.count
        for at, count in other.buckets.items():
            self.buckets[at] = self.buckets.get(at, 0) + count

    def quantile(self, share: float) -> float:
        """The time that ``share`` of all are within, in seconds; 0 where there are none."""
        if not self.count:
            return 0.0
        wanted = max(1, ceil(share * self.count))
        for at in sorted(self.buckets):
            wanted -= self.buckets[at]
            if wanted <= 0:
                return exp(at * GROWTH)
        raise AssertionError("the counts of buckets add up to the count")


def ms(seconds: float) -> float:
    """For people."""
    return round(seconds * 1e3, 3)
