"""The built-in recogniser of personal data: forms, check sums and the words around them.

One file per group of recognisers. Nothing is learnt and nothing is remembered; work and memory
grow with the length of a text and no faster. Figures: docs/reference/models/pii.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from wayside.engines.base import Engine
from wayside.engines.pii import (
    credentials,
    identity,
    money,
    network,
    people,
    phones,
    places,
    times,
)
from wayside.engines.pii.forms import Forms
from wayside.engines.pii.page import Page
from wayside.settings import Task
from wayside.vocab.ask import Span, Spans
from wayside.vocab.personal import PII_TYPES


class PiiRecogniser(Engine):
    """Marks personal data in a text. Never raises on any ``str``; any thread may use it."""

    tasks: frozenset[Task] = frozenset({"mark"})
    labels = tuple(PII_TYPES)

    def __init__(self) -> None:
        self._with_digits = Forms(
            (*money.FORMS, *identity.FORMS, *times.FORMS, *places.FORMS),
        )
        self._anywhere = Forms((*network.FORMS, *credentials.FORMS, *times.WORDS))

    def mark(self, text: str, context: str) -> Spans | Awaitable[Spans]:
        """What is found, in the order of the text; long texts are read on another thread.

        ``context`` is not used. Where findings overlap the surer one stays, of equals the longer.
        """
        return self.spans(text) if len(text) <= _SHORT else asyncio.to_thread(self.spans, text)

    def spans(self, text: str) -> Spans:
        """:meth:`mark` on the caller's thread, however long the text is."""
        if not text:
            return ()
        page = Page(text)
        found = list(self._anywhere.find(page))
        if page.has_digits:
            found += self._with_digits.find(page)
            found += phones.find(page)
        found += people.find(page)
        return apart(found)


_SHORT = 20_000  # characters, read in a few milliseconds


def apart(found: list[Span]) -> Spans:
    """The surest of ``found`` that do not overlap, in order. Linear but for the sorting."""
    if len(found) < 2:
        return tuple(found)
    taken: dict[int, Span] = {}
    # Overlap is looked up by the places a kept span covers, 16 characters to a place.
    covered: dict[int, list[Span]] = {}
    for span in sorted(found, key=_strength):
        cells = range(span.start >> 4, (span.end - 1 >> 4) + 1)
        if any(
            other.start < span.end and span.start < other.end
            for cell in cells
            for other in covered.get(cell, ())
        ):
            continue
        taken[span.start] = span
        for cell in cells:
            covered.setdefault(cell, []).append(span)
    return tuple([taken[start] for start in sorted(taken)])


def _strength(span: Span) -> tuple[float, int, int]:
    return -span.score, span.start - span.end, span.start
