"""The request as signals see it, whatever dialect it arrived in."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

NOTHING: Mapping[str, str] = MappingProxyType({})


class Message(msgspec.Struct, frozen=True, gc=False):
    """One turn. ``tool_calls``, ``images`` and ``audio`` count what the turn carries."""

    role: str
    text: str = ""
    tool_calls: int = 0
    images: int = 0
    audio: int = 0


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What the client asked, decoded once and read by every signal.

    ``model`` is what the client asked for, not what it will get.
    ``question`` is the last thing the user said, or ``""``.
    ``tokens`` estimates the words of the whole conversation (:mod:`wayside.vocab.tokens`).
    ``tools`` are the names of the tools offered.
    ``metadata`` is the request's own ``metadata`` object (strings only).
    ``headers`` are lower-case; internal ones a client may not send are not among them.
    ``user``, ``groups``, ``team`` and ``tenant`` say who asks, where a proxy is trusted to tell.
    ``category`` is the domain that a signal saw, for algorithms that choose by it.
    """

    model: str
    messages: tuple[Message, ...] = ()
    question: str = ""
    stream: bool = False
    tokens: int = 0
    tools: tuple[str, ...] = ()
    metadata: Mapping[str, str] = NOTHING
    headers: Mapping[str, str] = NOTHING
    user: str = ""
    groups: tuple[str, ...] = ()
    team: str = ""
    tenant: str = ""
    category: str = ""
