"""Benchmark rows for training selectors: what each model did with each question.

A line is ``{"query": ..., "model": ..., "performance": 0..1, "response_time": seconds}``, and
``category`` may say what the question is about: the fields that vSR's training reads. Other fields
are ignored. Lines of one question are put together; a model measured twice with one question
counts by its mean.

A ``.csv`` file has a question a line instead: a column ``query`` or ``prompt``, and one a model
with what it did (0..1, or True and False), as in RouteLLM's tables.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import sha256
from math import inf, isfinite
from pathlib import Path
from typing import Any, Final, TextIO

from wayside.vocab.errors import ConfigError

MAX_ROWS: Final = 5_000_000
MAX_QUESTIONS: Final = 500_000
EXAMPLE: Final = (
    '{"query": "What is 7 times 8?", "model": "small", "performance": 1, "response_time": 0.4}'
)
FIELDS: Final = ("query", "model", "performance", "response_time", "category")


@dataclass(frozen=True, slots=True)
class Question:
    """One question: ``quality`` (0..1) and ``seconds`` by model, of those that were tried."""

    text: str
    category: str = ""
    quality: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def best(self, models: Sequence[str]) -> str:
        """The model that did best; the faster of equals, then the earlier of ``models``."""
        tried = [m for m in models if m in self.quality]
        return min(tried, key=lambda m: (-self.quality[m], self.seconds.get(m, inf)))


def read(paths: Iterable[Path]) -> list[Question]:
    """The questions of these files, in an order that depends on nothing but their texts.

    :class:`ConfigError` names the line that is no row, and the fix.
    """
    sums: dict[str, _Sums] = {}
    count = 0
    for path in paths:
        try:
            with path.open(encoding="utf-8-sig") as file:
                for n, row in _rows(path, file):
                    count += 1
                    _take(row, f"{path}:{n}", sums)
                    if count > MAX_ROWS or len(sums) > MAX_QUESTIONS:
                        raise ConfigError.one(
                            f"more than {MAX_ROWS:,} rows or {MAX_QUESTIONS:,} questions",
                            where=f"{path}:{n}",
                            fix="give a sample of them",
                        )
        except OSError as error:
            raise ConfigError.one(
                f"cannot be read: {error.strerror}", where=str(path), fix="check the path"
            ) from error
        except csv.Error as error:
            raise ConfigError.one(f"not a table: {error}", where=str(path)) from error
        except UnicodeDecodeError as error:
            raise ConfigError.one(
                f"not UTF-8 text: {error.reason}", where=str(path), fix="save it as UTF-8"
            ) from error
    found = [one.question(text) for text, one in sums.items()]
    return sorted(found, key=lambda q: sha256(q.text.encode("utf-8", "surrogatepass")).digest())


def models(questions: Iterable[Question]) -> tuple[str, ...]:
    """Every model that was tried, by name."""
    return tuple(sorted({model for q in questions for model in q.quality}))


def split(questions: Sequence[Question], held_out: float) -> tuple[list[Question], list[Question]]:
    """Questions to learn from and questions to measure with, ``held_out`` (0..1) of them; which
    is which depends on their texts alone."""
    count = round(held_out * len(questions))
    return list(questions[count:]), list(questions[:count])


class _Sums:
    """What was said of one question so far."""

    __slots__ = ("category", "quality", "seconds")

    def __init__(self) -> None:
        self.category = ""
        self.quality: dict[str, list[float]] = {}
        self.seconds: dict[str, list[float]] = {}

    def question(self, text: str) -> Question:
        return Question(
            text,
            self.category,
            {model: sum(some) / len(some) for model, some in sorted(self.quality.items())},
            {model: sum(some) / len(some) for model, some in sorted(self.seconds.items())},
        )


def _rows(path: Path, file: TextIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every row with its line."""
    if path.suffix.lower() == ".csv":
        yield from _table(path, file)
        return
    for n, line in enumerate(file, 1):
        if not line.strip():
            continue
        where = f"{path}:{n}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError.one(
                f"not JSON: {error}", where=where, fix=f"write {EXAMPLE}"
            ) from error
        if not isinstance(row, dict):
            what = f"{type(row).__name__} where an object should be"
            raise ConfigError.one(what, where=where, fix=f"write {EXAMPLE}")
        yield n, row


def _table(path: Path, file: TextIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """A row for every outcome of a table; columns that hold none are left out."""
    table = csv.DictReader(file)
    names = table.fieldnames or []
    asked = next((name for name in ("query", "prompt") if name in names), None)
    if asked is None:
        what = f"no column query or prompt among {', '.join(names[:9]) or 'none'}"
        raise ConfigError.one(what, where=f"{path}:1", fix="name the questions' column so")
    for cells in table:
        for name, cell in cells.items():
            quality = _outcome(cell)
            if name and name not in FIELDS and name != asked and quality is not None:
                yield (
                    table.line_num,
                    {"query": cells[asked], "model": name, "performance": quality},
                )


def _outcome(cell: Any) -> float | None:
    """What a cell says a model did; ``None`` where it says nothing of the kind."""
    if not isinstance(cell, str):
        return None
    said = {"true": 1.0, "false": 0.0}.get(cell.strip().lower())
    if said is not None:
        return said
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _take(row: dict[str, Any], where: str, sums: dict[str, _Sums]) -> None:
    text, model = _text(row, "query", where), _text(row, "model", where)
    quality = _number(row, "performance", where, most=1.0)
    one = sums.setdefault(text, _Sums())
    one.quality.setdefault(model, []).append(quality)
    if row.get("response_time") is not None:
        seconds = _number(row, "response_time", where, most=1e6)
        one.seconds.setdefault(model, []).append(seconds)
    if isinstance(row.get("category"), str):
        one.category = one.category or row["category"].strip().lower()


def _text(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if isinstance(value, str) and value.strip():
        return value
    raise _missing(row, name, where, "text")


def _number(row: dict[str, Any], name: str, where: str, most: float) -> float:
    value = row.get(name)
    if isinstance(value, bool):
        value = float(value)  # True and False are right and wrong
    if isinstance(value, int | float) and isfinite(value) and 0 <= value <= most:
        return float(value)
    raise _missing(row, name, where, f"a number from 0 to {most:g}")


def _missing(row: dict[str, Any], name: str, where: str, kind: str) -> ConfigError:
    if name in row:
        shown = json.dumps(row[name])[:60]
        return ConfigError.one(f"{name} is {shown}", where=where, fix=f"give {kind}")
    near = get_close_matches(name, [key for key in row if key not in FIELDS], n=1, cutoff=0.4)
    fix = f"is {near[0]!r} meant? rename it" if near else f'add "{name}": {kind}'
    return ConfigError.one(f"no field {name!r}", where=where, fix=fix)
