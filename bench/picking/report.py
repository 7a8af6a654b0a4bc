"""The figures as tables, and the verdict: is ours first, or within noise of first?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from picking.measure import Figures

SAME = 0.05
"""Medians that differ by less than this share are the same: one router measured twice with one
seed differs by as much."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the repeats."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))

    def overlaps(self, other: Spread) -> bool:
        """Whether the spreads have a value in common, or the middles differ by less than
        :data:`SAME`."""
        if abs(self.middle - other.middle) <= SAME * max(self.middle, other.middle):
            return True
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True, slots=True)
class Measure:
    """One column. ``text`` writes a value; ``most`` says whether more is better."""

    name: str
    of: Callable[[Figures], float]
    text: Callable[[float], str]
    most: bool = False
    judged: bool = True

    def better(self, one: Spread, other: Spread) -> bool:
        return one.middle > other.middle if self.most else one.middle < other.middle


def _ms(value: float) -> str:
    return f"{value * 1e3:,.0f}"


MEASURES = (
    Measure("hit rate", lambda f: f.hit, lambda v: f"{v:.0%}", most=True),
    Measure("first token p50, ms", lambda f: f.p50, _ms),
    Measure("p90, ms", lambda f: f.p90, _ms),
    Measure("p99, ms", lambda f: f.p99, _ms, judged=False),
    Measure("requests/s", lambda f: f.completed, lambda v: f"{v:.1f}", most=True),
    Measure("tokens/s", lambda f: f.tokens, lambda v: f"{v:,.0f}", most=True, judged=False),
    Measure("errors", lambda f: f.errors, lambda v: f"{v:.0f}"),
    Measure("imbalance", lambda f: f.imbalance, lambda v: f"{v:.2f}", judged=False),
)
BY_NAME = {m.name: m for m in MEASURES}


class Table:
    """Figures by scenario and router, in the order in which they were first seen."""

    def __init__(self, figures: Sequence[Figures]) -> None:
        self.figures = figures
        self.scenarios = list(dict.fromkeys(f.scenario for f in figures))
        self.repeats = len({f.seed for f in figures})
        self._cells: dict[tuple[str, str], list[Figures]] = {}
        for f in figures:
            self._cells.setdefault((f.scenario, f.router), []).append(f)

    def routers(self, scenario: str) -> list[str]:
        """The quickest first (p90)."""
        names = [router for where, router in self._cells if where == scenario]
        return sorted(names, key=lambda name: self.spread(scenario, name, "p90, ms").middle)

    def spread(self, scenario: str, router: str, measure: str) -> Spread:
        of = BY_NAME[measure].of
        return Spread.of([of(f) for f in self._cells[scenario, router]])

    def verdict(self, scenario: str, router: str, measure: Measure) -> tuple[str, str]:
        """first, within noise, or behind; and the best of the others."""
        mine = self.spread(scenario, router, measure.name)
        others = [n for n in self.routers(scenario) if not n.startswith("wayside")]
        if not others:
            return "alone", ""
        best = others[0]
        for name in others[1:]:
            there = self.spread(scenario, name, measure.name)
            if measure.better(there, self.spread(scenario, best, measure.name)):
                best = name
        theirs = self.spread(scenario, best, measure.name)
        if not measure.better(theirs, mine):
            return "first", best
        return ("within noise" if mine.overlaps(theirs) else "behind"), best


def markdown(table: Table, judged: str) -> str:
    """A table per scenario, and a verdict on ``judged``."""
    parts = []
    for scenario in table.scenarios:
        parts.append(f"### {scenario}\n")
        parts.append("| router | " + " | ".join(m.name for m in MEASURES) + " |")
        parts.append("| --- |" + " ---: |" * len(MEASURES))
        for router in table.routers(scenario):
            cells = []
            for measure in MEASURES:
                found = table.spread(scenario, router, measure.name)
                cell = measure.text(found.middle)
                if table.repeats > 1 and measure.judged:
                    cell += f" ({measure.text(found.low)}–{measure.text(found.high)})"
                cells.append(cell)
            name = f"**{router}**" if router == judged else router
            parts.append(f"| {name} | " + " | ".join(cells) + " |")
        parts.append("")
    if rows := _verdicts(table, judged):
        parts += [f"### {judged} against the best peer\n", *rows, ""]
    return "\n".join(parts)


def _verdicts(table: Table, judged: str) -> list[str]:
    measures = [m for m in MEASURES if m.judged]
    rows = []
    for scenario in table.scenarios:
        if judged not in table.routers(scenario):
            continue
        cells = []
        for measure in measures:
            word, best = table.verdict(scenario, judged, measure)
            if word == "alone":
                cells.append("no peer measured")
                continue
            mine = measure.text(table.spread(scenario, judged, measure.name).middle)
            theirs = measure.text(table.spread(scenario, best, measure.name).middle)
            cells.append(f"{word}: {mine} to {theirs} ({best})")
        rows.append(f"| {scenario} | " + " | ".join(cells) + " |")
    if not rows:
        return []
    head = "| scenario | " + " | ".join(m.name for m in measures) + " |"
    return [head, "| --- |" + " --- |" * len(measures), *rows]
