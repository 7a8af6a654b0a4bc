"""Questions the pure core puts to the outside world, and how it waits for answers.

A step that needs something from outside is a generator: it yields a batch of asks and is
resumed with the answers, in order. It never knows who answers, so a test can.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from wayside.vocab.errors import AskFailed

T = TypeVar("T")
K = TypeVar("K")

Labels = tuple[tuple[str, float], ...]
"""Labels with probabilities that add up to one, best first."""


class Ask(Generic[T]):
    """A question whose answer is a ``T``. Subclasses are frozen, so equal asks are asked once."""

    __slots__ = ()


class Classify(msgspec.Struct, Ask[Labels], frozen=True):
    """Which of its labels does the classifier called ``head`` give to ``text``?"""

    text: str
    head: str


class Span(msgspec.Struct, frozen=True, gc=False):
    """Characters ``start`` to ``end`` of a text: what they are, and how sure that is (0..1)."""

    start: int
    end: int
    label: str
    score: float = 1.0


Spans = tuple[Span, ...]
"""Pieces of a text that do not overlap, in the order of the text."""


class Mark(msgspec.Struct, Ask[Spans], frozen=True):
    """Which pieces of ``text`` does the marker called ``head`` find (personal data, claims)?

    ``context`` is what the text is measured against, for markers that compare.
    """

    text: str
    head: str
    context: str = ""


class Bank:
    """Example texts that prompts are compared with, by the embedder called ``engine``.

    Made once per policy and equal only to itself, so that an engine embeds it once.
    """

    __slots__ = ("__weakref__", "engine", "texts")

    def __init__(self, texts: tuple[str, ...], engine: str = "embedding") -> None:
        self.texts, self.engine = texts, engine

    def __repr__(self) -> str:
        return f"Bank({len(self.texts)} texts, {self.engine!r})"


class Similar(msgspec.Struct, Ask[tuple[float, ...]], frozen=True):
    """The cosine (-1..1) of ``text`` to every text of ``bank``, in the bank's order."""

    text: str
    bank: Bank


Vector = tuple[float, ...]


class Embed(msgspec.Struct, Ask[tuple[Vector, ...]], frozen=True):
    """The vectors, of length one, of ``texts``, by the embedder called ``engine``."""

    texts: tuple[str, ...]
    engine: str = "embedding"


class Now(msgspec.Struct, Ask[float], frozen=True):
    """What time is it? Unix seconds."""


class Unguessable(msgspec.Struct, Ask[str], frozen=True):
    """32 hexadecimal digits that nobody can guess, please."""


class Language(msgspec.Struct, Ask[Labels], frozen=True):
    """Which languages (ISO 639-1 codes) is ``text`` written in?"""

    text: str


class Failure(msgspec.Struct, frozen=True):
    """Stands in for an answer that did not come."""

    reason: str


Flow = Generator[tuple[Ask[Any], ...], tuple[Any, ...], T]


def ask(question: Ask[T]) -> Flow[T]:
    """Put one question; raise :class:`AskFailed` if nobody answers."""
    (answer,) = yield (question,)
    if isinstance(answer, Failure):
        raise AskFailed(answer.reason)
    result: T = answer
    return result


def ask_each(questions: Mapping[K, Ask[T]]) -> Flow[dict[K, T | Failure]]:
    """Put several questions in one batch; raise :class:`AskFailed` only if none is answered."""
    if not questions:
        return {}
    answers = yield tuple(questions.values())
    if all(isinstance(answer, Failure) for answer in answers):
        raise AskFailed(answers[0].reason)
    return dict(zip(questions, answers, strict=True))


def gather(flows: list[Flow[T]]) -> Flow[list[T | AskFailed]]:
    """Run flows in lockstep: one batch of distinct asks per round, however many flows ask."""
    done: list[T | AskFailed | None] = [None] * len(flows)
    waiting: list[tuple[int, tuple[Ask[Any], ...]]] = []
    for i, flow in enumerate(flows):
        try:
            waiting.append((i, next(flow)))
        except StopIteration as stop:
            done[i] = stop.value
        except AskFailed as failed:
            done[i] = failed
    while waiting:
        batch = tuple(dict.fromkeys([q for _, asks in waiting for q in asks]))
        by_ask = dict(zip(batch, (yield batch), strict=True))
        still: list[tuple[int, tuple[Ask[Any], ...]]] = []
        for i, asks in waiting:
            try:
                still.append((i, flows[i].send(tuple([by_ask[q] for q in asks]))))
            except StopIteration as stop:
                done[i] = stop.value
            except AskFailed as failed:
                done[i] = failed
        waiting = still
    return [d for d in done if d is not None]
