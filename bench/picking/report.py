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

    def overlaps(self, other: Spread, grain: float) -> bool:
        """Whether the spreads have a value in common, or the middles differ by no more than
        :data:`SAME` or ``grain``."""
        if abs(self.middle - other.middle) <= max(grain, SAME * max(self.middle, other.middle)):
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
    grain: float = 0.0
    """Differences up to this say nothing."""

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
    Measure("errors", lambda f: f.errors, lambda v: f"{v:.0f}", grain=3),
    Measure("imbalance", lambda f: f.imbalance, lambda v: f"{v:.2f}", judged=False),
)
BY_NAME = {m.name: m for m in MEASURES}


@dataclass(frozen=True, slots=True)
class Verdict:
    """``word`` is first, within noise or behind."""

    word: str
    other: str
    mine: Spread
    theirs: Spread

    def worse(self, than: Verdict, measure: Measure) -> bool:
        words = ("first", "within noise", "behind")
        if self.word != than.word:
            return words.index(self.word) > words.index(than.word)
        return measure.better(self.theirs, than.theirs)


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

    def seeds(self, scenario: str, router: str) -> set[int]:
        return {f.seed for f in self._cells[scenario, router]}

    def spread(
        self, scenario: str, router: str, measure: str, seeds: set[int] | None = None
    ) -> Spread:
        """Over all seeds, or over these."""
        of = BY_NAME[measure].of
        cell = self._cells[scenario, router]
        return Spread.of([of(f) for f in cell if seeds is None or f.seed in seeds])

    def verdict(self, scenario: str, router: str, measure: Measure) -> Verdict | None:
        """Against the other that leaves it looking worst; only loads that both were given count.
        None where there is nobody to compare with."""
        own = self.seeds(scenario, router)
        others = {
            name: shared
            for name in self.routers(scenario)
            if not name.startswith("wayside") and (shared := own & self.seeds(scenario, name))
        }
        best: Verdict | None = None
        for name, seeds in others.items():
            mine = self.spread(scenario, router, measure.name, seeds)
            theirs = self.spread(scenario, name, measure.name, seeds)
            if not measure.better(theirs, mine):
                word = "first"
            else:
                word = "within noise" if mine.overlaps(theirs, measure.grain) else "behind"
            found = Verdict(word, name, mine, theirs)
            if best is None or found.worse(best, measure):
                best = found
        return best


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
                if measure.judged and len(table.seeds(scenario, router)) > 1:
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
            verdict = table.verdict(scenario, judged, measure)
            if verdict is None:
                cells.append("no peer measured")
                continue
            mine, theirs = (measure.text(v.middle) for v in (verdict.mine, verdict.theirs))
            cells.append(f"{verdict.word}: {mine} to {theirs} ({verdict.other})")
        rows.append(f"| {scenario} | " + " | ".join(cells) + " |")
    if not rows:
        return []
    head = "| scenario | " + " | ".join(m.name for m in measures) + " |"
    return [head, "| --- |" + " --- |" * len(measures), *rows]
