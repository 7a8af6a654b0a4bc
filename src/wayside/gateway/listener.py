"""The socket that the management API is served on."""

from __future__ import annotations

import socket
import ssl

import uvicorn
from starlette.types import ASGIApp

GRACE_S = 2
"""What requests under way get when the process ends; nobody's answer depends on them."""


async def serve_management(
    app: ASGIApp,
    address: str = "",
    port: int = 0,
    *,
    unix: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> QuietServer:
    """Start serving, by ``tls`` where that is given; returns once it listens. Raises ``OSError``
    where it cannot."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = QuietServer(config)
    await server.start(_bound(address, port, unix), tls)
    return server


def _bound(address: str, port: int, unix: str | None) -> socket.socket:
    """Bound by us: where uvicorn cannot bind, it ends the process."""
    if unix is not None:
        family, where = socket.AF_UNIX, unix
    else:
        family, *_, where = socket.getaddrinfo(  # type: ignore[assignment]
            address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    # With its protocol said: asyncio lets answers go at once (TCP_NODELAY) on such sockets alone,
    # and uvicorn writes an answer in two parts, of which the second waits 40 ms else.
    found = socket.socket(family, socket.SOCK_STREAM, 0 if unix else socket.IPPROTO_TCP)
    try:
        if unix is None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(where)
    except OSError:
        found.close()
        raise
    return found


class QuietServer(uvicorn.Server):
    """A uvicorn server that leaves signals to us, and starts before it is returned."""

    async def start(self, where: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        config = self.config
        if not config.loaded:
            config.load()
        config.ssl = tls
        self.lifespan = config.lifespan_class(config)
        await self.startup(sockets=[where])

    async def stop(self) -> None:
        self.should_exit = True
        await self.shutdown()
