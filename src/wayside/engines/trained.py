"""A classifier that ``wayside train`` wrote: one file, no dependency, microseconds a prompt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wayside.catalog import catalog
from wayside.engines.base import Engine, Tools
from wayside.engines.static import StaticClassifier
from wayside.settings import Settings, Task
from wayside.vocab.ask import Labels


class TrainedSettings(Settings):
    """A model file of ours.

    Example: ``{file: feedback.model}``
    """

    file: Annotated[str, Field(min_length=1, max_length=4096)]
    """The file ``wayside train`` wrote; a relative path starts where the router was started."""


@catalog.register("engine", "trained", settings=TrainedSettings)
class Trained(Engine):
    """Ranks labels with a model that ``wayside train`` made from your own rows."""

    tasks: frozenset[Task] = frozenset(["classify"])

    def __init__(self, rule: TrainedSettings, tools: Tools) -> None:
        """``OSError`` or ``ValueError`` for a file that is not there or holds no model."""
        self._model = StaticClassifier.load(rule.file)
        self.labels = self._model.labels

    def classify(self, text: str) -> Labels:
        return self._model.classify(text)
