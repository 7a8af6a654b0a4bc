"""The replicas of one model: which of them takes the next request.

Weighted power of two choices: two replicas are drawn with probability proportional to weight,
and the one with fewer requests in flight per weight wins (Mitzenmacher 2001, "The Power of Two
Choices in Randomized Load Balancing"). Health is passive: see :meth:`Replica.failed`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate

from wayside.fleet.replica import Replica

Dice = Callable[[], float]
"""Uniform in [0, 1); the shell owns it."""

_NEVER = float("inf")


class Pool:
    """One model's replicas. Never empty-handed while it has any: the least bad one is tried."""

    __slots__ = ("_bounds", "_review_at", "_rotation", "_trials", "replicas")

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.replicas = tuple(replicas)
        self._rotation: tuple[Replica, ...] = ()
        self._bounds: list[float] = []
        self._trials = False
        self._review_at = 0.0

    def pick(self, now: float, dice: Dice, tried: Collection[Replica] = ()) -> Replica | None:
        """The replica for the next attempt; ``None`` when every replica has been tried."""
        if now >= self._review_at:
            self._review(now)
        if tried or self._trials:
            return self._pick_among(now, dice, tried)
        rotation = self._rotation
        count = len(rotation)
        if count == 1:
            return rotation[0]
        if count == 0:
            return self._least_bad(())
        return _better_of_two(rotation, self._bounds, dice)

    def failed(self, replica: Replica, now: float) -> None:
        """Report a failed attempt; takes the replica out of rotation when it is one too many."""
        if replica.failed(now):
            self._review_at = 0.0

    def _review(self, now: float) -> None:
        """Work out who is in rotation, and when that can next change by time alone."""
        wanted = [r for r in self.replicas if r.weight > 0] or list(self.replicas)
        inside = [r for r in wanted if r.out_until <= now]
        for replica in inside:
            if replica.out_until:  # its pause is over; one request tries it
                replica.out_until = 0.0
                replica.on_trial = True
        self._rotation = tuple(inside)
        self._bounds = _bounds(inside)
        self._trials = any(r.on_trial for r in inside)
        self._review_at = min((r.out_until for r in wanted if r.out_until > now), default=_NEVER)

    def _pick_among(self, now: float, dice: Dice, tried: Collection[Replica]) -> Replica | None:
        if self._trials and not any(r.on_trial for r in self._rotation):
            self._trials = False
        free = [
            r for r in self._rotation if r not in tried and not (r.on_trial and r.in_flight > 0)
        ]
        if not free:
            return self._least_bad(tried)
        if len(free) == 1:
            return free[0]
        return _better_of_two(free, _bounds(free), dice)

    def _least_bad(self, tried: Collection[Replica]) -> Replica | None:
        left = [r for r in self.replicas if r not in tried]
        return min(
            left, key=lambda r: (r.weight <= 0, r.out_until, r.failures, r.in_flight), default=None
        )


def _bounds(replicas: Sequence[Replica]) -> list[float]:
    weights = [r.weight for r in replicas]
    return list(accumulate(weights if any(weights) else [1.0] * len(weights)))


def _better_of_two(replicas: Sequence[Replica], bounds: list[float], dice: Dice) -> Replica:
    """Draw two distinct replicas by weight; the less loaded one, the first drawn on a tie."""
    total = bounds[-1]
    last = len(bounds) - 1
    i = min(bisect_right(bounds, dice() * total), last)
    low = bounds[i - 1] if i else 0.0
    width = bounds[i] - low
    point = dice() * (total - width)  # a point outside the first one's interval
    j = min(bisect_right(bounds, point if point < low else point + width), last)
    if j == i:  # rounding at the very end of the line
        j = i - 1 if i == last else i + 1
    first, second = replicas[i], replicas[j]
    if (second.in_flight + 1) * (first.weight or 1.0) < (first.in_flight + 1) * (
        second.weight or 1.0
    ):
        return second
    return first
