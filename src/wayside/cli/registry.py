"""A router whose models, or rules, are kept in a Kubernetes cluster."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from pydantic import ValidationError

from wayside.cli.app import App, Prepared, log_of
from wayside.cli.files import Loaded, native
from wayside.kube.registry import Registry
from wayside.kube.servers import Clusters
from wayside.runtime.registry import Asker, ClusterPart
from wayside.runtime.reload import Watcher
from wayside.settings import RouterSettings
from wayside.settings.load import documents, fill
from wayside.settings.problems import problems_from
from wayside.settings.registry import RegistrySettings
from wayside.telemetry import Log
from wayside.translate import Translation, vsr_v03
from wayside.vocab.errors import ConfigError

LOOK_S: Final = 0.2
"""How soon a change in the cluster is taken up."""

Make = Callable[..., App]
Read = Callable[[bytes], Loaded]
Base = Callable[[bytes], tuple[Translation, Mapping[str, Any] | None]]
"""A file's content in our format, and as it is written where that is vSR's v0.3."""


@asynccontextmanager
async def app_of(
    loaded: Loaded,
    make: Make = App,
    *,
    env: Mapping[str, str] | None = None,
    base: Base | None = None,
) -> AsyncIterator[tuple[App, bool]]:
    """The app of a configuration, and whether its file is followed already.

    ``base`` makes our own format of the file's content, where that is not all of it.

    Where a cluster holds a part, that is laid over first, which may take as long as it takes for
    somebody to create it; and it is followed for as long as the block lasts.
    """
    registry = loaded.settings.registry
    if registry is None:
        yield make(loaded), False
        return
    environ = os.environ if env is None else env
    log = log_of(loaded.settings)
    clusters = Clusters(environ=environ, log=log)
    try:
        part = _part(registry, clusters, log, environ.get(registry.key_env, ""))
        watchers: list[Watcher[Prepared]] = []

        def again() -> None:
            for watcher in watchers:
                watcher.again()

        following = asyncio.create_task(part.run(again))
        try:
            read = _reader(loaded.path, part, base or _from_file(loaded.path), environ)
            app = await _whole(
                loaded.text, part, lambda found: make(found, read=read), read, log, following
            )
            watcher = app.watcher(LOOK_S)
            watchers.append(watcher)
            app.on_reload.append(part.in_force)
            app.on_refused.append(part.refused)
            part.in_force()
            watching = asyncio.create_task(watcher.run())
            try:
                yield app, True
            finally:
                watching.cancel()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
    finally:
        clusters.close()


def _part(registry: RegistrySettings, clusters: Clusters, log: Log, key: str) -> ClusterPart:
    """Raises :class:`ConfigError` where there is no cluster."""
    part: ClusterPart
    client = clusters.client(registry.kubeconfig)
    namespace = clusters.namespace(registry.kubeconfig)
    watched = Registry(client, registry, namespace, lambda: part.moved(), log)
    part = ClusterPart(watched, registry, log, ask=Asker(key))
    return part


def _from_file(path: str) -> Base:
    def base(text: bytes) -> tuple[Translation, Mapping[str, Any] | None]:
        document, format_, notes = native(text, path)
        written = documents(text.decode("utf-8-sig"))[0] if format_ == vsr_v03.NAME else None
        return Translation(document, notes, format_), written

    return base


def _reader(path: str, part: ClusterPart, base: Base, env: Mapping[str, str]) -> Read:
    def read(text: bytes) -> Loaded:
        found, written = base(text)
        try:
            made = part.over(found.settings, written=written)
            settings = RouterSettings.model_validate(fill(made, env))
        except ValidationError as error:
            raise ConfigError(problems_from(error, RouterSettings)) from None
        return Loaded(path, text, settings, found.format, found.notes)

    return read


async def _whole(
    text: bytes,
    part: ClusterPart,
    make: Callable[[Loaded], App],
    read: Read,
    log: Log,
    following: asyncio.Task[None],
) -> App:
    """The app, as soon as file and cluster make a whole configuration."""
    said = ""
    await _unless_ended(part.settled(), following)
    while True:
        try:
            return make(read(text))
        except ConfigError as error:
            part.refused(error)
            if str(error) != said:
                said = str(error)
                log("waiting for the cluster", level="warning", why=said)
                log.flush()
        await _unless_ended(asyncio.sleep(LOOK_S), following)


async def _unless_ended(waiting: Any, following: asyncio.Task[None]) -> None:
    """Wait, and raise what the follower raises should it end."""
    task = asyncio.ensure_future(waiting)
    done, _ = await asyncio.wait((task, following), return_when=asyncio.FIRST_COMPLETED)
    if following in done:
        task.cancel()
        following.result()
    await task
