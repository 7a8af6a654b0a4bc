"""Who waits for a model: the most urgent first, of equals the one that came first."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import NamedTuple


class Place(NamedTuple):
    """A place in a line. ``wake`` is called when it is its turn, ``refuse`` when it has to make
    room for one more urgent; one of them, once, unless it left."""

    key: tuple[int, int]
    """Urgency, negated, and number: what comes first is smaller, and no two are the same."""
    wake: Callable[[], None]
    refuse: Callable[[], None]


class Line:
    """Bounded; who is turned away is the least urgent, of equals the one that came last."""

    __slots__ = ("_count", "_places")

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._places)

    def join(
        self, urgency: int, most: int, wake: Callable[[], None], refuse: Callable[[], None]
    ) -> Place | None:
        """Get into the line of at most ``most``; ``None`` where there is no place."""
        self._count += 1
        place = Place((-urgency, self._count), wake, refuse)
        if len(self._places) >= most:
            if not self._places or place.key > self._places[-1].key:
                return None
            self._places.pop().refuse()
        insort(self._places, place, key=_key)
        return place

    def leave(self, place: Place) -> None:
        """Nobody waits there any more."""
        at = bisect_left(self._places, place.key, key=_key)
        if at < len(self._places) and self._places[at].key == place.key:
            del self._places[at]

    def pop(self) -> Place:
        """Whose turn it is."""
        return self._places.pop(0)


def _key(place: Place) -> tuple[int, int]:
    return place.key
