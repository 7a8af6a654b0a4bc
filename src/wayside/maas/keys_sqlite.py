"""Accounts and keys in a file that the processes of one machine share (SQLite, WAL)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any, Final

from wayside.maas.keys import SCHEMA, Row, Statement
from wayside.vocab.errors import AskFailed, ConfigError

FILE: Final = "keys.db"
BUSY_S: Final = 5.0
"""How long a write waits for another process's."""


class Sqlite:
    """Reads at once, which nobody's write delays; writes in a thread, one after another."""

    def __init__(self, folder: Path) -> None:
        """Raises :class:`ConfigError`."""
        path = folder / FILE
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._writer = _open(path)
            with self._writer:
                self._writer.execute("BEGIN IMMEDIATE")
                for statement in SCHEMA:
                    self._writer.execute(statement)
            self._reader = _open(path)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError.one(
                f"cannot keep keys in {path}: {getattr(error, 'strerror', None) or error}",
                where="maas.folder",
                fix="name a folder that this process may write to",
            ) from None
        self._version = -1
        self._epoch = 0

    def fresh(self) -> int | None:
        """Asks the file each time whether another process, or our own writer, changed it."""
        try:
            version = self._reader.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                self._epoch = self._reader.execute("SELECT n FROM maas_epoch").fetchone()[0]
                self._version = version
        except sqlite3.Error:
            return None
        return self._epoch

    async def epoch(self) -> int:
        found = self.fresh()
        if found is None:
            raise AskFailed("the database of keys cannot be read")
        return found

    async def read(self, sql: str, *args: Any) -> list[Row]:
        try:
            return self._reader.execute(sql.replace("$", "?"), args).fetchall()
        except sqlite3.Error as error:
            raise AskFailed(f"the database of keys: {error}") from error

    async def change(self, *statements: Statement) -> list[Row]:
        return await asyncio.to_thread(self._change, statements)

    def _change(self, statements: tuple[Statement, ...]) -> list[Row]:
        rows: list[Row] = []
        try:
            with self._lock, self._writer as db:
                db.execute("BEGIN IMMEDIATE")
                for sql, args in statements:
                    rows = db.execute(sql.replace("$", "?"), args).fetchall()
        except sqlite3.Error as error:
            raise AskFailed(f"the database of keys: {error}") from error
        return rows

    def close(self) -> None:
        with self._lock:
            self._writer.close()
            self._reader.close()


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db
