"""Asks a cheap classifier first, and a strong one only where the cheap one is not sure.

A classifier that takes microseconds is right about most prompts and, being calibrated, knows about
which it is not. Only those go to the second engine, which may take milliseconds or a network call.
When the second cannot answer, the first's answer stands: it is still the best one known, and its
probability says how good it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from typing import Annotated

from pydantic import Field, model_validator

from wayside.catalog import catalog
from wayside.engines.base import Engine, Tools
from wayside.settings import EngineName, EngineOf, Settings, Task
from wayside.vocab.ask import Labels
from wayside.vocab.errors import AskFailed, WaysideError


class CascadeSettings(Settings):
    """Two classifiers with the same labels, and when the second is asked.

    Example: ``{first: domain, second: transformer, below: 0.5}``
    """

    first: Annotated[EngineName, EngineOf("classify")]
    """The engine that reads every prompt."""
    second: Annotated[EngineName, EngineOf("classify")]
    """The engine that reads those prompts which the first is not sure about."""
    below: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The second is asked when the first's best label is less probable than this."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """What the second's probabilities weigh when it was asked; the first's weigh the rest."""

    @model_validator(mode="after")
    def _two(self) -> CascadeSettings:
        if self.first == self.second:
            raise ValueError(f"first and second are the same engine, {self.first!r}: name two")
        return self


@catalog.register("engine", "cascade", settings=CascadeSettings)
class Cascade(Engine):
    """Classifies with one engine, and again with another where that one hesitates."""

    tasks: frozenset[Task] = frozenset(["classify"])
    leans = True

    def __init__(self, rule: CascadeSettings, tools: Tools) -> None:
        """Makes both engines; :class:`AskFailed` when their labels are known to differ."""
        self._first, self._second = tools.engine(rule.first), tools.engine(rule.second)
        self._below, self._share = rule.below, rule.share
        self.labels = self._first.labels or self._second.labels
        if self._second.labels and set(self._second.labels) != set(self.labels):
            odd = sorted(set(self._second.labels) ^ set(self.labels))
            raise AskFailed(
                f"engines.{tools.name}: {rule.first!r} and {rule.second!r} differ in their "
                f"labels: {', '.join(odd)}; rename them with the second's `labels` setting"
            )

    def classify(self, text: str) -> Labels | Awaitable[Labels]:
        found = self._first.classify(text)
        if inspect.isawaitable(found):
            return self._after(found, text)
        return found if self._sure(found) else self._again(found, text)

    async def _after(self, first: Awaitable[Labels], text: str) -> Labels:
        found = await first
        return found if self._sure(found) else await self._again(found, text)

    async def _again(self, found: Labels, text: str) -> Labels:
        try:
            second = self._second.classify(text)
            answer = await second if inspect.isawaitable(second) else second
        except (OSError, TimeoutError, WaysideError):
            return found
        return answer if self._share == 1 else mixed(found, answer, self._share)

    def _sure(self, found: Labels) -> bool:
        return bool(found) and found[0][1] >= self._below


def mixed(one: Labels, other: Labels, share: float) -> Labels:
    """Both rankings as one, best first: ``share`` of the other's probabilities, the rest one's."""
    total = {label: probability * (1 - share) for label, probability in one}
    for label, probability in other:
        total[label] = total.get(label, 0.0) + probability * share
    return tuple(sorted(total.items(), key=lambda pair: -pair[1]))
