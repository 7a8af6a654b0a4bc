"""The console: what people look at and change in a browser, behind a login, with roles.

Its pages are built from ``console/`` (TypeScript, React, Vite) into ``static/``, which is in the
repository and in the wheel, so that nobody needs Node to run it. Its data is JSON under
``/console/api``, of the shapes in ``console/src/api/types.ts``.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from starlette.types import ASGIApp

from wayside.console.audit import Audit
from wayside.console.bare import bare
from wayside.console.config import Config
from wayside.console.data import data
from wayside.console.door import About, Door, Keeping, Provider
from wayside.console.inside import Data, Inside, Who, note, unchanged, who
from wayside.console.sessions import Attempts, Sessions, Tokens
from wayside.gateway.api import Endpoint
from wayside.gateway.catalog_api import CatalogApi
from wayside.plugins.response_cache import ResponseCachePlugin
from wayside.plugins.router_replay import RouterReplayPlugin
from wayside.runtime.keys import KeyRing
from wayside.settings.console import ConsoleSettings
from wayside.telemetry import Log

__all__ = ["Console", "Data", "Frame", "Inside", "Who", "note", "unchanged", "who"]


class Frame:
    """Login, roles, audit and pages; what it is the frame of are endpoints."""

    def __init__(
        self, settings: ConsoleSettings, folder: Path, keys: KeyRing, log: Log, about: About
    ) -> None:
        """Nothing is written before somebody logs in. Raises
        :class:`~wayside.vocab.errors.ConfigError` for tokens that are not there."""
        self.tokens = Tokens(settings, folder, keys)
        sessions = Sessions(settings.max_sessions, settings.session_s, self.tokens.holds)
        audit = Audit(folder, settings.audit, log)
        keeping = Keeping(self.tokens, sessions, Attempts(), audit)
        provider = _provider(settings, keys, log)
        self.door = Door(settings, keeping, log, about, provider=provider)


def _provider(settings: ConsoleSettings, keys: KeyRing, log: Log) -> Provider | None:
    """Imported only where it is asked for: signatures need the extra ``maas``."""
    if settings.oidc is None:
        return None
    from wayside.console.oidc import Oidc

    return Oidc(settings.oidc, settings.url, keys, log)


class Console:
    """The console of one router."""

    def __init__(
        self, inside: Inside, settings: ConsoleSettings, folder: Path, keys: KeyRing
    ) -> None:
        inside = replace(inside, folder=folder)
        self.inside = inside
        self.config = Config(inside, settings, folder)
        self._parts: list[Data] = [self.config, CatalogApi(), *data(inside)]
        self.frame = Frame(settings, folder, keys, inside.log, self.about)

    def endpoints(self) -> list[Endpoint]:
        """The data, without its login; paths are relative to ``/console/api``."""
        return [endpoint for part in self._parts for endpoint in part.endpoints()]

    def app(self) -> ASGIApp:
        """Everything below ``/console``."""
        return self.frame.door.app(self.endpoints())

    def bare(self) -> ASGIApp:
        """The data alone, for the parent of several workers."""
        return bare(self.endpoints(), self.about)

    async def about(self) -> dict[str, bool]:
        """What this router has, so that a page can say how to have it where it does not."""
        inside = self.inside
        policy = inside.runtime.policy
        plugins = [
            plugin
            for recipe in policy.recipes.values()
            for of_decision in recipe.plugins.values()
            for plugin in of_decision
        ]
        file = await asyncio.to_thread(self.config.file.now)
        return {
            "access": inside.maas is not None,
            "replay": any(isinstance(plugin, RouterReplayPlugin) for plugin in plugins),
            "cache": any(isinstance(plugin, ResponseCachePlugin) for plugin in plugins),
            "evaluation": True,
            "writable": not file.why,
        }
