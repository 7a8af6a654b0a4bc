"""Asking a model, from inside a flow that needs its answer to go on."""

from __future__ import annotations

from typing import Any

import msgspec

from wayside.vocab.ask import Ask, Failure, Flow
from wayside.vocab.errors import AskFailed
from wayside.vocab.outcome import HeaderPairs
from wayside.vocab.usage import Tokens as Tokens


class Lane:
    """Lets ``width`` of its questions be under way at once; the others wait, within their time.
    Made for one request and equal only to itself."""

    __slots__ = ("__weakref__", "width")

    def __init__(self, width: int) -> None:
        self.width = width

    def __repr__(self) -> str:
        return f"Lane({self.width})"


class Completed(msgspec.Struct, frozen=True):
    """What a model said. ``body`` is the whole answer in the shape of OpenAI's chat completions,
    an error as its server told it; ``model`` the one that was asked."""

    model: str
    status: int
    body: bytes
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300


class Complete(msgspec.Struct, Ask[Completed], frozen=True):
    """Ask ``model`` (a routing name) for a chat completion and wait for all of it.

    ``body`` is a chat request that does not stream; its ``model`` is set to the upstream's name on
    the way. ``lora`` asks for an adapter. An answer that is no success is an answer, too; where
    none comes at all within ``timeout_s``, the ask fails. ``headers`` are those of the client and
    of plugins; the model's own win. ``purpose`` says in the log what the call was for.
    """

    model: str
    body: bytes
    timeout_s: float = 60.0
    lora: str = ""
    headers: HeaderPairs = ()
    purpose: str = ""
    lane: Lane | None = None

    def __repr__(self) -> str:
        """Without the prompt, and without the keys among the headers."""
        return f"Complete({self.model!r}, purpose={self.purpose!r})"


class Composed(msgspec.Struct, frozen=True, kw_only=True):
    """The completion that an algorithm made out of several calls.

    ``model`` is the model whose answer it mostly is. ``extra`` is further data for the client,
    told beside the completion under ``looper``.
    """

    completion: dict[str, Any]
    model: str
    extra: dict[str, Any] = {}


Said = Completed | Failure
"""What became of one question: an answer, whatever its status, or none."""


def each(questions: list[Complete]) -> Flow[list[Said]]:
    """Put questions at once, equal ones as often as they stand there; answers in their order."""
    if not questions:
        return []
    answers = yield tuple(questions)
    return list(answers)


def one(question: Complete) -> Flow[Said]:
    """Put one question; that nobody answers is a value, too."""
    (answer,) = yield (question,)
    if not isinstance(answer, Completed | Failure):
        raise AskFailed(f"no answer to a call: {type(answer).__name__}")
    return answer
