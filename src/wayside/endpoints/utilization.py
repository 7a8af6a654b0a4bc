"""Leave out servers that have too much to do, while others have not."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, NonNegativeFloat, model_validator

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import NEVER, Fact, Need, Roster, Vitals

_INFINITE = float("inf")


class UtilizationRule(Settings):
    """Example: ``{waiting: 10, kv: 0.9}``"""

    waiting: NonNegativeFloat | None = 5.0
    """The most requests that may wait there; `null` for any number."""
    kv: float | None = Field(default=0.8, ge=0, le=1)
    """The most of its KV cache that may be in use, 0..1; `null` for all of it."""
    running: NonNegativeFloat | None = None
    """The most requests that it may run; `null` for any number."""
    refuse: bool = False
    """Whether nobody stays where all are over, so that `when_none` of `picking` decides; else
    all stay."""

    @model_validator(mode="after")
    def _something(self) -> UtilizationRule:
        if self.waiting is None and self.kv is None and self.running is None:
            raise ValueError("one of waiting, kv and running has to have a value")
        return self


@catalog.register("filter", "utilization", settings=UtilizationRule, stability="beta")
class UtilizationFilter:
    """Leaves out servers with a long queue or a full KV cache, while others have neither.

    Servers that said nothing yet stay beside those that are not over; where all are over of whom
    something is known, they are no better. (The thresholds are those of llm-d's
    ``utilization-detector``, spec 3.5.)
    """

    steady = True
    reads: tuple[Fact, ...] = ("vitals",)

    def __init__(self, rule: UtilizationRule) -> None:
        self._waiting = _INFINITE if rule.waiting is None else rule.waiting
        self._kv = _INFINITE if rule.kv is None else rule.kv
        self._running = _INFINITE if rule.running is None else rule.running
        self._refuse = rule.refuse

    def keep(self, need: Need, roster: Roster) -> Sequence[int] | None:
        said = [e.vitals for e in roster.endpoints]
        fine = [i for i, v in enumerate(said) if v.at != NEVER and not self._over(v)]
        if fine:
            unknown = [i for i, v in enumerate(said) if v.at == NEVER]
            return sorted(fine + unknown) if unknown else fine
        if all([v.at == NEVER for v in said]):
            return None
        return () if self._refuse else None

    def _over(self, v: Vitals) -> bool:
        return v.waiting > self._waiting or v.kv > self._kv or v.running > self._running
