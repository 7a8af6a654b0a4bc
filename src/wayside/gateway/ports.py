"""What the gateway needs from the rest of the router, and nothing more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from wayside.vocab.ask import Flow
from wayside.vocab.outcome import Outcome, Record, Reply, Request, Tried

T = TypeVar("T")


class Runtime(Protocol):
    """Decides. Never raises for what a client did wrong: that comes back as a ``Reply``."""

    def handle(self, request: Request) -> Outcome | Awaitable[Outcome]: ...

    def turned_away(self, request: Request) -> Reply | None:
        """What a request gets that is not let in, whatever its body says, which may not be here
        yet; ``None`` where it has to be read, or somebody asked, before that is known."""
        ...

    def drive(self, flow: Flow[T]) -> T | Awaitable[T]:
        """Run a tap's flow to its end."""
        ...

    def after(self, flow: Flow[None] | None) -> None:
        """Run what follows an answer; nobody waits for it."""
        ...


class Meter(Protocol):
    """Counts what an answer took as its body goes by; ``tail`` are its last bytes, ``events`` how
    many a stream had."""

    tail: bytes
    events: int

    def feed(self, data: bytes) -> None: ...


class Exchange(Protocol):
    """One request's log line and metrics; :meth:`ended` is called exactly once."""

    @property
    def request_id(self) -> str: ...

    @property
    def inside(self) -> str:
        """``traceparent`` of what is asked on behalf of this request; empty without a trace."""
        ...

    def outgoing(self) -> tuple[str, str]:
        """An attempt begins: the id of its span, and its ``traceparent``; empty without a
        trace."""
        ...

    def routed(self, record: Record) -> None: ...

    def rerouted(self, record: Record) -> None:
        """Another model is asked instead."""
        ...

    def attempt(self, endpoint: str) -> None:
        """A request is about to be sent there."""
        ...

    def tried(self, attempt: Tried) -> None:
        """An attempt is over."""
        ...

    def first_byte(self, status: int) -> None: ...

    def measure(self, *, stream: bool, leads: bool, sent: int) -> Meter:
        """An answer begins; its body goes to the meter."""
        ...

    def ended(self, *, status: int, reason: str = "") -> None: ...


Reads = Callable[[Any, str, dict[str, str], bytes], None]
"""Told of a request when all of it has come: the exchange, path, headers and body."""


class Telemetry(Protocol):
    """Begins exchanges. Its ``reads``, where it has one that is not ``None``, wants to be told of
    each request."""

    def begin(self, *, shell: str, request_id: str | None = None) -> Exchange: ...


class Say(Protocol):
    """A log: constant events with fields."""

    def __call__(self, event: str, *, level: str = "info", **fields: Any) -> None: ...


def silence(event: str, *, level: str = "info", **fields: Any) -> None:
    """The log of those who want none."""
