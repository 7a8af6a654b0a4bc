"""Prefer the server with the least to do for this prompt: what it has not cached, and its load."""

from __future__ import annotations

from pydantic import NonNegativeInt

from wayside.catalog import catalog
from wayside.endpoints import HITS, Scores
from wayside.settings import Settings
from wayside.vocab.endpoint import Need, Roster

_SCALE = 16_384.0
"""Tokens of work that get 0.5: the middle of what prompts and queues come to."""


class LeastWorkRule(Settings):
    """Example: ``{request_tokens: 250}``"""

    request_tokens: NonNegativeInt = 100
    """What one request in flight is worth: as much prefill as a new one is held up by it. More
    evens load out, less keeps prompts with their caches."""


@catalog.register("scorer", "least_work", settings=LeastWorkRule, stability="beta")
class LeastWorkScorer:
    """Prefers the server that has the least to do before this prompt's answer begins.

    The work w is in tokens: those of the prompt that the server has not cached, as far as a
    scorer named before this one knows (``prefix_cache``, of any weight, 0 as well), and
    ``request_tokens`` for each request of ours that is there, over the server's weight. The score
    is 16384 / (16384 + w). Tokens and requests are added up before they are compared with other
    servers', so a hit of 40 tokens never outweighs a queue, and a hit of 10,000 does.
    """

    def __init__(self, rule: LeastWorkRule) -> None:
        self._each = float(rule.request_tokens)

    def score(self, need: Need, roster: Roster) -> Scores:
        each, tokens = self._each, float(need.tokens)
        ahead = _SCALE + tokens
        endpoints = roster.endpoints
        work = [ahead + each * e.in_flight / (e.weight or 1.0) for e in endpoints]
        size = len(work)
        for i, share in need.memo.get(HITS, {}).items():
            if i < size:  # a roster made smaller since, by a filter
                work[i] -= share * tokens
        return [_SCALE / w for w in work]
