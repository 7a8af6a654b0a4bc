"""What may differ between two questions that want the same answer, by language.

Tables are text. A line ``## de`` begins those of a language (ISO 639-1; ``unspaced`` follows where
it is written without spaces); then, each on lines of its own or indented below:

- ``telling:`` words that give the language away;
- ``empty:`` words that change nothing;
- ``saying:`` words by which a text speaks about words, so that "thanks" may be what it asks for;
- ``same:`` words that mean another one, as ``biggest=largest``;
- ``frames:`` turns of phrase and what they are turned into, as ``^_hello_ => _``. A frame is a
  regular expression over the words in lower case, in which ``_`` stands for the one space between
  words, before the first and after the last. They are applied in this order, once each; those that
  begin with ``~`` take politeness away, and only where no word of ``saying`` stands. A line
  indented further goes on with the frame before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from wayside.vocab import near_miss_eastern, near_miss_english, near_miss_western


class Frame(NamedTuple):
    pattern: re.Pattern[str]
    to: str
    polite: bool


NOTHING: Final[Mapping[str, str]] = {}


class Words(NamedTuple):
    """The tables of one language."""

    telling: frozenset[str] = frozenset()
    empty: frozenset[str] = frozenset()
    saying: frozenset[str] = frozenset()
    same: Mapping[str, str] = NOTHING
    frames: tuple[Frame, ...] = ()
    unspaced: bool = False


def tables(text: str) -> Iterator[tuple[str, Words]]:
    """The languages of ``text``, each with its tables; ``ValueError`` names what is wrong."""
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        head, *lines = section.splitlines()
        name, *flags = head.split()
        parts: dict[str, list[str]] = {}
        held: list[str] = []
        for line in lines:
            if line and not line.startswith(" "):
                parts[line.rstrip(":")] = held = []
            elif line.startswith("      ") and held:
                held[-1] += line.strip()
            elif line.strip():
                held.append(line.strip())
        unknown = parts.keys() - {"telling", "empty", "saying", "same", "frames"}
        if unknown or not set(flags) <= {"unspaced"}:
            raise ValueError(f"{name}: nobody knows {unknown or flags}")
        listed = {part: " ".join(lines).split() for part, lines in parts.items()}
        yield (
            name,
            Words(
                frozenset(listed.get("telling", ())),
                frozenset(listed.get("empty", ())),
                frozenset(listed.get("saying", ())),
                dict(_pair(one, "=") for one in listed.get("same", ())),
                tuple(_frame(one) for one in parts.get("frames", ())),
                "unspaced" in flags,
            ),
        )


def _frame(line: str) -> Frame:
    pattern, to = _pair(line, "=>")
    plain = pattern.removeprefix("~").strip().replace("_", " ")
    return Frame(re.compile(plain), to.strip().replace("_", " "), pattern.startswith("~"))


def _pair(line: str, between: str) -> tuple[str, str]:
    left, found, right = line.partition(between)
    if not found:
        raise ValueError(f"{line!r} has no {between!r}")
    return left, right


LANGUAGES: Final[Mapping[str, Words]] = dict(
    tables(near_miss_english.TABLES + near_miss_western.TABLES + near_miss_eastern.TABLES)
)
