"""What a session asks of the director, and what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from wayside.endpoints import Profile
from wayside.vocab.endpoint import Endpoint, Need
from wayside.vocab.outcome import HeaderPairs


class Asked:
    """One request. ``headers`` have lower-case names and include Envoy's (``:path``).

    ``subset``: the endpoints that may be chosen, ``None`` for all. ``bodiless``: it ended with
    its headers, so that it may go anywhere.
    """

    __slots__ = ("bodiless", "body", "headers", "subset")

    def __init__(
        self,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        subset: tuple[str, ...] | None = None,
        bodiless: bool = False,
    ) -> None:
        self.headers, self.body = headers, body
        self.subset, self.bodiless = subset, bodiless


class Part:
    """One attempt that a profile chose an endpoint for."""

    __slots__ = ("endpoint", "need", "profile")

    def __init__(self, profile: Profile, need: Need, endpoint: Endpoint) -> None:
        self.profile, self.need, self.endpoint = profile, need, endpoint


class Errand:
    """A request under way: tells those who chose what becomes of it, and counts it.

    ``parts`` are the endpoints that take part, that which answers first. Each hears ``ended``
    exactly once, however often and however the request is said to be over.
    """

    __slots__ = ("_answered", "_on_end", "_over", "_parts", "_since")

    def __init__(
        self, parts: list[Part], now: float, on_end: Callable[[], None] | None = None
    ) -> None:
        self._parts, self._since, self._on_end = parts, now, on_end
        self._answered = self._over = False
        self._count(1)
        try:
            for part in parts:
                part.profile.chosen(part.need, part.endpoint)
        except BaseException:
            self._count(-1)
            raise

    @property
    def follows(self) -> bool:
        """Whether somebody wants to hear of the answer, or of its end."""
        if self._on_end is not None:
            return True
        return any(p.profile.answers or p.profile.ends or p.profile.tells for p in self._parts)

    @property
    def listens(self) -> bool:
        """Whether somebody wants to hear when the answer began."""
        return any(p.profile.answers for p in self._parts)

    def answered(self, now: float) -> None:
        """The answer began, with the first of its body."""
        if self._answered or self._over:
            return
        self._answered = True
        for part in self._parts:
            part.profile.answered(part.need, part.endpoint, now - self._since)

    def says(self) -> HeaderPairs:
        """What those who chose want on the client's answer."""
        if not self._parts:
            return ()
        part = self._parts[0]
        return part.profile.says(part.need, part.endpoint)

    def ended(self) -> None:
        """It is over."""
        if self._over:
            return
        self._over = True
        self._count(-1)
        try:
            for part in self._parts:
                part.profile.ended(part.need, part.endpoint)
        finally:
            if self._on_end is not None:
                self._on_end()

    def _count(self, more: int) -> None:
        for part in self._parts:
            part.endpoint.in_flight += more


class Sent:
    """Where a request goes, and as what.

    ``destination`` is ``ip:port``, or several with commas, the best first. ``model`` is what the
    client called it, ``target`` what the server does; both are empty where nobody read the body.
    """

    __slots__ = (
        "body", "destination", "errand", "fairness", "headers", "model", "priority", "scores",
        "skips", "stream", "target",
    )  # fmt: skip

    def __init__(
        self,
        destination: str,
        body: bytes,
        errand: Errand,
        *,
        model: str = "",
        target: str = "",
        priority: int = 0,
        fairness: str = "",
        stream: bool = False,
        headers: HeaderPairs = (),
        scores: Mapping[str, float] | None = None,
        skips: bool = False,
    ) -> None:
        self.destination, self.body, self.errand = destination, body, errand
        self.model, self.target = model, target
        self.priority, self.fairness, self.stream = priority, fairness, stream
        self.headers, self.scores = headers, scores
        self.skips = skips
        """Nobody needs to see the answer: its API is one whose answers nobody reads."""


class Visit(Protocol):
    """Telemetry of one request; :meth:`ended` is called exactly once, and last."""

    def sent(self, sent: Sent) -> None: ...
    def refused(self, code: str) -> None: ...
    def piece(self, now: float, seconds: float, *, stream: bool) -> None:
        """A piece of the answer came, or its headers where its body is not shown; ``seconds``
        is what that took us."""
        ...

    def took(self, prompt: int, completion: int, cached: int, *, stream: bool) -> None: ...
    def ended(self, *, complete: bool, size: int = 0) -> None: ...
