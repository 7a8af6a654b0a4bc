"""Prefer servers that few requests of ours are at: known at once, whatever servers say."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt

from wayside.catalog import catalog
from wayside.endpoints import Scores
from wayside.settings import Settings
from wayside.vocab.endpoint import Need, Roster


class ActiveRequestsRule(Settings):
    """Example: ``{idle_threshold: 2, max_busy_score: 0.5}``"""

    idle_threshold: NonNegativeInt = 0
    """A server with at most that many requests counts as idle and gets 1."""
    max_busy_score: float = Field(default=1.0, ge=0, le=1)
    """What a server gets at most that is not idle."""


@catalog.register("scorer", "active_requests", settings=ActiveRequestsRule, stability="beta")
class ActiveRequestsScorer:
    """Prefers servers that few requests of this process are at.

    1 where at most ``idle_threshold`` are, else (max - n) / max times ``max_busy_score``, where n
    is how many are there and max how many at the busiest (llm-d's ``active-request-scorer``,
    spec 3.4).
    """

    def __init__(self, rule: ActiveRequestsRule) -> None:
        self._idle, self._busy = rule.idle_threshold, rule.max_busy_score

    def score(self, need: Need, roster: Roster) -> Scores:
        counts = [e.in_flight for e in roster.endpoints]
        most = max(counts)
        idle, busy = self._idle, self._busy
        if most <= idle:
            return [1.0] * len(counts)
        scale = busy / most
        of = {n: 1.0 if n <= idle else (most - n) * scale for n in set(counts)}
        return list(map(of.__getitem__, counts))
