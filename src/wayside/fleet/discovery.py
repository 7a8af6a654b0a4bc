"""Keeps one source going for each model that has one, and tells the fleet what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from wayside.fleet.discover_dns import DnsSource
from wayside.fleet.discover_file import FileSource
from wayside.fleet.resolve import Lookup
from wayside.fleet.sources import Nowhere, Source
from wayside.settings.fleet import DiscoverSettings, KubernetesSettings
from wayside.settings.model import EndpointSettings, ModelSettings
from wayside.vocab.errors import ConfigError

if TYPE_CHECKING:
    from wayside.fleet import Fleet

TICK_S: Final = 0.25
"""How soon changed settings are followed."""
AGAIN_S: Final = 1.0
"""What the fleet could not take (a CA file that is away for a moment) is told again after this."""

Log = Callable[..., None]
"""``log(event, level=..., **fields)``."""


class Discovery:
    """The sources of every model. A source whose settings stay goes on over a reload."""

    def __init__(
        self,
        fleet: Fleet,
        log: Log,
        *,
        lookup: Lookup | None = None,
        kubernetes: Callable[[KubernetesSettings], Source] | None = None,
    ) -> None:
        """``kubernetes`` makes the source of a cluster's servers."""
        self._fleet, self._log, self._lookup = fleet, log, lookup
        self._kubernetes = kubernetes
        self._tasks: dict[tuple[str, DiscoverSettings, str], asyncio.Task[None]] = {}
        self._untaken: dict[str, tuple[float, DiscoverSettings, Sequence[EndpointSettings]]] = {}
        """By model: when to try again, and what a source told."""
        self._warned: dict[tuple[str, str], str] = {}

    async def run(self) -> None:
        """For as long as the task lives."""
        try:
            while True:
                self.look()
                await asyncio.sleep(TICK_S)
        finally:
            for task in self._tasks.values():
                task.cancel()

    def look(self) -> None:
        """Begin with sources that are new, end those that are gone or have failed."""
        wanted = {
            (model, pool.settings.discover, base_path(pool.settings)): pool.settings.discover
            for model, pool in self._fleet.pools.items()
            if pool.settings.discover is not None
        }
        for key in [key for key, task in self._tasks.items() if key not in wanted or task.done()]:
            task = self._tasks.pop(key)
            if task.done() and not task.cancelled() and (fault := task.exception()):
                self._log("discovery failed", level="error", model=key[0], why=repr(fault))
            task.cancel()
        for key, settings in wanted.items():
            if key not in self._tasks:
                model, _, base = key
                source = self._source(settings, base)
                self._tasks[key] = asyncio.create_task(self._follow(source, model, settings))
        now = asyncio.get_running_loop().time()
        for model, (due, settings, endpoints) in list(self._untaken.items()):
            if not any(key[:2] == (model, settings) for key in wanted):
                del self._untaken[model]
            elif now >= due:
                self._found(model, settings, endpoints)

    def _source(self, settings: DiscoverSettings, base: str) -> Source:
        if settings.dns is not None:
            return DnsSource(settings.dns, self._lookup)
        if settings.kubernetes is not None:
            if self._kubernetes is None:
                return Nowhere("servers in a cluster are not followed here")
            return self._kubernetes(settings.kubernetes)
        assert settings.file is not None
        return FileSource(settings.file, base)

    async def _follow(self, source: Source, model: str, settings: DiscoverSettings) -> None:
        def tell(endpoints: Sequence[EndpointSettings]) -> None:
            over = len(endpoints) - settings.max_endpoints
            self._say(
                model,
                "bound",
                f"{over} endpoints over {settings.max_endpoints} are left out" if over > 0 else "",
            )
            self._found(model, settings, endpoints[: settings.max_endpoints])

        await source.follow(tell, lambda what: self._say(model, "source", what))

    def _found(
        self, model: str, settings: DiscoverSettings, endpoints: Sequence[EndpointSettings]
    ) -> None:
        try:
            self._fleet.discovered(model, endpoints)
        except ConfigError as error:
            again = asyncio.get_running_loop().time() + AGAIN_S
            self._untaken[model] = (again, settings, endpoints)
            self._say(model, "fleet", str(error))
            return
        self._untaken.pop(model, None)
        self._say(model, "fleet", "")
        self._log("endpoints", model=model, count=len(endpoints))

    def _say(self, model: str, about: str, what: str) -> None:
        """Warn, but not of the same again."""
        if what == self._warned.get((model, about), ""):
            return
        self._warned[(model, about)] = what
        if what:
            self._log("discovery", level="warning", model=model, what=what)


def base_path(settings: ModelSettings) -> str:
    """The path that all of a model's servers are under: requests are written for one."""
    for endpoint in settings.endpoints:
        return endpoint.address.base_path or "/v1"
    return "/v1"
