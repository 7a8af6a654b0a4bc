"""What servers have in their KV caches, as their events tell it.

Blocks are known here by keys of our own, made from the tokens that an event carries, and not by
the engine's hashes: those depend on a seed (PYTHONHASHSEED) and on the engine's version (spec
4.4, llm-d-router#1581). A server's hashes only lead from its later events to its earlier ones.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Literal

import msgspec
from xxhash import xxh64_intdigest

from wayside.vocab.endpoint import Endpoint
from wayside.vocab.kv_messages import BlockRemoved, BlockStored, Event, Hash, events_of
from wayside.vocab.slots import Slots, slots_in

KEY_BYTES = 400
"""Memory that a block of a server takes at most (``tests/vocab/test_kv.py`` weighs it)."""
MOST_ADAPTERS = 1024
MOST_SOURCES = 256
"""Publishers of a server: ranks, or topics where servers dial us."""
LONGEST_NAME = 512
"""Bytes of a topic; characters of an adapter's name that is remembered."""
MOST_LEAVING = 256
"""Servers that go before what was promised of them is looked for."""
MOST_BLOCKS = 1 << 16
"""New blocks in one message: a million tokens, and some tenths of a second."""
MOST_SIZES = 4
"""Different sizes of blocks among the servers of a model, of which usually there is one."""
_UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, struct.error)
_LE64 = struct.Struct("<Q").pack


def keys(tokens: Sequence[int], block_size: int, parent: int) -> list[int]:
    """One per full block: ``xxh64(LE64(key before) + LE32 of each token)`` (spec 4.4; what tells
    prompts apart is in ``parent``, see :func:`root`). Raises ``struct.error`` for what is no
    token."""
    data = struct.pack(f"<{len(tokens)}I", *tokens)
    step, found = 4 * block_size, []
    for start in range(0, len(data) - step + 1, step):
        parent = xxh64_intdigest(_LE64(parent) + data[start : start + step])
        found.append(parent)
    return found


def root(adapter: str) -> int:
    """The key before the first of prompts to this adapter; ``""`` for the model itself."""
    return xxh64_intdigest(adapter.encode("utf-8", "surrogatepass"))


Heard = Literal["ok", "orphan", "gap", "restart", "malformed"]
"""What a message was: the next one; one with blocks after others that were never told; one after
others that never came; the first of a server that began again; nothing that we understand."""


class _Server:
    """``blocks`` are its own hashes and our keys, by age; ``since_start``: nothing was missed, so
    that what is not known is not there."""

    __slots__ = ("blocks", "last", "since_start")

    def __init__(self) -> None:
        self.blocks: OrderedDict[Hash, int] = OrderedDict()
        self.last: dict[bytes, int] = {}
        self.since_start = False


class KvIndex:
    """Blocks by key: a bit for each server that has it, apart for each tier of memory."""

    def __init__(self, tiers: Mapping[str, float], *, most_blocks: int) -> None:
        """``tiers`` is what a block is worth, 0..1, by the medium's lower-case name; one that is
        not among them is worth as much as the least. ``most_blocks`` for all servers together."""
        self.slots = Slots()
        self._worth = sorted(tiers.items(), key=lambda tier: -tier[1])
        self._tiers: list[dict[int, int]] = [{} for _ in self._worth]
        self._tier_of = {name: i for i, (name, _) in enumerate(self._worth)}
        self._soon: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._turned_at = 0.0
        self._leaving: tuple[list[int], list[int]] = ([], [])
        """Numbers of servers that are gone, for as long as there may be promises of theirs."""
        self._most = most_blocks
        self._servers: dict[Endpoint, _Server] = {}
        self.sizes: dict[int, None] = {}
        """Tokens per block, of any server."""
        self.adapters: dict[str, None] = {}
        """Names of adapters that events told of."""

    def __len__(self) -> int:
        """Blocks of all servers."""
        return sum([len(server.blocks) for server in self._servers.values()])

    def knows(self, endpoint: Endpoint) -> bool | None:
        """Whether all that the server has is known; ``None`` where nothing was heard of it."""
        server = self._servers.get(endpoint)
        return None if server is None else server.since_start

    # What is told

    def hear(self, endpoint: Endpoint, source: bytes, number: int, body: bytes) -> Heard:
        """Take a message in: ``source`` is the publisher (a server has one per rank), ``number``
        counts its messages. After a gap, a restart or what cannot be read, nothing that was known
        of the server holds: blocks may have gone meanwhile."""
        server = self._servers.get(endpoint)
        if len(source) > LONGEST_NAME or (
            server is not None and source not in server.last and len(server.last) >= MOST_SOURCES
        ):
            return "malformed"
        if server is None:
            server = self._servers[endpoint] = _Server()
            for other, its in self._servers.items():
                self._trim(its, 1 << self.slots.slot(other))
        last = server.last.get(source)
        said: Heard = "ok"
        if last is None:
            server.since_start = number == 0 and (server.since_start or not server.last)
        elif number != last + 1:
            said = "gap" if number > last else "restart"
            self._clear(endpoint, server)
            server.since_start = said == "restart" and number == 0
        server.last[source] = number
        try:
            events = events_of(body)
            if sum([len(e.hashes) for e in events if isinstance(e, BlockStored)]) > MOST_BLOCKS:
                raise msgspec.ValidationError("too many blocks")
            for event in events:
                if not self._take(endpoint, server, event):
                    server.since_start = False  # it has more than it told, whatever it says
                    said = "orphan" if said == "ok" else said
        except _UNREADABLE:
            self._clear(endpoint, server)
            server.since_start = False
            return "malformed"
        return said

    def promise(self, endpoint: Endpoint, prompt: Sequence[int], now: float, ttl_s: float) -> None:
        """The server is about to have these keys: believed for ``ttl_s``, up to three times it."""
        self.turn(now, ttl_s)
        bit, soon, have = 1 << self.slots.slot(endpoint), self._soon[0], self._tiers[0]
        if len(soon) > self._most // 8:
            return
        for key in prompt:
            if not have.get(key, 0) & bit:
                soon[key] = soon.get(key, 0) | bit

    def turn(self, now: float, ttl_s: float) -> None:
        """Let go of promises that are too old."""
        if now - self._turned_at >= ttl_s:
            both = now - self._turned_at >= 2 * ttl_s
            self._soon, self._turned_at = ({}, {} if both else self._soon[0]), now
            self.slots.give_back(self._leaving[1])
            if both:
                self.slots.give_back(self._leaving[0])
            self._leaving = ([], [] if both else self._leaving[0])

    def forget(self, endpoint: Endpoint) -> None:
        """The server is gone, or came back empty."""
        server = self._servers.pop(endpoint, None)
        if server is not None:
            self._clear(endpoint, server)
        slot = self.slots.drop(endpoint)
        if slot is not None:
            self._leaving[0].append(slot)
            if not (self._soon[0] or self._soon[1]) or len(self._leaving[0]) > MOST_LEAVING:
                self._part()

    def _part(self) -> None:
        """Let go of all promises of servers that are gone."""
        leaving = [*self._leaving[0], *self._leaving[1]]
        stay = ~sum([1 << slot for slot in leaving])
        new, old = ({k: m & stay for k, m in soon.items() if m & stay} for soon in self._soon)
        self._soon, self._leaving = (new, old), ([], [])
        self.slots.give_back(leaving)

    # What is asked

    def worth(self, prompt: Sequence[int], among: int) -> list[tuple[int, float]]:
        """``(servers, blocks)``: how many of the prompt's blocks servers of the mask have, without
        a gap from the first on, each as much as its tier is worth. Who has none is left out."""
        held = [(worth, tier) for (_, worth), tier in zip(self._worth, self._tiers, strict=True)]
        held = [(worth, tier) for worth, tier in held if tier]
        soon = [(1.0, promised) for promised in self._soon if promised]
        dicts = sorted([*held, *soon], key=lambda each: -each[0])
        if not dicts:
            return []
        rows = zip(*[map(d.get, prompt, repeat(0)) for _, d in dicts], strict=True)
        if all(worth == dicts[0][0] for worth, _ in dicts):
            return [(mask, depth * dicts[0][0]) for mask, depth in _depths(rows, among)]
        return _weighed(rows, [worth for worth, _ in dicts], among)

    # Keeping

    def _take(self, endpoint: Endpoint, server: _Server, event: Event) -> bool:
        """Whether it follows from what is known."""
        if isinstance(event, BlockStored):
            return self._store(endpoint, server, event)
        if isinstance(event, BlockRemoved):
            bit, tier = 1 << self.slots.slot(endpoint), self._tier(event.medium)
            for name in event.hashes:
                key = server.blocks.get(name)
                if key is not None:
                    _unset(self._tiers[tier], key, bit)
                    if not any([t.get(key, 0) & bit for t in self._tiers]):
                        del server.blocks[name]
        else:
            self._clear(endpoint, server)
            server.since_start = True
        return True

    def _store(self, endpoint: Endpoint, server: _Server, event: BlockStored) -> bool:
        if not 0 < event.block_size <= len(event.tokens) or (
            event.block_size not in self.sizes and len(self.sizes) >= MOST_SIZES
        ):
            return True
        parent = self._root(event) if event.parent is None else server.blocks.get(event.parent)
        if parent is None:
            return False  # what comes before was told before we listened
        self.sizes[event.block_size] = None
        bit, tier = 1 << self.slots.slot(endpoint), self._tiers[self._tier(event.medium)]
        blocks = server.blocks
        made = keys(event.tokens[: event.block_size * len(event.hashes)], event.block_size, parent)
        for name, key in zip(event.hashes, made, strict=False):
            before = blocks.get(name)
            if before is not None and before != key:  # it has lied, now or then
                for each in self._tiers:
                    _unset(each, before, bit)
            blocks[name] = key
            blocks.move_to_end(name)
            tier[key] = tier.get(key, 0) | bit
        self._trim(server, bit)
        return True

    def _root(self, event: BlockStored) -> int:
        if event.lora_id is None and event.lora_name is None:
            return root("")
        name = event.lora_name or f"\0{event.lora_id}"
        if len(self.adapters) < MOST_ADAPTERS and len(name) <= LONGEST_NAME:
            self.adapters[name] = None
        return root(name)

    def _tier(self, medium: str | None) -> int:
        """vLLM before 0.11 tells no medium, and has no other than the GPU."""
        name = "gpu" if medium is None else medium.lower()
        return self._tier_of.get(name, len(self._tiers) - 1)

    def _trim(self, server: _Server, bit: int) -> None:
        part = max(1, self._most // len(self._servers))
        while len(server.blocks) > part:
            _, key = server.blocks.popitem(last=False)
            for tier in self._tiers:
                _unset(tier, key, bit)

    def _clear(self, endpoint: Endpoint, server: _Server) -> None:
        bit = 1 << self.slots.slot(endpoint)
        for tier in self._tiers:
            for key in server.blocks.values() if tier else ():
                _unset(tier, key, bit)
        server.blocks.clear()


def _unset(tier: dict[int, int], key: int, bit: int) -> None:
    mask = tier.get(key, 0)
    if mask & bit:
        if mask == bit:
            del tier[key]
        else:
            tier[key] = mask ^ bit


def _depths(rows: Iterator[tuple[int, ...]], among: int) -> list[tuple[int, int]]:
    """Who leaves after how many rows."""
    found, have, depth = [], among, 0
    last: tuple[int, ...] | None = None
    for row in rows:
        if row != last:  # mostly it is the same as before
            last, mask = row, 0
            for part in row:
                mask |= part
            if mask & have != have:
                if depth:
                    found.append((have & ~mask, depth))
                have &= mask
                if not have:
                    return found
        depth += 1
    return [*found, (have, depth)] if depth else []


def _weighed(
    rows: Iterator[tuple[int, ...]], worths: Sequence[float], among: int
) -> list[tuple[int, float]]:
    """The same where rows' columns are worth differently, the most first."""
    total: dict[int, float] = {}
    have, run = among, 0
    parts: list[int] = []
    last: tuple[int, ...] | None = None
    for row in rows:
        if row != last:
            _add_up(total, worths, parts, run)
            last, left, parts, run = row, have, [], 0
            for mask in row:
                parts.append(mask & left)
                left &= ~mask
            have &= ~left
            if not have:
                break
        run += 1
    _add_up(total, worths, parts, run)
    return [(1 << slot, worth) for slot, worth in total.items() if worth]


def _add_up(
    total: dict[int, float], worths: Sequence[float], parts: Sequence[int], run: int
) -> None:
    for worth, mask in zip(worths, parts, strict=False):
        for slot in slots_in(mask if run else 0):
            total[slot] = total.get(slot, 0.0) + worth * run
