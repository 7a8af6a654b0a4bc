"""Where a model's servers are told, beside the settings: the port that DNS, files and Kubernetes
fill in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from wayside.settings.model import EndpointSettings

Tell = Callable[[Sequence[EndpointSettings]], None]
Warn = Callable[[str], None]
"""Says what is wrong, in words; said again only when it changes."""


class Source(Protocol):
    """Follows the servers that somebody else knows of."""

    async def follow(self, tell: Tell, warn: Warn) -> None:
        """Tell all servers there are, at first and whenever they change, until cancelled.

        What cannot be had (a failed lookup, a bad file, an API that is away) changes nothing: it
        is warned of, and what was told last goes on being so. Raises nothing.
        """
        ...


class Nowhere:
    """A source that cannot be had, and says why."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def follow(self, tell: Tell, warn: Warn) -> None:
        warn(self._why)
        await asyncio.get_running_loop().create_future()
