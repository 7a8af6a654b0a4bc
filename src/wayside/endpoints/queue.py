"""Prefer servers with few requests waiting: linear between the longest queue and the shortest."""

from __future__ import annotations

from operator import attrgetter

from wayside.catalog import catalog
from wayside.endpoints import Scores, of_known
from wayside.settings import Settings
from wayside.vocab.endpoint import Fact, Need, Roster


class QueueRule(Settings):
    """Example: ``{}``"""


@catalog.register("scorer", "queue", settings=QueueRule, stability="beta")
class QueueScorer:
    """Prefers servers where few requests wait.

    (max - q) / (max - min) over the servers' own queue lengths, 1 for all where those are equal
    (llm-d's ``queue-scorer``, spec 3.4).
    """

    steady = True
    reads: tuple[Fact, ...] = ("vitals",)

    def __init__(self, rule: QueueRule) -> None:
        pass

    def score(self, need: Need, roster: Roster) -> Scores:
        return of_known(roster, attrgetter("waiting"))
