"""What a translation says about a foreign document, for the operator who wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["mapped", "defaulted", "ignored", "unsupported", "refused", "unknown"]
"""``mapped``: it works, with a difference worth knowing. ``defaulted``: a value nobody wrote.
``ignored``: it has nothing to do here, and nothing is lost. ``unsupported``: it did something
there and does nothing here yet. ``refused``: it is wrong or unsafe, and left out. ``unknown``:
the foreign format has no such key."""


@dataclass(frozen=True, slots=True)
class Note:
    """One remark about the value at ``path`` (``routing.decisions[2].plugins[0]``).

    A note covers everything beneath its path. It never quotes a secret.
    """

    path: str
    what: str
    severity: Severity

    def __str__(self) -> str:
        return f"{self.severity}: {self.path or 'document'}: {self.what}"


@dataclass(frozen=True, slots=True)
class Translation:
    """``settings`` in our own format (``RouterSettings.model_validate`` takes it), and the notes.

    ``format`` names what the document was recognised as.
    """

    settings: dict[str, Any]
    notes: tuple[Note, ...] = ()
    format: str = field(default="")


_INDEX = re.compile(r"\[\d+\]")


def grouped(notes: Iterable[Note]) -> tuple[str, ...]:
    """Lines for a terminal: notes that differ only in a list index become one, with a count."""
    counts: dict[Note, int] = {}
    for note in notes:
        alike = Note(_INDEX.sub("[]", note.path), note.what, note.severity)
        counts[alike] = counts.get(alike, 0) + 1
    return tuple(f"{n} ({many} times)" if many > 1 else str(n) for n, many in counts.items())
