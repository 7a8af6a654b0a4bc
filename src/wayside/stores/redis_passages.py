"""Passages in a Redis server, found by meaning."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from wayside.stores.link import Command
from wayside.stores.redis_documents import Shelf, decoded, encoded
from wayside.stores.redis_scripts import digest
from wayside.stores.redis_search import (
    Fields,
    ProcessSearch,
    ServerSearch,
    field,
    packed,
    unpacked,
)
from wayside.stores.redis_server import Server
from wayside.vocab.stores import Contents, Index, Passage, Search, Unindex

PASSAGES = "passages"
_TO_READ = ("key", "text", "metadata")
CHUNK = 200
"""Passages that are read or forgotten with one question."""
CHUNKS = 25
"""Read before one search; of a larger space the rest follows with the next ones."""
SPACES = 10_000
"""Spaces of which a process notes how far it has read."""
OVERLAP_S = 2.0
"""How far the clocks of two routers may differ before one misses what the other put."""


class Passages:
    """What the store keeps to be found by :class:`Search`.

    Where the server has no index of vectors, each process reads those it does not know before it
    searches: all of a space at first, afterwards what was put since.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._since: dict[str, float] = {}
        """Up to when this process has read each space."""

    async def search(self, question: Search) -> tuple[Passage, ...]:
        vector = question.vector
        if vector is None or not any(vector):
            return ()
        finder, tag = self._server.finder, digest(question.space)
        if isinstance(finder, ProcessSearch):
            await self._catch_up(finder, question.space, len(vector))
        near = finder.near(PASSAGES, tag, vector, question.most, question.threshold, *_TO_READ)
        if not near.commands:
            return ()
        found = near.read(await self._server.link.ask(*near.commands))
        return tuple(_passage(fields, score) for fields, score in found)

    async def contents(self, question: Contents) -> tuple[Passage, ...]:
        """Passages that have ended are left out, so that a page may be short."""
        shelf = self._shelf(question.space)
        names = await shelf.newest(question.offset, question.limit)
        if not names:
            return ()
        replies = await self._server.ask(*_reading(shelf, names, *_TO_READ))
        return tuple(
            _passage(dict(zip(_TO_READ, values, strict=True)), 0.0)
            for values in replies
            if values[0] is not None
        )

    async def index(self, question: Index) -> None:
        server, width, tag = self._server, len(question.vector), digest(question.space)
        finder, now = server.finder, time.time()
        shelf, name = self._shelf(question.space), digest(question.key).encode()
        making: list[Command] = []
        if isinstance(finder, ServerSearch):
            making = finder.creation(PASSAGES, server.keys.passages(), width)
        made = await shelf.put(
            name,
            "key", encoded(question.key), "text", encoded(question.text),
            "metadata", msgspec.json.encode(question.metadata),
            "tag", tag, field(width), packed(question.vector),
            now=now, ttl_s=question.ttl_s, most=question.most, making=making,
        )  # fmt: skip
        for reply in made:
            server.indexed(PASSAGES, width, reply)
        if isinstance(finder, ProcessSearch):
            at = decoded(shelf.base + name)
            finder.kept(PASSAGES, tag, at, question.vector, question.ttl_s, now)

    async def unindex(self, question: Unindex) -> int:
        shelf, server = self._shelf(question.space), self._server
        if question.key:
            return int(await shelf.delete(digest(question.key).encode()))
        count = 0
        while names := await shelf.newest(0, CHUNK):
            forgetting: list[Command] = [("UNLINK", *(shelf.base + name for name in names))]
            forgetting += [("ZREM", at, *names) for at in (shelf.by_time, shelf.by_end)]
            gone, *rest = await server.link.ask(*forgetting)
            count += server.wrote(gone)
            for reply in rest:
                server.wrote(reply)
        return count

    async def _catch_up(self, finder: ProcessSearch, space: str, width: int) -> None:
        """Read the vectors that this process does not know."""
        tag, shelf = digest(space), self._shelf(space)
        if not finder.knows(PASSAGES, tag, width):
            self._since.pop(space, None)  # nothing is known of it, or no longer
        since = start = self._since.get(space, 0.0)
        for chunk in range(CHUNKS):
            (pairs,) = await self._server.ask(
                ("ZRANGEBYSCORE", shelf.by_time, start - OVERLAP_S, "+inf", "WITHSCORES",
                 "LIMIT", chunk * CHUNK, CHUNK)
            )  # fmt: skip
            stamps = {pairs[i]: float(pairs[i + 1]) for i in range(0, len(pairs), 2)}
            unknown = [
                name
                for name, stamp in stamps.items()
                if finder.stamp(PASSAGES, tag, decoded(shelf.base + name), width) != stamp
            ]
            if unknown:
                replies = await self._server.ask(*_reading(shelf, unknown, field(width)))
                for name, (data,) in zip(unknown, replies, strict=True):
                    if data is not None:
                        at = decoded(shelf.base + name)
                        finder.kept(PASSAGES, tag, at, unpacked(data), None, stamps[name])
            since = max(since, *stamps.values(), 0.0)
            if len(stamps) < CHUNK:
                break
        if len(self._since) >= SPACES:
            self._since.clear()  # they are read again, and what is known is not read twice
        self._since[space] = since

    def _shelf(self, space: str) -> Shelf:
        return Shelf(self._server, PASSAGES, space, self._server.keys.passages(space))


def _reading(shelf: Shelf, names: list[bytes], *fields: str) -> list[Command]:
    return [("HMGET", shelf.base + name, *fields) for name in names]


def _passage(fields: Fields, score: float) -> Passage:
    metadata: dict[str, Any] = msgspec.json.decode(fields["metadata"])
    return Passage(decoded(fields["key"]), decoded(fields["text"]), score, metadata)
