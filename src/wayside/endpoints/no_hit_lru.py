"""Spread prompts that nobody has cached over servers, the longest unused first."""

from __future__ import annotations

from pydantic import PositiveInt

from wayside.catalog import catalog
from wayside.endpoints import HITS, Scores
from wayside.settings import Settings
from wayside.vocab.endpoint import Endpoint, Need, Roster


class NoHitLruRule(Settings):
    """Example: ``{size: 256}``"""

    size: PositiveInt = 1_024
    """Servers remembered; the longest unused is forgotten first."""


@catalog.register("scorer", "no_hit_lru", settings=NoHitLruRule, stability="beta")
class NoHitLruScorer:
    """Spreads prompts that nobody has cached, the longest unused server first.

    A cold prompt's prefill is the costly sort of work, and makes a cache that attracts what
    follows. 1 - rank / (n - 1), where those that never took a cold prompt share rank 0 and the
    others follow by when they did; 0.5 for all where a scorer named before this one found the
    prompt cached somewhere (llm-d's ``no-hit-lru-scorer``, spec 3.4).
    """

    def __init__(self, rule: NoHitLruRule) -> None:
        self._size = rule.size
        self._used: dict[Endpoint, None] = {}  # the longest unused first

    def score(self, need: Need, roster: Roster) -> Scores:
        size = len(roster.endpoints)
        if _cached(need):
            return [0.5] * size
        scores = [1.0] * size
        used = [i for i in map(roster.positions.get, self._used) if i is not None]
        if size > 1:
            last = size - 1
            for left, i in zip(range(len(used) - 1, -1, -1), used, strict=True):
                scores[i] = left / last
        return scores

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        if _cached(need):
            return
        used = self._used
        used.pop(endpoint, None)
        used[endpoint] = None
        if len(used) > self._size:
            del used[next(iter(used))]

    def forget(self, endpoint: Endpoint) -> None:
        self._used.pop(endpoint, None)


def _cached(need: Need) -> bool:
    return any(need.memo.get(HITS, {}).values())
