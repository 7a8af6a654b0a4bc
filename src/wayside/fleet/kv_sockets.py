"""ZeroMQ subscribers on the event loop, that leave it to others however much they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import zmq

TURN_S: Final = 0.002
"""Time that messages, of all servers together, get before others have a turn."""
PART: Final = 8
"""Messages of one server before another's."""
UNREAD: Final = 10_000
"""Messages that wait for us, per server; further ones are lost."""
LARGEST: Final = 4 << 20
"""Bytes of a message, some 800,000 tokens; a publisher that sends more is left."""
MOST_SOCKETS: Final = 16384
"""Servers and ranks that are dialled; ZeroMQ has 1,023 if nobody asks for more."""
_HEARTBEAT_MS, _SILENCE_MS = 5_000, 15_000
_RECONNECT_MS, _RECONNECT_MOST_MS = 100, 5_000

Told = Callable[[str], None]
Take = Callable[[bytes, int, bytes], None]
"""A message: its topic, its number, its body."""


class Turns:
    """Sockets that may have messages: each has some read, in turn, for ``TURN_S`` of the event
    loop's time at once, however many they are."""

    def __init__(self) -> None:
        self._waiting: dict[Socket, None] = {}
        self._planned = False

    def add(self, socket: Socket) -> None:
        self._waiting[socket] = None
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._go)

    def drop(self, socket: Socket) -> None:
        self._waiting.pop(socket, None)

    def _go(self) -> None:
        self._planned = False
        loop = asyncio.get_running_loop()
        until = loop.time() + TURN_S
        while self._waiting:
            if loop.time() > until:
                self._planned = True
                # Not at once: what came in meanwhile is looked at first.
                loop.call_later(TURN_S, self._go)
                return
            socket = next(iter(self._waiting))
            del self._waiting[socket]
            try:
                more = socket.read(PART, until)
            except Exception:
                self._waiting[socket] = None
                self._planned = True
                loop.call_later(TURN_S, self._go)
                raise
            if more:
                self._waiting[socket] = None


class Socket:
    """A subscriber on the event loop. It connects again by itself, however often."""

    def __init__(self, zmq: Any, topic: str, take: Take, told: Told, turns: Turns) -> None:
        """Raises ``ZMQError`` where there can be no more of them."""
        self._zmq, self._take, self._told, self._turns = zmq, take, told, turns
        self._socket: zmq.Socket[bytes] = _context(zmq).socket(zmq.SUB)
        self._loop = asyncio.get_running_loop()
        self._descriptor = -1
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.RCVHWM, UNREAD),
            (zmq.MAXMSGSIZE, LARGEST),
            (zmq.HEARTBEAT_IVL, _HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, _SILENCE_MS),
            (zmq.RECONNECT_IVL, _RECONNECT_MS),
            (zmq.RECONNECT_IVL_MAX, _RECONNECT_MOST_MS),
            (zmq.IPV6, 1),
        ):
            self._socket.setsockopt(option, value)
        self._socket.subscribe(topic.encode())

    def open(self, how: Literal["connect", "bind"], where: str) -> None:
        """Raises ``ZMQError``; that nobody is there is none."""
        (self._socket.connect if how == "connect" else self._socket.bind)(where)
        self._descriptor = int(self._socket.getsockopt(self._zmq.FD))
        self._loop.add_reader(self._descriptor, self._turns.add, self)
        self._turns.add(self)  # ZeroMQ signals once for all that is there

    @property
    def where(self) -> str:
        """The address that it has."""
        return str(self._socket.getsockopt_string(self._zmq.LAST_ENDPOINT))

    def close(self) -> None:
        self._turns.drop(self)
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = -1
        self._socket.close()

    def read(self, most: int, until: float) -> bool:
        """Take in that many messages at most; whether there may be more. ZeroMQ signals what
        comes only after all was read."""
        for _ in range(most):
            if self._descriptor < 0:
                return False
            try:
                frames = self._socket.recv_multipart(self._zmq.NOBLOCK)
            except self._zmq.Again:
                return False
            if len(frames) == 3 and len(frames[1]) == 8:
                self._take(frames[0], int.from_bytes(frames[1], "big"), frames[2])
            else:
                self._told("malformed")
            if self._loop.time() > until:
                break
        return self._descriptor >= 0


@cache
def _context(zmq: Any) -> Any:
    """One thread serves every socket of this process."""
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, MOST_SOCKETS)
    return context
