"""Send a prompt where most of it was sent before, unless the load is too uneven for that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from wayside.catalog import catalog
from wayside.endpoints import HITS
from wayside.settings import Settings
from wayside.vocab.endpoint import Endpoint, Need, Roster
from wayside.vocab.radix import PrefixTree
from wayside.vocab.spoken import spoken


class CacheAwareRule(Settings):
    """Example: ``{cache_threshold: 0.5, balance_abs_threshold: 32}``"""

    cache_threshold: Annotated[float, Field(ge=0, le=1)] = 0.3
    """A prompt follows its beginning where more than this share of it was sent before; otherwise
    it goes where the fewest requests are."""
    balance_abs_threshold: NonNegativeInt = 64
    """The load is uneven where the busiest server has more requests in flight than the idlest by
    more than this, and ..."""
    balance_rel_threshold: Annotated[float, Field(ge=1)] = 1.5
    """... more than this times as many. Then prompts go where the fewest are."""
    max_tree_mb: PositiveInt = 4
    """Text remembered per server, in MiB: a GPU's cache of a million tokens is about as much."""
    count: PositiveInt = 1
    """Servers named, the others after the first by their load."""


@catalog.register(
    "picker", "cache_aware", settings=CacheAwareRule, stability="beta", aliases=("cache-aware",)
)
class CacheAwarePicker:
    """The server that was sent most of the prompt; the least busy if that is little or uneven.

    The policy of vllm-router and sglang-router (spec 6.2), over all messages of a chat, where
    sglang-router compared only the first (sglang#26263).
    """

    def __init__(self, rule: CacheAwareRule) -> None:
        self._rule = rule
        self._tree = PrefixTree(rule.max_tree_mb * 2**20)

    def pick(self, need: Need, roster: Roster, totals: Sequence[float]) -> Sequence[int]:
        endpoints, rule = roster.endpoints, self._rule
        loads = [e.in_flight for e in endpoints]
        low, high = min(loads), max(loads)
        candidates: Iterable[int] = range(len(endpoints))
        uneven = (
            high - low > rule.balance_abs_threshold and high > rule.balance_rel_threshold * low
        )
        hit = 0.0
        if not uneven:
            head, text = _head(need), spoken(need)
            view = self._tree.slots.view(roster)
            matched, servers = self._tree.match(head + text, view.mask)
            rate = (matched - len(head)) / len(text) if text else 0.0
            if rate > rule.cache_threshold:
                candidates = view.of(servers)
                hit = rate
        first = self._idlest(candidates, roster, need)
        if not totals:  # else a scorer may know better
            need.memo[HITS] = {first: hit}
        if rule.count == 1:
            return (first,)
        others = sorted((i for i in range(len(endpoints)) if i != first), key=loads.__getitem__)
        return [first, *others][: rule.count]

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        self._tree.add(endpoint, _head(need) + spoken(need))

    def forget(self, endpoint: Endpoint) -> None:
        self._tree.forget(endpoint)

    def _idlest(self, candidates: Iterable[int], roster: Roster, need: Need) -> int:
        """Fewest requests for its weight, then least text, then by the dice."""
        endpoints = roster.endpoints
        loads = [((endpoints[i].in_flight + 1) / (endpoints[i].weight or 1e-9), i)
                 for i in candidates]  # fmt: skip
        least = min(loads)[0]
        equals = [i for load, i in loads if load == least]
        if len(equals) == 1:
            return equals[0]
        sizes = [self._tree.size(endpoints[i]) for i in equals]
        smallest = min(sizes)
        equals = [i for i, size in zip(equals, sizes, strict=True) if size == smallest]
        return equals[int(need.dice() * len(equals))]


def _head(need: Need) -> bytes:
    """What tells apart prompts that share no cache: each model and salt has a tree of its own."""
    return b"%s\0%s\0" % (need.model.encode("utf-8", "surrogatepass"), need.salt)
