"""The store in one SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from wayside.stores.base import Tools
from wayside.stores.sqlite import SqliteSettings, SqliteStore
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import Delete, Get, Listing, Put

S = "disk"


class Opened:
    """Opens stores on one file, and closes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stores: list[SqliteStore] = []
        self.reports: list[tuple[str, dict[str, Any]]] = []

    def store(self, **settings: Any) -> SqliteStore:
        rule = SqliteSettings(path=str(self.path), **settings)
        tools = Tools(S, report=lambda event, **fields: self.reports.append((event, fields)))
        self.stores.append(SqliteStore(rule, tools))
        return self.stores[-1]


@pytest_asyncio.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    found = Opened(tmp_path / "state.db")
    yield found
    for store in found.stores:
        store.close()
        store._thread.shutdown(wait=True)


async def keys(store: SqliteStore, space: str = "a", **more: int) -> list[str]:
    return [key for key, _ in await store.listing(Listing(S, space, **more))]


async def test_documents_of_one_space_are_not_seen_in_another(opened: Opened) -> None:
    kept = opened.store()
    await kept.put(Put(S, "a", "k", b"\x00one"))
    assert await kept.get(Get(S, "a", "k")) == b"\x00one"
    assert await kept.get(Get(S, "b", "k")) is None
    assert await kept.listing(Listing(S, "b")) == ()
    assert not await kept.delete(Delete(S, "b", "k"))
    assert await kept.delete(Delete(S, "a", "k"))
    assert await kept.get(Get(S, "a", "k")) is None


async def test_it_outlives_its_process_and_is_shared(opened: Opened) -> None:
    first, second = opened.store(), opened.store()
    await first.put(Put(S, "a", "k", b"1"))
    assert await second.get(Get(S, "a", "k")) == b"1"
    await second.put(Put(S, "a", "k", b"2"))
    assert await first.get(Get(S, "a", "k")) == b"2"


async def test_many_writers_lose_nothing(opened: Opened) -> None:
    stores = [opened.store(timeout_s=30) for _ in range(3)]
    puts = [s.put(Put(S, "a", f"{i}-{n}", b"x")) for i, s in enumerate(stores) for n in range(20)]
    await asyncio.gather(*puts)
    assert len(await keys(stores[0], limit=1000)) == 60


async def test_a_document_ends_with_its_time_or_the_stores(opened: Opened) -> None:
    kept = opened.store(ttl_s=10)
    now = 100.0
    kept.clock = lambda: now
    await kept.put(Put(S, "a", "short", b"1", ttl_s=5))
    await kept.put(Put(S, "a", "long", b"1", ttl_s=500))
    now = 106.0
    assert await keys(kept) == ["long"]
    assert not await kept.delete(Delete(S, "a", "short"))
    now = 111.0
    assert await kept.get(Get(S, "a", "long")) is None
    await kept.put(Put(S, "a", "new", b"1"))
    db = sqlite3.connect(opened.path)
    assert db.execute("SELECT count(*) FROM wayside_documents").fetchone() == (1,)
    db.close()


async def test_the_newest_come_first_and_the_oldest_make_room(opened: Opened) -> None:
    kept = opened.store(max_rows=3)
    for i in range(5):
        await kept.put(Put(S, "a", str(i), b"x"))
    await kept.put(Put(S, "a", "3", b"again"))
    assert await keys(kept) == ["3", "4", "2"]
    assert await keys(kept, limit=1, offset=1) == ["4"]


async def test_bytes_are_bounded(opened: Opened) -> None:
    kept = opened.store(max_bytes=50_000)
    for i in range(50):
        await kept.put(Put(S, "a", str(i), bytes(4000)))
    held = await kept.listing(Listing(S, "a"))
    assert held[0][0] == "49"
    assert 40_000 < sum(len(value) for _, value in held) <= 50_000
    assert opened.path.stat().st_size < 200_000
    with pytest.raises(AskFailed, match="larger than the store"):
        await kept.put(Put(S, "a", "huge", bytes(50_001)))


async def test_a_space_keeps_as_many_as_were_asked_for(opened: Opened) -> None:
    kept = opened.store()
    await kept.put(Put(S, "b", "other", b"x"))
    for i in range(4):
        await kept.put(Put(S, "a", str(i), b"x", most=2))
    assert await keys(kept) == ["3", "2"]
    assert await keys(kept, "b") == ["other"]


async def test_names_are_values_never_statements(opened: Opened) -> None:
    kept = opened.store()
    name = "'; DROP TABLE wayside_documents; --"
    await kept.put(Put(S, name, name, b"x"))
    assert await kept.get(Get(S, name, name)) == b"x"


async def test_nobody_else_may_read_the_file(opened: Opened) -> None:
    await opened.store().put(Put(S, "a", "k", b"x"))
    files = list(opened.path.parent.glob("state.db*"))
    assert files and all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


async def test_a_file_that_is_no_database_fails_the_question_and_is_reported(
    opened: Opened,
) -> None:
    opened.path.write_bytes(b"this is no database" * 100)
    kept = opened.store()
    with pytest.raises(AskFailed, match="'disk': file is not a database"):
        await kept.get(Get(S, "a", "k"))
    assert opened.reports == [("store_failed", {"store": S, "error": "file is not a database"})]


async def test_a_later_schema_is_left_alone(opened: Opened) -> None:
    db = sqlite3.connect(opened.path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(AskFailed, match="later version"):
        await opened.store().get(Get(S, "a", "k"))


async def test_a_locked_file_costs_the_time_it_may_and_not_the_loop(opened: Opened) -> None:
    kept = opened.store(timeout_s=0.2)
    await kept.put(Put(S, "a", "k", b"x"))
    other = sqlite3.connect(opened.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    turns = 0

    async def ticking() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    ticks = asyncio.create_task(ticking())
    with pytest.raises((AskFailed, TimeoutError)):
        await kept.put(Put(S, "a", "k", b"y"))
    assert await kept.get(Get(S, "a", "k")) == b"x", "readers do not wait for writers"
    assert turns > 3, "the event loop went on"
    ticks.cancel()
    other.execute("ROLLBACK")
    other.close()
    await kept.put(Put(S, "a", "k", b"z"))
    assert await kept.get(Get(S, "a", "k")) == b"z"


async def test_too_many_at_once_fail_at_once(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wayside.stores.sqlite.MAX_WAITING", 2)
    kept = opened.store()
    asked = [kept.get(Get(S, "a", "k")) for _ in range(3)]
    said = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in said].count(AskFailed) == 1


async def test_a_closed_store_says_so(opened: Opened) -> None:
    kept = opened.store()
    kept.close()
    with pytest.raises(AskFailed, match="closed"):
        await kept.get(Get(S, "a", "k"))


def test_a_folder_that_is_not_there_is_told_on_load(tmp_path: Path) -> None:
    rule = SqliteSettings(path=str(tmp_path / "nowhere" / "state.db"))
    with pytest.raises(AskFailed, match="there is no folder"):
        SqliteStore(rule, Tools(S))
