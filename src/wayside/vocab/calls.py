"""Asking a model, from inside a flow that needs its answer to go on."""

from __future__ import annotations

import msgspec

from wayside.vocab.ask import Ask
from wayside.vocab.outcome import HeaderPairs


class Completed(msgspec.Struct, frozen=True):
    """What a model said. ``body`` is the whole answer; ``model`` the one that was asked."""

    model: str
    status: int
    body: bytes
    seconds: float = 0.0


class Complete(msgspec.Struct, Ask[Completed], frozen=True):
    """Ask ``model`` (a routing name) for a chat completion and wait for all of it.

    ``body`` is a chat request that does not stream; its ``model`` is set to the upstream's name on
    the way. ``lora`` asks for an adapter. An answer that is no success is an answer, too; where
    none comes at all within ``timeout_s``, the ask fails.
    """

    model: str
    body: bytes
    timeout_s: float = 60.0
    lora: str = ""
    headers: HeaderPairs = ()
