"""The commands that the five requirements print, one by one, as a reader would type them.

A fenced block of shell is read as a shell does: a command ends with its line, unless a backslash
or an open quote goes on; comments are left out, a ``$`` in front is the prompt, and lines that are
no command are what the command before printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import SHARED

REQUIREMENTS = SHARED / "requirements"
GUIDES = ("000", "001", "002", "003", "004")
SHELL = "cd cp echo export sed"
CLIENTS = "curl git istioctl kc kubectl make minikube oc"
PROGRAMS = frozenset({*SHELL.split(), *CLIENTS.split()})
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
_ASSIGNS = re.compile(r"^[A-Z_]+=")
_PRINTED = re.compile(
    r"^(?:NAME\s|[a-z0-9.-]+-[a-z0-9-]+\s+\S|https?://\S+$|\s+(?:reason|status): )"
)


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a guide, and where it stands."""

    guide: str
    line: int
    text: str
    """On one line, with single spaces."""

    @property
    def assignment(self) -> bool:
        """``NAME=$(...)``: the specification's index does not count these."""
        return bool(_ASSIGNS.match(self.text))


def page(guide: str) -> Path:
    (found,) = REQUIREMENTS.glob(f"{guide}_*.txt")
    return found


def commands(guide: str) -> list[Command]:
    """All of a guide, in its order; what is there twice is here twice.

    Raises ``ValueError`` for a line that is neither a command nor what one printed.
    """
    text = page(guide).read_text("utf-8")
    found = []
    for block in _FENCE.finditer(text):
        if block[1] in ("bash", "sh"):
            first = text[: block.start()].count("\n") + 2
            found += [Command(guide, first + at, said) for at, said in _read(block[2])]
    return found


def _read(block: str) -> Iterator[tuple[int, str]]:
    lines = block.split("\n")
    prompted = any(line.startswith("$ ") for line in lines)
    at = 0
    while at < len(lines):
        start, line = at, lines[at]
        at += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        said = line.removeprefix("$ ")
        word = said.split()[0]
        typed = word in PROGRAMS or word.startswith("./") or _ASSIGNS.match(said)
        if (prompted and not line.startswith("$ ")) or not typed:
            if not _PRINTED.match(line):
                raise ValueError(f"neither a command nor what one prints: {line!r}")
            continue
        while said.endswith("\\") or said.count("'") % 2 or _open(said):
            said = f"{said.removesuffix(chr(92))} {lines[at]}"
            at += 1
        yield start, " ".join(said.split())


def _open(said: str) -> bool:
    """Whether a double quote outside of single quotes is still open."""
    outside = re.sub(r"'[^']*'", "", said)
    return outside.count('"') % 2 == 1
