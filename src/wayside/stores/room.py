"""Things kept in this process by space and key, bounded in bytes: the least recently used go.

Nothing here looks at all it holds: what has expired is found by the second it expires in, what is
least recently used by the order of use.
"""

from __future__ import annotations

import heapq
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from wayside.stores.vectors import Vectors

ITEM_BYTES = 430
"""Of an item beside its texts and its vector: its fields and its places in four tables."""
SPACE_BYTES = 500
SWEPT = 64
"""Expired items that one call lets go, so that no request pays for many."""
TICK_S = 10
"""Expired things are let go within so many seconds of traffic; none is given out meanwhile."""
_NEVER = float("inf")


SpaceName = tuple[str, str]
"""What sort of thing, and whose."""


class Item(msgspec.Struct, eq=False, gc=False):
    """Something kept in ``space``. ``until`` and ``kept_at`` are in Unix seconds.

    The garbage collector does not look at it, since a million of them would hold up every request
    while it did. Nor is there one table of all of them, which would stop everything for as long
    as it grows: they are a chain, that :meth:`Room.clear` takes apart.
    """

    space: SpaceName
    key: str
    value: bytes
    text: str
    kept_at: float
    until: float
    metadata: Any
    size: int = 0
    older: Item | None = None
    newer: Item | None = None

    def __post_init__(self) -> None:
        strings = sys.getsizeof(self.key) + sys.getsizeof(self.text)
        self.size = ITEM_BYTES + sys.getsizeof(self.value) + strings
        if self.metadata:
            self.size += weight(self.metadata)


class Space:
    """What belongs together: a partition of answers, a space of documents or of passages."""

    __slots__ = ("items", "name", "vectors", "weighed")

    def __init__(self, name: SpaceName) -> None:
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
        self.spaces: dict[SpaceName, Space] = {}
        self._end = end = Item(("", ""), "", b"", "", 0.0, 0.0, None)
        """Both ends of the chain: after it the longest unused, before it the last used."""
        end.older = end.newer = end
        self._count = 0
        self._due: dict[int, set[Item]] = {}
        self._ticks: list[int] = []
        self.clock = time.time

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        """Every item, the longest unused first."""
        item = self._end.newer
        while item is not None and item is not self._end:
            yield item
            item = item.newer

    def last(self) -> Item | None:
        """The last used."""
        return self.before(self._end)

    def before(self, item: Item) -> Item | None:
        """The one that was used before ``item``; ``None`` where there is none, or ``item`` itself
        has been let go."""
        older = item.older
        return None if older is self._end else older

    def put(
        self,
        space: SpaceName,
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
        item = Item(held.name, key, value, text, now, until, metadata)
        if until <= now or item.size + SPACE_BYTES + 8 * len(vector or ()) > self.most:
            return
        if not held.items:
            self.spaces[space] = held
            self.size += SPACE_BYTES + sys.getsizeof(space[1])
        held.items[key] = item
        self._link(item)
        self._count += 1
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
            self.drop(next(iter(self)))

    def get(self, space: SpaceName, key: str) -> Item | None:
        """What is kept there, which is then the last to go."""
        held = self.spaces.get(space)
        item = held.items.get(key) if held else None
        if item is None:
            return None
        if item.until <= self.clock():
            self.drop(item)
            return None
        self._touch(item)
        return item

    def near(
        self, space: SpaceName, vector: Sequence[float], most: int, threshold: float
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
                    self._touch(item)
                return found
            for item in expired:  # each round forgets some, so this ends
                self.drop(item)

    def newest(self, space: SpaceName) -> Iterator[Item]:
        """Everything of a space, the last put first."""
        now = self.clock()
        held = self.spaces.get(space)
        if held is not None:
            yield from (item for item in reversed(held.items.values()) if item.until > now)

    def keep(self, space: SpaceName, most: int) -> None:
        """Let the oldest of a space go while it holds more than ``most``."""
        held = self.spaces.get(space)
        while held is not None and len(held.items) > most:
            self.drop(next(iter(held.items.values())))

    def drop(self, item: Item) -> bool:
        """Forget an item; whether it was still here."""
        held = self.spaces.get(item.space)
        if held is None or held.items.get(item.key) is not item:
            return False
        del held.items[item.key]
        _unlink(item)
        self._count -= 1
        self.counts[item.space[0]] -= 1
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
            del self.spaces[item.space]
            self.size -= SPACE_BYTES + sys.getsizeof(item.space[1]) + held.weighed
            held.weighed, held.vectors = 0, None
        return True

    def clear(self) -> None:
        """Forget everything; without it a chain is never let go."""
        for item in list(self):
            item.older = item.newer = None
        self._end.older = self._end.newer = self._end
        self._count = self.size = 0
        self._ticks.clear()
        for table in (self.counts, self.spaces, self._due):
            table.clear()

    def _touch(self, item: Item) -> None:
        """It is the last used."""
        if item.newer is not self._end:
            _unlink(item)
            self._link(item)

    def _link(self, item: Item) -> None:
        end = self._end
        last = end.older
        assert last is not None
        item.older, item.newer = last, end
        last.newer = end.older = item

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
                self.drop(due.pop())
            heapq.heappop(self._ticks)


def _unlink(item: Item) -> None:
    older, newer = item.older, item.newer
    assert older is not None and newer is not None
    older.newer, newer.older = newer, older
    item.older = item.newer = None


def weight(value: Any) -> int:
    """About how many bytes a value of JSON takes."""
    if isinstance(value, dict):
        return 232 + sum(100 + weight(k) + weight(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return 64 + sum(8 + weight(v) for v in value)
    return sys.getsizeof(value)
