"""The listener: accepts, counts, sweeps deadlines, and stops without breaking a response."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from wayside.fleet import Dice, Fleet, Replica
from wayside.gateway.door import Door
from wayside.gateway.ports import Reads, Runtime, Say, Telemetry, silence
from wayside.runtime.admission import Admission
from wayside.runtime.prefill import Prefill
from wayside.settings.model import LimitSettings, ListenSettings
from wayside.vocab.outcome import Forward

SWEEP_MIN_S, SWEEP_MAX_S = 0.02, 0.5
"""A deadline is enforced at most this much late; a sweep over 10,000 connections takes 0.5 ms."""


class HttpServer:
    """A data plane that is listening. ``doors`` are the connections of clients."""

    def __init__(
        self,
        runtime: Runtime,
        fleet: Fleet,
        telemetry: Telemetry,
        limits: LimitSettings,
        dice: Dice,
        prefill: Prefill | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.runtime, self.fleet, self.telemetry = runtime, fleet, telemetry
        self.prefill, self.admission = prefill, admission
        self.limits, self.dice = limits, dice
        self.say: Say = getattr(telemetry, "log", silence)
        self.reads: Reads | None = getattr(telemetry, "reads", None)
        self.loop = asyncio.get_running_loop()
        self.doors: set[Door] = set()
        self.draining = False
        self.attempting: Callable[[Door, Forward, Replica], None] | None = None
        """Told of every attempt when it begins."""
        self._empty = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def listen(
        self,
        where: ListenSettings,
        *,
        reuse_port: bool,
        backlog: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        secured: dict[str, Any] = {}
        if tls is not None:
            patience_s = self.limits.header_timeout_s
            secured = {
                "ssl": tls,
                "ssl_handshake_timeout": patience_s,
                "ssl_shutdown_timeout": patience_s,
            }
        self._listener = await self.loop.create_server(
            lambda: Door(self),
            where.address or None,
            where.port,
            backlog=backlog,
            reuse_port=reuse_port or None,
            **secured,
        )
        self._tick()

    @property
    def sockets(self) -> Sequence[socket.socket]:
        return () if self._listener is None else tuple(self._listener.sockets)

    @property
    def port(self) -> int:
        """The port that was taken, also when the settings said 0."""
        return int(self.sockets[0].getsockname()[1])

    def left(self, door: Door) -> None:
        """A connection is gone."""
        self.doors.discard(door)
        if self.draining and not self.doors:
            self._empty.set()

    async def drain(self, seconds: float) -> None:
        """Stop accepting; let requests under way end, for ``seconds`` at most; then close."""
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        for door in tuple(self.doors):
            door.drain()
        if self.doors:
            try:
                async with asyncio.timeout(seconds):
                    await self._empty.wait()
            except TimeoutError:
                for door in tuple(self.doors):
                    door.cut()
                await asyncio.sleep(0)
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _tick(self) -> None:
        now = self.loop.time()
        for door in tuple(self.doors):
            if door.deadline <= now:
                door.expire()
        self.fleet.close_idle(now)
        self._sweep = self.loop.call_later(self._interval(), self._tick)

    def _interval(self) -> float:
        limits = self.limits
        shortest = min(
            limits.header_timeout_s,
            limits.body_timeout_s,
            limits.idle_timeout_s,
            self.fleet.shortest_timeout_s,
        )
        return min(max(shortest / 8, SWEEP_MIN_S), SWEEP_MAX_S)


async def serve_http(
    listen: ListenSettings,
    runtime: Runtime,
    fleet: Fleet,
    telemetry: Telemetry,
    limits: LimitSettings,
    *,
    reuse_port: bool = False,
    backlog: int = 1024,
    dice: Dice = random.random,
    prefill: Prefill | None = None,
    tls: ssl.SSLContext | None = None,
    admission: Admission | None = None,
) -> HttpServer:
    """Listen, and serve until :meth:`HttpServer.drain`. ``reuse_port`` lets workers share it;
    ``tls`` is what clients have to speak then; ``admission`` bounds what is under way."""
    server = HttpServer(runtime, fleet, telemetry, limits, dice, prefill, admission)
    await server.listen(listen, reuse_port=reuse_port, backlog=backlog, tls=tls)
    return server
