"""At random, in proportion to the sums of scores."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import log

from pydantic import PositiveInt

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import Need, Roster


class WeightedRandomRule(Settings):
    """Example: ``{count: 2}``"""

    count: PositiveInt = 1
    """Servers named, in the order drawn: the further ones are for retries, where whoever asked
    makes them itself (an endpoint picker's fallback list)."""


@catalog.register("picker", "weighted_random", settings=WeightedRandomRule, stability="beta")
class WeightedRandomPicker:
    """A server at random, in proportion to its score.

    Several are drawn without putting any back: those with the greatest U^(1/score), U uniform in
    (0, 1] (A-Res of Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir";
    llm-d's ``weighted-random-picker``, spec 3.4). Who scored 0 is drawn when nobody else is left;
    where nobody scored, all are as likely.
    """

    def __init__(self, rule: WeightedRandomRule) -> None:
        self._count = rule.count

    def pick(self, need: Need, roster: Roster, totals: Sequence[float]) -> Sequence[int]:
        dice = need.dice
        size = len(roster.endpoints)
        if self._count > 1:
            return self._several(need, totals or [1.0] * size)
        bounds = list(accumulate(totals)) if totals else [0.0]
        if not bounds[-1]:
            return (int(dice() * size),)
        # The first of A-Res is distributed like one throw in the proportion of scores.
        return (min(bisect_right(bounds, dice() * bounds[-1]), size - 1),)

    def _several(self, need: Need, totals: Sequence[float]) -> Sequence[int]:
        dice = need.dice
        # log U / score puts them in the order of U^(1/score), and does not round to 0.
        keys = [(1, log(1.0 - dice()) / s) if s > 0 else (0, dice()) for s in totals]
        ranked = sorted(range(len(keys)), key=keys.__getitem__, reverse=True)
        return ranked[: self._count]
