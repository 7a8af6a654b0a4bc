"""The ledger: one row for each request of somebody who is known, in an SQLite file.

Rows are written together by a thread of its own, so no request waits for the disk; what waits for
it is bounded, and what would be too much is counted and told, not kept. Several workers write the
same file, and others may read it meanwhile. Prompts and answers are never in it.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from wayside.settings.maas import MaasSettings

MOST: Final = 20_000
"""Rows that wait to be written."""
TOGETHER: Final = 1_000
GATHER_S: Final = 0.05
PRUNE_S: Final = 600.0
BUSY_S: Final = 5.0
LONGEST_PAUSE_S: Final = 5.0
NAME: Final = "usage.db"


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request. Its fields are the file's columns, in this order."""

    at: float
    """When it ended, Unix seconds."""
    request_id: str
    shell: str
    path: str
    """How it was answered: upstream, cache, fast_response, looper, error."""
    user: str
    tier: str = ""
    subscription: str = ""
    tenant: str = ""
    key: str = ""
    """The id of the token or key, never the secret."""
    requested_model: str = ""
    executed_model: str = ""
    """The model that answered; ``cache`` and ``fast_response`` where none did."""
    decision: str = ""
    status: int = 0
    reason: str = ""
    """Why it did not succeed."""
    prompt_tokens: int = 0
    """All that was read: cached and written ones are parts of it."""
    cached_tokens: int = 0
    written_tokens: int = 0
    completion_tokens: int = 0
    """All that was written: reasoning is a part of it."""
    reasoning_tokens: int = 0
    charged_tokens: int = 0
    """What limits counted: prompt and completion, or what was reserved where nobody knows."""
    estimated: str = ""
    """Why the tokens are not the server's own count."""
    unserved_tokens: int = 0
    """Of attempts whose answer nobody got; never charged, but for the prompt of a client that left
    before an answer began, which is not in here."""
    saved_tokens: int = 0
    """What the answer took when it was made, where it came from the cache."""
    calls: int = 0
    """Requests to models that the algorithm made itself."""
    retries: int = 0
    """Attempts after the first one."""
    cost: float = 0.0
    currency: str = ""
    stream: bool = False
    duration_ms: float = 0.0


COLUMNS: Final = Row.__struct_fields__
_TYPES: Final = {"float": "REAL", "int": "INTEGER", "str": "TEXT", "bool": "INTEGER"}
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS usage (seq INTEGER PRIMARY KEY AUTOINCREMENT, "
    + ", ".join(f"{name} {_TYPES[str(Row.__annotations__[name])]} NOT NULL" for name in COLUMNS)
    + ")",
    "CREATE INDEX IF NOT EXISTS usage_at ON usage (at)",
    "CREATE INDEX IF NOT EXISTS usage_of ON usage (user, at)",
)
_VERSION: Final = 1
_INSERT: Final = (
    f"INSERT INTO usage ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
)


def path_of(settings: MaasSettings) -> Path:
    """Where the ledger of a configuration is."""
    return Path(settings.usage.path or Path(settings.folder) / NAME)


class Ledger:
    """Writes rows. ``tell`` is told once why nothing can be written, and of that being over."""

    def __init__(
        self,
        settings: MaasSettings,
        tell: Callable[..., None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path_of(settings)
        self.keep_days, self.max_rows = settings.usage.keep_days, settings.usage.max_rows
        self._tell, self._clock = tell, clock
        self._rows: queue.SimpleQueue[Row | threading.Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._news: deque[tuple[str, str, str]] = deque(maxlen=20)
        """For the log, which only the thread of the requests writes."""
        self.written = self.dropped = 0

    def add(self, row: Row) -> None:
        """Write it soon; at once back."""
        self._say()
        if self._closing or self._rows.qsize() >= MOST:
            self._drop(1)
            return
        self._rows.put(row)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="usage", daemon=True)
            self._thread.start()

    def flushed(self, patience_s: float = 5.0) -> bool:
        """Wait until what was added is in the file; whether that is so."""
        if self._thread is None:
            return True
        done = threading.Event()
        self._rows.put(done)
        return done.wait(patience_s)

    def close(self, patience_s: float = 5.0) -> None:
        """Write what waits, but no longer than that."""
        self._closing = True
        if self._thread is not None:
            self._rows.put(None)
            self._thread.join(patience_s)
            self._thread = None
        self._say()

    def _drop(self, rows: int) -> None:
        if not self.dropped:
            self._news.append(("usage rows dropped", "error", "more wait than are kept"))
        self.dropped += rows

    def _say(self) -> None:
        while self._news:
            event, level, why = self._news.popleft()
            self._tell(event, level=level, file=str(self.path), why=why)

    # the thread

    def _work(self) -> None:
        db: sqlite3.Connection | None = None
        pruned, last = float("-inf"), False
        while not last:
            rows, waiting, last = self._gather()
            pause, trouble = GATHER_S, ""
            while rows or waiting:
                try:
                    db = db or connect(self.path)
                    with db:
                        db.executemany(_INSERT, [msgspec.structs.astuple(row) for row in rows])
                    self.written += len(rows)
                    if trouble:
                        self._news.append(("usage is written again", "info", ""))
                    break
                except (sqlite3.Error, OSError) as error:
                    if not trouble:
                        trouble = str(error)
                        self._news.append(("usage not written", "error", trouble))
                    if db is not None:
                        with suppress(sqlite3.Error):
                            db.close()
                        db = None
                    if self._closing:
                        self._drop(len(rows))
                        break
                    time.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE_S)
            for event in waiting:
                event.set()
            if db is not None and time.monotonic() - pruned > PRUNE_S:
                pruned = time.monotonic()
                with suppress(sqlite3.Error):
                    prune(db, self._clock() - self.keep_days * 86_400, self.max_rows)
        if db is not None:
            db.close()

    def _gather(self) -> tuple[list[Row], list[threading.Event], bool]:
        """What there is to write, once there is something."""
        rows: list[Row] = []
        waiting: list[threading.Event] = []
        found = self._rows.get()
        if isinstance(found, Row):
            time.sleep(GATHER_S)
        while True:
            if found is None:
                return rows, waiting, True
            if isinstance(found, Row):
                rows.append(found)
            else:
                waiting.append(found)
            if len(rows) >= TOGETHER:
                return rows, waiting, False
            try:
                found = self._rows.get_nowait()
            except queue.Empty:
                return rows, waiting, False


def connect(path: Path) -> sqlite3.Connection:
    """The file, made where there is none, for its owner alone. Raises ``OSError`` and
    ``sqlite3.Error``."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, timeout=BUSY_S)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise sqlite3.DatabaseError(f"{path} was written by a later version of Wayside")
        with db:
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute(f"PRAGMA user_version={_VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def prune(db: sqlite3.Connection, before: float, max_rows: int) -> int:
    """Let rows go that ended ``before``, and the oldest beyond ``max_rows``; how many."""
    with db:
        old = db.execute("DELETE FROM usage WHERE at < ?", (before,)).rowcount
        (newest,) = db.execute("SELECT coalesce(max(seq), 0) FROM usage").fetchone()
        over = db.execute("DELETE FROM usage WHERE seq <= ?", (newest - max_rows,)).rowcount
    return old + over
