"""Documents in one SQLite file, shared by the processes of one machine.

One thread does all the work, so that no request waits for the disk but those that asked. The file
is in WAL mode: several processes may read and write it. Source: sqlite.org, "Write-Ahead Logging"
and "PRAGMA Statements".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, PositiveFloat, PositiveInt

from wayside.catalog import catalog
from wayside.settings import Capability, Settings
from wayside.stores.base import Store, Tools
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import Delete, Get, Listing, Put

T = TypeVar("T")
MAX_WAITING = 1000
"""Questions under way at once; further ones fail at once."""
BATCH = 256
"""Rows that make room at a time."""
VERSION = 1
_SCHEMA = """
CREATE TABLE wayside_documents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    space TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    until REAL,
    size INTEGER NOT NULL,
    UNIQUE (space, key)
);
CREATE INDEX wayside_documents_until ON wayside_documents (until) WHERE until IS NOT NULL;
CREATE INDEX wayside_documents_newest ON wayside_documents (space, seq);
CREATE TABLE wayside_total (held INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO wayside_total VALUES (0, 0);
CREATE TRIGGER wayside_in AFTER INSERT ON wayside_documents BEGIN
    UPDATE wayside_total SET held = held + 1, bytes = bytes + new.size;
END;
CREATE TRIGGER wayside_out AFTER DELETE ON wayside_documents BEGIN
    UPDATE wayside_total SET held = held - 1, bytes = bytes - old.size;
END;
"""
ROW_BYTES = 100
"""Of a document beside its texts and value: its row, and its places in three indexes."""


class SqliteSettings(Settings):
    """Example: ``{path: wayside-state.db}``"""

    path: Annotated[str, Field(min_length=1)]
    """The file; made where there is none, readable by its owner alone. Its folder must exist and
    be on this machine: locks do not work over a network."""
    max_bytes: PositiveInt = 1 << 30
    """All that it holds together; what was written longest ago goes first."""
    max_rows: PositiveInt = 1_000_000
    """As many documents at most."""
    ttl_s: PositiveFloat | None = None
    """The longest that any is kept, whoever put it there; unset, as long as they say."""
    timeout_s: PositiveFloat = 2.0
    """How long one answer may take, waiting for other processes included."""


@catalog.register("store", "sqlite", settings=SqliteSettings, stability="beta")
class SqliteStore(Store):
    """Documents in one file: they outlive restarts, and the processes of a machine share them."""

    capabilities: frozenset[Capability] = frozenset({"documents"})

    def __init__(self, rule: SqliteSettings, tools: Tools) -> None:
        folder = Path(rule.path).absolute().parent
        if not folder.is_dir():
            raise AskFailed(f"{rule.path}: there is no folder {folder}; make it")
        self._rule, self._tools = rule, tools
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"store-{tools.name}")
        self._db: sqlite3.Connection | None = None
        self._waiting = 0
        self.clock = time.time

    async def get(self, question: Get) -> bytes | None:
        def found(db: sqlite3.Connection) -> bytes | None:
            row = db.execute(
                "SELECT value FROM wayside_documents WHERE space = ? AND key = ?"
                " AND (until IS NULL OR until >= ?)",
                (question.space, question.key, self.clock()),
            ).fetchone()
            return None if row is None else bytes(row[0])

        return await self._done(found)

    async def put(self, question: Put) -> None:
        size = ROW_BYTES + len(question.value)
        size += 2 * (len(question.space.encode()) + len(question.key.encode()))
        if size > self._rule.max_bytes:
            raise AskFailed(f"a document of {size} bytes is larger than the store's max_bytes")
        lives = [s for s in (question.ttl_s, self._rule.ttl_s) if s is not None]

        def kept(db: sqlite3.Connection) -> None:
            until = self.clock() + min(lives) if lives else None
            with _Transaction(db):
                _drop(db, [(question.space, question.key)])
                db.execute(
                    "INSERT INTO wayside_documents (space, key, value, until, size)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (question.space, question.key, question.value, until, size),
                )
                if question.most is not None:
                    _thin(db, question.space, question.most)
                self._make_room(db)

        await self._done(kept)

    async def delete(self, question: Delete) -> bool:
        def gone(db: sqlite3.Connection) -> bool:
            with _Transaction(db):
                held = db.execute(
                    "SELECT 1 FROM wayside_documents WHERE space = ? AND key = ?"
                    " AND (until IS NULL OR until >= ?)",
                    (question.space, question.key, self.clock()),
                ).fetchone()
                _drop(db, [(question.space, question.key)])
            return held is not None

        return await self._done(gone)

    async def listing(self, question: Listing) -> tuple[tuple[str, bytes], ...]:
        def found(db: sqlite3.Connection) -> tuple[tuple[str, bytes], ...]:
            rows = db.execute(
                "SELECT key, value FROM wayside_documents WHERE space = ?"
                " AND (until IS NULL OR until >= ?) ORDER BY seq DESC LIMIT ? OFFSET ?",
                (question.space, self.clock(), question.limit, question.offset),
            )
            return tuple((key, bytes(value)) for key, value in rows)

        return await self._done(found)

    def close(self) -> None:
        def shut() -> None:
            if self._db is not None:
                self._db.close()
                self._db = None

        with contextlib.suppress(RuntimeError):  # closed before
            self._thread.submit(shut)
        self._thread.shutdown(wait=False)

    # on the thread

    async def _done(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Have the thread do ``work``; :class:`AskFailed` or ``TimeoutError`` where it cannot."""
        if self._waiting >= MAX_WAITING:
            raise AskFailed(f"store {self._tools.name!r}: too many are waiting for it")
        self._waiting += 1
        try:
            future = self._thread.submit(self._run, work)
            return await asyncio.wait_for(asyncio.wrap_future(future), self._rule.timeout_s)
        except RuntimeError as error:  # closed by a reload long ago
            raise AskFailed(f"store {self._tools.name!r} is closed") from error
        finally:
            self._waiting -= 1

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._db is None:
                self._db = self._opened()
            return work(self._db)
        except (sqlite3.Error, OSError) as error:
            self._tools.report("store_failed", store=self._tools.name, error=str(error))
            raise AskFailed(f"store {self._tools.name!r}: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        path = self._rule.path
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # the WAL files take its mode
        db = sqlite3.connect(
            path, timeout=self._rule.timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA journal_size_limit = {16 << 20}")
            with _Transaction(db):
                version = db.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    for statement in _statements(_SCHEMA):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {VERSION}")
            if version > VERSION:
                raise sqlite3.DatabaseError(
                    f"{path} was written by a later version (its schema is {version})"
                )
        except BaseException:
            db.close()
            raise
        return db

    def _make_room(self, db: sqlite3.Connection) -> None:
        """Let go what has expired, a batch at a time, and what is too much, the oldest first."""
        db.execute(
            "DELETE FROM wayside_documents WHERE seq IN"
            " (SELECT seq FROM wayside_documents WHERE until < ? LIMIT ?)",
            (self.clock(), BATCH),
        )
        while True:
            held, size = db.execute("SELECT held, bytes FROM wayside_total").fetchone()
            too_many, too_large = held - self._rule.max_rows, size - self._rule.max_bytes
            if too_many <= 0 and too_large <= 0:
                break
            oldest = db.execute(
                "SELECT seq, size FROM wayside_documents ORDER BY seq LIMIT ?", (BATCH,)
            ).fetchall()
            going = []
            for seq, freed in oldest:
                if too_many <= 0 and too_large <= 0:
                    break
                going.append((seq,))
                too_many, too_large = too_many - 1, too_large - freed
            db.executemany("DELETE FROM wayside_documents WHERE seq = ?", going)
        db.execute(f"PRAGMA incremental_vacuum({BATCH})").fetchall()


class _Transaction:
    """All of it or nothing. It begins as a writer, so that two never wait for each other."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT" if kind is None else "ROLLBACK")


def _drop(db: sqlite3.Connection, keys: Iterable[tuple[str, str]]) -> None:
    db.executemany("DELETE FROM wayside_documents WHERE space = ? AND key = ?", keys)


def _thin(db: sqlite3.Connection, space: str, most: int) -> None:
    """Keep the ``most`` newest of a space."""
    db.execute(
        "DELETE FROM wayside_documents WHERE seq IN (SELECT seq FROM wayside_documents"
        " WHERE space = ? ORDER BY seq DESC LIMIT -1 OFFSET ?)",
        (space, most),
    )


def _statements(script: str) -> list[str]:
    """Each statement of a script; a trigger's end with its ``END``."""
    found, held = [], ""
    for line in script.splitlines(keepends=True):
        held += line
        if sqlite3.complete_statement(held):
            found.append(held)
            held = ""
    return found
