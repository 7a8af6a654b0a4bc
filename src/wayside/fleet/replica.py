"""One server of a model: how loaded and how healthy it is, and its idle connections.

Knows no protocol and does no I/O: connections are opaque, and the time arrives as an argument.
"""

from __future__ import annotations

import ssl
from collections.abc import Hashable, Mapping
from typing import Protocol

from wayside.fleet.budget import Window
from wayside.settings.address import Address
from wayside.settings.resilience import BreakerSettings, TimeoutSettings
from wayside.vocab.endpoint import NO_LABELS, Endpoint

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


PACE_WEIGHT = 0.1
"""Of the newest time to a first token in a replica's usual one (an exponential average)."""


class Replica(Endpoint):
    """A server in rotation or out of it. ``in_flight`` is attempts under way, ``weight`` >= 0.

    ``troubled``: something failed since the last answer that went well. ``out_until`` is when its
    pause ends, ``why`` what it is for: failures, errors, slow, or retry_after.
    """

    __slots__ = (
        "_answers",
        "_errors",
        "_paces",
        "_timeouts",
        "address",
        "asleep",
        "breaker",
        "down",
        "errors",
        "failures",
        "gpu_metrics",
        "head_s",
        "host_line",
        "identity",
        "idle",
        "max_in_flight",
        "on_trial",
        "out_until",
        "pace",
        "pauses",
        "retired",
        "secure",
        "standby",
        "token_s",
        "troubled",
        "why",
    )

    def __init__(
        self,
        name: str,
        address: Address,
        *,
        weight: float = 1.0,
        timeouts: TimeoutSettings | None = None,
        breaker: BreakerSettings | None = None,
        max_in_flight: int | None = None,
        secure: Secure | None = None,
        identity: Hashable = None,
        labels: Mapping[str, str] = NO_LABELS,
        gpu_metrics: str | None = None,
        standby: bool = False,
    ) -> None:
        super().__init__(name, address.netloc, weight=weight, labels=labels)
        self.gpu_metrics = gpu_metrics
        """The page of an exporter that tells of its GPUs, where it has its own."""
        self.standby = standby
        """Whether it is asked only while none of the others can be."""
        self.address = address
        self.timeouts = timeouts or TimeoutSettings()
        self.secure, self.identity = secure, identity
        self.host_line = b"host: " + address.authority.encode("ascii") + b"\r\n"
        self.breaker = breaker or BreakerSettings()
        self.max_in_flight = max_in_flight
        self.troubled = False
        self.failures = self.errors = 0
        self.pauses = 0
        self.out_until = 0.0
        self.why = ""
        self.pace = 0.0
        """Its usual time to the first token, in seconds; 0 while it is not known."""
        self._paces = 0
        self._answers = Window(self.breaker.window_s)
        self._errors = Window(self.breaker.window_s)
        self.on_trial = False
        self.down: frozenset[str] = frozenset()
        """Why it is left out by those who look after it: health, models."""
        self.asleep = False
        """Whether it was put to sleep: it takes no request until it is woken."""
        self.retired = False
        self.idle: list[Idle] = []

    @property
    def timeouts(self) -> TimeoutSettings:
        """``head_s`` and ``token_s`` are what they come to: seconds from a request to the head of
        its answer and to its first data."""
        return self._timeouts

    @timeouts.setter
    def timeouts(self, timeouts: TimeoutSettings) -> None:
        self._timeouts = timeouts
        self.token_s = timeouts.until_token_s
        self.head_s = min(timeouts.first_byte_s, self.token_s)

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
        if self.troubled:
            self.troubled = False
            self.failures = self.errors = self.pauses = 0
            self.out_until = 0.0

    def failed(self, now: float) -> bool:
        """A connect failed, or a response broke. True if the replica leaves the rotation."""
        self.failures += 1
        self.troubled = True
        self.on_trial = False
        if self.failures < self.breaker.failures or now < self.out_until:
            return False
        self.leave(now, "failures")
        return True

    def erred(self, now: float) -> bool:
        """It answered with an error of its own. True if it should leave the rotation."""
        breaker = self.breaker
        self.errors += 1
        self.troubled = True
        if breaker.errors and self.errors >= breaker.errors:
            return True
        if breaker.error_share is None:
            return False
        self._errors.add(now)
        self._answers.add(now)
        answers = self._answers.total(now)
        return (
            answers >= breaker.least_requests
            and self._errors.total(now) >= breaker.error_share * answers
        )

    def answered(self, now: float) -> None:
        """It answered, and not with an error of its own."""
        if self.breaker.error_share is not None:
            self._answers.add(now)

    def took(self, seconds: float) -> bool:
        """Its answer began after this; whether its pace can be judged by now."""
        self._paces += 1
        self.pace = self.pace + PACE_WEIGHT * (seconds - self.pace) if self.pace else seconds
        return self._paces >= self.breaker.least_requests

    def leave(self, now: float, why: str) -> None:
        """Out of the rotation, for twice as long as the last time."""
        breaker = self.breaker
        pause = breaker.pause_s * 2.0 ** min(self.pauses, 16)
        self.out_until = now + min(pause, breaker.longest_pause_s)
        self.pauses += 1
        self.troubled = True
        self.on_trial = False
        self.why = why
        self.pace, self._paces = 0.0, 0  # judged anew when it is back

    def cool(self, until: float) -> None:
        """It asked to be left alone until then."""
        if until > self.out_until:
            self.out_until, self.why = until, "retry_after"

    def __repr__(self) -> str:
        return f"Replica({self.name}, in_flight={self.in_flight}, failures={self.failures})"
