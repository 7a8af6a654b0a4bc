"""Leave out servers that have said nothing for a while."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveFloat

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import Fact, Need, Roster


class FreshRule(Settings):
    """Example: ``{max_age_s: 5}``"""

    max_age_s: PositiveFloat = 2.0
    """How old what a server last said of itself may be."""


@catalog.register("filter", "fresh", settings=FreshRule, stability="beta")
class FreshFilter:
    """Leaves out servers that have not answered for their metrics lately, while others have.

    All stay where nobody has: then it is more likely the network, or what reads them. (2 s is
    when llm-d takes metrics for stale, spec 3.6.)
    """

    reads: tuple[Fact, ...] = ("vitals",)

    def __init__(self, rule: FreshRule) -> None:
        self._max_age = rule.max_age_s

    def keep(self, need: Need, roster: Roster) -> Sequence[int] | None:
        oldest = roster.memo.get(self)
        if oldest is None:
            oldest = roster.memo[self] = min([e.vitals.at for e in roster.endpoints])
        limit = need.now - self._max_age
        if oldest >= limit:
            return None
        return [i for i, e in enumerate(roster.endpoints) if e.vitals.at >= limit] or None
