"""One server of a model: how loaded and how healthy it is, and its idle connections.

Knows no protocol and does no I/O: connections are opaque, and the time arrives as an argument.
"""

from __future__ import annotations

import ssl
from collections.abc import Hashable
from typing import Protocol

from wayside.settings.address import Address
from wayside.settings.resilience import TimeoutSettings

FAILURES_TO_LEAVE = 2
"""Consecutive failures after which a replica leaves the rotation."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
"""A replica stays out for 1, 2, 4, ... 30 seconds, then is tried again with one request."""

IDLE_MAX = 256
"""Idle connections kept per replica; further ones are closed."""
IDLE_S = 30.0
"""An idle connection older than this is closed rather than used."""
AGE_MAX_S = 600.0
"""A connection older than this is not kept, so that a changed DNS record is followed."""


class Idle(Protocol):
    """A kept-alive connection between two requests. ``born`` and ``idle_since`` are seconds."""

    alive: bool
    born: float
    idle_since: float

    def close(self) -> None: ...


class Secure:
    """How to speak TLS to a replica: the verifying context, and the name to verify."""

    __slots__ = ("context", "server_name")

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self.context, self.server_name = context, server_name


class Replica:
    """A server in rotation or out of it. ``in_flight`` is attempts under way, ``weight`` >= 0."""

    __slots__ = (
        "address",
        "failures",
        "host_line",
        "identity",
        "idle",
        "in_flight",
        "name",
        "on_trial",
        "out_until",
        "pauses",
        "retired",
        "secure",
        "timeouts",
        "weight",
    )

    def __init__(
        self,
        name: str,
        address: Address,
        *,
        weight: float = 1.0,
        timeouts: TimeoutSettings | None = None,
        secure: Secure | None = None,
        identity: Hashable = None,
    ) -> None:
        self.name, self.address, self.weight = name, address, weight
        self.timeouts = timeouts or TimeoutSettings()
        self.secure, self.identity = secure, identity
        self.host_line = b"host: " + address.authority.encode("ascii") + b"\r\n"
        self.in_flight = 0
        self.failures = 0
        self.pauses = 0
        self.out_until = 0.0
        self.on_trial = False
        self.retired = False
        self.idle: list[Idle] = []

    def take(self, now: float) -> Idle | None:
        """The most recently used idle connection that is still good, if there is one."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if connection.alive and now - connection.idle_since < IDLE_S:
                return connection
            connection.close()
        return None

    def keep(self, connection: Idle, now: float) -> None:
        """Take a connection back after a complete response; closes it if it is not wanted."""
        if self.retired or len(self.idle) >= IDLE_MAX or now - connection.born > AGE_MAX_S:
            connection.close()
            return
        connection.idle_since = now
        self.idle.append(connection)

    def close_idle(self, now: float) -> None:
        """Close what has been idle for too long. Called now and then by the shell."""
        keep: list[Idle] = []
        for connection in self.idle:
            if connection.alive and now - connection.idle_since < IDLE_S:
                keep.append(connection)
            else:
                connection.close()
        self.idle = keep

    def retire(self) -> None:
        """Removed from the settings: requests under way end, nothing is kept for later."""
        self.retired = True
        for connection in self.idle:
            connection.close()
        self.idle.clear()

    def answers(self) -> None:
        """The first byte of a response arrived: a trial is over."""
        self.on_trial = False

    def completed(self) -> None:
        """A response ended well: whatever failed before is forgotten."""
        if self.failures:
            self.failures = self.pauses = 0
            self.out_until = 0.0

    def failed(self, now: float) -> bool:
        """A connect failed, or a response broke. True if the replica leaves the rotation."""
        self.failures += 1
        self.on_trial = False
        if self.failures < FAILURES_TO_LEAVE or now < self.out_until:
            return False
        self.out_until = now + min(FIRST_PAUSE_S * 2.0 ** min(self.pauses, 16), LONGEST_PAUSE_S)
        self.pauses += 1
        return True

    def __repr__(self) -> str:
        return f"Replica({self.name}, in_flight={self.in_flight}, failures={self.failures})"
