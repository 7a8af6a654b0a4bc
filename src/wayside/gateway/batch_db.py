"""The database of files and batches, and which of a machine's workers are alive.

One thread does all the work with the database, so that no request waits for the disk but those
that asked. It is in WAL mode, so the workers of one machine share it. A worker holds a lock on a
file of its own for as long as it lives: batches of one whose lock is free are taken over at once,
however it ended (flock(2): the kernel releases it with the process).
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from wayside.settings.production_stack import BatchSettings
from wayside.vocab.errors import RequestError

T = TypeVar("T")
BUSY_S: Final = 5.0
ENDED: Final = ("completed", "failed", "expired", "cancelled")
"""What a batch can come to."""
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


def new_id(prefix: str) -> str:
    return f"{prefix}{secrets.token_hex(12)}"


class Database:
    """Opened once, by the process that uses it."""

    def __init__(self, settings: BatchSettings) -> None:
        self.settings = settings
        self.folder = Path(settings.folder).absolute()
        self.clock = time.time
        self.worker = new_id("worker-")
        self.content = self.folder / "files"
        """Where what files hold is."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._db: sqlite3.Connection | None = None
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder unless it is there, take the lock. Raises ``OSError``.

        One that is there may be others' as well (``/tmp``, a volume that belongs to root), so its
        mode stays; what we keep in it is readable by us alone.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _locked(self._lock_of(self.worker))
        try:
            self.content.mkdir(mode=0o700, exist_ok=True)
            self._ours(self.content)
            self.content.chmod(0o700)
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

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """``work`` on the database's thread."""

        def done() -> T:
            return work(self._connect())

        return await asyncio.get_running_loop().run_in_executor(self._thread, done)

    def lives(self, worker: str) -> bool:
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
            path.unlink(missing_ok=True)  # while it is held, see _locked
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _ours(self, path: Path) -> None:
        """Raises ``OSError`` for what somebody else has put there. Whose our files are is read
        from one that we made: where others' ids are mapped, as on NFS, it is not ours."""
        assert self._lock is not None
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) or found.st_uid != os.fstat(self._lock).st_uid:
            raise PermissionError(errno.EPERM, f"{path.name} is somebody else's", str(path))

    def _connect(self) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        path = self.folder / "batches.db"
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        self._ours(path)
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

    def _lock_of(self, worker: str) -> Path:
        return self.folder / f"{worker}.lock"


def _locked(path: Path) -> int:
    """A file that is held; made again where somebody took it for a dead worker's before that."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def missing(what: str, id: str) -> RequestError:
    """The same for what is not there and for what is somebody else's."""
    return RequestError(f"No such {what}: {id[:128]}", status=404, code="not_found", param="id")


def page(
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
        of = f"SELECT seq FROM {table} WHERE id = ? AND owner = ?"
        where.append(f"seq {'>' if up else '<'} ({of})")
        values += [after, owner]
    return db.execute(
        f"SELECT {columns} FROM {table} WHERE {' AND '.join(where)}"
        f" ORDER BY seq {'ASC' if up else 'DESC'} LIMIT ?",
        (*values, limit + 1),
    ).fetchall()
