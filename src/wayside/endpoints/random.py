"""At random, in proportion to the servers' weights."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import log

from pydantic import PositiveInt

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import Need, Roster


class RandomRule(Settings):
    """Example: ``{}``"""

    count: PositiveInt = 1
    """Servers named, in the order drawn: the further ones are for retries, where whoever asked
    makes them itself (an endpoint picker's fallback list)."""


@catalog.register("picker", "random", settings=RandomRule, stability="beta")
class RandomPicker:
    """A server at random, in proportion to its weight, whatever scorers say.

    Several are drawn without putting any back (Efraimidis and Spirakis 2006, "Weighted random
    sampling with a reservoir").
    """

    def __init__(self, rule: RandomRule) -> None:
        self._count = rule.count

    def pick(self, need: Need, roster: Roster, totals: Sequence[float]) -> Sequence[int]:
        dice = need.dice
        size = len(roster.endpoints)
        bounds = roster.memo.get(self)
        if bounds is None:
            weights = [max(0.0, e.weight) for e in roster.endpoints]
            bounds = roster.memo[self] = list(accumulate(weights))
        total = bounds[-1]
        if self._count > 1:
            weights = [max(0.0, e.weight) for e in roster.endpoints]
            # Who weighs nothing comes when nobody else is left.
            keys = [(0, -log(1.0 - dice()) / w) if w else (1, dice()) for w in weights]
            return sorted(range(size), key=keys.__getitem__)[: self._count]
        if not total:
            return (int(dice() * size),)
        return (min(bisect_right(bounds, dice() * total), size - 1),)
