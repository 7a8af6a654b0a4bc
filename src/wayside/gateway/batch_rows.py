"""Files and batches on disk: SQLite for what is known of them, a folder for what files hold.

One thread does all the work with the database, so that no request waits for the disk but those
that asked. The database is in WAL mode, so the workers of one machine share it. A worker holds a
lock on a file of its own for as long as it lives: batches of one whose lock is free are taken over
at once, however it ended (flock(2): the kernel releases it with the process).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from wayside.settings.production_stack import BatchSettings
from wayside.vocab.errors import RequestError

T = TypeVar("T")
ENDED: Final = ("completed", "failed", "expired", "cancelled")
BUSY_S: Final = 5.0
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,
    created INTEGER NOT NULL, until INTEGER NOT NULL
);
CREATE INDEX files_of ON files (owner, seq);
CREATE INDEX files_until ON files (until);
CREATE TABLE batches (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    status TEXT NOT NULL, worker TEXT NOT NULL, input TEXT NOT NULL, created INTEGER NOT NULL,
    due REAL NOT NULL, about BLOB NOT NULL, identity BLOB NOT NULL
);
CREATE INDEX batches_of ON batches (owner, seq);
CREATE INDEX batches_open ON batches (status);
CREATE TABLE results (
    batch TEXT NOT NULL, line INTEGER NOT NULL, good INTEGER NOT NULL, text BLOB NOT NULL,
    PRIMARY KEY (batch, line)
) WITHOUT ROWID;
"""


class File(msgspec.Struct, frozen=True):
    """What is known of a file; times are Unix seconds."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created: int
    until: int


class Batch(msgspec.Struct):
    """A batch. ``due`` is when its time is up; ``about`` is what else clients are told of it, and
    ``identity`` the headers that say who its requests are from."""

    id: str
    owner: str
    status: str
    input: str
    created: int
    due: float
    about: dict[str, Any]
    identity: dict[str, str]

    @property
    def ended(self) -> bool:
        return self.status in ENDED


_FILE = "id, filename, purpose, bytes, created, until"
_BATCH = "id, owner, status, input, created, due, about, identity"


def new_id(prefix: str) -> str:
    return f"{prefix}{secrets.token_hex(12)}"


class Rows:
    """All of it. Raises :class:`RequestError` for what a client may not do, and ``OSError`` or
    ``sqlite3.Error`` where the disk does not play along."""

    def __init__(self, settings: BatchSettings) -> None:
        self.settings = settings
        self.folder = Path(settings.folder).absolute()
        self.clock = time.time
        self.worker = new_id("worker-")
        self._files = self.folder / "files"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._db: sqlite3.Connection | None = None
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder, take the lock. Raises ``OSError``."""
        self._files.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._lock = os.open(self._lock_of(self.worker), os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            self._thread.submit(self._connect).result()
        except sqlite3.Error as error:
            self.close()
            raise OSError(f"{self.folder / 'batches.db'}: {error}") from error
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        def shut() -> None:
            if self._db is not None:
                self._db.close()
                self._db = None

        self._thread.submit(shut).result()
        self._thread.shutdown()
        if self._lock is not None:
            self._lock_of(self.worker).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    # Files

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
            with self._writing(id) as out:
                out.write(content)
            return self._insert(db, id, owner, filename, purpose, len(content), keep_s)

        return await self.run(add)

    async def add_output(self, batch: Batch, *, good: bool) -> File | None:
        """The results of a batch, those that went well or the others, as a file; ``None`` where
        there are none. Streams from the database to the disk."""

        def add(db: sqlite3.Connection) -> File | None:
            rows = db.execute(
                "SELECT text FROM results WHERE batch = ? AND good = ? ORDER BY line",
                (batch.id, good),
            )
            first = rows.fetchone()
            if first is None:
                return None
            id, size = new_id("file-"), 0
            with self._writing(id) as out:
                while first is not None:
                    size += out.write(first[0])
                    first = rows.fetchone()
            name = f"{batch.id}_{'output' if good else 'error'}.jsonl"
            return self._insert(db, id, batch.owner, name, "batch_output", size)

        return await self.run(add)

    async def file(self, owner: str, id: str) -> File:
        return await self.run(lambda db: _file(db, owner, id))

    async def files(
        self, owner: str, *, purpose: str = "", after: str = "", limit: int = 100, up: bool = False
    ) -> tuple[list[File], bool]:
        """A page, and whether there is another; the newest first unless ``up``."""

        def found(db: sqlite3.Connection) -> tuple[list[File], bool]:
            rows = _page(db, "files", _FILE, owner, after, limit, up, purpose)
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
        return self._files / id

    # Batches

    async def add_batch(self, batch: Batch) -> None:
        def add(db: sqlite3.Connection) -> None:
            marks = ", ".join("?" * len(ENDED))
            (count,) = db.execute(
                f"SELECT count(*) FROM batches WHERE owner = ? AND status NOT IN ({marks})",
                (batch.owner, *ENDED),
            ).fetchone()
            if count >= self.settings.max_unfinished:
                raise RequestError(
                    f"{count} of your batches are not finished; wait for one of them.",
                    status=429,
                    kind="rate_limit_error",
                    code="too_many_batches",
                )
            about, identity = _json(batch.about), _json(batch.identity)
            with db:
                db.execute(
                    f"INSERT INTO batches ({_BATCH}, worker) VALUES (?,?,?,?,?,?,?,?,'')",
                    (batch.id, batch.owner, batch.status, batch.input, batch.created, batch.due,
                     about, identity),
                )  # fmt: skip

        await self.run(add)

    async def batch(self, owner: str, id: str) -> Batch:
        return await self.run(lambda db: _batch(db, owner, id))

    async def batches(
        self, owner: str, *, after: str = "", limit: int = 20
    ) -> tuple[list[Batch], bool]:
        """A page, the newest first, and whether there is another."""

        def found(db: sqlite3.Connection) -> tuple[list[Batch], bool]:
            rows = _page(db, "batches", _BATCH, owner, after, limit, False, "")
            return [_read(row) for row in rows[:limit]], len(rows) > limit

        return await self.run(found)

    async def cancel(self, owner: str, id: str) -> Batch:
        """Ask for its end; what has ended stays as it is, and is refused."""

        def mark(db: sqlite3.Connection) -> Batch:
            batch = _batch(db, owner, id)
            if batch.ended:
                raise RequestError(
                    f"Cannot cancel a batch whose status is {batch.status}.",
                    status=409,
                    code="batch_ended",
                )
            if batch.status != "cancelling":
                batch.about["cancelling_at"] = int(self.clock())
                batch.status = "cancelling"
                _store(db, batch)
            return batch

        return await self.run(mark)

    async def claim(self, most: int) -> list[Batch]:
        """Unfinished batches that nobody works on, the oldest first; they are this worker's from
        now on."""

        def take(db: sqlite3.Connection) -> list[Batch]:
            marks = ", ".join("?" * len(ENDED))
            rows = db.execute(
                f"SELECT worker, {_BATCH} FROM batches WHERE status NOT IN ({marks})"
                " AND worker != ? ORDER BY seq LIMIT 1000",
                (*ENDED, self.worker),
            ).fetchall()
            alive: dict[str, bool] = {"": False}
            found: list[Batch] = []
            for worker, *row in rows:
                if worker not in alive:
                    alive[worker] = self._lives(worker)
                if alive[worker] or len(found) >= most:
                    continue
                with db:
                    changed = db.execute(
                        "UPDATE batches SET worker = ? WHERE id = ? AND worker = ?",
                        (self.worker, row[0], worker),
                    ).rowcount
                if changed:
                    found.append(_read(row))
            return found

        return await self.run(take)

    async def save(self, batch: Batch) -> bool:
        """Put down how it goes; ``False``, changing nothing, where somebody wants its end."""

        def put(db: sqlite3.Connection) -> bool:
            now = db.execute("SELECT status FROM batches WHERE id = ?", (batch.id,)).fetchone()
            if now is not None and now[0] == "cancelling" and not batch.ended:
                return False
            _store(db, batch)
            return True

        return await self.run(put)

    async def status(self, id: str) -> str:
        def found(db: sqlite3.Connection) -> str:
            row = db.execute("SELECT status FROM batches WHERE id = ?", (id,)).fetchone()
            return "" if row is None else str(row[0])

        return await self.run(found)

    async def put_results(self, batch: str, results: Sequence[tuple[int, bool, bytes]]) -> None:
        """Keep answers by the line they answer; one that is there already stays."""

        def put(db: sqlite3.Connection) -> None:
            with db:
                db.executemany(
                    "INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)",
                    [(batch, line, good, text) for line, good, text in results],
                )

        await self.run(put)

    async def answered(self, batch: str) -> tuple[set[int], int, int]:
        """The lines that have results, how many of them went well, and the bytes of those."""

        def found(db: sqlite3.Connection) -> tuple[set[int], int, int]:
            rows = db.execute(
                "SELECT line, good, length(text) FROM results WHERE batch = ?", (batch,)
            ).fetchall()
            good = [size for _, went, size in rows if went]
            return {line for line, _, _ in rows}, len(good), sum(good)

        return await self.run(found)

    async def counts(self, batch: str) -> tuple[int, int]:
        """How many lines were answered well, and how many otherwise."""

        def found(db: sqlite3.Connection) -> tuple[int, int]:
            total, good = db.execute(
                "SELECT count(*), coalesce(sum(good), 0) FROM results WHERE batch = ?", (batch,)
            ).fetchone()
            return good, total - good

        return await self.run(found)

    async def forget_results(self, batch: str) -> None:
        """They are in files now."""

        def drop(db: sqlite3.Connection) -> None:
            with db:
                db.execute("DELETE FROM results WHERE batch = ?", (batch,))

        await self.run(drop)

    async def sweep(self) -> None:
        """Remove files that are too old, batches that ended long ago, and locks of the dead."""

        def clean(db: sqlite3.Connection) -> None:
            now = self.clock()
            old = db.execute("SELECT id FROM files WHERE until < ? LIMIT 1000", (now,)).fetchall()
            marks = ", ".join("?" * len(ENDED))
            with db:
                db.executemany("DELETE FROM files WHERE id = ?", old)
                db.execute(
                    f"DELETE FROM batches WHERE created < ? AND status IN ({marks})",
                    (now - self.settings.keep_s, *ENDED),
                )
            for (id,) in old:
                self.path(id).unlink(missing_ok=True)
            for lock in self.folder.glob("worker-*.lock"):
                if lock.stem != self.worker:
                    self._lives(lock.stem)

        await self.run(clean)

    # The database

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """``work`` on the database's thread."""

        def done() -> T:
            return work(self._connect())

        return await asyncio.get_running_loop().run_in_executor(self._thread, done)

    def _connect(self) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        path = self.folder / "batches.db"
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN IMMEDIATE")  # two workers that start together make one schema
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.commit()
        if version not in (0, _VERSION):
            db.close()
            raise OSError(f"{path} was made by another version ({version}); give another folder")
        self._db = db
        return db

    def _insert(
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
                f"INSERT INTO files ({_FILE}, owner) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*msgspec.structs.astuple(file), owner),
            )
        return file

    @contextlib.contextmanager
    def _writing(self, id: str) -> Any:
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

    # Workers

    def _lock_of(self, worker: str) -> Path:
        return self.folder / f"{worker}.lock"

    def _lives(self, worker: str) -> bool:
        """Whether a worker holds its lock; the lock of a dead one is removed."""
        if worker == self.worker:
            return True
        path = self._lock_of(worker)
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        path.unlink(missing_ok=True)
        return False


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
        f"SELECT {_FILE} FROM files WHERE id = ? AND owner = ?", (id, owner)
    ).fetchone()
    if row is None:
        raise _missing("file", id)
    return File(*row)


def _batch(db: sqlite3.Connection, owner: str, id: str) -> Batch:
    row = db.execute(
        f"SELECT {_BATCH} FROM batches WHERE id = ? AND owner = ?", (id, owner)
    ).fetchone()
    if row is None:
        raise _missing("batch", id)
    return _read(row)


def _missing(what: str, id: str) -> RequestError:
    """The same for what is not there and for what is somebody else's."""
    return RequestError(f"No such {what}: {id[:128]}", status=404, code="not_found", param="id")


def _page(
    db: sqlite3.Connection,
    table: str,
    columns: str,
    owner: str,
    after: str,
    limit: int,
    up: bool,
    purpose: str,
) -> list[Any]:
    """One row more than ``limit``, which says that there are more."""
    where, values = ["owner = ?"], [owner]
    if purpose:
        where.append("purpose = ?")
        values.append(purpose)
    if after:
        where.append(f"seq {'>' if up else '<'} (SELECT seq FROM {table} WHERE id = ?)")
        values.append(after)
    return db.execute(
        f"SELECT {columns} FROM {table} WHERE {' AND '.join(where)}"
        f" ORDER BY seq {'ASC' if up else 'DESC'} LIMIT ?",
        (*values, limit + 1),
    ).fetchall()


def _store(db: sqlite3.Connection, batch: Batch) -> None:
    with db:
        db.execute(
            "UPDATE batches SET status = ?, about = ? WHERE id = ?",
            (batch.status, _json(batch.about), batch.id),
        )


def _read(row: Sequence[Any]) -> Batch:
    id, owner, status, input, created, due, about, identity = row
    return Batch(
        id,
        owner,
        status,
        input,
        created,
        due,
        msgspec.json.decode(about),
        msgspec.json.decode(identity),
    )


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)
