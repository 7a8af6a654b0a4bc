"""Envoy in front: the ext_proc server on a private Unix socket, and a supervised Envoy."""

from __future__ import annotations

import asyncio

from wayside.cli.app import App
from wayside.cli.exposed import url_of
from wayside.envoy.resilience import not_done
from wayside.extproc import serve_behind_envoy
from wayside.runtime.composers import longest_s
from wayside.settings import RouterSettings
from wayside.vocab.errors import ConfigError


class behind_envoy:
    """Envoy listens where ``listen`` says, for as long as the block lasts; drained at its end."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._reloads: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        app, where = self._app, self._app.settings.listen
        # Envoy reads the certificate itself: a look at it here says what is wrong with it in our
        # words, when it ends, and what became of the newest.
        app.certificates.serve("listen", where.tls)
        replicas = app.replicas()
        self._running = await serve_behind_envoy(
            patient(app),
            app.runtime,
            app.telemetry,
            log=app.log,
            replicas=replicas,
            admission=app.admission,
        )
        self._looking = asyncio.create_task(replicas.look_up())
        app.on_reload.append(self._follow)
        self._tell()
        app.serving = True
        url = url_of(where, self._running.port)
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
        self._looking.cancel()
        await self._running.stop(app.settings.limits.drain_s)
        app.calls.close()
        app.log("stopped")

    def _follow(self) -> None:
        """New settings: Envoy's clusters may have changed with them."""
        self._tell()
        task = asyncio.create_task(self._replace())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    def _tell(self) -> None:
        """Say which settings Envoy does not follow."""
        for what in not_done(self._app.settings):
            self._app.log("not done by Envoy", level="warning", what=what)

    async def _replace(self) -> None:
        try:
            await self._running.reload(patient(self._app))
        except ConfigError as error:
            self._app.refuse(error)


def patient(app: App) -> RouterSettings:
    """The settings with an Envoy that waits for us as long as a decision that asks several models
    may take."""
    settings = app.settings
    needed = longest_s(app.runtime.policy)
    if needed and needed + 1 > settings.extproc.message_timeout_s:
        extproc = settings.extproc.model_copy(update={"message_timeout_s": needed + 1})
        settings = settings.model_copy(update={"extproc": extproc})
    return settings
