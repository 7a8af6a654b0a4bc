"""Signals read a prompt and return verdicts. One file per kind.

One signal object holds every configured rule of its kind, so that a kind can do shared work
once: one scan for all keywords, one classifier call for all labels. ``read`` returns verdicts for
the rules that matched, and for those that came near when that costs nothing; silence means no.

A signal that needs nothing from outside is a plain function of the prompt. A signal that needs
a model yields an ask (see :mod:`wayside.vocab.ask`). Settings are validated when the policy is
compiled; a constructor may raise :class:`~wayside.vocab.errors.ConfigError` for what a schema
cannot say (a pattern that does not compile), with ``where`` being ``<rule name>.<field>``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Protocol
from unicodedata import category, normalize

from ahocorasick_rs import AhoCorasick, Implementation
from pydantic import model_validator

from wayside.settings import Settings
from wayside.vocab.ask import Flow
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

Reading = Mapping[str, Verdict]


class Signal(Protocol):
    """Built once per policy from ``{rule name: settings}``.

    One that compares prompts with examples may say which in an attribute ``banks``
    (:class:`~wayside.vocab.ask.Bank` by engine), so that they are embedded before a request comes.
    """

    def __init__(self, rules: Mapping[str, Any]) -> None: ...

    def read(self, prompt: Prompt) -> Reading | Flow[Reading]: ...


def meant(name: str, known: Collection[str]) -> str:
    """What to write instead of a name that is not among those known, spelt as they are."""
    plain = name.lower().strip()
    for joint in " ", "_":
        if any(joint in one for one in known):
            plain = re.sub("[ _-]", joint, plain)
    close = get_close_matches(plain, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"use one of: {', '.join(known)}"


class Bounds(Settings):
    """Between what a number must lie; every bound given must hold.

    Example: ``{gte: 2, lt: 10}``
    """

    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None
    eq: float | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> Bounds:
        if not self.model_dump(exclude_none=True):
            raise ValueError("give at least one of gt, gte, lt, lte, eq")
        return self

    def hold(self, value: float) -> bool:
        return (
            (self.gte is None or value >= self.gte)
            and (self.gt is None or value > self.gt)
            and (self.lte is None or value <= self.lte)
            and (self.lt is None or value < self.lt)
            and (self.eq is None or value == self.eq)
        )


def fold(text: str, case_sensitive: bool) -> str:
    """One spelling per word: composed (NFC), and without case unless that matters."""
    if not text.isascii():
        text = normalize("NFC", text)
    return text if case_sensitive else text.casefold()


class WholeWords:
    """Finds any of ``words`` in a text, all in one pass (Aho-Corasick), where they stand alone.

    Only a hit pays for looking at its neighbours: 100 words in 4 KB take 18 us, however many of
    them are rules of their own. Words and text must have been folded alike.
    """

    def __init__(self, words: Sequence[str]) -> None:
        # Standard matching reports overlapping words ("card" inside "credit card"). The DFA is
        # the fastest form; it grows with letters x words, so long lists get the smaller one.
        small = sum(map(len, words)) < 20_000
        form = Implementation.DFA if small else Implementation.ContiguousNFA
        automaton = AhoCorasick(words, implementation=form)
        self._scan: Callable[..., list[tuple[int, int, int]]] = automaton.find_matches_as_indexes
        self._ends = [(joins_words(word[0]), joins_words(word[-1])) for word in words]

    def which(self, text: str) -> set[int]:
        """The indexes of the words that occur."""
        found: set[int] = set()
        for i, start, end in self._hits(text):
            if i not in found and self._stands_alone(i, start, end, text):
                found.add(i)
        return found

    def find(self, text: str) -> Iterator[tuple[int, int, int]]:
        """``(index of the word, start, end)`` of every occurrence, by where it ends."""
        for i, start, end in self._hits(text):
            if self._stands_alone(i, start, end, text):
                yield i, start, end

    def _hits(self, text: str) -> list[tuple[int, int, int]]:
        try:
            return self._scan(text, overlapping=True)
        except UnicodeEncodeError:  # half a surrogate pair, which a broken JSON escape leaves
            return self._scan(text.encode("utf-8", "replace").decode(), overlapping=True)

    def _stands_alone(self, i: int, start: int, end: int, text: str) -> bool:
        left, right = self._ends[i]
        if left and start and joins_words(text[start - 1]):
            return False
        return not (right and end < len(text) and joins_words(text[end]))


def joins_words(character: str) -> bool:
    r"""Whether a word goes on through ``character``: what ``\b`` is about.

    Not so in scripts that put no spaces between words, nor in Hangul, whose particles are
    attached. Combining marks belong to their word, as they do not for Python's ``\w``.
    """
    if character.isascii():
        return character.isalnum() or character == "_"
    if UNSPACED.match(character):
        return False
    return character.isalnum() or category(character)[0] == "M"


UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u109f"  # Tibetan, Myanmar
    "\u1100-\u11ff\ua960-\ua97f\uac00-\ud7ff"  # Hangul
    "\u1780-\u17ff"  # Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3041-\u9fff"  # Han, kana, bopomofo
    "\uf900-\ufaff\uff66-\uff9f"  # compatibility forms of Han and kana
    "\U00020000-\U000323af"  # Han of the supplementary planes
    "]"
)
"""One character of a script that puts no spaces between words."""
