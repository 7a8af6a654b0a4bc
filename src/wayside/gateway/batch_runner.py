"""Works on batches: checks their files, asks each request, puts the answers together.

What was answered is on disk at once, so a batch goes on where it stopped when its worker ends,
however it ends; a request that was under way then is asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import traceback
from functools import partial
from sqlite3 import Error as DatabaseError
from typing import Final

from wayside.gateway.batch_lines import Line, answered, body_of, check, unanswered
from wayside.gateway.batch_rows import BAD, GOOD, UNASKED, Batch, Rows
from wayside.gateway.inside import Answered, Full, Unanswered, ask
from wayside.gateway.ports import Say
from wayside.gateway.server import HttpServer
from wayside.vocab.errors import RequestError

LOOK_S: Final = 1.0
"""How often others are asked for work, and for an end of it."""
SWEEP_S: Final = 600.0
AT_ONCE: Final = 16
"""Batches of one worker that are under way; others wait, the oldest first."""
OWNER_AT_ONCE: Final = 2
"""Of one owner. They share ``concurrency`` in any case, so more would only be in others' way."""
AGAIN_S: Final = 30.0
"""After which a disk is tried again that did not play along."""
GATHER_S: Final = 0.25
"""Answers are written together, this often."""
LONGEST_PAUSE_S: Final = 30.0
MAX_ANSWER: Final = 16 << 20
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_EXPIRED = "This request could not be executed before the completion window expired."


class Runner:
    """Of one process. ``wake`` is for when there is something new."""

    def __init__(self, rows: Rows, server: HttpServer, say: Say) -> None:
        self._rows, self._server, self._say = rows, server, say
        self._gate = asyncio.Semaphore(rows.settings.concurrency)
        self._batches: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._look())

    def wake(self) -> None:
        self._news.set()

    async def stop(self) -> None:
        """Leave everything as it is; whoever comes next goes on with it."""
        tasks = [t for t in (self._task, *self._batches.values()) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        swept = 0.0
        while True:
            self._news.clear()
            try:
                room = AT_ONCE - len(self._batches)
                for batch in await self._rows.claim(room, OWNER_AT_ONCE) if room else ():
                    task = asyncio.create_task(self._work(batch))
                    self._batches[batch.id] = task
                    task.add_done_callback(partial(self._over, batch.id))
                if time.monotonic() - swept > SWEEP_S:
                    swept = time.monotonic()
                    await self._rows.sweep()
            except (OSError, DatabaseError) as error:
                self._say("batches not read", level="error", why=str(error))
            # Not wait_for: that of Python 3.11 loses a cancellation in the moment of news.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()

    def _over(self, id: str, _: object) -> None:
        self._batches.pop(id, None)
        self._news.set()

    async def _work(self, batch: Batch) -> None:
        work = _Work(self._rows, self._server, self._gate, batch)
        while True:
            try:
                await work.done()
                self._say("batch ended", id=batch.id, status=work.batch.status)
                return
            except (OSError, DatabaseError) as error:  # the disk may be full, or away
                self._say("batch waits", level="error", id=batch.id, why=str(error))
                await asyncio.sleep(AGAIN_S)
                with contextlib.suppress(OSError, DatabaseError, RequestError):
                    work.batch = await self._rows.batch(batch.owner, batch.id)
            except Exception:  # noqa: BLE001 - one batch ends here, not the others
                trace = traceback.format_exc()
                self._say("batch failed", level="error", id=batch.id, traceback=trace)
                work.batch.status = "failed"
                work.batch.about["failed_at"] = int(self._rows.clock())
                with contextlib.suppress(OSError, DatabaseError):
                    await self._rows.save(work.batch)
                return


class _Work:
    """One batch, from where it stands to its end."""

    def __init__(
        self, rows: Rows, server: HttpServer, gate: asyncio.Semaphore, batch: Batch
    ) -> None:
        self._rows, self._server, self._gate, self.batch = rows, server, gate, batch
        self._path = rows.path(batch.input)
        self._answers: list[tuple[int, int, bytes]] = []
        self._bytes = 0
        """Of the answers so far."""

    async def done(self) -> None:
        """Raises ``OSError`` and ``DatabaseError``; called again, it goes on."""
        rows = self._rows
        await self._keep()  # before anything more is asked, what could not be kept
        lines = await self._checked()
        if lines is None:
            return
        batch = self.batch
        known, _, self._bytes = await rows.answered(batch.id)
        left = [line for line in lines if line.number not in known]
        outcome = await self._asked(left) if batch.status != "cancelling" else "cancelled"
        await self._keep()
        await self._close(lines, outcome)

    async def _checked(self) -> list[Line] | None:
        """Its requests; ``None`` where its file is no batch, and it has failed."""
        batch, rows = self.batch, self._rows
        endpoint, most = batch.about["endpoint"], rows.settings.max_requests
        try:
            lines, errors = await asyncio.to_thread(check, self._path, endpoint, most)
        except FileNotFoundError:
            gone = {"code": "missing_file", "message": "The file is gone.", "param": None}
            lines, errors = [], [{**gone, "line": None}]
        if errors:
            batch.status = "failed"
            batch.about["failed_at"] = self._now()
            batch.about["errors"] = {"object": "list", "data": errors}
            await rows.save(batch)
            return None
        if batch.status == "validating":
            batch.status = "in_progress"
            batch.about["in_progress_at"] = self._now()
            batch.about["total"] = len(lines)
            if not await rows.save(batch):
                await self._cancelling()
        batch.about["total"] = len(lines)
        return lines

    async def _asked(self, left: list[Line]) -> str:
        """Ask each; how it ended: completed, expired or cancelled."""
        time_left = self.batch.due - self._rows.clock()
        if time_left <= 0:
            return "expired"
        watch = asyncio.create_task(self._until_cancelled())
        asking = asyncio.create_task(self._ask_all(left))
        try:
            done, _ = await asyncio.wait(
                {watch, asking}, timeout=time_left, return_when=asyncio.FIRST_COMPLETED
            )
            if asking in done:
                asking.result()
                return "completed"
            if watch in done:
                watch.result()
                await self._cancelling()
                return "cancelled"
            return "expired"
        finally:
            for task in (watch, asking):
                task.cancel()
            await asyncio.gather(watch, asking, return_exceptions=True)
            await asyncio.shield(self._keep())

    async def _until_cancelled(self) -> None:
        while await self._rows.status(self.batch.id) != "cancelling":
            await asyncio.sleep(LOOK_S)

    async def _cancelling(self) -> None:
        """As it stands on disk, with when that was asked."""
        now = await self._rows.batch(self.batch.owner, self.batch.id)
        self.batch.status, self.batch.about = now.status, {**now.about, **self.batch.about}

    async def _ask_all(self, left: list[Line]) -> None:
        """As many at a time as may be under way at all; those that rest take no other's place."""
        waiting = iter(left)

        async def some() -> None:
            for line in waiting:
                await self._ask(line)

        failed: list[BaseException] = []
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write())
                count = min(len(left), self._rows.settings.concurrency)
                askers = [group.create_task(some()) for _ in range(count)]
                if askers:
                    await asyncio.wait(askers)
                writer.cancel()
        except* (OSError, DatabaseError) as errors:
            failed += errors.exceptions
        if failed:
            raise failed[0]

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(GATHER_S)
            await self._keep()

    async def _keep(self) -> None:
        answers, self._answers = self._answers, []
        if not answers:
            return
        try:
            await self._rows.put_results(self.batch.id, answers)
        except BaseException:  # nobody is to be asked, and paid, twice: they are kept later
            self._answers = answers + self._answers
            raise

    async def _ask(self, line: Line) -> None:
        if self._bytes > self._rows.settings.max_file_bytes:
            most = self._rows.settings.max_file_bytes
            said = f"The answers before it have more than {most} bytes together."
            self._answers.append((line.number, BAD, unanswered(line, "output_too_large", said)))
            return
        try:
            body = await asyncio.to_thread(body_of, self._path, line)
        except (OSError, ValueError) as error:
            told = unanswered(line, "unreadable_request", f"{type(error).__name__} in the file")
            self._answers.append((line.number, BAD, told))
            return
        tries = 0
        while True:
            tries += 1
            pause = self._pause(tries)
            try:
                found = await self._once(body)
            except Full:
                tries -= 1  # for as long as there is time
            except Unanswered as none:
                if not none.again or tries >= self._rows.settings.attempts:
                    told = unanswered(line, "no_answer", str(none))
                    self._answers.append((line.number, BAD, told))
                    return
            else:
                if not self._once_more(found, tries):
                    self._take(line, found)
                    return
                pause = max(pause, _asked_for(found))
            await asyncio.sleep(pause)

    async def _once(self, body: bytes) -> Answered:
        async with self._gate:
            return await ask(
                self._server,
                self.batch.about["endpoint"],
                body,
                self.batch.headers,
                caller=self.batch.caller,
                urgency=self._rows.settings.urgency,
                max_bytes=MAX_ANSWER,
            )

    def _once_more(self, found: Answered, tries: int) -> bool:
        if found.headers.get("x-should-retry") == "false":
            return False
        if found.status == 429:  # for as long as there is time
            return True
        return found.status in _AGAIN and tries < self._rows.settings.attempts

    def _pause(self, tries: int) -> float:
        """Before the next attempt: exponential, with full jitter."""
        return random.random() * min(LONGEST_PAUSE_S, 0.5 * 2.0 ** min(tries, 10))

    def _take(self, line: Line, found: Answered) -> None:
        good = 200 <= found.status < 300
        id = found.headers.get("x-request-id", "")
        text = answered(line, found.status, id, bytes(found.body))
        self._bytes += len(text)
        self._answers.append((line.number, GOOD if good else BAD, text))

    async def _close(self, lines: list[Line], outcome: str) -> None:
        """Put the files together. What is done already when it is done again is done anew."""
        batch, rows = self.batch, self._rows
        about = batch.about
        if outcome == "completed":
            batch.status, about["finalizing_at"] = "finalizing", self._now()
            if not await rows.save(batch):
                await self._cancelling()
                outcome = "cancelled"
        known, _, _ = await rows.answered(batch.id)
        if outcome == "expired":
            none = ("batch_expired", _EXPIRED)
        else:
            none = ("batch_cancelled", "The batch was cancelled before this request was asked.")
        missing = [line for line in lines if line.number not in known]
        await rows.put_results(
            batch.id, [(line.number, UNASKED, unanswered(line, *none)) for line in missing]
        )
        about["completed"], about["failed"] = await rows.counts(batch.id)
        for key, which in (("output_file_id", True), ("error_file_id", False)):
            file = await rows.add_output(batch, good=which)
            about[key] = None if file is None else file.id
        batch.status = outcome
        about[f"{outcome}_at"] = self._now()
        await rows.save(batch)
        await rows.forget_results(batch.id)

    def _now(self) -> int:
        return int(self._rows.clock())


def _asked_for(found: Answered) -> float:
    """How long the answer asks to be left alone, in seconds."""
    said = found.headers
    try:
        seconds = float(said.get("retry-after-ms", 0)) / 1e3 or float(said.get("retry-after", 0))
    except ValueError:  # no number: a date, say
        return 0.0
    return min(max(seconds, 0.0), LONGEST_PAUSE_S)
