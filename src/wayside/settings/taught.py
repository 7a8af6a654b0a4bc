"""What selectors trained from measurements have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wayside.settings.base import Settings
from wayside.settings.model import EngineName, EngineOf

SelectorFile = Annotated[str, Field(min_length=1, max_length=4096)]
FOLDER = "models/model-selection"
"""Where vSR keeps its trained selectors, and where ours are looked for unless told otherwise."""


class TaughtSettings(Settings):
    """A file that ``wayside train selection`` wrote, and the engines that its training used."""

    file: SelectorFile
    """The file ``wayside train selection`` wrote; a relative path starts where the router was
    started."""
    embedder: Annotated[EngineName, EngineOf("embed")] = "embedding"
    """The engine that embeds questions: the one of the training."""
    classifier: Annotated[EngineName, EngineOf("classify")] = "domain"
    """The engine that tells a question's domain: the one of the training."""
