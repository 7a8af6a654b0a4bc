"""How long to wait before the API server is asked again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wayside.kube.errors import KubeError, Refused

LONGEST_REST_S: Final = 120.0
"""No ``Retry-After`` is believed beyond that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a reflector waits, in seconds. Pauses double up to their longest, and each is
    shortened by up to a half at random, so that replicas do not come back all at once."""

    first_s: float = 0.4
    longest_s: float = 30.0
    refused_first_s: float = 4.0
    """After a missing right or kind."""
    refused_longest_s: float = 60.0
    watch_s: int = 300
    """The server is asked to end a watch after so long, and up to a half more."""
    steady_s: float = 2.0
    """A watch that held so long was a good one: pauses begin anew, and the next comes at once."""


class Pauses:
    """The pauses of one reflector. ``dice`` is uniform in [0, 1)."""

    __slots__ = ("_broken_s", "_dice", "_pace", "_refused_s")

    def __init__(self, pace: Pace, dice: Callable[[], float]) -> None:
        self._pace, self._dice = pace, dice
        self._broken_s = self._refused_s = 0.0

    def after(self, error: KubeError | None) -> float:
        """After something that may go better at once: ``None`` is a watch that ended as soon as
        it had begun. What the server asks for is waited, if it is more."""
        pace = self._pace
        self._broken_s = min(pace.longest_s, 2 * self._broken_s or pace.first_s)
        asked = error.retry_after_s if isinstance(error, Refused) else 0.0
        return max(self._shortened(self._broken_s), min(asked, LONGEST_REST_S))

    def after_refusal(self) -> float:
        """After a missing right or kind, which somebody has to do something about."""
        pace = self._pace
        self._refused_s = min(pace.refused_longest_s, 2 * self._refused_s or pace.refused_first_s)
        return self._shortened(self._refused_s)

    def allowed(self) -> None:
        """Right and kind are there."""
        self._refused_s = 0.0

    def steady(self) -> None:
        """All went well for a while."""
        self._broken_s = 0.0

    def _shortened(self, seconds: float) -> float:
        return seconds * (1 - self._dice() / 2)
