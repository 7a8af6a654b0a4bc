"""Prefer servers that few tokens of ours are at: a long prompt counts for many short ones."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from wayside.catalog import catalog
from wayside.endpoints import HITS, Scores
from wayside.settings import Settings
from wayside.vocab.endpoint import Endpoint, Need, Roster


class TokenLoadRule(Settings):
    """Example: ``{threshold: 262144, until: first_token}``"""

    threshold: PositiveInt = 4_194_304
    """Tokens at which a server gets 0; 128 prompts of 32,768."""
    until: Literal["end", "first_token"] = "end"
    """How long a prompt counts: until its answer is over, or until it begins, which makes it the
    backlog of prefill."""


class _Load:
    __slots__ = ("tokens",)

    def __init__(self) -> None:
        self.tokens = 0


@catalog.register("scorer", "token_load", settings=TokenLoadRule, stability="beta")
class TokenLoadScorer:
    """Prefers servers that few prompt tokens of this process are at.

    1 - min(1, (t + u) / threshold), where t are the tokens of the prompts that are there and u
    those of this prompt that it has not cached, if a scorer named before this one knows (llm-d's
    ``token-load-scorer``, spec 3.4).
    """

    def __init__(self, rule: TokenLoadRule) -> None:
        self._threshold = float(rule.threshold)
        self._early = rule.until == "first_token"
        self._loads: dict[Endpoint, _Load] = {}  # of those that have any

    def score(self, need: Need, roster: Roster) -> Scores:
        threshold = self._threshold
        size, tokens = len(roster.endpoints), need.tokens
        positions = roster.positions
        scores = [1.0 - tokens / threshold] * size
        for i, share in need.memo.get(HITS, {}).items():
            if i < size:  # a roster made smaller since, by a filter
                scores[i] = 1.0 - tokens * (1.0 - share) / threshold
        for endpoint, load in self._loads.items():
            position = positions.get(endpoint)
            if position is not None:
                scores[position] -= load.tokens / threshold
        if min(scores) >= 0.0:
            return scores
        return [score if score > 0.0 else 0.0 for score in scores]

    def chosen(self, need: Need, endpoint: Endpoint) -> None:
        load = self._loads.get(endpoint)
        if load is None:
            load = self._loads[endpoint] = _Load()
        load.tokens += need.tokens
        # The load itself is kept, so that what ends after the server was forgotten is not taken
        # from what has begun since.
        need.memo.setdefault((self, endpoint), []).append(load)

    def answered(self, need: Need, endpoint: Endpoint, seconds: float) -> None:
        if self._early:
            self.ended(need, endpoint)

    def ended(self, need: Need, endpoint: Endpoint) -> None:
        begun = need.memo.get((self, endpoint))
        if not begun:  # counted until its first token, or never
            return
        load = begun.pop()
        load.tokens -= need.tokens
        if not load.tokens and self._loads.get(endpoint) is load:
            del self._loads[endpoint]

    def forget(self, endpoint: Endpoint) -> None:
        self._loads.pop(endpoint, None)
