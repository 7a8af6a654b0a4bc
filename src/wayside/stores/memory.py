"""Everything in this process: the store ``memory``, which is always there."""

from __future__ import annotations

import time
from collections import OrderedDict

from pydantic import PositiveInt

from wayside.catalog import catalog
from wayside.settings import Capability, Settings
from wayside.stores.base import Store, Tools
from wayside.vocab.stores import Delete, Get, Listing, Put


class MemorySettings(Settings):
    """Example: ``{max_bytes: 67108864}``"""

    max_bytes: PositiveInt = 256 << 20
    """All that it holds together; what was least recently used goes first."""


@catalog.register("store", "memory", settings=MemorySettings, stability="beta")
class MemoryStore(Store):
    """In this process: fast, bounded, gone with it."""

    capabilities: frozenset[Capability] = frozenset({"documents"})

    def __init__(self, rule: MemorySettings, tools: Tools) -> None:
        self._documents: OrderedDict[tuple[str, str], tuple[bytes, float]] = OrderedDict()
        self._size = 0
        self._most = rule.max_bytes
        self.clock = time.time

    def get(self, question: Get) -> bytes | None:
        at = (question.space, question.key)
        held = self._documents.get(at)
        if held is None:
            return None
        if held[1] < self.clock():
            self._drop(at)
            return None
        return held[0]

    def put(self, question: Put) -> None:
        at = (question.space, question.key)
        self._drop(at)
        until = float("inf") if question.ttl_s is None else self.clock() + question.ttl_s
        self._documents[at] = (question.value, until)
        self._size += len(question.value) + len(question.key)
        while self._size > self._most and self._documents:
            self._drop(next(iter(self._documents)))

    def delete(self, question: Delete) -> bool:
        return self._drop((question.space, question.key))

    def listing(self, question: Listing) -> tuple[tuple[str, bytes], ...]:
        now = self.clock()
        found = [
            (key, value)
            for (space, key), (value, until) in reversed(self._documents.items())
            if space == question.space and until >= now
        ]
        return tuple(found[question.offset : question.offset + question.limit])

    def _drop(self, at: tuple[str, str]) -> bool:
        held = self._documents.pop(at, None)
        if held is None:
            return False
        self._size -= len(held[0]) + len(at[1])
        return True
