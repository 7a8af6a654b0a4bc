"""What all sessions of one picker share: who chooses, the limits, and encoded replies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from wayside.epp import metadata
from wayside.epp.headers import Echo
from wayside.epp.refusals import Refusal
from wayside.epp.requests import Asked, Sent, Visit
from wayside.epp.session import Session
from wayside.extproc import wire
from wayside.extproc.session import Say, silence
from wayside.telemetry.tracing import Tracer


class Director(Protocol):
    """Says where a request goes."""

    def choose(self, asked: Asked) -> Sent | Refusal | Awaitable[Sent | Refusal]: ...


class Telemetry(Protocol):
    """Begins visits."""

    def begin(self, request_id: str, now: float) -> Visit: ...


class Door:
    """``held`` counts body bytes waiting in all sessions. ``clock`` is in seconds.

    ``assumed`` is the body mode, both ways, of an Envoy that does not say (before 1.34).
    ``counts``: the tokens of answers are read. ``skips``: a stream ends as soon as the request is
    on its way, unless something needs its answer. ``conformance``: the headers with which the
    Gateway API's conformance suite steers its reference picker.
    """

    def __init__(
        self,
        director: Director,
        telemetry: Telemetry,
        *,
        clock: Callable[[], float],
        max_body_bytes: int = 64 << 20,
        max_held_bytes: int | None = None,
        assumed: int = wire.FULL_DUPLEX_STREAMED,
        counts: bool = True,
        skips: bool = False,
        conformance: bool = False,
        verbose: bool = False,
        log: Say = silence,
    ) -> None:
        self.director, self.telemetry, self.clock = director, telemetry, clock
        self.max_body_bytes = max_body_bytes
        self.max_held_bytes = max_held_bytes or max(256 << 20, 4 * max_body_bytes)
        self.assumed = wire.Protocol(assumed, assumed, assumed == wire.FULL_DUPLEX_STREAMED)
        self.counts, self.skips, self.conformance = counts and not skips, skips, conformance
        self.verbose, self.log = verbose, log
        self.held = 0
        self.tracer: Tracer | None = None
        """Whoever traces requests."""
        self.echo = Echo()
        self._chosen: dict[str, bytes] = {}

    def session(self) -> Session:
        """A talk about one request."""
        return Session(self)

    def chosen(self, sent: Sent) -> bytes:
        """The metadata that names where it goes, encoded once per destination."""
        if sent.scores is not None:
            return metadata.chosen(sent.destination, sent.scores)
        found = self._chosen.get(sent.destination)
        if found is None:
            found = metadata.chosen(sent.destination)
            if len(self._chosen) >= 4096:
                self._chosen.clear()
            self._chosen[sent.destination] = found
        return found
