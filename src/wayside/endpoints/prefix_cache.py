"""Prefer servers that were sent this beginning before: it is likely to be in their cache."""

from __future__ import annotations

import msgspec
from pydantic import PositiveInt

from wayside.catalog import catalog
from wayside.endpoints import Scores
from wayside.settings import Settings
from wayside.vocab.endpoint import Endpoint, Fact, Need, Roster
from wayside.vocab.prefix import BLOCK_BYTES, BlockIndex, Chains

HITS = "prefix_hits"
"""What ``need.memo`` has for other strategies: position to share of the prompt's blocks."""
_UNKNOWN_CAPACITY = 31250


class PrefixCacheRule(Settings):
    """Example: ``{block_tokens: 64, capacity: 31250}``"""

    block_tokens: PositiveInt = 64
    """Tokens per block, of four bytes each: the grain in which prefixes are compared."""
    max_blocks: PositiveInt = 2048
    """Blocks of a prompt that are looked at; what follows them counts for nothing."""
    capacity: PositiveInt | None = None
    """Blocks remembered per server; unset, as many as its own cache holds, or 31250 where it does
    not say."""
    max_memory_mb: PositiveInt = 256
    """Memory for all servers together, in MiB; each gets an equal part of it at most."""


@catalog.register("scorer", "prefix_cache", settings=PrefixCacheRule, stability="beta")
class PrefixCacheScorer:
    """The share of the prompt that a server was sent before, as far as it is likely to keep it.

    llm-d's approximate prefix cache (``prefix-cache-scorer``, spec 3.4): blocks are noted when a
    request is sent, before the server has read them, so that the next ones with the same
    beginning follow it at once. All messages count, tools and system prompt first.
    """

    reads: tuple[Fact, ...] = ("vitals",)

    def __init__(self, rule: PrefixCacheRule) -> None:
        self._chains = Chains(rule.block_tokens, rule.max_blocks)
        self._index = BlockIndex()
        self._block_tokens, self._capacity = rule.block_tokens, rule.capacity
        self._most = rule.max_memory_mb * 2**20 // BLOCK_BYTES
        self._servers = 0

    def score(self, need: Need, roster: Roster) -> Scores:
        chain = self._chain(need)
        view = self._index.slots.view(roster)
        scores = {
            position: depth / len(chain)
            for mask, depth in self._index.depths(chain, view.mask)
            for position in view.of(mask)
        }
        need.memo[HITS] = scores
        return scores

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        self._index.add(endpoint, self._chain(need), self._capacity_of(endpoint))
        if len(self._index.slots) > self._servers:
            self._index.trim(self._part())
        self._servers = len(self._index.slots)

    def forget(self, endpoint: Endpoint) -> None:
        self._index.forget(endpoint)

    def _chain(self, need: Need) -> list[int]:
        chain: list[int] | None = need.memo.get(self)
        if chain is None:
            salt = _salt(need) if need.salt else b""
            chain = need.memo[self] = self._chains.chain(need.model, salt, need.text)
        return chain

    def _capacity_of(self, endpoint: Endpoint) -> int:
        vitals = endpoint.vitals
        own = vitals.blocks * vitals.block_size // self._block_tokens
        return min(self._capacity or own or _UNKNOWN_CAPACITY, self._part())

    def _part(self) -> int:
        return max(1, self._most // max(1, len(self._index.slots)))


def _salt(need: Need) -> bytes:
    """What the JSON string says; anything else as it stands."""
    try:
        return msgspec.json.decode(need.salt, type=str).encode("utf-8", "surrogatepass")
    except msgspec.MsgspecError:
        return need.salt
