"""Prefer servers whose KV cache has room: one less the share that is in use."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from wayside.catalog import catalog
from wayside.endpoints import Scores, of_known
from wayside.settings import Settings
from wayside.vocab.endpoint import Fact, Need, Roster


class KvUtilizationRule(Settings):
    """Example: ``{}``"""


@catalog.register("scorer", "kv_utilization", settings=KvUtilizationRule, stability="beta")
class KvUtilizationScorer:
    """Prefers servers with room in their KV cache.

    1 - usage (llm-d's ``kv-cache-utilization-scorer``, spec 3.4).
    """

    steady = True
    reads: tuple[Fact, ...] = ("vitals",)

    def __init__(self, rule: KvUtilizationRule) -> None:
        pass

    def score(self, need: Need, roster: Roster) -> Scores:
        return of_known(roster, attrgetter("kv"), _room)


def _room(used: Sequence[float]) -> list[float]:
    return [1.0 - min(1.0, max(0.0, share)) for share in used]
