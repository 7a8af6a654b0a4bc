"""Engines of rules that no decision reads: made on another thread before somebody here asks them,
so that no request waits while a model is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from wayside.console.inside import Inside
from wayside.flow import Policy, Recipe
from wayside.runtime.engine_links import named
from wayside.vocab.ask import Bank
from wayside.vocab.errors import WaysideError


class Ready:
    """Knows of which recipes every engine was made."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._policy: Policy | None = None
        self._done: set[str] = set()
        self._one = asyncio.Lock()

    async def all_of(self, recipe: Recipe) -> None:
        """Make what the rules of ``recipe`` ask. What cannot be made says so when it is asked."""
        async with self._one:
            if self._policy is not self._inside.runtime.policy:
                self._policy = self._inside.runtime.policy
                self._done.clear()
            if recipe.name in self._done:
                return
            engines = self._inside.engines()
            banks = list(_banks(recipe))
            for name in sorted(_engines(recipe)):
                mine = [bank for bank in banks if bank.engine == name]
                with suppress(OSError, ValueError, ImportError, WaysideError):
                    await asyncio.to_thread(engines.load, [name], mine)
            self._done.add(recipe.name)


def _engines(recipe: Recipe) -> set[str]:
    rules: Iterator[Any] = iter(recipe.rules.values())
    return {name for rule in rules for _, name, _ in named(rule)}


def _banks(recipe: Recipe) -> Iterator[Bank]:
    for signal, _ in recipe.every_signal.values():
        yield from getattr(signal, "banks", {}).values()
