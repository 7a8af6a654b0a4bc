"""A prompt as a chain of block hashes, and which servers are likely to have which blocks.

Two prompts have a block in common where everything up to its end is the same, as in the prefix
caches of inference servers. What is here is a guess at what those hold: it knows what was sent
where, not what was evicted.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice

from xxhash import xxh3_64_intdigest, xxh64_intdigest

from wayside.vocab.endpoint import BYTES_PER_TOKEN, Endpoint
from wayside.vocab.slots import Slots

PIECE = 16
"""Blocks that are remembered together."""
_PIECES = 4096
BLOCK_BYTES = 224
"""Memory that one block of one server takes at most (``tests/vocab/test_prefix.py`` weighs it)."""
_two = struct.Struct("<QQ").pack


class Chains:
    """Makes chains: block i is ``xxh64(LE64(xxh64(its bytes)) + LE64(hash of block i-1))``, the
    one before the first ``xxh64(model + salt)``, the last may be short (llm-d router,
    ``prefixhash/hashing.go``, spec 3.4). Without a tokenizer four bytes of the text are a token,
    the last filled up with zeros.

    A conversation's next turn repeats all before it, so pieces of ``PIECE`` blocks that were
    hashed lately are found again by one fast hash (xxh3) of their bytes: 256 KB in 35 µs instead
    of 290. That takes 4 MB at most.
    """

    __slots__ = ("_block", "_most", "_piece", "_pieces")

    def __init__(self, block_tokens: int, most: int) -> None:
        """``most`` blocks are looked at; a longer prompt is cut off there."""
        self._block, self._most = block_tokens * BYTES_PER_TOKEN, most
        self._piece = PIECE * self._block
        self._pieces: OrderedDict[int, tuple[int, ...]] = OrderedDict()

    def chain(self, model: str, salt: bytes, text: bytes) -> list[int]:
        h = xxh64_intdigest(model.encode("utf-8", "surrogatepass") + salt)
        block, piece, pieces = self._block, self._piece, self._pieces
        text = text[: block * self._most]
        whole = len(text) - len(text) % piece
        chain: list[int] = []
        for start in range(0, whole, piece):
            part = text[start : start + piece]
            name = xxh3_64_intdigest(part, seed=h)
            known = pieces.get(name)
            if known is None:
                known = pieces[name] = tuple(hashes(part, block, h))
                if len(pieces) > _PIECES:
                    pieces.popitem(last=False)
            else:
                pieces.move_to_end(name)
            chain += known
            h = known[-1]
        rest = text[whole:]
        if rest:
            chain += hashes(rest + bytes(-len(rest) % BYTES_PER_TOKEN), block, h)
        return chain


def hashes(text: bytes, block: int, h: int) -> list[int]:
    """The chain of ``text`` in blocks of that many bytes, after the hash ``h``."""
    chain = []
    for start in range(0, len(text), block):
        h = xxh64_intdigest(_two(xxh64_intdigest(text[start : start + block]), h))
        chain.append(h)
    return chain


class BlockIndex:
    """Which servers have which blocks: per block a bit for each, per server its blocks by last
    use, the oldest forgotten first.

    A use of a block is a later use of all those before it, so a server forgets the end of a
    prompt before its beginning, and having a block means having all before it. That is why
    :meth:`depths` may bisect.
    """

    __slots__ = ("_blocks", "_orders", "slots")

    def __init__(self) -> None:
        self.slots = Slots()
        self._blocks: dict[int, int] = {}
        self._orders: dict[int, dict[int, int]] = {}
        """By slot: its blocks, the longest unused first; each is its own value, so that all
        places hold one and the same integer object."""

    def __len__(self) -> int:
        """Blocks of all servers, counted once for each that has it."""
        return sum(map(len, self._orders.values()))

    def depths(self, chain: Sequence[int], among: int) -> list[tuple[int, int]]:
        """``(servers, blocks)``: the servers of the mask ``among`` that have exactly that many of
        the chain's blocks, fewest first; those that have none are in no pair."""
        get = self._blocks.get
        found = []
        have = get(chain[0], 0) & among if chain else 0
        low = 0
        while have:
            high = len(chain)
            if get(chain[high - 1], 0) & have == have:
                found.append((have, high))
                break
            while high - low > 1:  # all have block `low`, some lack block `high` - 1
                middle = (low + high) // 2
                if get(chain[middle], 0) & have == have:
                    low = middle
                else:
                    high = middle
            low += 1
            further = get(chain[low], 0) & have
            found.append((have & ~further, low))
            have = further
        return found

    def add(self, endpoint: Endpoint, chain: Sequence[int], capacity: int) -> None:
        """The server is about to have these, and at most ``capacity`` blocks altogether."""
        slot = self.slots.slot(endpoint)
        order = self._orders.setdefault(slot, {})
        blocks, bit = self._blocks, 1 << slot
        for h in reversed(chain[:capacity]):
            held = order.pop(h, None)
            if held is None:
                held = h
                blocks[h] = blocks.get(h, 0) | bit
            order[held] = held
        self._trim(order, bit, capacity)

    def trim(self, capacity: int) -> None:
        """No server has more than ``capacity`` blocks."""
        for slot, order in self._orders.items():
            self._trim(order, 1 << slot, capacity)

    def forget(self, endpoint: Endpoint) -> None:
        """The server has nothing any more."""
        slot = self.slots.known(endpoint)
        if slot is not None:
            order = self._orders.pop(slot, {})
            self._drop(order, list(order), 1 << slot)
            self.slots.free(endpoint)

    def _trim(self, order: dict[int, int], bit: int, capacity: int) -> None:
        if len(order) > capacity:
            # A few more than must be: finding a dict's oldest key costs a walk over what was
            # deleted before it.
            excess = len(order) - capacity + capacity // 64
            self._drop(order, list(islice(order, excess)), bit)

    def _drop(self, order: dict[int, int], gone: list[int], bit: int) -> None:
        blocks = self._blocks
        for h in gone:
            del order[h]
            left = blocks[h] & ~bit
            if left:
                blocks[h] = left
            else:
                del blocks[h]
