"""Files on disk: rows for what is known of them, a folder for what they hold."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from wayside.gateway.batch_db import ENDED, Database, missing, new_id, page
from wayside.gateway.disk import no_room
from wayside.vocab.errors import RequestError

BLOCK: Final = 4096
"""What a file takes of a disk at least, in bytes."""
WRITTEN_S: Final = 3600.0
"""After which nobody writes a file any more."""
_COLUMNS: Final = "id, filename, purpose, bytes, created, until"
_NAME: Final = re.compile(r"file-[0-9a-f]{24}(\.part)?")


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
            self.check_room(db, owner, len(content))
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

    def check_room(self, db: sqlite3.Connection, owner: str, more: int) -> None:
        """Raises :class:`RequestError` where ``more`` bytes would be too many."""
        s = self.settings
        held = _held(db, owner)
        if held + more > s.max_owner_bytes:
            raise RequestError(
                f"Your files would have {held + more} bytes; at most {s.max_owner_bytes} are "
                "kept. Delete some.",
                status=413,
                code="file_storage_full",
            )
        if _held(db) + max(more, BLOCK) > s.max_bytes:
            raise no_room()

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
        """The row of a file whose content is there; without the row there is no content."""
        now = self.clock()
        until = now + min(self.settings.keep_s, keep_s or self.settings.keep_s)
        file = File(id, filename, purpose, size, int(now), int(until))
        try:
            self._insert(db, file, owner)
        except BaseException:
            self.path(id).unlink(missing_ok=True)
            raise
        return file

    def _insert(self, db: sqlite3.Connection, file: File, owner: str) -> None:
        with db:
            db.execute(
                f"INSERT INTO files ({_COLUMNS}, owner) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*msgspec.structs.astuple(file), owner),
            )

    def sweep_files(self, db: sqlite3.Connection) -> None:
        """Remove files that are too old and read by no batch, and content that no row knows: of a
        process that was killed while it wrote."""
        now = self.clock()
        marks = ", ".join("?" * len(ENDED))
        old = db.execute(
            "SELECT id FROM files WHERE until < ? AND id NOT IN"
            f" (SELECT input FROM batches WHERE status NOT IN ({marks})) LIMIT 1000",
            (now, *ENDED),
        ).fetchall()
        with db:
            db.executemany("DELETE FROM files WHERE id = ?", old)
        for (id,) in old:
            self.path(id).unlink(missing_ok=True)
        with os.scandir(self.content) as entries:
            left = [e.name for e in entries if _NAME.fullmatch(e.name) and _left(e, now)]
        for name in left:
            id = name.removesuffix(".part")
            known = db.execute("SELECT 1 FROM files WHERE id = ?", (id,)).fetchone()
            if known is None or name != id:
                (self.content / name).unlink(missing_ok=True)

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


def _left(entry: os.DirEntry[str], now: float) -> bool:
    """Whether nobody writes it any more."""
    with contextlib.suppress(FileNotFoundError):
        return now - entry.stat(follow_symlinks=False).st_mtime > WRITTEN_S
    return False


def _held(db: sqlite3.Connection, owner: str | None = None) -> int:
    """Bytes of an owner's files; of all, as a disk counts them, which empty ones fill as well."""
    if owner is None:
        row = db.execute(f"SELECT coalesce(sum(max(bytes, {BLOCK})), 0) FROM files").fetchone()
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
