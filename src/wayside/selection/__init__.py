"""Choose one model among a decision's candidates. One file per algorithm."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from wayside.vocab.ask import Flow
from wayside.vocab.prompt import Prompt


class Candidate(msgspec.Struct, frozen=True):
    """A model a decision may choose, and how it would be asked.

    ``model`` is the routing name. ``reasoning`` turns thinking on or off; ``None`` leaves it.
    """

    model: str
    weight: float = 1.0
    lora: str | None = None
    reasoning: bool | None = None
    effort: str | None = None


class Selector(Protocol):
    """Built once per decision from its settings."""

    def __init__(self, rule: Any) -> None: ...

    def choose(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float
    ) -> Candidate | Flow[Candidate]:
        """``dice`` is uniform in [0, 1), rolled by the shell so that tests can load it."""
        ...
