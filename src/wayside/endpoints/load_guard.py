"""Keep only the least loaded servers while load is uneven."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, NonNegativeInt

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import Need, Roster


class LoadGuardRule(Settings):
    """Example: ``{absolute: 8, relative: 1.2}``"""

    absolute: NonNegativeInt = 64
    """Requests in flight that the busiest may have more than the least busy."""
    relative: float = Field(default=1.5, ge=1)
    """Times the requests of the least busy that the busiest may have."""


@catalog.register("filter", "load_guard", settings=LoadGuardRule, stability="beta")
class LoadGuardFilter:
    """Keeps only the least loaded while load is uneven, whatever scorers prefer.

    While max - min > ``absolute`` and max > ``relative`` * min, those with min requests of ours in
    flight stay; else all do (``balance_abs_threshold`` and ``balance_rel_threshold`` of
    vllm-router and sglang-router, with their defaults, spec 6.2). It keeps what prefers servers
    for what they have cached from burying one of them.
    """

    def __init__(self, rule: LoadGuardRule) -> None:
        self._absolute, self._relative = rule.absolute, rule.relative

    def keep(self, need: Need, roster: Roster) -> Sequence[int] | None:
        counts = [e.in_flight for e in roster.endpoints]
        most = max(counts)
        if most <= self._absolute:
            return None
        least = min(counts)
        if most - least <= self._absolute or most <= self._relative * least:
            return None
        return [i for i, count in enumerate(counts) if count == least]
