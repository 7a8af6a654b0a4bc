"""Two servers are drawn; the better one takes the request."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.draw import two_by_weight
from wayside.vocab.endpoint import Need, Roster


class PowerOfTwoRule(Settings):
    """Example: ``{}``"""


@catalog.register("picker", "power_of_two", settings=PowerOfTwoRule, stability="beta")
class PowerOfTwoPicker:
    """The better of two servers drawn by weight: by score, else by requests in flight.

    Two are drawn without putting the first back; the higher sum of scores wins. Where sums are
    equal, or nobody scored, the one with fewer requests in flight per weight does, the first
    drawn of equals (Mitzenmacher 2001, "The Power of Two Choices in Randomized Load Balancing").
    It keeps most of what a score tells, and many requests that see the same old figures do not
    all go to one server.
    """

    def __init__(self, rule: PowerOfTwoRule) -> None:
        pass

    def pick(self, need: Need, roster: Roster, totals: Sequence[float]) -> Sequence[int]:
        known = roster.memo.get(self)
        if known is None:
            known = roster.memo[self] = _drawable(roster)
        heavy, bounds = known
        if len(heavy) == 1:
            return (heavy[0],)
        i, j = two_by_weight(bounds, need.dice)
        i, j = heavy[i], heavy[j]
        if totals and totals[i] != totals[j]:
            return (i,) if totals[i] > totals[j] else (j,)
        first, second = roster.endpoints[i], roster.endpoints[j]
        if not (first.in_flight or second.in_flight):
            return (i,)  # both idle: the weights have spoken, and must not count twice
        if (second.in_flight + 1) * (first.weight or 1.0) < (first.in_flight + 1) * (
            second.weight or 1.0
        ):
            return (j,)
        return (i,)


def _drawable(roster: Roster) -> tuple[list[int], list[float]]:
    """Those that weigh something, or all where none does, and their weights, summed up."""
    heavy = [i for i, e in enumerate(roster.endpoints) if e.weight > 0]
    if not heavy:
        heavy = list(range(len(roster.endpoints)))
        return heavy, [float(i + 1) for i in heavy]
    return heavy, list(accumulate([roster.endpoints[i].weight for i in heavy]))
