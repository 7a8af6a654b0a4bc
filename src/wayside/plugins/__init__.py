"""Steps around a decision: change what is sent, or answer early. One file per plugin."""

from __future__ import annotations

from typing import Any, Protocol

from wayside.dialects import Edit
from wayside.vocab.prompt import Prompt


class Draft:
    """The request as it will go upstream, while plugins work on it.

    ``edit`` is made on first use, so that a plugin which touches only headers costs no decoding.
    """

    __slots__ = ("_edit", "_start", "removed", "set")

    def __init__(self, start: Any) -> None:
        self._start = start
        self._edit: Edit | None = None
        self.set: dict[str, str] = {}
        self.removed: list[str] = []

    @property
    def edit(self) -> Edit:
        if self._edit is None:
            self._edit = self._start()
        return self._edit

    @property
    def edited(self) -> bool:
        return self._edit is not None


class Plugin(Protocol):
    """Built once per decision from its settings."""

    def __init__(self, rule: Any) -> None: ...

    def before(self, prompt: Prompt, draft: Draft) -> None:
        """Change the draft before it is sent."""
        ...
