"""The line in which requests wait for a pool: strict priorities, fair among flows, bounded.

A pure structure: it neither looks at a clock nor tells anybody. Every request put in comes out
exactly once, by :meth:`Lanes.take`, :meth:`Lanes.late`, :meth:`Lanes.leave` or
:meth:`Lanes.empty`. Each of these takes time logarithmic in what waits, at most.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Ordering = Literal["fcfs", "edf", "slo-deadline"]
Fairness = Literal["round-robin", "global-strict"]


class BandRule(msgspec.Struct, frozen=True, kw_only=True):
    """How requests of one priority wait.

    ``ordering``: within a flow the first come, the one whose time in line ends first, or the one
    whose first token is due first. ``fairness``: flows take turns, or are one.
    """

    max_requests: int = 5000
    max_bytes: int = 1_000_000_000
    ordering: Ordering = "fcfs"
    fairness: Fairness = "round-robin"


class Waiting:
    """One request in line. ``deadline`` is when it has waited long enough, ``due`` when its
    client wants the first token; both on one clock, in seconds."""

    __slots__ = ("deadline", "due", "flow", "handle", "number", "out", "priority", "since", "size")

    def __init__(
        self,
        handle: Any = None,
        *,
        priority: int = 0,
        flow: str = "",
        size: int = 0,
        since: float = 0.0,
        deadline: float = float("inf"),
        due: float = float("inf"),
    ) -> None:
        self.handle, self.priority, self.flow, self.size = handle, priority, flow, size
        self.since, self.deadline, self.due = since, deadline, due
        self.number = 0
        self.out = True
        """Not in line."""


class _Heap:
    """The least first. What has left by another way is passed over, and swept out in time."""

    __slots__ = ("_items", "_live", "bytes")

    def __init__(self) -> None:
        self._items: list[tuple[float, int, Waiting]] = []
        self._live = self.bytes = 0

    def __len__(self) -> int:
        return self._live

    def push(self, key: float, waiting: Waiting) -> None:
        heapq.heappush(self._items, (key, waiting.number, waiting))
        self._live += 1
        self.bytes += waiting.size

    def first(self) -> tuple[float, Waiting] | None:
        items = self._items
        while items and items[0][2].out:
            heapq.heappop(items)
        return (items[0][0], items[0][2]) if items else None

    def left(self, waiting: Waiting) -> None:
        """It is out."""
        self._live -= 1
        self.bytes -= waiting.size
        if len(self._items) > 64 and len(self._items) > 4 * self._live:
            self._items = [item for item in self._items if not item[2].out]
            heapq.heapify(self._items)


class _Band:
    __slots__ = ("bytes", "count", "flows", "rule")

    def __init__(self, rule: BandRule) -> None:
        self.rule = rule
        self.flows: OrderedDict[str, _Heap] = OrderedDict()
        self.count = self.bytes = 0

    def flow_of(self, waiting: Waiting) -> str:
        return "" if self.rule.fairness == "global-strict" else waiting.flow

    def key(self, waiting: Waiting) -> float:
        if self.rule.ordering == "edf":
            return waiting.deadline
        return waiting.due if self.rule.ordering == "slo-deadline" else 0.0


class Lanes:
    """``bands`` by priority; a priority without one waits by ``usual``, a negative one by
    ``negative``. ``max_requests`` and ``max_bytes`` bound all together, 0 for no bound."""

    def __init__(
        self,
        bands: Mapping[int, BandRule] | None = None,
        *,
        usual: BandRule | None = None,
        negative: BandRule | None = None,
        max_requests: int = 0,
        max_bytes: int = 0,
    ) -> None:
        self._rules = dict(bands or {})
        self._usual = usual or BandRule()
        self._negative = negative or self._usual
        self._most, self._most_bytes = max_requests, max_bytes
        self._bands: dict[int, _Band] = {}
        self._order: list[int] = []
        self._deadlines = _Heap()
        self._number = 0
        self.count = self.bytes = 0

    def put(self, waiting: Waiting) -> bool:
        """Whether there was room for it."""
        band = self._bands.get(waiting.priority)
        rule = band.rule if band is not None else self.rule(waiting.priority)
        count, size = (band.count, band.bytes) if band is not None else (0, 0)
        if count >= rule.max_requests or size + waiting.size > rule.max_bytes:
            return False
        if self._most and self.count >= self._most:
            return False
        if self._most_bytes and self.bytes + waiting.size > self._most_bytes:
            return False
        if band is None:
            band = self._bands[waiting.priority] = _Band(rule)
            self._order = sorted(self._bands, reverse=True)
        self._number += 1
        waiting.number, waiting.out = self._number, False
        band.flows.setdefault(band.flow_of(waiting), _Heap()).push(band.key(waiting), waiting)
        self._deadlines.push(waiting.deadline, waiting)
        self._add(band, 1, waiting.size)
        return True

    def rule(self, priority: int) -> BandRule:
        """How requests of this priority wait."""
        found = self._rules.get(priority)
        if found is not None:
            return found
        return self._negative if priority < 0 else self._usual

    def take(self) -> Waiting | None:
        """Whose turn it is: of the highest priority, of the flow that waited longest for its
        turn, the first in its order."""
        if not self._order:
            return None
        band = self._bands[self._order[0]]
        name, flow = next(iter(band.flows.items()))
        found = flow.first()
        assert found is not None, "a flow without requests is removed"
        waiting = found[1]
        band.flows.move_to_end(name)
        self._out(waiting)
        return waiting

    def leave(self, waiting: Waiting) -> bool:
        """Somebody gives up; whether it was in line."""
        if waiting.out:
            return False
        self._out(waiting)
        return True

    def late(self, now: float) -> list[Waiting]:
        """Those that have waited long enough."""
        gone = []
        while (found := self._deadlines.first()) is not None and found[0] <= now:
            self._out(found[1])
            gone.append(found[1])
        return gone

    def next_deadline(self) -> float | None:
        """When somebody will have waited long enough."""
        found = self._deadlines.first()
        return found[0] if found is not None else None

    def empty(self) -> list[Waiting]:
        """All of them, in their turns."""
        out = []
        while (waiting := self.take()) is not None:
            out.append(waiting)
        return out

    def sizes(self) -> list[tuple[int, str, int, int]]:
        """Priority, flow, requests and their bytes, for each flow in line."""
        return [
            (priority, name, len(flow), flow.bytes)
            for priority, band in self._bands.items()
            for name, flow in band.flows.items()
        ]

    def _out(self, waiting: Waiting) -> None:
        waiting.out = True
        band = self._bands[waiting.priority]
        name = band.flow_of(waiting)
        flow = band.flows[name]
        flow.left(waiting)
        self._deadlines.left(waiting)
        if not len(flow):
            del band.flows[name]
        self._add(band, -1, -waiting.size)
        if not band.count:
            del self._bands[waiting.priority]
            self._order.remove(waiting.priority)

    def _add(self, band: _Band, count: int, size: int) -> None:
        band.count += count
        band.bytes += size
        self.count += count
        self.bytes += size
