"""Who may go on when a pool is full."""

from __future__ import annotations

from collections.abc import Awaitable

from wayside.epp.refusals import SHED, Refusal
from wayside.epp.saturation import Detector
from wayside.vocab.endpoint import Roster


class Shedding:
    """Without flow control: requests of a negative priority are refused while the pool is full,
    all others go on, always (spec 3.5)."""

    patience_s = 0.0

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def admit(
        self,
        *,
        priority: int,
        fairness: str,
        size: int,
        candidates: Roster,
        due_s: float | None = None,
    ) -> Refusal | Awaitable[Refusal | None] | None:
        if priority < 0 and self._detector.saturation(candidates) >= 1.0:
            return SHED
        return None

    def left(self) -> None:
        pass
