"""Envoy in front: the ext_proc server on a private Unix socket, and a supervised Envoy."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from wayside.cli.app import App
from wayside.extproc.framed import FramedServer
from wayside.extproc.grpcio_server import GrpcioServer
from wayside.extproc.session import Door
from wayside.extproc.supervise import EnvoySupervisor
from wayside.vocab.errors import ConfigError

Server = FramedServer | GrpcioServer


def extproc_server(app: App) -> Server:
    """The ext_proc server the settings ask for, not yet listening."""
    door = Door(
        app.runtime,
        app.telemetry,
        max_body_bytes=app.settings.limits.max_body_bytes,
        failed=lambda error: app.log("bug", level="error", error=repr(error)),
    )
    return FramedServer(door) if app.settings.extproc.server == "framed" else GrpcioServer(door)


class behind_envoy:
    """Envoy listens where ``listen`` says, for as long as the block lasts; drained at its end."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __aenter__(self) -> str:
        app, where = self._app, self._app.settings.listen
        self._folder = Path(tempfile.mkdtemp(prefix="wayside-"))
        socket = str(self._folder / "extproc.sock")
        self._server = extproc_server(app)
        self._reloads: set[asyncio.Task[None]] = set()
        await self._server.start(unix=socket)
        self._envoy = EnvoySupervisor(
            app.settings,
            extproc_socket=socket,
            died=lambda status: app.log("envoy died", level="error", status=status),
        )
        try:
            await self._envoy.start()
        except BaseException:
            await self._envoy.stop()
            await self._server.stop(0)
            raise
        app.on_reload.append(self._follow)
        app.serving = True
        host = f"[{where.address}]" if ":" in where.address else where.address
        url = f"http://{host}:{self._envoy.port}"
        app.log("serving", url=f"{url}/v1", models=",".join(app.settings.models), envoy=True)
        app.log.flush()
        return url

    async def __aexit__(self, *_: object) -> None:
        app = self._app
        app.draining = True
        app.on_reload.remove(self._follow)
        app.log("draining", seconds=app.settings.limits.drain_s)
        app.log.flush()
        await asyncio.gather(*self._reloads, return_exceptions=True)
        await self._envoy.stop()
        await self._server.stop(1.0)
        shutil.rmtree(self._folder, ignore_errors=True)
        app.log("stopped")

    def _follow(self) -> None:
        """New settings: Envoy's clusters may have changed with them."""
        task = asyncio.create_task(self._replace())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _replace(self) -> None:
        try:
            await self._envoy.reload(self._app.settings)
        except ConfigError as error:
            self._app.refuse(error)
