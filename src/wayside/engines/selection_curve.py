"""What a strong/weak router is worth: quality against the strong model's share of questions.

The measures are RouteLLM's (Ong et al. 2024, arXiv:2406.18665, section 3). With the questions
sorted by score and the first share c of them answered by the strong model:

* PGR(c) = (quality(c) - weak) / (strong - weak), the share of the gap that is recovered.
* APGR = the area under PGR over c in 0..1, taken exactly where the paper takes ten points; a
  router that rolls dice has 0.5, and one that recovers everything at once has nearly 1.
* CPT(x) = the least c with PGR(c) >= x: the calls to the strong model that buy x of the gap.

Questions of one score come and go together, so a curve is straight between different scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
RESAMPLES: Final = 500
SHARES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Scored:
    """A question's score and what both models did with it (0..1)."""

    score: float
    weak: float
    strong: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A router's figures. ``quality`` is told at :data:`SHARES` of questions to the strong model;
    ``oracle`` is the APGR of a router that knows the outcomes; ``interval`` holds 95 % of the
    APGRs of resampled questions."""

    questions: int
    weak: float
    strong: float
    apgr: float
    interval: tuple[float, float]
    oracle: float
    cpt50: float
    cpt80: float
    quality: tuple[float, ...]
    thresholds: tuple[float, ...]
    """The score at and above which about that share of these questions goes."""


def curve(rows: Sequence[Scored], seed: int = 0) -> Curve:
    """The figures of a router. ``ValueError`` where there is no gap to recover."""
    scores = np.array([row.score for row in rows])
    weak, strong = (np.array([getattr(r, n) for r in rows]) for n in ("weak", "strong"))
    gap = float(strong.mean() - weak.mean()) if len(rows) else 0.0
    if gap <= 0:
        raise ValueError("the strong model does no better than the weak one: nothing to recover")
    ones = np.ones(len(rows))
    shares, gains = _path(scores, strong - weak, ones)
    recovered = gains / gap
    dice = np.random.default_rng(seed)
    again = []
    for _ in range(RESAMPLES):
        counts = np.bincount(dice.integers(len(rows), size=len(rows)), minlength=len(rows))
        c, g = _path(scores, strong - weak, counts.astype(np.float64))
        if g[-1] > 0:
            again.append(_area(c, g / g[-1]))
    low, high = np.quantile(again, (0.025, 0.975)) if again else (0.0, 0.0)
    best = _path(strong - weak, strong - weak, ones)
    ordered = np.sort(scores)[::-1]
    return Curve(
        questions=len(rows),
        weak=float(weak.mean()),
        strong=float(strong.mean()),
        apgr=_area(shares, recovered),
        interval=(float(low), float(high)),
        oracle=_area(best[0], best[1] / gap),
        cpt50=_reached(shares, recovered, 0.5),
        cpt80=_reached(shares, recovered, 0.8),
        quality=tuple(float(weak.mean() + np.interp(s, shares, gains)) for s in SHARES),
        thresholds=tuple(float(ordered[min(int(s * len(rows)), len(rows) - 1)]) for s in SHARES),
    )


def as_text(name: str, found: Curve) -> str:
    """The figures for people."""
    lines = [
        f"{name}: {found.questions:,} questions, weak {found.weak:.3f}, strong {found.strong:.3f}",
        f"APGR {found.apgr:.3f} (95 %: {found.interval[0]:.3f} to {found.interval[1]:.3f}; "
        f"dice 0.500, oracle {found.oracle:.3f})",
        f"CPT(50%) {found.cpt50:.1%}, CPT(80%) {found.cpt80:.1%} of calls to the strong model "
        "(dice: 50.0%, 80.0%)",
        "",
        "to strong  threshold  quality  gap recovered",
    ]
    gap = found.strong - found.weak
    for share, threshold, quality in zip(SHARES, found.thresholds, found.quality, strict=True):
        back = (quality - found.weak) / gap
        bar = "#" * max(0, round(20 * back))
        lines.append(f"{share:9.0%}  {threshold:9.4f}  {quality:7.3f}  {back:6.1%}  {bar}")
    return "\n".join(lines)


def _path(scores: Doubles, gains: Doubles, counts: Doubles) -> tuple[Doubles, Doubles]:
    """Shares sent to the strong model and the mean gain there, from (0, 0) on, a point after each
    group of equal scores; question i counts ``counts[i]`` times."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    total = counts.sum()
    share = np.cumsum(counts[order])[ends] / total
    gain = np.cumsum((counts * gains)[order])[ends] / total
    return np.concatenate(([0.0], share)), np.concatenate(([0.0], gain))


def _area(x: Doubles, y: Doubles) -> float:
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


def _reached(shares: Doubles, recovered: Doubles, wanted: float) -> float:
    """The least share at which that much is recovered; 1 where it never is before the end."""
    above = np.flatnonzero(recovered >= wanted - 1e-12)
    if not len(above):
        return 1.0
    i = int(above[0])
    if i == 0:
        return 0.0
    step = recovered[i] - recovered[i - 1]
    part = (wanted - recovered[i - 1]) / step if step else 0.0
    return float(shares[i - 1] + part * (shares[i] - shares[i - 1]))
