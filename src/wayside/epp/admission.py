"""Who may go on when a pool is full."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from wayside.epp.refusals import SHED, Refusal
from wayside.epp.saturation import Detector
from wayside.vocab.endpoint import Roster


class Shedding:
    """Without flow control: requests of a negative priority are refused while the pool is full,
    all others go on, always (spec 3.5). With a ``chance``, a share of the former is refused that
    grows with how full it is, before it is full."""

    patience_s = 0.0

    def __init__(
        self,
        detector: Detector,
        *,
        chance: Callable[[float], float] | None = None,
        dice: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._detector, self._chance, self._dice = detector, chance, dice

    def admit(
        self,
        *,
        priority: int,
        fairness: str,
        size: int,
        candidates: Roster,
        due_s: float | None = None,
    ) -> Refusal | Awaitable[Refusal | None] | None:
        if priority >= 0:
            return None
        saturation = self._detector.saturation(candidates)
        if saturation >= 1.0:
            return SHED
        if self._chance is not None and self._dice() < self._chance(saturation):
            return SHED
        return None

    def left(self) -> None:
        pass
