"""The arithmetic that selection algorithms share: scales, prices, sizes, Elo, AutoMix, Beta.

Pure functions of numbers, each with its source, so that every one has a table test of values
worked out by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from math import cos, log, pi, pow, sqrt

from wayside.vocab.observed import ModelFacts

ELO_SCALE = 400.0
"""Points of rating that make odds of ten to one (Elo, "The Rating of Chessplayers", 1978)."""
DEFAULT_QUALITY = 0.8
"""Taken for a model that the settings give no ``quality`` (vSR's default)."""
_SIZE = re.compile(r"(?<![0-9a-z.])(\d{1,4}(?:\.\d{1,3})?)(?:x(\d{1,4}(?:\.\d{1,3})?))?b(?![a-z])")


def min_max(values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Each value's place between the least (0) and the greatest (1); all 0.5 where they are equal.

    ``None`` stays ``None``. Worked: 10, 20, 40 become 0, 1/3, 1.
    """
    known = [v for v in values if v is not None]
    if not known:
        return tuple(values)
    least, span = min(known), max(known) - min(known)
    if span <= 0:
        return tuple([None if v is None else 0.5 for v in values])
    return tuple([None if v is None else (v - least) / span for v in values])


def best(scores: Sequence[float | None], dice: float) -> int:
    """The place of the greatest score; of several equal ones the dice (0..1) take one.

    Raises ``ValueError`` where no score is left.
    """
    top = max([s for s in scores if s is not None])
    tied = [i for i, s in enumerate(scores) if s is not None and s >= top]
    return tied[min(int(dice * len(tied)), len(tied) - 1)]


def size_b(model: ModelFacts) -> float | None:
    """Billions of parameters: said in the settings, or read from the name (``8b``, ``8x7b``)."""
    if model.parameters_b is not None:
        return model.parameters_b
    found = _SIZE.search(model.name.lower().replace("_", "-"))
    if found is None:
        return None
    return float(found[1]) * float(found[2] or 1)


# Ratings


def expected(rating: float, other: float) -> float:
    """How likely, in Bradley and Terry's model, the one rated ``rating`` is to be preferred.

    1 / (1 + 10^((other - rating) / 400)): Bradley and Terry 1952, in the form of Elo 1978.
    Worked: equal ratings 0.5; 400 points ahead 10/11 = 0.9091.
    """
    return 1.0 / (1.0 + pow(10.0, max(-4e3, min(4e3, other - rating)) / ELO_SCALE))


def rated(rating: float, other: float, score: float, k: float) -> float:
    """The rating after a comparison: rating + k (score - expected).

    ``score`` is 1 where it was preferred, 0 where the other was, between for all between. Worked
    with k = 32: 1500 beats 1500 and has 1516; 1600 loses to 1400 and has 1600 - 32 x 0.7597.
    """
    return rating + k * (score - expected(rating, other))


# AutoMix


def scaled(value: float, factor: float) -> float:
    """``value`` made better by a factor above 1 and worse by one below, below zero as well."""
    return value * factor if value >= 0 else value / factor


def automix_values(
    quality: Sequence[float],
    price: Sequence[float],
    *,
    ladder: Sequence[int],
    max_escalations: int,
    tradeoff: float,
    discount: float,
) -> tuple[float, ...]:
    """What starting at each candidate is worth when a bad answer may be escalated.

    With p the chance that an answer passes verification, taken to be the candidate's quality q:

        V_0(i) = q_i - tradeoff * price_i / 10
        V_n(i) = V_0(i) + discount * (1 - p_i) * max(0, max over j above i of V_(n-1)(j))

    and the value is V_n with n = ``max_escalations``. ``ladder`` lists the candidates from the
    smallest to the largest; above i are those after it. Prices are per million tokens.

    The idea is AutoMix's (Aggarwal et al. 2023, arXiv:2310.12963), where a POMDP decides about
    escalation after verification; the one-shot value and its constants are vSR's.
    """
    base = [q - tradeoff * p / 10.0 for q, p in zip(quality, price, strict=True)]
    value = list(base)
    for _ in range(max_escalations):
        above = 0.0
        deeper = list(base)
        for i in reversed(ladder):
            deeper[i] = base[i] + discount * (1.0 - quality[i]) * above
            above = max(above, value[i])
        if deeper == value:
            break
        value = deeper
    return tuple(value)


def ladder(models: Sequence[ModelFacts]) -> tuple[int, ...]:
    """The models' places from the smallest to the largest: by parameters where all are known,
    else by price where all are known, else in the order given."""
    for measure in _MEASURES:
        found = [measure(m) for m in models]
        known = [f for f in found if f is not None]
        if len(known) == len(models):
            return tuple(sorted(range(len(models)), key=known.__getitem__))
    return tuple(range(len(models)))


_MEASURES: tuple[Callable[[ModelFacts], float | None], ...] = (size_b, lambda m: m.price)


# Dice


def stream(dice: float) -> Iterator[float]:
    """Numbers in (0, 1), as many as are wanted, all of them made from one roll of the dice.

    SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA
    2014), seeded with the roll's 53 bits: the same roll gives the same numbers, everywhere.
    """
    state = int(dice * 2**53) & _MASK
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        z ^= z >> 31
        yield ((z >> 12) + 0.5) / 2**52


_MASK = (1 << 64) - 1


def gamma(shape: float, dice: Iterator[float]) -> float:
    """A sample of the gamma distribution with ``shape`` >= 1 and scale 1.

    Marsaglia and Tsang, "A Simple Method for Generating Gamma Variables", ACM TOMS 26 (2000), with
    normal variates by Box and Muller (1958). More than 95 of 100 tries succeed.
    """
    d = shape - 1.0 / 3.0
    c = 1.0 / sqrt(9.0 * d)
    while True:
        x = sqrt(-2.0 * log(next(dice))) * cos(2.0 * pi * next(dice))
        v = (1.0 + c * x) ** 3
        if v > 0.0 and log(next(dice)) < 0.5 * x * x + d - d * v + d * log(v):
            return d * v


def beta(a: float, b: float, dice: Iterator[float]) -> float:
    """A sample of the beta distribution with ``a`` and ``b`` >= 1: X / (X + Y) of two gammas."""
    x = gamma(a, dice)
    return x / (x + gamma(b, dice))


def decayed(before: float | None, sample: float, weight: float) -> float:
    """An exponentially weighted moving average: ``weight`` is that of the newest sample."""
    return sample if before is None else before + weight * (sample - before)


__all__ = [
    "DEFAULT_QUALITY",
    "ELO_SCALE",
    "automix_values",
    "best",
    "beta",
    "decayed",
    "expected",
    "gamma",
    "ladder",
    "min_max",
    "rated",
    "scaled",
    "size_b",
    "stream",
]
