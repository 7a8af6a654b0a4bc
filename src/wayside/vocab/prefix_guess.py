"""What servers are likely to have of a prompt, from what was sent to them."""

from __future__ import annotations

import msgspec

from wayside.vocab.endpoint import UNREADABLE, Endpoint, Need, Roster
from wayside.vocab.prefix import BLOCK_BYTES, BlockIndex, Chains

_UNKNOWN_CAPACITY = 31250


class PrefixGuess:
    """llm-d's approximate prefix cache (spec 3.4): blocks count from when a request is sent."""

    __slots__ = ("_block_tokens", "_capacity", "_chains", "_most", "_servers", "index")

    def __init__(
        self, block_tokens: int, max_blocks: int, capacity: int | None, max_memory_mb: int
    ) -> None:
        """``capacity`` is in blocks per server; ``None`` for what a server says of its cache."""
        self._chains = Chains(block_tokens, max_blocks)
        self.index = BlockIndex()
        self._block_tokens, self._capacity = block_tokens, capacity
        self._most = max_memory_mb * 2**20 // BLOCK_BYTES
        self._servers = 0

    def chain(self, need: Need) -> list[int]:
        """The hashes of the prompt's blocks; worked out once for a request."""
        chain: list[int] | None = need.memo.get(self)
        if chain is None:
            salt = _salt(need) if need.salt else b""
            chain = need.memo[self] = self._chains.chain(need.model, salt, need.text)
        return chain

    def shares(self, need: Need, roster: Roster) -> dict[int, float]:
        """By position, the share of the prompt that a server was sent before; those that were
        sent nothing of it are left out."""
        chain = self.chain(need)
        view = self.index.slots.view(roster)
        return {
            position: depth / len(chain)
            for mask, depth in self.index.depths(chain, view.mask)
            for position in view.of(mask)
        }

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        """The prompt is sent there."""
        self.index.add(endpoint, self.chain(need), self._capacity_of(endpoint))
        if len(self.index.slots) > self._servers:
            self.index.trim(self._part())
        self._servers = len(self.index.slots)

    def forget(self, endpoint: Endpoint) -> None:
        """The server has nothing any more."""
        self.index.forget(endpoint)

    def _capacity_of(self, endpoint: Endpoint) -> int:
        vitals = endpoint.vitals
        own = vitals.blocks * vitals.block_size // self._block_tokens
        return min(self._capacity or own or _UNKNOWN_CAPACITY, self._part())

    def _part(self) -> int:
        return max(1, self._most // max(1, len(self.index.slots)))


def _salt(need: Need) -> bytes:
    """What the JSON string says; anything else as it stands."""
    try:
        return msgspec.json.decode(need.salt, type=str).encode("utf-8", "surrogatepass")
    except UNREADABLE:
        return need.salt
