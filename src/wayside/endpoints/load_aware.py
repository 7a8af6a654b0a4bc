"""Prefer servers where few requests wait, by a fixed scale rather than against each other."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from pydantic import PositiveFloat

from wayside.catalog import catalog
from wayside.endpoints import Scores, of_known
from wayside.settings import Settings
from wayside.vocab.endpoint import Fact, Need, Roster


class LoadAwareRule(Settings):
    """Example: ``{threshold: 64}``"""

    threshold: PositiveFloat = 128.0
    """Requests waiting at which a server counts as overloaded, and gets 0."""


@catalog.register("scorer", "load_aware", settings=LoadAwareRule, stability="beta")
class LoadAwareScorer:
    """Prefers servers where few requests wait, in absolute numbers.

    0.5 * (1 - q / threshold), at least 0: 0.5 for an empty queue (llm-d's ``load-aware-scorer``,
    spec 3.4).
    """

    steady = True
    reads: tuple[Fact, ...] = ("vitals",)

    def __init__(self, rule: LoadAwareRule) -> None:
        self._threshold = rule.threshold

    def score(self, need: Need, roster: Roster) -> Scores:
        return of_known(roster, attrgetter("waiting"), self._rate)

    def _rate(self, waiting: Sequence[float]) -> list[float]:
        threshold = self._threshold
        return [0.5 * (1.0 - min(1.0, max(0.0, q / threshold))) for q in waiting]
