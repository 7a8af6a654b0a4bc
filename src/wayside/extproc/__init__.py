"""The Envoy shell: the router as an external processor, and the Envoy that goes in front of it.

:func:`serve_extproc` serves an Envoy that somebody else runs; :func:`serve_behind_envoy` brings
its own. Everything else here is how.
"""

from __future__ import annotations

import ssl
from typing import Literal

from wayside.extproc import wire
from wayside.extproc.framed import FramedServer
from wayside.extproc.grpcio_server import GrpcioServer
from wayside.extproc.replicas import Replicas
from wayside.extproc.session import Door, Runtime, Say, Telemetry, silence
from wayside.extproc.supervise import EnvoyFailed, EnvoySupervisor, find_envoy
from wayside.runtime.admission import Admission
from wayside.settings import ExtProcSettings, LimitSettings, RouterSettings

__all__ = [
    "BehindEnvoy",
    "EnvoyFailed",
    "EnvoySupervisor",
    "FramedServer",
    "GrpcioServer",
    "Replicas",
    "find_envoy",
    "serve_behind_envoy",
    "serve_extproc",
]

BodyModeName = Literal["BUFFERED", "STREAMED", "FULL_DUPLEX_STREAMED"]
_MODES = {
    "BUFFERED": wire.BUFFERED,
    "STREAMED": wire.STREAMED,
    "FULL_DUPLEX_STREAMED": wire.FULL_DUPLEX_STREAMED,
}


async def serve_extproc(
    where: ExtProcSettings,
    runtime: Runtime,
    telemetry: Telemetry,
    limits: LimitSettings,
    *,
    log: Say | None = None,
    replicas: Replicas | None = None,
    tls: ssl.SSLContext | None = None,
    assumed_body_mode: BodyModeName = "BUFFERED",
    admission: Admission | None = None,
) -> FramedServer | GrpcioServer:
    """Serve where the settings say; ``.port`` tells which, ``.stop(drain_s)`` ends it.

    ``assumed_body_mode`` is for an Envoy before 1.34, which does not say how it is set up.
    ``OSError`` if the address is taken; ``ConfigError`` if the grpcio server is not installed.
    """
    door = Door(
        runtime,
        telemetry,
        max_body_bytes=limits.max_body_bytes,
        assumed=_MODES[assumed_body_mode],
        log=log or _log_of(telemetry),
        count_usage=where.count_usage,
        replicas=replicas,
        model_header=where.model_header,
        admission=admission,
    )
    if where.server == "grpcio":
        reference = GrpcioServer(door)
        await reference.start(unix=where.unix, host=where.address, port=where.port)
        return reference
    server = FramedServer(door)
    await server.start(unix=where.unix, host=where.address, port=where.port, tls=tls)
    return server


class BehindEnvoy:
    """A router and its own Envoy; made by :func:`serve_behind_envoy`."""

    def __init__(self, server: FramedServer | GrpcioServer, envoy: EnvoySupervisor) -> None:
        self.server, self.envoy = server, envoy

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self.envoy.port

    async def reload(self, settings: RouterSettings) -> bool:
        """Let Envoy follow changed settings; whether that took another process."""
        return await self.envoy.reload(settings)

    async def stop(self, drain_s: float) -> None:
        """Envoy first, as its requests still need the router. Never raises."""
        await self.envoy.stop(drain_s)
        await self.server.stop(min(drain_s, 2.0))


async def serve_behind_envoy(
    settings: RouterSettings,
    runtime: Runtime,
    telemetry: Telemetry,
    *,
    log: Say | None = None,
    replicas: Replicas | None = None,
    run_dir: str | None = None,
    admission: Admission | None = None,
) -> BehindEnvoy:
    """Serve ``settings.listen`` with a generated Envoy; returns once it takes connections.

    ``run_dir`` holds the sockets and the bootstrap, and is removed at the end unless given.
    ``ConfigError`` says what is missing or wrong.
    """
    log = log or _log_of(telemetry)
    find_envoy(settings)  # fail before anything is started
    supervisor = EnvoySupervisor(settings, run_dir=run_dir, log=log)
    # The socket is always a private one: extproc.unix is for an Envoy of somebody else's.
    where = settings.extproc.model_copy(update={"unix": supervisor.extproc_socket})
    server = await serve_extproc(
        where,
        runtime,
        telemetry,
        settings.limits,
        log=log,
        replicas=replicas,
        admission=admission,
    )
    try:
        await supervisor.start()
    except BaseException:
        await supervisor.stop(0.0)
        await server.stop(0.0)
        raise
    return BehindEnvoy(server, supervisor)


def _log_of(telemetry: Telemetry) -> Say:
    log: Say = getattr(telemetry, "log", silence)
    return log
