"""How many requests one process works on at once, and who is turned away first.

The models' own queues (``models.NAME.queue``) bound what waits for a model. This bounds what the
router itself has taken on, so that more than it can do costs those who come too late a quick 429,
and not everybody their time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from wayside.settings import LimitSettings, UrgencySettings
from wayside.telemetry.metrics import Metrics
from wayside.vocab.outcome import HeaderPairs

SHARES: Final = (0.8, 0.9, 1.0)
"""Of the room, for those that are less urgent than 0, for those that are neither, and for those
that are more urgent."""
SOON: Final[HeaderPairs] = (("retry-after", "1"), ("retry-after-ms", "1000"))
"""When who is turned away may try again."""
STATUS: Final = 429
CODE: Final = "server_is_overloaded"
MESSAGE: Final = "the router has more requests than it can take; ask again in a second"

Urgent = Callable[[Mapping[str, str], Sequence[str] | None], int]
"""A request's urgency, by its headers and its caller's groups."""


class Admission:
    """Counts requests from when they are admitted until they are over. One for each process."""

    __slots__ = ("_rooms", "_urgent", "refused", "taken")

    def __init__(self, most: int, urgent: Urgent | None = None) -> None:
        """``most`` at once. ``urgent`` tells a request's urgency; ``None``: all are alike."""
        shares = (1.0,) if urgent is None else SHARES
        self._rooms = tuple(max(1, int(most * share)) for share in shares)
        self._urgent = urgent
        self.taken = 0
        """Requests under way."""
        self.refused = 0
        """Requests turned away since the start."""

    def enter(self, headers: Mapping[str, str], groups: Sequence[str] | None = None) -> bool:
        """Whether there is room; if so, it is taken until :meth:`leave`. ``groups`` are those of a
        caller who proved them."""
        rooms, taken = self._rooms, self.taken
        room = rooms[-1]
        if self._urgent is not None and rooms[0] <= taken < room:
            urgency = self._urgent(headers, groups)
            room = rooms[1 + (urgency > 0) - (urgency < 0)]
        if taken >= room:
            self.refused += 1
            return False
        self.taken = taken + 1
        return True

    def leave(self) -> None:
        """A request that was admitted is over."""
        self.taken -= 1


def admission(
    limits: LimitSettings, urgency: UrgencySettings, urgent: Urgent, metrics: Metrics
) -> Admission | None:
    """As the settings want it, with its metric; ``None`` where they set no bound."""
    if limits.max_in_flight is None:
        return None
    ordered = urgency.header is not None or bool(urgency.groups)
    found = Admission(limits.max_in_flight, urgent if ordered else None)
    metrics.gauge(
        "wayside_admission_room",
        "Requests that may still be taken on before more are answered 429 (limits.max_in_flight).",
        read=lambda: [((), float(max(0, (limits.max_in_flight or 0) - found.taken)))],
    )
    return found


def counted(method: str) -> bool:
    """Whether requests of this method take room: what only reads (lists, probes) costs next to
    nothing, and is answered also when there is none."""
    return method not in ("GET", "HEAD", "OPTIONS")
