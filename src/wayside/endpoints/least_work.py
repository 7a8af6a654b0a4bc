"""Prefer the server with the least to do for this prompt: what it has not cached, and its load."""

from __future__ import annotations

from pydantic import NonNegativeInt

from wayside.catalog import catalog
from wayside.endpoints import HITS, Scores
from wayside.settings import Settings
from wayside.vocab.endpoint import Fact, Need, Roster

_SCALE = 16_384.0
"""Tokens of work that get 0.5: the middle of what prompts and queues come to."""


class LeastWorkRule(Settings):
    """Example: ``{request_tokens: 250}``"""

    request_tokens: NonNegativeInt = 100
    """What one request in flight is worth: as much prefill as a new one is held up by it. More
    evens load out, less keeps prompts with their caches."""
    waiting_tokens: NonNegativeInt = 0
    """What one request that waits there is worth, whoever sent it, as the server says itself:
    for several routers that share servers. 0: its metrics are not read for this."""


@catalog.register("scorer", "least_work", settings=LeastWorkRule, stability="beta")
class LeastWorkScorer:
    """Prefers the server that has the least to do before this prompt's answer begins.

    The work w is in tokens: those of the prompt that the server has not cached, as far as a
    scorer named before this one knows (``prefix_cache``, of any weight, 0 as well), and
    ``request_tokens`` for each request of ours that is there, over the server's weight, and
    ``waiting_tokens`` for each that waits there by its own word. The score is
    16384 / (16384 + w). Tokens and requests are added up before they are compared with other
    servers', so a hit of 40 tokens never outweighs a queue, and a hit of 10,000 does.
    """

    def __init__(self, rule: LeastWorkRule) -> None:
        self._each, self._waiting = float(rule.request_tokens), float(rule.waiting_tokens)
        self.reads: tuple[Fact, ...] = ("vitals",) if rule.waiting_tokens else ()

    def score(self, need: Need, roster: Roster) -> Scores:
        each, tokens = self._each, float(need.tokens)
        ahead = _SCALE + tokens
        endpoints = roster.endpoints
        work = [ahead + each * e.in_flight / (e.weight or 1.0) for e in endpoints]
        if self._waiting:  # a server that says nothing has the median of the others'
            waiting = self._waiting
            work = [w + waiting * e.vitals.waiting for w, e in zip(work, endpoints, strict=True)]
        size = len(work)
        for i, share in need.memo.get(HITS, {}).items():
            if i < size:  # a roster made smaller since, by a filter
                work[i] -= share * tokens
        return [_SCALE / w for w in work]
