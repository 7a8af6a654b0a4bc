"""Prefer the server that answered this conversation last: it has read most of it already."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt

from wayside.catalog import catalog
from wayside.endpoints import Scores
from wayside.settings import Settings
from wayside.vocab.endpoint import Endpoint, Need, Roster
from wayside.vocab.outcome import HeaderPairs
from wayside.vocab.sessions import USUAL_SOURCES, Pins, Source


class SessionAffinityRule(Settings):
    """Example: ``{sources: [{token: x-session-token}, {header: x-session-id}], ttl_s: 300}``"""

    sources: tuple[Source, ...] = USUAL_SOURCES
    """Where a request says which conversation it belongs to; the first that it has counts. One of
    `header`, `cookie`, `field` (of the body) or `token` (a header that names the server)."""
    ttl_s: PositiveFloat = 300.0
    """How long a conversation is remembered after its last request, in seconds."""
    max_sessions: PositiveInt = 65536
    """Conversations remembered at most; those unused for longest are forgotten first."""


@catalog.register("scorer", "session_affinity", settings=SessionAffinityRule, stability="beta")
class SessionAffinityScorer:
    """1 for the server that has the request's session, nothing for the others.

    With a ``token`` the client's own header says which that is, so that nothing is remembered
    and any router knows it (llm-d's ``session-affinity-scorer``, spec 3.4).
    """

    def __init__(self, rule: SessionAffinityRule) -> None:
        self._pins = Pins(rule.sources, rule.max_sessions, rule.ttl_s)

    def score(self, need: Need, roster: Roster) -> Scores:
        position = self._pins.position(need, roster)
        return {} if position is None else {position: 1.0}

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        self._pins.chosen(need, endpoint)

    def forget(self, endpoint: Endpoint) -> None:
        self._pins.forget(endpoint)

    def says(self, need: Need, endpoint: Endpoint) -> HeaderPairs:
        return self._pins.says(need, endpoint)
