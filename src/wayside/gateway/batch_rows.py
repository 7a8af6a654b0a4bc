"""Batches on disk: how each of them stands, and the answers that it has so far."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from wayside.gateway.batch_db import ENDED, missing, new_id, page
from wayside.gateway.file_rows import File, FileRows
from wayside.vocab.access import Caller
from wayside.vocab.errors import RequestError

BAD, GOOD, UNASKED = 0, 1, 2
"""How a request went; the last was given up before it was asked, so it did not fail."""
KEPT: Final = 10_000
"""Batches of one owner that are remembered; of more, the oldest that ended are forgotten."""
OUTPUT: Final = "batch_output"
"""The purpose of a file that a batch has made; nobody uploads one."""
_CALLER: Final = ":caller"
"""No header has such a name."""
_COLUMNS: Final = "id, owner, status, input, created, due, about, identity"


class Batch(msgspec.Struct):
    """A batch. ``due`` is when its time is up; ``about`` is what else clients are told of it, and
    ``identity`` says who its requests are from: headers that are believed, or the ``caller``."""

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

    def of(self, caller: Caller | None) -> Batch:
        """The same, of somebody who proved who they are; how they did is not kept."""
        if caller is not None:
            self.identity[_CALLER] = msgspec.json.encode(caller).decode()
        return self

    @property
    def caller(self) -> Caller | None:
        """Who made it, as they were then."""
        said = self.identity.get(_CALLER)
        return None if said is None else msgspec.json.decode(said, type=Caller)

    @property
    def headers(self) -> dict[str, str]:
        """Those of its requests."""
        return {name: value for name, value in self.identity.items() if name != _CALLER}


class Rows(FileRows):
    """Files and batches; see :class:`FileRows` for what is raised."""

    async def add_output(self, batch: Batch, *, good: bool) -> File | None:
        """The results of a batch, those that went well or the others, as a file; ``None`` where
        there are none. Streams from the database to the disk."""

        def add(db: sqlite3.Connection) -> File | None:
            rows = db.execute(
                f"SELECT text FROM results WHERE batch = ? AND good {'=' if good else '!='} ?"
                " ORDER BY line",
                (batch.id, GOOD),
            )
            first = rows.fetchone()
            if first is None:
                return None
            id, size = new_id("file-"), 0
            with self.writing(id) as out:
                while first is not None:
                    size += out.write(first[0])
                    first = rows.fetchone()
            name = f"{batch.id}_{'output' if good else 'error'}.jsonl"
            made = self.insert(db, id, batch.owner, name, OUTPUT, size, batch.about.get("keep_s"))
            self._drop_earlier(db, batch.owner, made)
            return made

        return await self.run(add)

    def _drop_earlier(self, db: sqlite3.Connection, owner: str, made: File) -> None:
        """The same results, of a worker that ended before it could say where they are."""
        same = (owner, made.filename, OUTPUT, made.id)
        where = "owner = ? AND filename = ? AND purpose = ? AND id != ?"
        old = db.execute(f"SELECT id FROM files WHERE {where}", same).fetchall()
        with db:
            db.execute(f"DELETE FROM files WHERE {where}", same)
        for (id,) in old:
            self.path(id).unlink(missing_ok=True)

    async def add_batch(self, batch: Batch) -> None:
        """A batch whose owner has room for its results, as far as can be said before."""

        def add(db: sqlite3.Connection) -> None:
            self.check_room(db, batch.owner, 1)
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
                    f"INSERT INTO batches ({_COLUMNS}, worker) VALUES (?,?,?,?,?,?,?,?,'')",
                    (batch.id, batch.owner, batch.status, batch.input, batch.created, batch.due,
                     about, identity),
                )  # fmt: skip
                db.execute(
                    f"DELETE FROM batches WHERE owner = ? AND status IN ({marks}) AND seq <= "
                    "(SELECT seq FROM batches WHERE owner = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                    (batch.owner, *ENDED, batch.owner, KEPT),
                )

        await self.run(add)

    async def batch(self, owner: str, id: str) -> Batch:
        return await self.run(lambda db: _batch(db, owner, id))

    async def batches(
        self, owner: str, *, after: str = "", limit: int = 20
    ) -> tuple[list[Batch], bool]:
        """A page, the newest first, and whether there is another."""

        def found(db: sqlite3.Connection) -> tuple[list[Batch], bool]:
            rows = page(db, "batches", _COLUMNS, owner, after, limit, False, "")
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

    async def claim(self, most: int, each: int) -> list[Batch]:
        """Unfinished batches that nobody works on; they are this worker's from now on. The oldest
        first, but of one owner only as many as make ``each`` with those that are claimed."""

        def take(db: sqlite3.Connection) -> list[Batch]:
            marks = ", ".join("?" * len(ENDED))
            rows = db.execute(
                f"SELECT id, owner, worker FROM batches WHERE status NOT IN ({marks})"
                " ORDER BY seq",
                ENDED,
            ).fetchall()
            busy = Counter(owner for _, owner, worker in rows if worker == self.worker)
            alive: dict[str, bool] = {"": False, self.worker: True}
            found: list[Batch] = []
            for id, owner, worker in rows:
                if len(found) >= most:
                    break
                if worker not in alive:
                    alive[worker] = self.lives(worker)
                if alive[worker] or busy[owner] >= each:
                    continue
                with db:
                    changed = db.execute(
                        "UPDATE batches SET worker = ? WHERE id = ? AND worker = ?",
                        (self.worker, id, worker),
                    ).rowcount
                if changed:
                    busy[owner] += 1
                    found.append(_batch(db, owner, id))
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

    async def put_results(self, batch: str, results: Sequence[tuple[int, int, bytes]]) -> None:
        """Keep answers by the line they answer, with how that went (``BAD``, ``GOOD``,
        ``UNASKED``); one that is there already stays."""

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
            good = [size for _, went, size in rows if went == GOOD]
            return {line for line, _, _ in rows}, len(good), sum(good)

        return await self.run(found)

    async def counts(self, batch: str) -> tuple[int, int]:
        """How many lines were answered well, and how many otherwise; of those that were asked."""

        def found(db: sqlite3.Connection) -> tuple[int, int]:
            rows = db.execute(
                "SELECT good, count(*) FROM results WHERE batch = ? GROUP BY good", (batch,)
            ).fetchall()
            went = dict(rows)
            return went.get(GOOD, 0), went.get(BAD, 0)

        return await self.run(found)

    async def forget_results(self, batch: str) -> None:
        """They are in files now."""

        def drop(db: sqlite3.Connection) -> None:
            with db:
                db.execute("DELETE FROM results WHERE batch = ?", (batch,))

        await self.run(drop)

    async def sweep(self) -> None:
        """Remove files that are too old, batches that ended long ago, answers of those that
        ended, and locks of the dead."""

        def clean(db: sqlite3.Connection) -> None:
            marks = ", ".join("?" * len(ENDED))
            with db:
                db.execute(
                    f"DELETE FROM batches WHERE created < ? AND status IN ({marks})",
                    (self.clock() - self.settings.keep_s, *ENDED),
                )
            self.sweep_files(db)
            _sweep_results(db)
            for lock in self.folder.glob("worker-*.lock"):
                if lock.stem != self.worker:
                    self.lives(lock.stem)

        await self.run(clean)


def _sweep_results(db: sqlite3.Connection) -> None:
    """Answers of batches that ended, or are no more; found without reading the answers."""
    (id,) = db.execute("SELECT min(batch) FROM results").fetchone()
    while id is not None:
        status = db.execute("SELECT status FROM batches WHERE id = ?", (id,)).fetchone()
        if status is None or status[0] in ENDED:
            with db:
                db.execute("DELETE FROM results WHERE batch = ?", (id,))
        (id,) = db.execute("SELECT min(batch) FROM results WHERE batch > ?", (id,)).fetchone()


def _batch(db: sqlite3.Connection, owner: str, id: str) -> Batch:
    row = db.execute(
        f"SELECT {_COLUMNS} FROM batches WHERE id = ? AND owner = ?", (id, owner)
    ).fetchone()
    if row is None:
        raise missing("batch", id)
    return _read(row)


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
