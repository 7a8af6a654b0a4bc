"""Which conversation a request belongs to, as its client says, and where that was last answered.

Identifiers are kept as 16-byte hashes: nothing of a header or a body outlives its request.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal

import msgspec
from xxhash import xxh3_128_digest

from wayside.vocab.endpoint import UNREADABLE, Endpoint, Need, Roster
from wayside.vocab.errors import ConfigError, Problem

Where = Literal["header", "cookie", "field", "token"]
Source = dict[Where, str]
"""One place to look: ``{header: x-session-id}``, ``{cookie: session}``, ``{field: user}`` of the
body (dots lead into objects), or ``{token: x-session-token}``: a header that names the server
itself, in base64, as our earlier answer told the client."""

USUAL_SOURCES: tuple[Source, ...] = (
    {"header": "x-session-id"},
    {"header": "x-claude-code-session-id"},
    {"header": "x-conversation-id"},
    {"field": "session_params.session_id"},
    {"field": "session_id"},
)
"""The usual header, those of agents, and what vllm-router reads of bodies (spec 6.1)."""

Read = Callable[[Need], bytes | None]
"""The key of a request's session, 16 bytes; ``None`` where it names none."""
_LONGEST_TOKEN = 1024


def reader(sources: Sequence[Source], where: str = "sources") -> Read:
    """What finds the first of ``sources`` that a request has; tokens are not for it.

    Raises :class:`ConfigError`.
    """
    problems = [
        Problem(f"one place at a time, not {len(s)}", f"{where}[{i}]", "write {header: NAME}")
        for i, s in enumerate(sources)
        if len(s) != 1
    ]
    if problems:
        raise ConfigError(problems)
    steps: list[Callable[[Need], str | None]] = []
    fields = _Fields([s["field"].partition(".")[0] for s in sources if "field" in s])
    for source in sources:
        ((kind, name),) = source.items()
        if kind == "header":
            steps.append(_header(name.lower()))
        elif kind == "cookie":
            steps.append(_cookie(name))
        elif kind == "field":
            steps.append(_field(name, fields))

    def read(need: Need) -> bytes | None:
        for i, step in enumerate(steps):
            said = step(need)
            if said:
                return xxh3_128_digest(f"{i} {said}".encode("utf-8", "surrogatepass"))
        return None

    return read


def token_headers(sources: Sequence[Source]) -> tuple[str, ...]:
    """The headers that carry tokens."""
    return tuple(s["token"].lower() for s in sources if "token" in s)


def token_of(endpoint: Endpoint) -> str:
    """What names a server to clients: its name in base64, as llm-d's ``x-session-token`` has it
    (spec 3.4); a digest where its name is its address, which is nobody else's business."""
    return _token(endpoint.name, endpoint.name == endpoint.host_port)


@lru_cache(maxsize=4096)
def _token(name: str, hide: bool) -> str:
    said = name.encode("utf-8", "surrogatepass")
    if hide:
        said = blake2b(said, digest_size=18, person=b"x-session-token").digest()
    return base64.b64encode(said).decode("ascii")


def by_token(token: str | None, roster: Roster) -> int | None:
    """The position of the server that a token names; ``None`` where it names none of these."""
    if not token or len(token) > _LONGEST_TOKEN:
        return None
    tokens: dict[str, int] | None = roster.memo.get(by_token)
    if tokens is None:
        tokens = {token_of(e): i for i, e in enumerate(roster.endpoints)}
        roster.memo[by_token] = tokens
    return tokens.get(token)


class _Home:
    """Where sessions are; nowhere once the server was forgotten, so that this is done at once
    however many it has."""

    __slots__ = ("endpoint",)

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint: Endpoint | None = endpoint


class Sessions:
    """The last ``most`` sessions and the servers that have them, for ``ttl_s`` after each use."""

    __slots__ = ("_held", "_homes", "_most", "_ttl_s")

    def __init__(self, most: int, ttl_s: float) -> None:
        self._most, self._ttl_s = most, ttl_s
        self._held: OrderedDict[bytes, tuple[_Home, float]] = OrderedDict()
        self._homes: dict[Endpoint, _Home] = {}

    def __len__(self) -> int:
        return len(self._held)

    def find(self, key: bytes, now: float) -> Endpoint | None:
        found = self._held.get(key)
        return found[0].endpoint if found is not None and found[1] > now else None

    def keep(self, key: bytes, endpoint: Endpoint, now: float) -> None:
        home = self._homes.get(endpoint)
        if home is None:
            home = self._homes[endpoint] = _Home(endpoint)
        held = self._held
        held[key] = (home, now + self._ttl_s)
        held.move_to_end(key)
        while len(held) > self._most or (held and next(iter(held.values()))[1] <= now):
            held.popitem(last=False)

    def forget(self, endpoint: Endpoint) -> None:
        """Its sessions may go anywhere."""
        home = self._homes.pop(endpoint, None)
        if home is not None:
            home.endpoint = None


class Pins:
    """What ``session_affinity`` and ``session_filter`` share: where a request's session is."""

    __slots__ = ("_read", "_sessions", "_tokens")

    def __init__(self, sources: Sequence[Source], most: int, ttl_s: float) -> None:
        """Raises :class:`ConfigError`."""
        self._read, self._tokens = reader(sources), token_headers(sources)
        self._sessions = Sessions(most, ttl_s)

    def position(self, need: Need, roster: Roster) -> int | None:
        """Of the server that has the session, if it is there."""
        for header in self._tokens:
            position = by_token(need.headers.get(header), roster)
            if position is not None:
                return position
        key = self._key(need)
        server = None if key is None else self._sessions.find(key, need.now)
        return None if server is None else roster.positions.get(server)

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        key = self._key(need)
        if key is not None:
            self._sessions.keep(key, endpoint, need.now)

    def forget(self, endpoint: Endpoint) -> None:
        self._sessions.forget(endpoint)

    def says(self, need: Need, endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
        if not self._tokens:
            return ()
        return tuple([(header, token_of(endpoint)) for header in self._tokens])

    def _key(self, need: Need) -> bytes | None:
        memo = need.memo
        if self not in memo:
            memo[self] = self._read(need)
        found: bytes | None = memo[self]
        return found


def _header(name: str) -> Callable[[Need], str | None]:
    return lambda need: need.headers.get(name)


def _cookie(name: str) -> Callable[[Need], str | None]:
    def read(need: Need) -> str | None:
        for pair in need.headers.get("cookie", "").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value.strip('"')
        return None

    return read


class _Fields:
    """Some fields of a body, read together and once."""

    __slots__ = ("_decode", "_names")

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {name: f"field{i}" for i, name in enumerate(dict.fromkeys(names))}
        shape = msgspec.defstruct(
            "Fields",
            [(ours, Any, None) for ours in self._names.values()],
            rename={ours: name for name, ours in self._names.items()},
        )
        self._decode = msgspec.json.Decoder(shape).decode

    def read(self, need: Need, name: str) -> Any:
        """``None`` where it is not there."""
        memo = need.memo
        if self not in memo:
            try:
                memo[self] = self._decode(need.body)
            except UNREADABLE:  # not JSON, or no object
                memo[self] = None
        return getattr(memo[self], self._names[name], None)


def _field(path: str, fields: _Fields) -> Callable[[Need], str | None]:
    first, *rest = path.split(".")

    def read(need: Need) -> str | None:
        found = fields.read(need, first)
        for name in rest:
            found = found.get(name) if isinstance(found, dict) else None
        return str(found) if isinstance(found, str | int) else None

    return read
