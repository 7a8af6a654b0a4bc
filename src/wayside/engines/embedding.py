"""What a text means as a vector, with nothing but numpy, in tens of microseconds.

A text is cut into words. A word in the table is its row; one that is not is split into the
longest pieces that are (greedy WordPiece, as in Wu et al. 2016, arXiv:1609.08144), and what is
in no alphabet the table knows becomes pseudo-random rows of its character groups, so that equal
words agree and different ones do not. The rows are added up and the sum is scaled to length one.

The table is distilled from all-MiniLM-L6-v2, which knows English; texts in other languages are
compared by the words and characters they share. `scripts/distil_embedding.py` makes the file,
docs/reference/models/embedding.md says how good it is.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wayside.engines.base import Engine, Vectors
from wayside.engines.features import LIMIT, excerpt
from wayside.settings import Task

MAGIC: Final = b"wayside-vectors 1\n"
EMBEDDING_MODEL: Final = Path(__file__).with_name("weights") / "embedding.model"
CONTINUED: Final = "##"
"""Begins a piece that only stands inside a word."""
OTHERS: Final = 4_096
"""Pseudo-random rows behind those of the table, for what no piece covers."""
_SAMPLE: Final = 2_000  # rows whose length says how long the pseudo-random ones are to be
_LONGEST: Final = 48  # characters of a word that are looked at
_KEPT: Final = 20_000  # split words remembered
_MOST_WORDS: Final = 1_024  # of a text; folding may lengthen it (U+FDFA becomes 18 characters)

_PLAIN: Final = bytes(b if chr(b).isalnum() else 32 for b in range(128)).ljust(256, b" ")
_WORDS: Final = re.compile(r"[^\W_]+")
_UNSPACED: Final = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u9fff\uf900-\ufaff])"
)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Words and pieces with their vectors, as a file holds them."""

    words: tuple[str, ...]
    rows: NDArray[np.int8]  # one a word
    steps: NDArray[np.float32]  # one a word: what one step of its row is worth
    facts: dict[str, Any]  # where it came from; never read to embed


class StaticEmbedder(Engine):
    """The sum of the vectors of a text's words, from one file."""

    tasks: frozenset[Task] = frozenset(["embed"])

    def __init__(self, table: Table | None = None) -> None:
        """``None`` takes the table in the wheel."""
        table = table or read(EMBEDDING_MODEL)
        self.size = table.rows.shape[1]
        self._place = {word: i for i, word in enumerate(table.words)}
        self._rows = np.concatenate([table.rows, other_rows(self.size)])
        usual = np.median(table.steps[:_SAMPLE] * _lengths(table.rows[:_SAMPLE]))
        worth = np.float32(usual / np.median(_lengths(self._rows[-_SAMPLE:])))
        self._steps = np.append(table.steps, np.full(OTHERS, worth, np.float32))
        self._split = lru_cache(_KEPT)(self._pieces)

    def embed(self, texts: tuple[str, ...]) -> Vectors:
        """One row of length one a text; a text without words has a row of zeros."""
        found = np.zeros((len(texts), self.size), np.float32)
        for i, text in enumerate(texts):
            if listed := self.places(text):
                places = np.array(listed, np.intp)
                rows = self._rows.take(places, axis=0).astype(np.float32)
                total = self._steps.take(places) @ rows
                found[i] = total / max(sqrt(float(total @ total)), 1e-9)
        return found

    def embed_words(self, found: list[str]) -> Vectors:
        """One row of length one a word, for comparing words with words; all in one pass."""
        pieces = [self.places(word) or [len(self._steps) - 1] for word in found]
        if not pieces:
            return np.zeros((0, self.size), np.float32)
        flat = np.array([place for word in pieces for place in word], np.intp)
        starts = np.cumsum([0, *(len(word) for word in pieces[:-1])])
        rows = self._rows[flat] * self._steps[flat, None]
        sums = np.asarray(np.add.reduceat(rows, starts, axis=0), np.float32)
        lengths = np.maximum(np.sqrt((sums * sums).sum(axis=1, keepdims=True)), 1e-9)
        return np.asarray(sums / lengths, np.float32)

    def places(self, text: str) -> list[int]:
        """The rows of the table that make up a text, one or more for each of its words."""
        get, split = self._place.get, self._split
        places: list[int] = []
        for word in words(text):
            place = get(word)
            if place is None:
                places += split(word)
            else:
                places.append(place)
        return places

    def _pieces(self, word: str) -> tuple[int, ...]:
        """The longest pieces from left to right; hashed character groups where there are none."""
        found: list[int] = []
        at, prefix, end = 0, "", len(word)
        while at < len(word):
            place = self._place.get(prefix + word[at:end])
            if place is not None:
                found.append(place)
                at, end, prefix = end, len(word), CONTINUED
            else:
                end -= 1
                if end == at:
                    return tuple(len(self._place) + group for group in _groups(word))
        return tuple(found)


def _lengths(rows: NDArray[np.int8]) -> NDArray[np.float32]:
    return np.asarray(np.linalg.norm(rows.astype(np.float32), axis=1), np.float32)


def words(text: str) -> list[str]:
    """The words of a text in lower case and without accents, at most `_MOST_WORDS` of them.

    Of more than `features.LIMIT` characters, the head, the tail and four cuts in between.
    """
    if len(text) > LIMIT:
        text = excerpt(text)
    if text.isascii():
        found = text.lower().encode().translate(_PLAIN).decode().split()
    else:
        folded = unicodedata.normalize("NFKD", text[:LIMIT].casefold())
        bare = "".join([c for c in folded if unicodedata.category(c) != "Mn"])
        found = [word for run in _WORDS.findall(bare) for word in _spaced(run)]
    if len(found) > _MOST_WORDS:
        del found[_MOST_WORDS:]
    return [word[:_LONGEST] for word in found]


def _spaced(run: str) -> Iterator[str]:
    """A run of letters as words: pairs of characters where a script puts no spaces."""
    if run.isascii() or not _UNSPACED.search(run):
        yield run
        return
    for part in re.split(f"({_UNSPACED.pattern}+)", run):
        if not part or not _UNSPACED.match(part):
            if part:
                yield part
        else:
            yield from (part[i : i + 2] for i in range(max(1, len(part) - 1)))


def _groups(word: str) -> Iterator[int]:
    """The pseudo-random row numbers of a word: one for each three characters, ends marked."""
    marked = f"<{word}>"
    for i in range(max(1, len(marked) - 2)):
        number = 0
        for character in marked[i : i + 3]:
            number = (number * 0x01000193 + ord(character) * 0x9E3779B1) & 0xFFFFFFFF
        yield (number ^ number >> 15) % OTHERS


def other_rows(size: int) -> NDArray[np.int8]:
    """`OTHERS` rows of numbers that look random and are always the same (splitmix64)."""
    state = np.arange(1, OTHERS * size // 8 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))).view(np.int8).reshape(OTHERS, size)


def write(path: Path, table: Table) -> None:
    """Writes the table; the same table always gives the same bytes.

    One text line, one JSON line, the words (a line each, UTF-8), the steps and the rows.
    """
    text = "\n".join(table.words).encode()
    header = {
        "words": len(table.words),
        "bytes": len(text),
        "size": table.rows.shape[1],
        "facts": table.facts,
    }
    with path.open("wb") as out:
        out.write(MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + text)
        out.write(np.ascontiguousarray(table.steps, "<f4").tobytes())
        out.write(np.ascontiguousarray(table.rows, np.int8).tobytes())


def read(path: Path) -> Table:
    """The table in a file; `ValueError` says what is wrong with a file that holds none."""
    data = path.read_bytes()
    if not data.startswith(MAGIC):
        raise ValueError(f"{path} is not a table of vectors: it must begin with {MAGIC!r}")
    at = data.find(b"\n", len(MAGIC)) + 1
    try:
        header = json.loads(data[len(MAGIC) : at])
        count, length, size = (int(header[key]) for key in ("words", "bytes", "size"))
        expected = length + 4 * count + count * size
        if len(data) - at != expected or size % 8:
            raise ValueError(f"{len(data) - at} bytes of words and rows, expected {expected}")
        words = tuple(data[at : at + length].decode().split("\n"))
        if len(words) != count:
            raise ValueError(f"{len(words)} words, expected {count}")
        return Table(
            words=words,
            rows=np.frombuffer(data, np.int8, offset=at + length + 4 * count).reshape(count, size),
            steps=np.frombuffer(data, "<f4", count, at + length).astype(np.float32),
            facts=header["facts"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): make or install it again") from error
