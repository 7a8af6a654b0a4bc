"""Kept in a Redis or Valkey server, by several processes together."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, PositiveInt, field_validator

from wayside.catalog import catalog
from wayside.settings import Capability, Settings, TlsSettings
from wayside.stores.base import Held, PasswordSettings, Shelf, Standing, Store, Tools, Which
from wayside.stores.link import Link, Place
from wayside.stores.redis_answers import Answers
from wayside.stores.redis_documents import Documents
from wayside.stores.redis_passages import Passages
from wayside.stores.redis_server import Server
from wayside.vocab.stores import (
    Contents,
    Delete,
    Get,
    Index,
    Listing,
    Passage,
    Put,
    Recall,
    Recalled,
    Release,
    Remember,
    Search,
    Unindex,
)


class RedisSettings(Settings):
    """Example: ``{url: "redis://cache:6379/0", prefix: wayside, timeout_ms: 50}``"""

    url: str = "redis://127.0.0.1:6379/0"
    """``redis://host:port/database``, ``rediss://`` for TLS, or ``unix:///path``; without a
    password in it."""
    username: Annotated[str, Field(max_length=256)] = ""
    """The user of the server's access rules; its default user when empty."""
    password: PasswordSettings | None = None
    """Where the password is found: ``{env: NAME}`` or ``{file: path}``, read again for each
    connection."""
    tls: TlsSettings = TlsSettings()
    """How a ``rediss://`` server is verified."""
    prefix: Annotated[str, Field(max_length=64, pattern="^[A-Za-z0-9_.-]+$")] = "wayside"
    """What the names of all its keys and indexes begin with. Routers with the same one share."""
    timeout_ms: Annotated[int, Field(ge=1, le=10_000)] = 50
    """How long to wait for an answer; then the server counts as away and nothing waits for it
    until it is back."""
    connect_timeout_ms: Annotated[int, Field(ge=1, le=60_000)] = 1_000
    """How long to wait for connections; no request does."""
    connections: Annotated[int, Field(ge=1, le=64)] = 2
    """Connections of one process; each carries many requests at once."""
    search: Literal["auto", "process"] = "auto"
    """Compare vectors in the server where it can, or always in this process."""
    index_max_bytes: PositiveInt = 64 << 20
    """What the vectors of answers in this process take, where the server compares none; those of
    passages may take as much again."""

    @field_validator("url")
    @classmethod
    def _plain(cls, value: str) -> str:
        place_of(value)
        return value


def place_of(url: str) -> Place:
    """Where ``url`` points. Raises ``ValueError`` that says what to write, and never a secret."""
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError:
        raise ValueError("not a URL; write redis://host:6379/0") from None
    if "@" in parts.netloc:
        raise ValueError(
            "a password or user is never written in the URL; write username: NAME and "
            "password: {env: NAME_OF_A_VARIABLE} or {file: /path} beside it"
        )
    if parts.query or parts.fragment:
        raise ValueError("nothing may follow the database; use the settings beside the URL")
    if parts.scheme == "unix":
        if parts.netloc or not parts.path:
            raise ValueError("write unix:///path/of/the/socket")
        return Place(path=unquote(parts.path))
    if parts.scheme not in ("redis", "rediss"):
        raise ValueError("write redis://host:6379/0, rediss:// for TLS, or unix:///path")
    if not parts.hostname:
        raise ValueError("the host is empty; write redis://host:6379/0")
    database = parts.path.strip("/")
    if database and not (database.isascii() and database.isdecimal() and len(database) < 5):
        raise ValueError(f"the database is a number; write {parts.scheme}://{parts.netloc}/0")
    return Place(parts.hostname, port, database=int(database or 0), tls=parts.scheme == "rediss")


@catalog.register("store", "redis", settings=RedisSettings, stability="beta")
class RedisStore(Store):
    """In a Redis or Valkey server: shared by all processes, there after a restart."""

    capabilities: frozenset[Capability] = frozenset({"cache", "documents", "search", "index"})
    shared = True
    lists = True

    def __init__(self, rule: RedisSettings, tools: Tools) -> None:
        try:
            import hiredis  # noqa: F401 - so that its absence is told at start
        except ImportError:
            raise ImportError("needs: pip install 'wayside[redis]'") from None
        password = rule.password.found(tools) if rule.password else None
        link = Link(
            place_of(rule.url),
            login=lambda: (rule.username, password.value if password else ""),
            tls=lambda: ssl.create_default_context(cafile=rule.tls.ca_file),
            server_name=rule.tls.server_name,
            connections=rule.connections,
            timeout_s=rule.timeout_ms / 1000,
            connect_timeout_s=rule.connect_timeout_ms / 1000,
        )
        most = rule.index_max_bytes
        self.server = Server(link, tools, rule.prefix, most, search=rule.search == "auto")
        self.answers = Answers(self.server)
        self.documents = Documents(self.server)
        self.passages = Passages(self.server)

    def open(self) -> None:
        self.server.link.open()

    def close(self) -> None:
        self.answers.close()
        self.server.link.close()
        self.server.finder.close()

    def standing(self) -> Standing:
        return self.server.standing()

    # cache

    def recall(self, question: Recall) -> Awaitable[Recalled]:
        return self.answers.recall(question)

    def remember(self, question: Remember) -> Awaitable[None]:
        return self.answers.remember(question)

    def release(self, question: Release) -> Awaitable[None]:
        return self.answers.release(question)

    async def held(self) -> Held:
        return await self.answers.held()

    async def forget(self, which: Which, *, dry_run: bool = False) -> int:
        return await self.answers.forget(which, dry_run=dry_run)

    async def shelf(self, search: str, limit: int) -> Shelf:
        return await self.answers.shelf(search, limit)

    async def discard(self, id: str) -> bool:
        return await self.answers.discard(id)

    async def flush(self) -> str:
        return await self.answers.flush()

    # documents

    def get(self, question: Get) -> Awaitable[bytes | None]:
        return self.documents.get(question)

    def put(self, question: Put) -> Awaitable[None]:
        return self.documents.put(question)

    def delete(self, question: Delete) -> Awaitable[bool]:
        return self.documents.delete(question)

    def listing(self, question: Listing) -> Awaitable[tuple[tuple[str, bytes], ...]]:
        return self.documents.listing(question)

    # search

    def search(self, question: Search) -> Awaitable[tuple[Passage, ...]]:
        return self.passages.search(question)

    def contents(self, question: Contents) -> Awaitable[tuple[Passage, ...]]:
        return self.passages.contents(question)

    def index(self, question: Index) -> Awaitable[None]:
        return self.passages.index(question)

    def unindex(self, question: Unindex) -> Awaitable[int]:
        return self.passages.unindex(question)
