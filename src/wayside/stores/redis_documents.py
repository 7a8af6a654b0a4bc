"""Documents in a Redis server, and what passages have in common with them: lists of each space."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from wayside.stores.link import Command
from wayside.stores.redis_scripts import DELETE, PUT, SCRIPTS
from wayside.stores.redis_server import Server
from wayside.vocab.stores import Delete, Get, Listing, Put

DOCUMENTS = "documents"


def encoded(text: str) -> bytes:
    """Prompts may hold half a surrogate pair."""
    return text.encode("utf-8", "surrogatepass")


def decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def milliseconds(seconds: float) -> int:
    """For an expiry: at least one, at most three centuries."""
    return max(1, math.ceil(min(seconds, 1e10) * 1000)) if seconds == seconds else 1


class Shelf:
    """One space of a server: things by name, with lists of the names by time and by end."""

    def __init__(self, server: Server, what: str, space: str, base: str) -> None:
        """``base`` is what the keys of the things begin with; their names follow."""
        self._server, self.base = server, encoded(base)
        self.by_time, self.by_end = server.keys.lists(what, space)

    async def put(
        self,
        name: bytes,
        *value: str | bytes,
        now: float,
        ttl_s: float | None,
        most: int | None,
        making: Sequence[Command] = (),
    ) -> list[Any]:
        """Put one value, or several fields and values, after the commands of ``making``, whose
        replies it gives."""
        ttl_ms = 0 if ttl_s is None else milliseconds(ttl_s)
        *made, reply = await self._server.link.ask(
            *making,
            (*self._call(PUT, name), ttl_ms, repr(now), name, most or 0, self.base, *value),
        )
        self._server.wrote(reply)
        return made

    async def delete(self, name: bytes) -> bool:
        (reply,) = await self._server.link.ask((*self._call(DELETE, name), name))
        return bool(self._server.wrote(reply))

    async def newest(self, offset: int, limit: int) -> list[bytes]:
        """Names, the newest first; of some the thing may have ended."""
        if limit < 1:
            return []
        (names,) = await self._server.ask(("ZREVRANGE", self.by_time, offset, offset + limit - 1))
        found: list[bytes] = names
        return found

    def _call(self, script: str, name: bytes) -> Command:
        return ("EVALSHA", SCRIPTS[script], 3, self.base + name, self.by_time, self.by_end)


class Documents:
    """What :class:`Get` and its like ask about."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def get(self, question: Get) -> bytes | None:
        name = self._server.keys.documents(question.space) + question.key
        (found,) = await self._server.ask(("GET", encoded(name)))
        value: bytes | None = found
        return value

    async def put(self, question: Put) -> None:
        await self._shelf(question.space).put(
            encoded(question.key),
            question.value,
            now=time.time(),
            ttl_s=question.ttl_s,
            most=question.most,
        )

    async def delete(self, question: Delete) -> bool:
        return await self._shelf(question.space).delete(encoded(question.key))

    async def listing(self, question: Listing) -> tuple[tuple[str, bytes], ...]:
        """Documents that have ended are left out, so that a page may be short."""
        shelf = self._shelf(question.space)
        names = await shelf.newest(question.offset, question.limit)
        if not names:
            return ()
        (values,) = await self._server.ask(("MGET", *(shelf.base + name for name in names)))
        found = zip(names, values, strict=True)
        return tuple((decoded(name), value) for name, value in found if value is not None)

    def _shelf(self, space: str) -> Shelf:
        return Shelf(self._server, DOCUMENTS, space, self._server.keys.documents(space))
