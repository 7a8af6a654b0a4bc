"""Everything in this process: the store ``memory``, which is always there."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Iterable
from itertools import islice

from pydantic import PositiveInt

from wayside.catalog import catalog
from wayside.net.turns import Turns
from wayside.settings import Capability, Settings
from wayside.stores.base import LOOKED_AT, Entry, Held, Shelf, Standing, Store, Tools, Which
from wayside.stores.leases import Leases
from wayside.stores.room import Item, Room
from wayside.stores.vectors import library
from wayside.vocab.stores import (
    Contents,
    Delete,
    Get,
    Hit,
    Index,
    Listing,
    Passage,
    Put,
    Recall,
    Recalled,
    Release,
    Remember,
    Search,
    Unindex,
)

ANSWERS, DOCUMENTS, PASSAGES = "answers", "documents", "passages"
BATCH = 500
"""Items that are dropped or looked at between two looks at the requests."""


class MemorySettings(Settings):
    """Example: ``{max_bytes: 67108864}``"""

    max_bytes: PositiveInt = 256 << 20
    """All that it holds together, vectors and tables too; what was least recently used goes
    first."""


@catalog.register("store", "memory", settings=MemorySettings, stability="beta")
class MemoryStore(Store):
    """In this process: fast, bounded, gone with it."""

    capabilities: frozenset[Capability] = frozenset({"cache", "documents", "search", "index"})
    lists = True

    def __init__(self, rule: MemorySettings, tools: Tools) -> None:
        self.room = Room(rule.max_bytes)
        self.leases = Leases()
        self.epoch = 0

    # cache

    def recall(self, question: Recall) -> Recalled | Awaitable[Recalled]:
        found = self._recalled(question)
        if question.wait_s <= 0 or (found and found[0].exact):
            return Recalled(found)
        at = (question.partition, question.key)
        if self.leases.lead(at):
            self.leases.note(at, str(self.epoch))
            return Recalled(found, leads=True)
        return self._waited(question) if self.leases.led(at) else Recalled(found)

    def remember(self, question: Remember) -> None:
        at = (question.partition, question.key)
        if self.leases.noted(at) in ("", str(self.epoch)):
            self._keep(question)
        self.leases.end(at)

    def _keep(self, question: Remember) -> None:
        self.room.put(
            (ANSWERS, question.partition),
            question.key,
            question.body,
            ttl_s=question.ttl_s,
            text=question.question,
            vector=question.vector,
        )

    def release(self, question: Release) -> None:
        self.leases.end((question.partition, question.key))

    async def _waited(self, question: Recall) -> Recalled:
        await self.leases.wait((question.partition, question.key), question.wait_s)
        return Recalled(self._recalled(question))

    def _recalled(self, question: Recall) -> tuple[Hit, ...]:
        space = (ANSWERS, question.partition)
        item = self.room.get(space, question.key)
        if item is not None:
            return (Hit(item.value, item.text, item.kept_at),)
        if question.vector is None:
            return ()
        found = self.room.near(space, question.vector, question.most, question.threshold)
        return tuple(Hit(i.value, i.text, i.kept_at, cosine, exact=False) for i, cosine in found)

    # documents

    def get(self, question: Get) -> bytes | None:
        item = self.room.get((DOCUMENTS, question.space), question.key)
        return None if item is None else item.value

    def put(self, question: Put) -> None:
        space = (DOCUMENTS, question.space)
        self.room.put(space, question.key, question.value, ttl_s=question.ttl_s)
        if question.most is not None:
            self.room.keep(space, question.most)

    def delete(self, question: Delete) -> bool:
        item = self.room.get((DOCUMENTS, question.space), question.key)
        if item is not None:
            self.room.drop(item)
        return item is not None

    def listing(self, question: Listing) -> tuple[tuple[str, bytes], ...]:
        newest = self.room.newest((DOCUMENTS, question.space))
        wanted = islice(newest, question.offset, question.offset + question.limit)
        return tuple((item.key, item.value) for item in wanted)

    # search

    def search(self, question: Search) -> tuple[Passage, ...]:
        if question.vector is None:
            return ()
        space = (PASSAGES, question.space)
        found = self.room.near(space, question.vector, question.most, question.threshold)
        return tuple(Passage(i.key, i.text, score, i.metadata) for i, score in found)

    def contents(self, question: Contents) -> tuple[Passage, ...]:
        newest = self.room.newest((PASSAGES, question.space))
        wanted = islice(newest, question.offset, question.offset + question.limit)
        return tuple(Passage(i.key, i.text, 0.0, i.metadata) for i in wanted)

    def index(self, question: Index) -> None:
        self.room.put(
            (PASSAGES, question.space),
            question.key,
            b"",
            ttl_s=question.ttl_s,
            text=question.text,
            vector=question.vector,
            metadata=question.metadata,
        )
        if question.most is not None:
            self.room.keep((PASSAGES, question.space), question.most)

    def unindex(self, question: Unindex) -> int | Awaitable[int]:
        space = (PASSAGES, question.space)
        if not question.key:
            return self._dropped(list(self.room.newest(space)))
        item = self.room.get(space, question.key)
        if item is not None:
            self.room.drop(item)
        return int(item is not None)

    async def _dropped(self, items: Iterable[Item]) -> int:
        """Drop those that are still here, giving way to requests now and then."""
        count = 0
        for item in items:
            count += self.room.drop(item)
            if count % BATCH == 0:
                await asyncio.sleep(0)
        return count

    # upkeep

    def standing(self) -> Standing:
        graphs = "" if library() else "; by meaning at most 16384 of a partition, without usearch"
        return Standing(f"in this process, bounded in bytes{graphs}")

    def answers(self) -> int:
        """How many are kept, some of which may have ended."""
        return self.room.counts.get(ANSWERS, 0)

    async def held(self) -> Held:
        return Held(self.answers(), self.room.size)

    async def forget(self, which: Which, *, dry_run: bool = False) -> int:
        going = []
        looked = 0
        for name, space in list(self.room.spaces.items()):
            if name[0] != ANSWERS:
                continue
            for item in list(space.items.values()):
                looked += 1
                if looked % BATCH == 0:
                    await asyncio.sleep(0)
                if which.takes(name[1], item.text, item.kept_at):
                    going.append(item)
        return len(going) if dry_run else await self._dropped(going)

    async def shelf(self, search: str, limit: int) -> Shelf:
        """Those that were used last come first. What is let go while requests have their turn
        ends the look."""
        found: list[Entry] = []
        wanted = search.lower()
        looked = 0
        turns = Turns()
        item = self.room.last()
        while item is not None and looked < LOOKED_AT and len(found) < limit:
            if item.space[0] == ANSWERS and item.until > self.room.clock():
                looked += 1
                if not wanted or _holds(item, wanted):
                    found.append(_entry(item))
            await turns.rest()
            item = self.room.before(item)
        return Shelf(tuple(found), looked, more=item is not None)

    async def discard(self, id: str) -> bool:
        try:
            partition, _, key = base64.urlsafe_b64decode(id).decode().rpartition("\0")
        except ValueError:
            return False
        held = self.room.spaces.get((ANSWERS, partition))
        item = held.items.get(key) if held else None
        return item is not None and self.room.drop(item)

    async def flush(self) -> str:
        self.epoch += 1
        await self.forget(Which())
        return str(self.epoch)

    def close(self) -> None:
        self.leases.clear()
        self.room.clear()


def _holds(item: Item, wanted: str) -> bool:
    return wanted in item.text.lower() or wanted.encode("utf-8", "replace") in item.value.lower()


def _entry(item: Item) -> Entry:
    partition = item.space[1]
    id = base64.urlsafe_b64encode(f"{partition}\0{item.key}".encode("utf-8", "replace"))
    until = None if item.until == float("inf") else item.until
    return Entry(id.decode(), partition, item.text, item.value, item.kept_at, until, item.size)
