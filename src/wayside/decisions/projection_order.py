"""Checks the names of projections, finds the order they are worked out in, and what is needed."""

from __future__ import annotations

from collections.abc import Iterable

from wayside.decisions.projections import (
    NONE,
    Bands,
    Node,
    Partition,
    Projections,
    Score,
)
from wayside.settings.problems import suggest
from wayside.settings.projections import PROJECTION, ProjectionSettings
from wayside.vocab.errors import Problem
from wayside.vocab.verdict import SignalRef


def compile_projections(
    settings: ProjectionSettings, wanted: Iterable[SignalRef], where: str, problems: list[Problem]
) -> Projections:
    """What the signals and projections in ``wanted`` (those of rules) need; see `_Plan`."""
    if not (settings.partitions or settings.scores or settings.mappings):
        return NONE
    return _Plan(settings, where, problems).needed(tuple(wanted))


class _Plan:
    """Names, then order, then what is needed. Problems are collected, not raised."""

    def __init__(self, s: ProjectionSettings, where: str, problems: list[Problem]) -> None:
        self.problems = problems
        self.makers: dict[SignalRef, Node] = {}
        self.where: dict[Node, str] = {}
        self.partitions = tuple(Partition(p) for p in s.partitions)
        for i, score in enumerate(s.scores):
            node = Score(score)
            self.where[node] = f"{where}.scores[{i}]"
            self._make(node.ref, node, f"{where}.scores[{i}].name")
        for i, mapping in enumerate(s.mappings):
            bands = Bands(mapping)
            self.where[bands] = f"{where}.mappings[{i}]"
            for j, (ref, _) in enumerate(bands.bands):
                self._make(ref, bands, f"{where}.mappings[{i}].outputs[{j}].name")
        self._check_names()
        self.order = self._ordered()

    def _wrong(self, what: str, where: str, fix: str = "") -> None:
        self.problems.append(Problem(what, where, fix))

    def _make(self, ref: SignalRef, node: Node, where: str) -> None:
        if ref in self.makers:
            self._wrong(f"{ref.name!r} already names a score or a band", where, "rename one")
        self.makers.setdefault(ref, node)

    def _check_names(self) -> None:
        scores = [n.name for n in self.makers.values() if type(n) is Score]
        known = [ref.name for ref in self.makers]
        for node, where in self.where.items():
            if isinstance(node, Bands):
                if node.source.name not in scores:
                    fix = suggest(node.source.name, scores, "scores")
                    self._wrong(f"no score {node.source.name!r}", f"{where}.source", fix)
                continue
            for i, given in enumerate(node.inputs):
                at = f"{where}.inputs[{i}]"
                ref = given.ref
                if ref.kind != PROJECTION:
                    continue
                if ref not in self.makers:
                    fix = suggest(ref.name, known, "scores and bands")
                    self._wrong(f"no score or band {ref.name!r}", f"{at}.signal", fix)
                elif ref.name in scores and given.source != "raw":
                    what = f"{ref.name!r} is a score, which never matches; it is a number"
                    self._wrong(what, f"{at}.value_source", "write value_source: raw")

    def _ordered(self) -> tuple[Node, ...]:
        """Every node after those it needs, or a problem with the path that leads back."""
        done: dict[Node, None] = {}
        path: list[Node] = []

        def visit(node: Node) -> None:
            if node in done:
                return
            if node in path:
                names = [n.name for n in [*path[path.index(node) :], node]]
                self._wrong(
                    f"needs itself: {' -> '.join(names)}", self.where[node], "break the circle"
                )
                return
            path.append(node)
            for ref in node.needs:
                if ref in self.makers:
                    visit(self.makers[ref])
            path.pop()
            done[node] = None

        for node in self.where:
            visit(node)
        return tuple(done)

    def needed(self, wanted: tuple[SignalRef, ...]) -> Projections:
        nodes: set[Node] = set()
        reads = {ref for ref in wanted if ref.kind != PROJECTION}
        waiting = [self.makers[ref] for ref in wanted if ref in self.makers]
        while waiting:
            node = waiting.pop()
            if node not in nodes:
                nodes.add(node)
                waiting += [self.makers[ref] for ref in node.needs if ref in self.makers]
                reads.update(node.needs)
        # A partition that anything looks at reads all its members, which others may have, too.
        partitions: dict[Partition, None] = {}
        for _ in self.partitions:
            for partition in self.partitions:
                if not reads.isdisjoint(partition.members):
                    partitions[partition] = None
                    reads.update(partition.members)
        kept = tuple(p for p in self.partitions if p in partitions)
        return Projections(kept, tuple(n for n in self.order if n in nodes))


def projection_names(settings: ProjectionSettings) -> tuple[list[str], list[str]]:
    """The names of scores, and of bands."""
    bands = [output.name for mapping in settings.mappings for output in mapping.outputs]
    return [score.name for score in settings.scores], bands
