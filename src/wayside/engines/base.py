"""What every engine is: a name for what it can do, and a method for each of those things."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wayside.settings import CredentialSettings, Task
from wayside.vocab.ask import Labels, Spans
from wayside.vocab.errors import AskFailed
from wayside.vocab.outcome import Credential
from wayside.vocab.pictures import Draw, Picture

Vectors = NDArray[np.float32]
"""One row a text, each of length one."""


def no_keys(settings: CredentialSettings, where: str) -> Credential:
    """Stands in for real keys where nothing will be sent."""
    return Credential(settings.header, settings.prefix, "")


def no_engines(name: str) -> Engine:
    """Stands in where an engine is built on its own."""
    raise AskFailed(f"no engine {name!r} here")


@dataclass(frozen=True, slots=True)
class Tools:
    """What an engine is handed when it is built: its name, and how to find keys and engines."""

    name: str = ""
    keys: Callable[[CredentialSettings, str], Credential] = no_keys
    engine: Callable[[str], Engine] = no_engines
    """Another engine by name; its own name means the built-in one whose place it takes."""


class Engine:
    """Base of every engine: says no to everything.

    A method answers at once, on the caller's thread, when that takes microseconds; else it is a
    coroutine and works elsewhere. It raises ``OSError``, ``TimeoutError`` or a
    :class:`~wayside.vocab.errors.WaysideError` when it cannot answer, which makes the signal
    that asked *unknown*. Kinds that are configured take ``(rule, tools)``.
    """

    tasks: frozenset[Task] = frozenset()
    at_once: int = 1 << 62
    """Characters up to which it is asked on the caller's thread; a longer text, which would hold
    up every other request, goes to another one."""
    labels: tuple[str, ...] = ()
    """What it can answer; empty when only the model behind it knows."""
    leans: bool = False
    """Whether it asks other engines: then it is made anew with them on every reload."""

    @classmethod
    def tasks_of(cls, rule: Any) -> frozenset[Task]:
        """What an engine of these settings will do, known before it is built."""
        return cls.tasks

    def classify(self, text: str) -> Labels | Awaitable[Labels]:
        """Every label with its probability, best first; they add up to one."""
        raise AskFailed(f"{type(self).__name__} ranks no labels")

    def mark(self, text: str, context: str) -> Spans | Awaitable[Spans]:
        """Pieces of ``text`` in its order, none overlapping."""
        raise AskFailed(f"{type(self).__name__} finds no pieces of a text")

    def embed(self, texts: tuple[str, ...]) -> Vectors | Awaitable[Vectors]:
        """One vector of length one a text."""
        raise AskFailed(f"{type(self).__name__} makes no vectors")

    def draw(self, question: Draw) -> Awaitable[Picture]:
        """A picture of what the prompt says."""
        raise AskFailed(f"{type(self).__name__} draws no pictures")

    def close(self) -> None:
        """Let go of threads, connections and child processes."""
