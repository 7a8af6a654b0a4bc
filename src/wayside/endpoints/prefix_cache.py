"""Prefer servers that were sent this beginning before: it is likely to be in their cache."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from wayside.catalog import catalog
from wayside.endpoints import HITS, Scores
from wayside.settings import Settings
from wayside.vocab.endpoint import Endpoint, Fact, Need, Roster
from wayside.vocab.prefix_guess import PrefixGuess


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
    least_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """A server that was sent less of the prompt than this share counts as one that was sent none
    of it."""


@catalog.register("scorer", "prefix_cache", settings=PrefixCacheRule, stability="beta")
class PrefixCacheScorer:
    """The share of the prompt that a server was sent before, as far as it is likely to keep it.

    llm-d's approximate prefix cache (``prefix-cache-scorer``, spec 3.4): blocks are noted when a
    request is sent, before the server has read them, so that the next ones with the same
    beginning follow it at once. All messages count, tools and system prompt first.
    """

    reads: tuple[Fact, ...] = ("capacity",)

    def __init__(self, rule: PrefixCacheRule) -> None:
        self._guess = PrefixGuess(
            rule.block_tokens, rule.max_blocks, rule.capacity, rule.max_memory_mb
        )
        self._least = rule.least_share

    @property
    def blocks(self) -> int:
        """How many are remembered, of all servers."""
        return len(self._guess.index)

    def score(self, need: Need, roster: Roster) -> Scores:
        scores = need.memo[HITS] = self._guess.shares(need, roster)
        least = self._least
        return {i: s for i, s in scores.items() if s >= least} if least else scores

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        self._guess.chosen(need, endpoint)

    def forget(self, endpoint: Endpoint) -> None:
        self._guess.forget(endpoint)
