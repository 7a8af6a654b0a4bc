"""How well a marker finds pieces of a text: recall and precision by type, on labelled spans.

A row is ``{"text": ..., "spans": [[start, end, type], ...]}``, one a line. A piece counts as found
when one of its type overlaps it, and as right when it overlaps one that is expected: cutting
"Dr Smith" to "Smith" is neither a miss nor a false alarm.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wayside.settings.problems import suggest
from wayside.vocab.ask import Spans
from wayside.vocab.errors import ConfigError

Piece = tuple[int, int, str]
PATTERNS: Final = frozenset(
    ("BANK_ACCOUNT", "CREDIT_CARD", "CRYPTO_ADDRESS", "DOMAIN_NAME", "EMAIL_ADDRESS", "IBAN_CODE",
     "IP_ADDRESS", "MAC_ADDRESS", "NATIONAL_ID", "PASSPORT", "PHONE_NUMBER", "SECRET",
     "US_DRIVER_LICENSE", "US_SSN")
)  # fmt: skip
"""Personal data that has a form of its own; names, places and dates do not."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A text and the pieces expected in it."""

    text: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class TypeFigures:
    """How one type fared; a share of nothing is None."""

    label: str
    expected: int
    found: int
    recalled: int
    right: int

    @property
    def recall(self) -> float | None:
        return self.recalled / self.expected if self.expected else None

    @property
    def precision(self) -> float | None:
        return self.right / self.found if self.found else None


def read(path: Path) -> list[Marked]:
    """Every row of a file of spans; :class:`ConfigError` names the line that is not one.

    A ``.txt`` file has one text a line, its spans in braces: ``call {PHONE_NUMBER=0321}``.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError.one(f"cannot be read: {error}", where=str(path)) from error
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and path.suffix == ".txt":
            found.append(_braced(line))
        elif line.strip():
            found.append(_row(line, f"{path}:{number}"))
    return found


def measure(
    mark: Callable[[str], Spans], rows: Iterable[Marked], types: Collection[str] | None = None
) -> tuple[TypeFigures, ...]:
    """The figures of each type, by name; of ``types`` only, where they are given."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        expected = [p for p in row.pieces if types is None or p[2] in types]
        given = [(s.start, s.end, s.label) for s in mark(row.text)]
        given = [p for p in given if types is None or p[2] in types]
        for one in expected:
            count = counts.setdefault(one[2], Counter())
            count["expected"] += 1
            count["recalled"] += _overlaps(one, given)
        for one in given:
            count = counts.setdefault(one[2], Counter())
            count["found"] += 1
            count["right"] += _overlaps(one, expected)
    return tuple(
        TypeFigures(name, c["expected"], c["found"], c["recalled"], c["right"])
        for name, c in sorted(counts.items())
    )


def together(figures: Sequence[TypeFigures], name: str = "together") -> TypeFigures:
    """Several types as one."""
    return TypeFigures(
        name,
        sum(f.expected for f in figures),
        sum(f.found for f in figures),
        sum(f.recalled for f in figures),
        sum(f.right for f in figures),
    )


def as_dict(figures: Sequence[TypeFigures]) -> dict[str, Any]:
    """The figures as plain data."""
    return {
        f.label: {
            "expected": f.expected,
            "found": f.found,
            "recall": None if f.recall is None else round(f.recall, 4),
            "precision": None if f.precision is None else round(f.precision, 4),
        }
        for f in figures
    }


def as_text(figures: Sequence[TypeFigures]) -> str:
    """The figures as a table for a terminal."""
    width = max(8, *(len(f.label) for f in figures)) if figures else 8
    lines = [f"{'type':<{width}}  recall  precision  expected  found"]
    for f in figures:
        recall = "     -" if f.recall is None else f"{f.recall:6.3f}"
        precision = "        -" if f.precision is None else f"{f.precision:9.3f}"
        lines.append(f"{f.label:<{width}}  {recall}  {precision}  {f.expected:8d}  {f.found:5d}")
    return "\n".join(lines)


def _row(line: str, where: str) -> Marked:
    fix = 'write {"text": "...", "spans": [[start, end, "TYPE"], ...]}'
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ConfigError.one(f"not JSON: {error}", where=where, fix=fix) from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ConfigError.one("no text", where=where, fix=fix)
    if "spans" not in row:
        near = suggest("spans", row, "fields")
        raise ConfigError.one("no field 'spans'", where=where, fix=near)
    pieces = []
    for span in row["spans"] if isinstance(row["spans"], list) else [None]:
        match span:
            case [int(start), int(end), str(label)] if 0 <= start < end <= len(row["text"]):
                pieces.append((start, end, label))
            case _:
                raise ConfigError.one(f"not a span of the text: {span!r}", where=where, fix=fix)
    return Marked(row["text"], tuple(pieces))


def _braced(line: str) -> Marked:
    text, pieces, at = "", [], 0
    for span in _BRACES.finditer(line):
        text += line[at : span.start()]
        pieces.append((len(text), len(text) + len(span[2]), span[1]))
        text += span[2]
        at = span.end()
    return Marked(text + line[at:], tuple(pieces))


_BRACES = re.compile(r"\{([A-Z][A-Z_]+)=([^{}]+)\}")


def _overlaps(piece: Piece, others: Sequence[Piece]) -> bool:
    start, end, label = piece
    return any(o[2] == label and o[0] < end and start < o[1] for o in others)
