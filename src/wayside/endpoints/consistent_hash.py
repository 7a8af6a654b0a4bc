"""Send whatever belongs together to the same server, without remembering anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, PositiveInt
from xxhash import xxh3_64_intdigest

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import Endpoint, Need, Roster
from wayside.vocab.errors import ConfigError
from wayside.vocab.hashring import BoundedRing
from wayside.vocab.sessions import Source, reader
from wayside.vocab.spoken import spoken

_SOURCES: tuple[Source, ...] = (
    {"header": "x-session-id"},
    {"header": "x-user-id"},
    {"header": "x-tenant-id"},
    {"header": "x-claude-code-session-id"},
    {"field": "session_params.session_id"},
    {"field": "user"},
    {"field": "session_id"},
    {"field": "user_id"},
)
# vllm-router's order (spec 6.1) without x-request-id, x-correlation-id and x-trace-id: those
# differ from request to request and gateways add them, so that with them no body would be read.


class ConsistentHashRule(Settings):
    """Example: ``{sources: [{header: x-session-id}, {field: user}], load_factor: 1.25}``"""

    sources: tuple[Source, ...] = _SOURCES
    """Where a request says what it belongs to; the first that it has counts. One of `header`,
    `cookie` or `field` (of the body)."""
    characters: PositiveInt = 128
    """A request that says nothing goes by that many bytes of its prompt's beginning."""
    load_factor: Annotated[float, Field(ge=1)] | None = 1.25
    """No server takes more than that many times its share of the requests in flight; null for no
    bound."""
    count: PositiveInt = 1
    """Servers named, in the order in which they are to be tried."""


@catalog.register(
    "picker",
    "consistent_hash",
    settings=ConsistentHashRule,
    stability="beta",
    aliases=("ConsistentHash", "consistent-hash"),
)
class ConsistentHashPicker:
    """The next server on a hash ring after the session, the user or the prompt's beginning."""

    def __init__(self, rule: ConsistentHashRule) -> None:
        if any("token" in source for source in rule.sources):
            raise ConfigError.one(
                "a token names a server, so there is nothing to hash",
                where="sources",
                fix="use the scorer session_affinity for it",
            )
        self._read = reader(rule.sources)
        self._ring = BoundedRing(rule.load_factor)
        self._characters, self._count = rule.characters, rule.count

    def pick(self, need: Need, roster: Roster, totals: Sequence[float]) -> Sequence[int]:
        return self._ring.pick(self._key(need), roster, self._count)

    def forget(self, endpoint: Endpoint) -> None:
        self._ring.forget(endpoint)

    def _key(self, need: Need) -> int:
        session = self._read(need)
        return xxh3_64_intdigest(spoken(need)[: self._characters] if session is None else session)
