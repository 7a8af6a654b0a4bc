"""Finding by meaning what is kept in a Redis server: by its own index, or by one in this process.

A server with the search module (Redis 8, Redis Stack, Valkey with valkey-search) compares vectors
itself, and every process finds what any has kept. One without, such as Debian's ``redis-server``,
keeps the vectors beside the texts; each process then compares with those it has kept or read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from wayside.stores.link import Command, Refusal
from wayside.stores.redis_scripts import Keys
from wayside.stores.room import Room
from wayside.vocab.ask import Vector

Fields = dict[str, bytes]


class Near(NamedTuple):
    """Commands to send, and how to read what comes back: fields with their cosine, best first."""

    commands: list[Command]
    read: Callable[[Sequence[Any]], list[tuple[Fields, float]]]


NOTHING = Near([], lambda replies: [])


def field(width: int) -> str:
    """The field of a vector: vectors of different widths have different ones."""
    return f"v{width}"


def packed(vector: Vector) -> bytes:
    return np.asarray(vector, np.float32).tobytes()


def unpacked(data: bytes) -> Vector:
    return tuple(np.frombuffer(data, np.float32).tolist()) if len(data) % 4 == 0 else ()


class ServerSearch:
    """The server's own index, one for each kind of thing and each width of vectors."""

    mode = "vector search by the server"

    def __init__(self, keys: Keys, known: set[str]) -> None:
        """``known`` are indexes that the server has; another process may have made more."""
        self._keys, self.known = keys, known

    @property
    def nbytes(self) -> int:
        return 0

    def close(self) -> None:
        """There is nothing in this process."""

    def creation(self, what: str, prefix: str, width: int) -> list[Command]:
        """What makes the index, where it is not there yet."""
        name = self._keys.index(what, width)
        if name in self.known or not width:
            return []
        return [
            ("FT.CREATE", name, "ON", "HASH", "PREFIX", 1, prefix, "SCHEMA", "tag", "TAG",
             field(width), "VECTOR", "HNSW", 6, "TYPE", "FLOAT32", "DIM", width,
             "DISTANCE_METRIC", "COSINE")
        ]  # fmt: skip

    def created(self, what: str, width: int, reply: Any) -> str:
        """Remember that the index is there; or why it is not."""
        if isinstance(reply, Refusal) and "exists" not in str(reply):
            return str(reply)
        self.known.add(self._keys.index(what, width))
        return ""

    def near(
        self, what: str, tag: str, vector: Vector, most: int, threshold: float, *names: str
    ) -> Near:
        index = self._keys.index(what, len(vector))
        if not any(vector):
            return NOTHING
        query = f"(@tag:{{{tag}}})=>[KNN {most} @{field(len(vector))} $near AS far]"
        returned = (*names, "far")
        command: Command = (
            "FT.SEARCH", index, query, "PARAMS", 2, "near", packed(vector),
            "RETURN", len(returned), *returned, "LIMIT", 0, most, "DIALECT", 2,
        )  # fmt: skip

        def read(replies: Sequence[Any]) -> list[tuple[Fields, float]]:
            (reply,) = replies
            if isinstance(reply, Refusal):
                self.known.discard(index)  # not there: nothing was kept yet, or all was lost
                return []
            found = []
            for pairs in reply[2::2]:
                got = _fields(pairs)
                cosine = 1.0 - float(got.pop("far", b"2"))
                if got and cosine >= threshold - 1e-6:
                    found.append((got, min(1.0, cosine)))
            return sorted(found, key=lambda pair: -pair[1])

        return Near([command], read)


class ProcessSearch:
    """An index in this process of the vectors it has kept or read, bounded in bytes."""

    mode = "exact by the server, by meaning only what this process has kept or read"

    def __init__(self, keys: Keys, most_bytes: int) -> None:
        self._keys, self._most_bytes = keys, most_bytes
        self._rooms: dict[str, Room] = {}

    @property
    def nbytes(self) -> int:
        """What this process holds."""
        return sum(room.size for room in self._rooms.values())

    def room(self, what: str) -> Room:
        """The vectors of one sort of thing."""
        found = self._rooms.get(what)
        if found is None:
            found = self._rooms[what] = Room(self._most_bytes)
        return found

    def clear(self, what: str) -> None:
        """Forget everything of one sort."""
        room = self._rooms.pop(what, None)
        if room is not None:
            room.clear()

    def close(self) -> None:
        for what in list(self._rooms):
            self.clear(what)

    def near(
        self, what: str, tag: str, vector: Vector, most: int, threshold: float, *names: str
    ) -> Near:
        room = self.room(what)
        found = room.near((what, _shelf(tag, len(vector))), vector, most, threshold)
        if not found:
            return NOTHING
        commands: list[Command] = [("HMGET", item.key, *names) for item, _ in found]

        def read(replies: Sequence[Any]) -> list[tuple[Fields, float]]:
            got = []
            for (item, cosine), reply in zip(found, replies, strict=True):
                if isinstance(reply, Refusal):
                    continue
                if reply[0] is None:
                    room.drop(item)  # the server let it go
                else:
                    got.append((_paired(names, reply), cosine))
            return got

        return Near(commands, read)

    def kept(
        self,
        what: str,
        tag: str,
        name: str,
        vector: Vector,
        ttl_s: float | None = None,
        stamp: float = 0.0,
    ) -> None:
        """``name`` is the thing's key in the server; ``stamp`` is when it was put there."""
        at = (what, _shelf(tag, len(vector)))
        self.room(what).put(at, name, b"", ttl_s=ttl_s, vector=vector, metadata=stamp)

    def stamp(self, what: str, tag: str, name: str, width: int) -> float | None:
        """When what is compared with here was put, or ``None``."""
        item = self.room(what).get((what, _shelf(tag, width)), name)
        return None if item is None else float(item.metadata)

    def knows(self, what: str, tag: str, width: int) -> bool:
        """Whether anything is compared with here."""
        return (what, _shelf(tag, width)) in self.room(what).spaces


def _shelf(tag: str, width: int) -> str:
    """Vectors of another embedder have another width, and are not compared with these."""
    return f"{tag}/{width}"


def _fields(pairs: Any) -> Fields:
    """``[name, value, ...]`` as a mapping; nothing of what has expired meanwhile."""
    if not isinstance(pairs, list):
        return {}
    return {name.decode(): value for name, value in zip(pairs[::2], pairs[1::2], strict=True)}


def _paired(names: Sequence[str], values: Sequence[bytes | None]) -> Fields:
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}
