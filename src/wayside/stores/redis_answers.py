"""Answers in a Redis server: found by key or by meaning, asked for once by all processes."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import msgspec

from wayside.net.turns import Turns
from wayside.stores.base import LOOKED_AT, Entry, Held, Shelf, Which
from wayside.stores.leases import LEASE_S, Leases
from wayside.stores.link import Command, Refusal
from wayside.stores.redis_documents import decoded, encoded, milliseconds
from wayside.stores.redis_scripts import RECALL, RELEASE, REMEMBER, SCRIPTS, digest
from wayside.stores.redis_search import (
    NOTHING,
    Fields,
    Near,
    ProcessSearch,
    ServerSearch,
    field,
    packed,
    unpacked,
)
from wayside.stores.redis_server import Server
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import Hit, Recall, Recalled, Release, Remember

ANSWERS = "answers"
FIRST_POLL_S, LONGEST_POLL_S = 0.01, 0.1
"""How often is asked whether another process has its answer."""
SEEN_S = 3_600.0
"""How long what was read is compared with here; where the server let it go before, it goes when
it is next found."""
BATCH = 500
BODIES = 20
"""Answers that are read at once, bodies and all."""
COUNTED = 100_000
"""Keys that counting looks at."""
_READ = ("body", "question", "at")
_NO_LEASE, _WHO_LEADS = 0, -1


class Answers:
    """A cache that several processes share.

    Of the askers in one process one leads (:mod:`wayside.stores.leases`), and only leaders ask
    the server for the lead among processes; so a key is looked after by one poll per process.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.leases = Leases()
        self.epoch = ""
        self._me = os.urandom(8).hex()
        self._later: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        self.leases.clear()
        for task in self._later:
            if not task.get_loop().is_closed():
                task.cancel()

    async def recall(self, question: Recall) -> Recalled:
        at = (question.partition, question.key)
        leads = question.wait_s > 0 and self.leases.lead(at)
        if question.wait_s > 0 and not leads and self.leases.led(at):
            await self.leases.wait(at, question.wait_s)
            return Recalled((await self._look(question, _NO_LEASE))[0])
        keeps = False
        try:
            hits, who = await self._look(question, int(LEASE_S * 1000) if leads else _NO_LEASE)
            if leads and who == "theirs":
                hits = await self._follow(question, hits)
            else:
                keeps = leads and not (hits and hits[0].exact)
                self.leases.note(at, self.epoch)
            return Recalled(hits, leads=keeps)
        except asyncio.CancelledError:
            if leads:  # nobody shall wait for somebody who has left
                self._soon(self.release(Release(question.store, *at)))
            raise
        finally:
            if leads and not keeps:
                self.leases.end(at)

    async def remember(self, question: Remember) -> None:
        server, partition = self._server, question.partition
        at = (partition, question.key)
        if not self.epoch:
            await self._learn()
        epoch = self.leases.noted(at) or self.epoch
        vector = question.vector if question.vector and any(question.vector) else None
        tag = digest(epoch, partition)
        fields: list[str | bytes] = [
            "body", question.body, "question", encoded(question.question),
            "at", repr(time.time()), "partition", encoded(partition), "tag", tag,
        ]  # fmt: skip
        making: list[Command] = []
        if vector is not None:
            fields += [field(len(vector)), packed(vector)]
            if isinstance(server.finder, ServerSearch):
                making = server.finder.creation(ANSWERS, server.keys.answers(), len(vector))
        try:
            call = self._call(REMEMBER, epoch, partition, question.key)
            *made, reply = await server.link.ask(
                *making, (*call, milliseconds(question.ttl_s), *fields)
            )
        finally:
            self.leases.end(at)
        for creation in made:
            server.indexed(ANSWERS, len(vector or ()), creation)
        kept = server.wrote(reply)
        if kept == 0:  # a flush came in between
            await self._learn()
        if kept == 1 and vector is not None and isinstance(server.finder, ProcessSearch):
            name = server.keys.answer(epoch, partition, question.key)
            server.finder.kept(ANSWERS, tag, name, vector, question.ttl_s)

    async def release(self, question: Release) -> None:
        at = (question.partition, question.key)
        self.leases.end(at)
        lease = self._server.keys.lease(self.epoch, *at)
        await self._server.ask(("EVALSHA", SCRIPTS[RELEASE], 1, lease, self._me))

    # upkeep, which no request waits for: some hundred keys at a time

    async def held(self) -> Held:
        """The answers of this epoch, and what the index in this process takes."""
        count = looked = 0
        nbytes = self._server.finder.nbytes
        async for names in self._names():
            count += len(names)
            looked += BATCH
            if looked >= COUNTED:
                return Held(count, nbytes, whole=False)
        return Held(count, nbytes)

    async def forget(self, which: Which, *, dry_run: bool) -> int:
        count = 0
        async for names in self._names():
            rows = await self._server.ask(
                *(("HMGET", name, "partition", "question", "at") for name in names)
            )
            going = [
                name
                for name, (partition, question, at) in zip(names, rows, strict=True)
                if partition is not None
                and which.takes(decoded(partition), decoded(question or b""), float(at or 0))
            ]
            count += len(going)
            if going and not dry_run:
                await self._unlink(going)
        return count

    async def shelf(self, search: str, limit: int) -> Shelf:
        """In no order."""
        found: list[Entry] = []
        wanted = search.lower()
        looked = 0
        turns = Turns()
        async for names in self._names():
            for i in range(0, len(names), BODIES):
                some = names[i : i + BODIES]
                replies = await self._server.ask(
                    *(("HMGET", name, "partition", "question", "body", "at") for name in some),
                    *(("PTTL", name) for name in some),
                )
                for name, fields, left_ms in zip(
                    some, replies[: len(some)], replies[len(some) :], strict=True
                ):
                    looked += 1
                    await turns.rest()
                    if fields[0] is not None and _holds(fields, wanted):
                        found.append(_entry(name, fields, left_ms))
                        if len(found) >= limit:
                            return Shelf(tuple(found), looked, more=True)
                if looked >= LOOKED_AT:
                    return Shelf(tuple(found), looked, more=True)
        return Shelf(tuple(found), looked, more=False)

    async def discard(self, id: str) -> bool:
        try:
            name = base64.urlsafe_b64decode(id)
        except ValueError:
            return False
        await self._learn()
        if not name.startswith(self._server.keys.answers(self.epoch).encode()):
            return False  # the key of something else, or of an earlier epoch
        (reply,) = await self._server.link.ask(("UNLINK", name))
        return bool(self._server.wrote(reply))

    async def flush(self) -> str:
        """A new epoch, which hides at once all that was kept; then its keys go, too."""
        names, new = self._names(), os.urandom(8).hex()
        first = await anext(names, None)
        (reply,) = await self._server.link.ask(("SET", self._server.keys.epoch(), new))
        self._server.wrote(reply)
        self._move_to(new)
        if first is not None:
            await self._unlink(first)
            async for more in names:
                await self._unlink(more)
        return new

    async def _unlink(self, names: list[bytes]) -> None:
        (reply,) = await self._server.link.ask(("UNLINK", *names))
        self._server.wrote(reply)

    async def _names(self) -> AsyncIterator[list[bytes]]:
        """The keys of the answers of this epoch, some at a time; one may come twice."""
        await self._learn()
        pattern, cursor = self._server.keys.answers(self.epoch) + "*", b"0"
        while True:
            ((cursor, names),) = await self._server.ask(
                ("SCAN", cursor, "MATCH", pattern, "COUNT", BATCH)
            )
            if names:
                yield names
            if cursor == b"0":
                return

    # reading

    async def _learn(self) -> None:
        """Which epoch is it?"""
        await self._look(Recall("", "", ""), _NO_LEASE)

    async def _look(self, question: Recall, lease_ms: int) -> tuple[tuple[Hit, ...], str]:
        """What there is, and who leads: ``ours``, ``theirs`` or ``nobody``. One round trip."""
        width = len(question.vector) if question.vector else 0
        for _ in range(3):  # another epoch than the one we know is begun with again
            known = self.epoch
            near = self._near(question)
            call = self._call(RECALL, known, question.partition, question.key)
            fresh = os.urandom(8).hex()
            first, *rest = await self._server.link.ask(
                (*call, fresh, self._me, lease_ms, field(width)), *near.commands
            )
            if isinstance(first, Refusal):
                self._server.refused(first)
            epoch = first[0].decode()
            if epoch == known:
                break
            if epoch != self.epoch:  # nobody has moved on while we waited
                self._move_to(epoch)
        else:
            raise AskFailed(f"{self._server.link.place}: it is being flushed")
        if len(first) > 2:
            body, text, at, *vector = first[2:]
            self._seen(question, vector[0] if vector else None)
            return (Hit(body, decoded(text), float(at)),), "nobody"
        return tuple(_hit(fields, cosine) for fields, cosine in near.read(rest)), first[1].decode()

    async def _follow(self, question: Recall, hits: tuple[Hit, ...]) -> tuple[Hit, ...]:
        """Another process asks the same: look now and then whether it has its answer."""
        clock = asyncio.get_running_loop().time
        until, pause = clock() + question.wait_s, FIRST_POLL_S
        exact = msgspec.structs.replace(question, vector=None)
        while (left := until - clock()) > 0:
            await asyncio.sleep(min(pause, left))
            pause = min(1.5 * pause, LONGEST_POLL_S)
            found, who = await self._look(exact, _WHO_LEADS)
            if found:
                return found
            if who != "theirs":
                break
        return hits

    def _near(self, question: Recall) -> Near:
        if question.vector is None:
            return NOTHING
        tag = digest(self.epoch, question.partition)
        return self._server.finder.near(
            ANSWERS, tag, question.vector, question.most, question.threshold, *_READ
        )

    def _seen(self, question: Recall, vector: bytes | None) -> None:
        """What another process kept is from now on found by meaning here, too."""
        finder = self._server.finder
        if vector and question.vector and isinstance(finder, ProcessSearch):
            name = self._server.keys.answer(self.epoch, question.partition, question.key)
            tag = digest(self.epoch, question.partition)
            if finder.stamp(ANSWERS, tag, name, len(question.vector)) is None:
                finder.kept(ANSWERS, tag, name, unpacked(vector), SEEN_S)

    def _move_to(self, epoch: str) -> None:
        self.epoch = epoch
        if isinstance(self._server.finder, ProcessSearch):
            self._server.finder.clear(ANSWERS)

    def _call(self, script: str, epoch: str, partition: str, key: str) -> Command:
        """A script about one answer."""
        keys = self._server.keys
        return (
            "EVALSHA", SCRIPTS[script], 3, keys.epoch(),
            keys.answer(epoch, partition, key), keys.lease(epoch, partition, key), epoch,
        )  # fmt: skip

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        async def quietly() -> None:
            try:
                await work
            except AskFailed:
                return

        task = asyncio.get_running_loop().create_task(quietly())
        self._later.add(task)
        task.add_done_callback(self._later.discard)


def _hit(fields: Fields, cosine: float) -> Hit:
    question, at = decoded(fields["question"]), float(fields["at"])
    return Hit(fields["body"], question, at, cosine, exact=False)


def _holds(fields: Sequence[bytes | None], wanted: str) -> bool:
    _, question, body, _ = fields
    if not wanted or wanted in decoded(question or b"").lower():
        return True
    return wanted.encode("utf-8", "replace") in (body or b"").lower()


def _entry(name: bytes, fields: Sequence[bytes | None], left_ms: int) -> Entry:
    partition, question, body, at = (field or b"" for field in fields)
    return Entry(
        base64.urlsafe_b64encode(name).decode(),
        decoded(partition),
        decoded(question),
        body,
        float(at or 0),
        time.time() + left_ms / 1e3 if left_ms > 0 else None,
        len(name) + len(partition) + len(question) + len(body),
    )
