"""One evaluation's figures, as its rows come in, and the folder in which evaluations are kept."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from wayside.console.measured import YES, Measured, Said
from wayside.console.shapes import CurvePoint, Evaluation, LabelScore, Wrong
from wayside.engines.report import label_figures, macro_f1
from wayside.engines.thresholds import curve

KEPT: Final = 50
"""Evaluations; the oldest go."""
WRONG: Final = 100
"""Rows that are told one by one."""
LONGEST: Final = 500
"""Characters of a row that are told."""
LABELS: Final = 100
"""Labels that a matrix tells apart: those with the most rows."""
OTHER: Final = "(other)"
_ID: Final = re.compile(r"[0-9a-f]{12}")


class Evaluated(msgspec.Struct, kw_only=True):
    """What is known of an evaluation so far."""

    id: str
    name: str
    of: str
    at: float
    by: str
    total: int
    threshold: float | None = None
    state: str = "running"
    error: str = ""
    done: int = 0
    right: int = 0
    counts: list[tuple[str, str, int]] = []
    """What ought to have been said, what was, and how often."""
    wrong: list[Wrong] = []
    curve: list[CurvePoint] = []
    p50_ms: float | None = None
    pairs: Counter[tuple[str, str]] | None = None
    scores: list[tuple[float, bool]] | None = None
    times: list[float] | None = None

    def add(self, text: str, label: str, said: Said, took_ms: float) -> None:
        """One more row."""
        if self.pairs is None or self.scores is None or self.times is None:
            self.pairs, self.scores, self.times = Counter(), [], []
        self.done += 1
        self.pairs[label, said.label] += 1
        self.times.append(took_ms)
        if said.score is not None:
            self.scores.append((said.score, label == YES))
        if label == said.label:
            self.right += 1
        elif len(self.wrong) < WRONG:
            shown = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
            self.wrong.append(
                {"text": shown, "label": label, "said": said.label, "score": said.score}
            )

    def finish(self, what: Measured) -> None:
        """All rows have been asked about."""
        self._settle()
        if what.scored and self.scores:
            self.curve = [
                {
                    "threshold": round(one.threshold, 6),
                    "precision": round(one.precision, 4),
                    "recall": round(one.recall, 4),
                    "f1": round(one.f1, 4),
                }
                for one in curve(self.scores)
            ]
        self.p50_ms = round(median(self.times), 4) if self.times else None
        self.state = "done"
        self.pairs = self.scores = self.times = None

    def fail(self, why: str) -> None:
        self._settle()
        self.state, self.error = "failed", why[:500]
        self.pairs = self.scores = self.times = None

    def _settle(self) -> None:
        if self.pairs is not None:
            self.counts = [(label, said, n) for (label, said), n in self.pairs.items()]

    def told(self) -> Evaluation:
        self._settle()
        labels, matrix = self._matrix()
        figures = label_figures(labels, matrix)
        by_label: list[LabelScore] = [
            {
                "label": one.label,
                "precision": round(one.precision, 4),
                "recall": round(one.recall, 4),
                "f1": round(one.f1, 4),
                "count": one.rows,
            }
            for one in figures
        ]
        return {
            "id": self.id,
            "name": self.name,
            "of": self.of,
            "at": self.at,
            "by": self.by,
            "state": self.state,
            "error": self.error,
            "done": self.done,
            "total": self.total,
            "accuracy": round(self.right / self.done, 4) if self.done else None,
            "macro_f1": round(macro_f1(figures), 4) if self.done else None,
            "labels": labels,
            "matrix": matrix,
            "by_label": by_label,
            "curve": self.curve,
            "threshold": self.threshold,
            "wrong": self.wrong,
            "p50_ms": self.p50_ms,
        }

    def _matrix(self) -> tuple[list[str], list[list[int]]]:
        """The labels that occur, by name, and how often each was said of each."""
        rows: Counter[str] = Counter()
        for label, said, n in self.counts:
            rows[label] += n
            rows[said] += 0
        names = sorted(name for name, _ in rows.most_common(LABELS))
        if len(rows) > LABELS:
            names.append(OTHER)
        place = {name: i for i, name in enumerate(names)}
        matrix = [[0] * len(names) for _ in names]
        for label, said, n in self.counts:
            matrix[place.get(label, -1)][place.get(said, -1)] += n
        return names, matrix


class Folder:
    """Evaluations, as JSON files that this user alone may read; in memory where there is none, or
    it cannot be written."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder / "evaluations"
        self._known: dict[str, Evaluated] | None = None

    async def all(self) -> dict[str, Evaluated]:
        """By id. Those that were running when the router stopped have failed."""
        if self._known is None:
            found = await asyncio.to_thread(self._read)
            if self._known is None:
                self._known = found
        return self._known

    async def keep(self, one: Evaluated) -> None:
        known = await self.all()
        known[one.id] = one
        while len(known) > KEPT:
            oldest = min(known.values(), key=lambda e: (e.state == "running", e.at))
            await self.forget(oldest.id)
        saved = msgspec.structs.replace(one, pairs=None, scores=None, times=None)
        raw = msgspec.json.encode(saved)
        await asyncio.to_thread(self._write, one.id, raw)

    async def forget(self, id: str) -> None:
        (await self.all()).pop(id, None)
        if self._folder is not None:
            with suppress(OSError):
                await asyncio.to_thread((self._folder / f"{id}.json").unlink)

    def _read(self) -> dict[str, Evaluated]:
        found: dict[str, Evaluated] = {}
        if self._folder is None:
            return found
        with suppress(OSError):
            files = [p for p in self._folder.iterdir() if _ID.fullmatch(p.stem)]
            for path in sorted(files)[: 4 * KEPT]:
                with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
                    one = msgspec.json.decode(path.read_bytes(), type=Evaluated)
                    if one.state == "running":
                        one.state, one.error = "failed", "the router stopped meanwhile"
                    found[one.id] = one
        return found

    def _write(self, id: str, raw: bytes) -> None:
        if self._folder is None:
            return
        path = self._folder / f"{id}.json"
        fresh = path.with_suffix(".new")
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(raw)
            fresh.replace(path)
