"""Personal data that has a form: a pattern, a check, and words that stand near it.

All patterns are first looked for together, as one automaton; only those that occur somewhere are
then searched one by one. So a text without personal data costs two passes, however many forms.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from wayside.engines.pii.page import Page
from wayside.vocab.ask import Span
from wayside.vocab.patterns import compile_pattern, compile_set


def anything(_: str) -> bool:
    """The check of a form whose pattern says it all."""
    return True


class Form(NamedTuple):
    """How one kind of personal data is written.

    The span is the pattern's first group if it has one, else the match. ``alone`` is the score
    (0..1) of a match that ``check`` accepts; ``near`` the score with one of ``words`` beginning in
    the 56 bytes before it or the 24 after. A score of 0 means: not reported.
    ``unless`` are words before it (20 characters) that make it something else: a match is dropped.
    """

    label: str
    pattern: str
    alone: float
    check: Callable[[str], bool] = anything
    near: float = 0.0
    words: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


class Forms:
    """Finds all given forms in a page."""

    def __init__(self, forms: Sequence[Form]) -> None:
        self._forms = [
            (form, compile_pattern(form.pattern), _any_of(form.words)) for form in forms
        ]
        self._together = compile_set([form.pattern for form in forms])

    def find(self, page: Page) -> Iterator[Span]:
        for i in self._together.Match(page.raw) or ():  # None, not [], when nothing matched
            form, pattern, words = self._forms[i]
            near = [m.start() for m in words.finditer(page.raw)] if words else []
            if form.alone or near:
                yield from _search(form, pattern, near, page)


def _any_of(words: Sequence[str]) -> Any:
    return compile_pattern("(?i)" + "|".join([re.escape(w) for w in words])) if words else None


def _search(form: Form, pattern: Any, near: list[int], page: Page) -> Iterator[Span]:
    raw, group = page.raw, 1 if pattern.groups else 0
    at = 0
    while (match := pattern.search(raw, at)) is not None:
        start, end = match.span(group)
        value = raw[start:end].decode("utf-8", "ignore") if start >= 0 else ""
        if value and form.check(value):
            at = max(match.end(), at + 1)
            score = form.near if _within(near, start - _BEFORE, end + _AFTER) else form.alone
            if score:
                first = page.char(start)
                if not _says_otherwise(form, page, first):
                    yield Span(first, first + len(value), form.label, score)
        elif match.end() - match.start() <= _REREAD:
            at = _next_word(raw, match.start())
        else:
            at = match.end()


_BEFORE, _AFTER = 56, 24  # bytes around a match in which words count
_REREAD = 64
"""A match that failed its check may hide one that begins a word later. One of more bytes than this
is not read twice, or a text made for it would take quadratic time."""


def _within(places: list[int], low: int, high: int) -> bool:
    at = bisect_left(places, low)
    return at < len(places) and places[at] < high


def _says_otherwise(form: Form, page: Page, at: int) -> bool:
    if not form.unless:
        return False
    before = page.before(at, 20)
    return any([word in before for word in form.unless])


def _next_word(raw: bytes, at: int) -> int:
    """Where the next word may begin: past the letters and digits at ``at``."""
    end = len(raw)
    at += 1
    while at < end and (raw[at : at + 1].isalnum() or raw[at] >= 0x80):
        at += 1
    return at
