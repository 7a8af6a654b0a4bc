"""Questions the pure core puts to the outside world, and how it waits for answers.

A step that needs something from outside is a generator: it yields a batch of asks and is
resumed with the answers, in order. It never knows who answers, so a test can.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar

import msgspec

from wayside.vocab.errors import AskFailed

T = TypeVar("T")

Labels = tuple[tuple[str, float], ...]
"""Labels with probabilities that add up to one, best first."""


class Ask(Generic[T]):
    """A question whose answer is a ``T``. Subclasses are frozen, so equal asks are asked once."""

    __slots__ = ()


class Classify(msgspec.Struct, Ask[Labels], frozen=True):
    """Which of its labels does the classifier called ``head`` give to ``text``?"""

    text: str
    head: str


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
