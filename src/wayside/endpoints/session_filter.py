"""Keep a conversation on the server that has it, whatever the scorers think."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import PositiveFloat, PositiveInt

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import Endpoint, Need, Roster
from wayside.vocab.outcome import HeaderPairs
from wayside.vocab.sessions import USUAL_SOURCES, Pins, Source


class SessionFilterRule(Settings):
    """Example: ``{sources: [{cookie: session}], ttl_s: 3600}``"""

    sources: tuple[Source, ...] = USUAL_SOURCES
    """Where a request says which conversation it belongs to; the first that it has counts. One of
    `header`, `cookie`, `field` (of the body) or `token` (a header that names the server)."""
    ttl_s: PositiveFloat = 300.0
    """How long a conversation is remembered after its last request, in seconds."""
    max_sessions: PositiveInt = 65536
    """Conversations remembered at most; those unused for longest are forgotten first."""


@catalog.register("filter", "session_filter", settings=SessionFilterRule, stability="beta")
class SessionFilter:
    """Leaves only the server that has the request's session, as long as it may be had.

    Everybody stays where the session is new, where its server is gone or out of rotation; the one
    that takes it then has it from there on (llm-d's ``session-affinity-filter``, spec 3.4).
    """

    def __init__(self, rule: SessionFilterRule) -> None:
        self._pins = Pins(rule.sources, rule.max_sessions, rule.ttl_s)

    def keep(self, need: Need, roster: Roster) -> Sequence[int] | None:
        position = self._pins.position(need, roster)
        return None if position is None else (position,)

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        self._pins.chosen(need, endpoint)

    def forget(self, endpoint: Endpoint) -> None:
        self._pins.forget(endpoint)

    def says(self, need: Need, endpoint: Endpoint) -> HeaderPairs:
        return self._pins.says(need, endpoint)
