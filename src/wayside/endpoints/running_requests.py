"""Prefer servers that run few requests: linear between the most and the fewest."""

from __future__ import annotations

from operator import attrgetter

from wayside.catalog import catalog
from wayside.endpoints import Scores, of_known
from wayside.settings import Settings
from wayside.vocab.endpoint import Fact, Need, Roster


class RunningRequestsRule(Settings):
    """Example: ``{}``"""


@catalog.register("scorer", "running_requests", settings=RunningRequestsRule, stability="beta")
class RunningRequestsScorer:
    """Prefers servers that run few requests.

    (max - r) / (max - min) over how many requests they say they run, 1 for all where those are
    equal (llm-d's ``running-requests-size-scorer``, spec 3.4).
    """

    steady = True
    reads: tuple[Fact, ...] = ("vitals",)

    def __init__(self, rule: RunningRequestsRule) -> None:
        pass

    def score(self, need: Need, roster: Roster) -> Scores:
        return of_known(roster, attrgetter("running"))
