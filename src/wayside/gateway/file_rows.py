"""Files on disk: rows for what is known of them, a folder for what they hold."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from wayside.gateway.batch_db import ENDED, Database, missing, new_id, page
from wayside.vocab.errors import RequestError

_COLUMNS: Final = "id, filename, purpose, bytes, created, until"


class File(msgspec.Struct, frozen=True):
    """What is known of a file; times are Unix seconds."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created: int
    until: int


class FileRows(Database):
    """Raises :class:`RequestError` for what a client may not do, and ``OSError`` or
    ``sqlite3.Error`` where the disk does not play along."""

    async def add_file(
        self, owner: str, filename: str, purpose: str, content: bytes, keep_s: float | None = None
    ) -> File:
        """Keep a file that was uploaded."""
        s = self.settings
        if len(content) > s.max_file_bytes:
            raise RequestError(
                f"The file has {len(content)} bytes; at most {s.max_file_bytes} are taken.",
                status=413,
                code="file_too_large",
                param="file",
            )

        def add(db: sqlite3.Connection) -> File:
            held = _held(db, owner)
            if held + len(content) > s.max_owner_bytes:
                raise RequestError(
                    f"Your files would have {held + len(content)} bytes; at most "
                    f"{s.max_owner_bytes} are kept. Delete some.",
                    status=413,
                    code="file_storage_full",
                )
            if _held(db) + len(content) > s.max_bytes:
                raise RequestError(
                    "There is no room for more files.",
                    status=507,
                    kind="server_error",
                    code="file_storage_full",
                )
            id = new_id("file-")
            with self.writing(id) as out:
                out.write(content)
            return self.insert(db, id, owner, filename, purpose, len(content), keep_s)

        return await self.run(add)

    async def file(self, owner: str, id: str) -> File:
        return await self.run(lambda db: _file(db, owner, id))

    async def files(
        self, owner: str, *, purpose: str = "", after: str = "", limit: int = 100, up: bool = False
    ) -> tuple[list[File], bool]:
        """A page, and whether there is another; the newest first unless ``up``."""

        def found(db: sqlite3.Connection) -> tuple[list[File], bool]:
            rows = page(db, "files", _COLUMNS, owner, after, limit, up, purpose)
            return [File(*row) for row in rows[:limit]], len(rows) > limit

        return await self.run(found)

    async def delete(self, owner: str, id: str) -> None:
        def gone(db: sqlite3.Connection) -> None:
            _file(db, owner, id)
            marks = ", ".join("?" * len(ENDED))
            used = db.execute(
                f"SELECT id FROM batches WHERE input = ? AND status NOT IN ({marks})",
                (id, *ENDED),
            ).fetchone()
            if used is not None:
                raise RequestError(
                    f"{used[0]} reads this file; cancel it first.",
                    status=409,
                    code="file_in_use",
                )
            with db:
                db.execute("DELETE FROM files WHERE id = ?", (id,))
            self.path(id).unlink(missing_ok=True)

        await self.run(gone)

    def path(self, id: str) -> Path:
        """Where a file's content is."""
        return self.content / id

    def insert(
        self,
        db: sqlite3.Connection,
        id: str,
        owner: str,
        filename: str,
        purpose: str,
        size: int,
        keep_s: float | None = None,
    ) -> File:
        now = self.clock()
        until = now + min(self.settings.keep_s, keep_s or self.settings.keep_s)
        file = File(id, filename, purpose, size, int(now), int(until))
        with db:
            db.execute(
                f"INSERT INTO files ({_COLUMNS}, owner) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*msgspec.structs.astuple(file), owner),
            )
        return file

    @contextlib.contextmanager
    def writing(self, id: str) -> Iterator[BinaryIO]:
        """A file that is there whole, or not at all."""
        path = self.path(id)
        part = path.with_suffix(".part")
        descriptor = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as out:
                yield out
            part.rename(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _held(db: sqlite3.Connection, owner: str | None = None) -> int:
    if owner is None:
        row = db.execute("SELECT coalesce(sum(bytes), 0) FROM files").fetchone()
    else:
        row = db.execute(
            "SELECT coalesce(sum(bytes), 0) FROM files WHERE owner = ?", (owner,)
        ).fetchone()
    return int(row[0])


def _file(db: sqlite3.Connection, owner: str, id: str) -> File:
    row = db.execute(
        f"SELECT {_COLUMNS} FROM files WHERE id = ? AND owner = ?", (id, owner)
    ).fetchone()
    if row is None:
        raise missing("file", id)
    return File(*row)
