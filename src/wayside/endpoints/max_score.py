"""The highest score wins; servers that share it are drawn among."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveInt

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import Need, Roster


class MaxScoreRule(Settings):
    """Example: ``{}``"""

    count: PositiveInt = 1
    """Servers named, in order of their scores: the further ones are for retries, where whoever
    asked makes them itself (an endpoint picker's fallback list)."""


@catalog.register("picker", "max_score", settings=MaxScoreRule, stability="beta")
class MaxScorePicker:
    """The server with the highest score; of equals one at random."""

    def __init__(self, rule: MaxScoreRule) -> None:
        self._count = rule.count

    def pick(self, need: Need, roster: Roster, totals: Sequence[float]) -> Sequence[int]:
        dice = need.dice
        size = len(roster.endpoints)
        if self._count > 1:
            drawn = [dice() for _ in range(size)]
            scores = totals or [0.0] * size
            ranked = sorted(range(size), key=lambda i: (-scores[i], drawn[i]))
            return ranked[: self._count]
        if not totals:
            return (int(dice() * size),)
        best = max(totals)
        count = totals.count(best)
        position = totals.index(best)
        if count > 1:
            for _ in range(int(dice() * count)):
                position = totals.index(best, position + 1)
        return (position,)
