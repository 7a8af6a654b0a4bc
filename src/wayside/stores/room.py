"""Things kept in this process by space and key, bounded in bytes: the least recently used go.

Nothing here looks at all it holds: what has expired is found by the second it expires in, what is
least recently used by the order of use.
"""

from __future__ import annotations

import heapq
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from wayside.stores.vectors import Vectors

ITEM_BYTES = 520
"""Of an item beside its texts and its vector: its fields and its places in four tables."""
SPACE_BYTES = 500
SWEPT = 64
"""Expired items that one call lets go, so that no request pays for many."""
TICK_S = 10
"""Expired things are let go within so many seconds of traffic; none is given out meanwhile."""
_NEVER = float("inf")


class Item:
    """Something kept. ``until`` and ``kept_at`` are in Unix seconds."""

    __slots__ = ("kept_at", "key", "metadata", "size", "space", "text", "until", "value")

    def __init__(
        self,
        space: Space,
        key: str,
        value: bytes,
        text: str,
        kept_at: float,
        until: float,
        metadata: Any,
    ) -> None:
        self.space, self.key, self.value, self.text = space, key, value, text
        self.kept_at, self.until, self.metadata = kept_at, until, metadata
        self.size = ITEM_BYTES + sys.getsizeof(value) + sys.getsizeof(key) + sys.getsizeof(text)
        if metadata:
            self.size += weight(metadata)


class Space:
    """What belongs together: a partition of answers, a space of documents or of passages."""

    __slots__ = ("items", "name", "vectors", "weighed")

    def __init__(self, name: tuple[str, str]) -> None:
        self.name = name
        self.items: dict[str, Item] = {}
        self.vectors: Vectors[Item] | None = None
        self.weighed = 0
        """Bytes of its vectors, as counted."""


class Room:
    """Spaces of items within ``most`` bytes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0
        self.evicted = 0
        self.counts: dict[str, int] = {}
        """Items of each sort, the first part of a space's name."""
        self.spaces: dict[tuple[str, str], Space] = {}
        self._used: OrderedDict[Item, None] = OrderedDict()
        self._due: dict[int, set[Item]] = {}
        self._ticks: list[int] = []
        self.clock = time.time

    def __len__(self) -> int:
        return len(self._used)

    def __iter__(self) -> Iterator[Item]:
        """Every item, the longest unused first."""
        return iter(self._used)

    def put(
        self,
        space: tuple[str, str],
        key: str,
        value: bytes,
        *,
        ttl_s: float | None = None,
        text: str = "",
        vector: Sequence[float] | None = None,
        metadata: Any = None,
    ) -> None:
        """Keep something in the place of what was there; too large a thing is not kept."""
        now = self.clock()
        self._sweep(now)
        held = self.spaces.get(space) or Space(space)
        if key in held.items:
            self.drop(held.items[key])
        until = _NEVER if ttl_s is None else now + ttl_s
        item = Item(held, key, value, text, now, until, metadata)
        if until <= now or item.size + SPACE_BYTES + 8 * len(vector or ()) > self.most:
            return
        if not held.items:
            self.spaces[space] = held
            self.size += SPACE_BYTES + sys.getsizeof(space[1])
        held.items[key] = item
        self._used[item] = None
        self.counts[space[0]] = self.counts.get(space[0], 0) + 1
        self.size += item.size
        if until != _NEVER:
            self._expect(item)
        if vector is not None:
            if held.vectors is None:
                held.vectors = Vectors()
            held.vectors.add(item, vector)
            self._weigh(held)
        while self.size > self.most:
            self.evicted += 1
            self.drop(next(iter(self._used)))

    def get(self, space: tuple[str, str], key: str) -> Item | None:
        """What is kept there, which is then the last to go."""
        held = self.spaces.get(space)
        item = held.items.get(key) if held else None
        if item is None:
            return None
        if item.until <= self.clock():
            self.drop(item)
            return None
        self._used.move_to_end(item)
        return item

    def near(
        self, space: tuple[str, str], vector: Sequence[float], most: int, threshold: float
    ) -> list[tuple[Item, float]]:
        """What of this space is nearest by meaning, with its cosine, best first."""
        now = self.clock()
        self._sweep(now)
        while True:
            held = self.spaces.get(space)
            if held is None or held.vectors is None:
                return []
            found = held.vectors.nearest(vector, most, threshold)
            expired = [item for item, _ in found if item.until <= now]
            if not expired:
                for item, _ in reversed(found):
                    self._used.move_to_end(item)
                return found
            for item in expired:  # each round forgets some, so this ends
                self.drop(item)

    def newest(self, space: tuple[str, str]) -> Iterator[Item]:
        """Everything of a space, the last put first."""
        now = self.clock()
        held = self.spaces.get(space)
        if held is not None:
            yield from (item for item in reversed(held.items.values()) if item.until > now)

    def keep(self, space: tuple[str, str], most: int) -> None:
        """Let the oldest of a space go while it holds more than ``most``."""
        held = self.spaces.get(space)
        while held is not None and len(held.items) > most:
            self.drop(next(iter(held.items.values())))

    def drop(self, item: Item) -> bool:
        """Forget an item; whether it was still here."""
        held = item.space
        if held.items.get(item.key) is not item:
            return False
        del held.items[item.key]
        del self._used[item]
        self.counts[held.name[0]] -= 1
        self.size -= item.size
        if item.until != _NEVER:
            tick = int(item.until // TICK_S)
            self._due[tick].discard(item)
            if not self._due[tick]:
                del self._due[tick]
        if held.vectors is not None and item in held.vectors:
            held.vectors.remove(item)
            self._weigh(held)
        if not held.items:
            del self.spaces[held.name]
            self.size -= SPACE_BYTES + sys.getsizeof(held.name[1]) + held.weighed
            held.weighed, held.vectors = 0, None
        return True

    def _weigh(self, held: Space) -> None:
        weight = held.vectors.nbytes if held.vectors else 0
        self.size += weight - held.weighed
        held.weighed = weight

    def _expect(self, item: Item) -> None:
        tick = int(item.until // TICK_S)
        due = self._due.get(tick)
        if due is None:
            due = self._due[tick] = set()
            heapq.heappush(self._ticks, tick)
            if len(self._ticks) > 2 * len(self._due) + SWEPT:  # mostly ticks with nothing due
                self._ticks = sorted(self._due)
        due.add(item)

    def _sweep(self, now: float) -> None:
        """Let go of some of what has expired."""
        left = SWEPT
        while self._ticks and (self._ticks[0] + 1) * TICK_S <= now:
            due = self._due.get(self._ticks[0])
            while due:
                if not left:
                    return
                left -= 1
                self.drop(next(iter(due)))
            heapq.heappop(self._ticks)


def weight(value: Any) -> int:
    """About how many bytes a value of JSON takes."""
    if isinstance(value, dict):
        return 232 + sum(100 + weight(k) + weight(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return 64 + sum(8 + weight(v) for v in value)
    return sys.getsizeof(value)
