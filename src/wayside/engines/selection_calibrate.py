"""Thresholds from scores: which one sends a given share of prompts to the strong model?

The threshold for a share s of n prompts is their (1 - s) quantile. How far it can be believed:

* *other prompts of the same kind*: the share of n more of them that lie above the threshold is
  binomial; Wilson's interval (1927) holds it 95 times in 100.
* *the threshold itself*: the true quantile lies between two of the ordered scores, n s less and
  more 1.96 sqrt(n s (1 - s)) from the top (a distribution-free interval; David and Nagaraja 2003,
  section 7.1).

Neither says anything about traffic of another kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, sqrt
from typing import Final

Z: Final = 1.959964
"""Of the standard normal distribution, 95 % lie within this many deviations."""
SHARES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Cut:
    """A threshold: what was ``wanted`` of it, the share it ``gives`` on these prompts, the 95 %
    interval of that ``share`` on others of their kind and of the ``true`` threshold."""

    wanted: float
    threshold: float
    gives: float
    share: tuple[float, float]
    true: tuple[float, float]


def cut(scores: Sequence[float], wanted: float) -> Cut:
    """The threshold whose share is nearest to ``wanted``, halfway between two scores.

    Prompts of one score go together, so ``gives`` may differ from what was wanted. Scores are
    0..1; ``wanted`` lies between 0 and 1. ``ValueError`` for no scores.
    """
    if not scores:
        raise ValueError("no scores")
    ordered = sorted(scores, reverse=True)
    n = len(ordered)
    # A threshold is at most 1, so nobody is above it where somebody has 1.
    none = [0] if ordered[0] < 1.0 else []
    edges = [*none, *(i for i in range(1, n) if ordered[i] < ordered[i - 1]), n]
    count = min(edges, key=lambda edge: (abs(edge - wanted * n), edge))
    threshold = _between(
        ordered[count] if count < n else 0.0, ordered[count - 1] if count else 1.0
    )
    spread = Z * sqrt(n * wanted * (1 - wanted))
    high = ordered[max(0, floor(n * wanted - spread))]
    low = ordered[min(n - 1, ceil(n * wanted + spread))]
    gives = sum(score >= threshold for score in ordered) / n
    return Cut(wanted, threshold, gives, wilson(gives, n), (low, high))


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share that n trials showed.

    Worked: 50 of 100 are 0.4038 to 0.5962.
    """
    whole = 1 + Z * Z / n
    middle = (share + Z * Z / (2 * n)) / whole
    half = Z * sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / whole
    return max(0.0, middle - half), min(1.0, middle + half)


def _between(below: float, above: float) -> float:
    """A number of few digits above the one and not above the other."""
    for digits in range(DIGITS, 17):
        found = round((below + above) / 2, digits)
        if below < found <= above:
            return found
    return above
