"""Things remembered in this process for a while: so many, and no longer than they say."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Generic, TypeVar

from wayside.vocab.ask import Ask
from wayside.vocab.observed import Held, Hold

T = TypeVar("T")
MAX_CONVERSATIONS = 100_000
"""About 30 MB; of more, those used longest ago are forgotten."""


class Shelf(Generic[T]):
    """A map of at most ``most`` entries, each until its time is over. What was put longest ago
    makes room."""

    __slots__ = ("_clock", "_held", "most")

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self._clock = most, clock
        self._held: OrderedDict[str, tuple[T, float]] = OrderedDict()

    def __len__(self) -> int:
        """Those whose time is over count until somebody looks for them, or they make room."""
        return len(self._held)

    def get(self, key: str) -> T | None:
        found = self._held.get(key)
        if found is None:
            return None
        if found[1] < self._clock():
            del self._held[key]
            return None
        return found[0]

    def put(self, key: str, value: T, ttl_s: float) -> None:
        self._held[key] = value, self._clock() + ttl_s
        self._held.move_to_end(key)
        while len(self._held) > self.most:
            self._held.popitem(last=False)

    def newest(self, limit: int) -> list[T]:
        """Those put last, the newest first."""
        now = self._clock()
        held = islice(reversed(self._held.values()), limit)
        return [value for value, until in held if until >= now]


class Conversations:
    """Answers :class:`Held` and :class:`Hold`: what conversations of this process are told."""

    def __init__(self, most: int = MAX_CONVERSATIONS) -> None:
        self._shelf: Shelf[bytes] = Shelf(most)

    def answerers(self) -> Mapping[type[Ask[Any]], Callable[[Any], Any]]:
        shelf = self._shelf
        return {
            Held: lambda question: shelf.get(question.key),
            Hold: lambda question: shelf.put(question.key, question.value, question.ttl_s),
        }
