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
from wayside.runtime.registry import ClusterPart
from wayside.runtime.reload import Watcher
from wayside.settings import RouterSettings
from wayside.settings.load import documents, fill
from wayside.settings.problems import problems_from
from wayside.settings.registry import RegistrySettings
from wayside.telemetry import Log
from wayside.translate import vsr_v03
from wayside.vocab.errors import ConfigError

LOOK_S: Final = 0.2
"""While the router waits for a whole configuration, the cluster is looked at so often."""

Make = Callable[..., App]


@asynccontextmanager
async def app_of(
    loaded: Loaded, make: Make = App, *, env: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[App, bool]]:
    """The app of a configuration, and whether its file is followed already.

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
        part = _part(registry, clusters, log)
        watchers: list[Watcher[Prepared]] = []

        def again() -> None:
            for watcher in watchers:
                watcher.again()

        following = asyncio.create_task(part.run(again))
        try:
            app = await _whole(loaded, part, make, following, log, environ)
            watcher = app.watcher()
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


def _part(registry: RegistrySettings, clusters: Clusters, log: Log) -> ClusterPart:
    """Raises :class:`ConfigError` where there is no cluster."""
    part: ClusterPart
    client = clusters.client(registry.kubeconfig)
    namespace = clusters.namespace(registry.kubeconfig)
    watched = Registry(client, registry, namespace, lambda: part.moved(), log)
    part = ClusterPart(watched, registry, log)
    return part


async def _whole(
    loaded: Loaded,
    part: ClusterPart,
    make: Make,
    following: asyncio.Task[None],
    log: Log,
    env: Mapping[str, str],
) -> App:
    """The app, as soon as file and cluster make a whole configuration."""
    text, said = loaded.text, ""

    def read(text: bytes) -> Loaded:
        document, format_, notes = native(text, loaded.path)
        written = documents(text.decode("utf-8-sig"))[0] if format_ == vsr_v03.NAME else None
        try:
            made = part.over(document, written=written)
            settings = RouterSettings.model_validate(fill(made, env))
        except ValidationError as error:
            raise ConfigError(problems_from(error, RouterSettings)) from None
        return Loaded(loaded.path, text, settings, format_, notes)

    await _unless_ended(part.settled(), following)
    while True:
        try:
            return make(read(text), read=read)
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
