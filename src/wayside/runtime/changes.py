"""What would have changed the choice: for each other decision the least that had to differ.

The rule trees are walked in Kleene's logic for sets of leaves that, turned over, make a rule hold
or fail. What is found is tried on the decider itself, priorities and tiers included, so an
answer is always true; it is the smallest among the :data:`WAYS` cheapest that each node keeps.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from math import inf, nextafter
from typing import NamedTuple

from wayside.decisions import FATAL, Decider, Decision, Rule, Truth, compile_rule, parse_ref
from wayside.runtime.limits import Limits, holds, number, written
from wayside.settings import Condition
from wayside.vocab.verdict import NO, SignalRef, Verdict, Verdicts

WAYS = 8
"""Ways that each node of a rule keeps, cheapest first."""
TRIES = 48
"""Sets of changes that are tried for one decision before it is given up."""
EFFORT = 20_000
"""Looks at rules, all in all; then no further decision is searched. About half a second."""
UNCOMPARED = 0.5
SHOWN = 10
"""Decisions that are told about, nearest first."""


class Change(NamedTuple):
    """One leaf turned over: what the signal would have had to say, and that in words.

    ``gap`` is how far it was from that, 0..1, and a half where nothing can be compared.
    """

    verdict: Verdict
    text: str
    gap: float


Way = Mapping[SignalRef, Change]
"""Changes that together make a rule hold, or fail."""


class Alternative(NamedTuple):
    """Another outcome (``None``: no decision, so the default model), and what it needed."""

    decision: Decision | None
    way: Way


class Want(NamedTuple):
    """That a rule holds or does not; ``surely``, or else unknown will do as well."""

    holds: bool
    surely: bool = True

    def met(self, truth: Truth) -> bool:
        if truth == FATAL:
            return False
        return not self.surely if truth is None else (truth >= 0) == self.holds

    def turned(self) -> Want:
        """The same of the rule under a NOT."""
        return Want(not self.holds, self.surely)


def alternatives(
    decider: Decider, verdicts: Verdicts, rules: Mapping[SignalRef, Limits]
) -> list[Alternative]:
    """Other outcomes, those that needed least first. ``rules`` holds what each signal compares."""
    search = searching(decider, verdicts, rules)
    while True:
        try:
            next(search)
        except StopIteration as stop:
            found: list[Alternative] = stop.value
            return found


def searching(
    decider: Decider, verdicts: Verdicts, rules: Mapping[SignalRef, Limits]
) -> Generator[None, None, list[Alternative]]:
    """:func:`alternatives` in steps, each of which takes little time: for those who have other
    things to do in between."""
    chosen = decider.decide(verdicts)
    search = _Search(decider, verdicts, rules)
    others: list[tuple[float, int, Decision]] = []
    for n, decision in enumerate(decider.decisions):
        if chosen is None or decision is not chosen.decision:
            others.append((search.distance(decision), n, decision))
            yield
    others.sort(key=lambda other: other[:2])
    targets: list[Decision | None] = [decision for _, _, decision in others[: 2 * SHOWN]]
    if chosen is not None:
        targets.append(None)
    found = []
    for target in targets:
        way = yield from search.least(target)
        if way is not None:
            found.append(Alternative(target, way))
    found.sort(key=lambda a: (*_cost(a.way), "" if a.decision is None else a.decision.name))
    return found[:SHOWN]


class _Search:
    """Looks for the cheapest changes after which a given decision is the one that is taken."""

    def __init__(
        self, decider: Decider, verdicts: Verdicts, rules: Mapping[SignalRef, Limits]
    ) -> None:
        self._decider, self._verdicts, self._rules = decider, verdicts, rules
        self._compiled: dict[int, Rule] = {}
        self._effort = EFFORT

    def distance(self, decision: Decision) -> float:
        """How many leaves the rule itself needs, were each in it but once."""
        found = self._leaves(decision.settings.when, _to_win(decision))
        self._effort = EFFORT  # looking at every rule once is never too much
        return found

    def least(self, target: Decision | None) -> Generator[None, None, Way | None]:
        order = itertools.count()
        start: Way = {}
        heap: list[tuple[tuple[float, float], int, Way]] = [((0, 0.0), next(order), start)]
        seen: set[frozenset[tuple[SignalRef, str]]] = set()
        for _ in range(TRIES):
            yield
            if not heap or self._effort < 0:
                return None
            _, _, way = heapq.heappop(heap)
            after = {**self._verdicts, **{ref: change.verdict for ref, change in way.items()}}
            match = self._decider.decide(after)
            if match is None and target is None:
                return way
            if match is not None and match.decision is target and not match.unknown:
                return way
            if target is not None and not _to_win(target).met(target.rule(after)):
                steps = self.ways(target.settings.when, _to_win(target), way)
            elif match is not None and match.decision is not target:
                steps = self.ways(match.decision.settings.when, _to_lose(match.decision), way)
            else:
                continue
            for step in steps:
                both = {**way, **step}
                key = _key(both)
                if len(both) > len(way) and key not in seen:
                    seen.add(key)
                    heapq.heappush(heap, (_cost(both), next(order), both))
        return None

    def ways(self, condition: Condition | None, want: Want, made: Way) -> list[Way]:
        """Further changes, on top of those ``made``, after which the rule is as wanted."""
        if self._met(condition, want, made):
            return [{}]
        if condition is None or self._effort < 0:
            return []
        if condition.signal is not None:
            ref = parse_ref(condition.signal)
            if ref in made:
                return []
            said = self._verdicts.get(ref, NO)
            change = turned(condition, want.holds, said, self._rules.get(ref, {}))
            return [{ref: change}] if change else []
        if condition.not_ is not None:
            return self.ways(condition.not_, want.turned(), made)
        children = condition.all if condition.all is not None else condition.any or ()
        if (condition.all is not None) == want.holds:
            found = self._together(children, want, made)
        else:
            found = [way for child in children for way in self.ways(child, want, made)]
        return [w for w in _cheapest(found) if self._met(condition, want, {**made, **w})]

    def _together(self, children: Sequence[Condition], want: Want, made: Way) -> list[Way]:
        """Ways in which every child is as wanted, each built on the one before it.

        What one child needs may undo an earlier one, so they are gone through again until no way
        grows; a way only ever grows, which ends it.
        """
        ways: list[Way] = [{}]
        while True:
            before = {_key(way) for way in ways}
            for child in children:
                ways = _cheapest(
                    [
                        {**way, **more}
                        for way in ways
                        for more in self.ways(child, want, {**made, **way})
                    ]
                )
            if {_key(way) for way in ways} <= before:
                return ways

    def _leaves(self, condition: Condition | None, want: Want) -> float:
        if self._met(condition, want, {}):
            return 0
        if condition is None:
            return inf
        if condition.signal is not None:
            return 1
        if condition.not_ is not None:
            return self._leaves(condition.not_, want.turned())
        children = condition.all if condition.all is not None else condition.any or ()
        counts = [self._leaves(child, want) for child in children]
        return (
            sum(counts) if (condition.all is not None) == want.holds else min(counts, default=inf)
        )

    def _met(self, condition: Condition | None, want: Want, way: Way) -> bool:
        self._effort -= 1
        rule = self._compiled.get(id(condition))
        if rule is None:
            rule = self._compiled[id(condition)] = compile_rule(condition)
        return want.met(rule(_After(self._verdicts, way) if way else self._verdicts))


class _After(Mapping[SignalRef, Verdict]):
    """Verdicts with changes over them, made for a few look-ups."""

    __slots__ = ("_verdicts", "_way")

    def __init__(self, verdicts: Verdicts, way: Way) -> None:
        self._verdicts, self._way = verdicts, way

    def __getitem__(self, ref: SignalRef) -> Verdict:
        change = self._way.get(ref)
        return self._verdicts[ref] if change is None else change.verdict

    def __iter__(self) -> Iterator[SignalRef]:
        return iter({**self._verdicts, **self._way})

    def __len__(self) -> int:
        return len({**self._verdicts, **self._way})


def _to_win(decision: Decision) -> Want:
    return Want(True, surely=decision.on_unknown != "match")


def _to_lose(decision: Decision) -> Want:
    return Want(False, surely=decision.on_unknown != "no_match")


def _cost(way: Way) -> tuple[float, float]:
    return len(way), sum(change.gap for change in way.values())


def _key(way: Way) -> frozenset[tuple[SignalRef, str]]:
    return frozenset((ref, change.text) for ref, change in way.items())


def _cheapest(ways: list[Way]) -> list[Way]:
    distinct = {_key(way): way for way in ways}
    return sorted(distinct.values(), key=_cost)[:WAYS]


def turned(condition: Condition, want: bool, said: Verdict, bounds: Limits) -> Change | None:
    """The leaf the other way round, or ``None`` where no value could do that."""
    ref = condition.signal or ""
    if condition.compares:
        return _compared(condition, want, said)
    value = said.value
    if not want:
        because = f" ({said.because})" if said.because else ""
        if said.unknown:
            return Change(
                Verdict(False, 0.0, value=value), f"{ref} is unknown{because}", UNCOMPARED
            )
        gap = _gap(value, bounds.get("gte"))
        return Change(Verdict(False, 0.0, value=value), f"{ref} matched{because}", gap)
    sure = min(1.0, bounds.get("gte", 1.0)) if bounds.get("gte", 1.0) > 0 else 1.0
    after = Verdict(True, max(said.confidence, sure), value=value)
    if said.unknown:
        return Change(after, f"{ref} is unknown ({said.because})", UNCOMPARED)
    if value is not None and bounds and not holds(bounds, value):
        near = bounds.get("gte", bounds.get("lte"))
        text = f"{ref} at {number(value)} needed {_needed(bounds)}"
        return Change(after, text, _gap(value, near))
    kind, _, _name = ref.partition(":")
    because = f" ({said.because})" if said.because else ""
    return Change(after, f"no {kind} of {ref}{because}", UNCOMPARED)


def _needed(bounds: Limits) -> str:
    return number(bounds["gte"]) if set(bounds) == {"gte"} else written(bounds)


def _compared(c: Condition, want: bool, said: Verdict) -> Change | None:
    """A leaf with ``gt``, ``gte``, ``lt``, ``lte`` or ``eq``: the nearest value that will do."""
    tests = {k: getattr(c, k) for k in ("gt", "gte", "lt", "lte", "eq")}
    bounds: Limits = {k: v for k, v in tests.items() if v is not None}
    now = said.confidence if said.value is None else said.value
    fitting = [x for x in _edges(bounds) if holds(bounds, x) == want]
    if not fitting:
        return None
    x = min(fitting, key=lambda x: abs(x - now))
    negated = "" if want else "not "
    text = f"{c.signal} at {number(now)} needed {negated}{written(bounds)}"
    if said.unknown:
        text = f"{c.signal} is unknown ({said.because})"
    if said.value is None:
        after = Verdict(said.matched, x)
    else:
        after = Verdict(said.matched, said.confidence, value=x)
    return Change(after, text, UNCOMPARED if said.unknown else _gap(now, x))


def _edges(bounds: Limits) -> Iterator[float]:
    """Each bound, and the numbers right beside it."""
    for bound in bounds.values():
        yield from (nextafter(bound, -inf), bound, nextafter(bound, inf))


def _gap(value: float | None, needed: float | None) -> float:
    """How far ``value`` is from ``needed``, as a share of the larger, 0..1."""
    if value is None or needed is None:
        return UNCOMPARED
    whole = max(abs(value), abs(needed))
    return min(1.0, abs(needed - value) / whole) if whole else 0.0
