"""A router whose models, or rules, are kept in a Kubernetes cluster."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import click
from pydantic import ValidationError

from wayside.cli.app import App, Prepared, log_of
from wayside.cli.files import Loaded, native
from wayside.kube.registry import Registry
from wayside.kube.servers import Clusters
from wayside.net.pages import PageServer
from wayside.runtime.registry import ClusterPart
from wayside.runtime.reload import Watcher
from wayside.runtime.served import Asker
from wayside.settings import RouterSettings
from wayside.settings.found import defaults_of
from wayside.settings.load import documents
from wayside.settings.problems import problems_from
from wayside.settings.registry import RegistrySettings
from wayside.telemetry import Log
from wayside.translate import Translation, vsr_v03
from wayside.vocab.errors import ConfigError

LOOK_S: Final = 0.2
"""How soon a change in the cluster is taken up."""
TRY_AGAIN_S: Final = 1.0
"""How often file and cluster are looked at while they do not make a whole configuration."""

Make = Callable[..., App]
Read = Callable[[bytes], Loaded]
Base = Callable[[bytes], tuple[Translation, Mapping[str, Any] | None]]
"""A file's content in our format, and as it is written where that is vSR's v0.3."""
Place = tuple[str, int]


@asynccontextmanager
async def app_of(
    loaded: Loaded,
    make: Make = App,
    *,
    env: Mapping[str, str] | None = None,
    base: Base | None = None,
    meanwhile: Iterable[Place] = (),
) -> AsyncIterator[tuple[App, bool]]:
    """The app of a configuration, and whether its file is followed already.

    ``base`` makes our own format of the file's content, where that is not all of it.

    Where a cluster holds a part, that is laid over first, which may take as long as it takes for
    somebody to create it; and it is followed for as long as the block lasts. Until then
    ``/health`` answers at the addresses ``meanwhile``, and ``/ready`` says what is waited for.
    """
    registry = loaded.settings.registry
    if registry is None:
        yield make(loaded), False
        return
    environ = os.environ if env is None else env
    defaults_of(loaded.settings)  # a mistake there is no reason to wait
    log = log_of(loaded.settings)
    clusters = Clusters(environ=environ, log=log)
    try:
        part = _part(registry, clusters, log, environ)
        watchers: list[Watcher[Prepared]] = []

        def again() -> None:
            for watcher in watchers:
                watcher.again()

        following = asyncio.create_task(part.run(again))
        try:
            read = _reader(loaded.path, part, base or _from_file(loaded.path))
            app = await _Start(part, log, following).app(
                loaded, lambda found: make(found, read=read), read, meanwhile
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


def _part(
    registry: RegistrySettings, clusters: Clusters, log: Log, env: Mapping[str, str]
) -> ClusterPart:
    """Raises :class:`ConfigError` where there is no cluster."""
    part: ClusterPart
    try:
        client = clusters.client(registry.kubeconfig)
        namespace = clusters.namespace(registry.kubeconfig)
    except ConfigError as error:
        raise ConfigError.one(
            f"models or rules are to come from a cluster: {error.problems[0].what}",
            where="registry",
            fix="run it in a pod with a service account, set KUBECONFIG or registry.kubeconfig; "
            "or write models and rules into the file and leave registry (vSR: "
            "global.router.config_source: kubernetes) out",
        ) from None
    watched = Registry(client, registry, namespace, lambda: part.moved(), log)
    ask = Asker(env.get(registry.key_env, ""))
    part = ClusterPart(watched, registry, log, ask=ask, env=env)
    return part


def _from_file(path: str) -> Base:
    def base(text: bytes) -> tuple[Translation, Mapping[str, Any] | None]:
        document, format_, notes = native(text, path)
        written = documents(text.decode("utf-8-sig"))[0] if format_ == vsr_v03.NAME else None
        return Translation(document, notes, format_), written

    return base


def _reader(path: str, part: ClusterPart, base: Base) -> Read:
    def read(text: bytes) -> Loaded:
        found, written = base(text)
        try:
            made = part.over(found.settings, written=written)
            settings = RouterSettings.model_validate(made)
        except ValidationError as error:
            raise ConfigError(problems_from(error, RouterSettings)) from None
        return Loaded(path, text, settings, found.format, found.notes)

    return read


class _Start:
    """The wait for a whole configuration."""

    def __init__(self, part: ClusterPart, log: Log, following: asyncio.Task[None]) -> None:
        self._part, self._log, self._following = part, log, following
        self._stop = asyncio.Event()
        self._why = "listing what the cluster holds"

    async def app(
        self, loaded: Loaded, make: Callable[[Loaded], App], read: Read, places: Iterable[Place]
    ) -> App:
        """The app, as soon as file and cluster make a whole configuration. A signal ends the
        wait, and the command with it."""
        async with AsyncExitStack() as stack:
            stack.enter_context(self._signals())
            for place in places:
                await stack.enter_async_context(self._pages(place))
            self._log.flush()
            await self._unless_ended(self._part.settled())
            text = loaded.text
            while True:
                try:
                    return make(read(text))
                except ConfigError as error:
                    self._part.refused(error)
                    if str(error) != self._why:
                        self._why = str(error)
                        self._log("waiting for the cluster", level="warning", why=self._why)
                        self._log.flush()
                await self._unless_ended(asyncio.sleep(TRY_AGAIN_S))
                text = _again(loaded.path, text)

    async def _unless_ended(self, waiting: Any) -> None:
        """Wait, and raise what the follower raises should it end."""
        task = asyncio.ensure_future(waiting)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait(
                (task, stopping, self._following), return_when=asyncio.FIRST_COMPLETED
            )
            if self._following.done():
                self._following.result()
            if self._stop.is_set():
                self._log("stopped")
                self._log.flush()
                raise click.exceptions.Exit(0)
            await task
        finally:
            task.cancel()
            stopping.cancel()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Of a container's first process nobody else makes an end."""
        loop = asyncio.get_running_loop()
        both = (signal.SIGTERM, signal.SIGINT)
        with suppress(ValueError, RuntimeError):  # not the main thread: not ours to hear them
            for one in both:
                loop.add_signal_handler(one, self._stop.set)
        try:
            yield
        finally:
            with suppress(ValueError, RuntimeError):
                for one in both:
                    loop.remove_signal_handler(one)

    @asynccontextmanager
    async def _pages(self, place: Place) -> AsyncIterator[None]:
        async def health(_: str) -> tuple[int, str, bytes]:
            return 200, "application/json", b'{"status":"healthy"}'

        async def ready(_: str) -> tuple[int, str, bytes]:
            return 503, "text/plain", f"waiting for the cluster: {self._why}".encode()

        pages = PageServer({"/health": health, "/ready": ready})
        try:
            await pages.start(*place)
        except OSError:
            yield  # told by whoever listens there in the end
            return
        try:
            yield
        finally:
            await pages.stop()


def _again(path: str, text: bytes) -> bytes:
    """The file as it is now, where it can be read."""
    with suppress(OSError):
        return Path(path).read_bytes() if path else text
    return text
