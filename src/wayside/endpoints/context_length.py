"""Prefer servers made for contexts as long as this one."""

from __future__ import annotations

from wayside.catalog import catalog
from wayside.endpoints import Scores
from wayside.settings import Settings
from wayside.vocab import context_range
from wayside.vocab.endpoint import Need, Roster


class ContextLengthRule(Settings):
    """Example: ``{label: context, with_answer: true}``"""

    label: str = context_range.LABEL
    """Of servers: the tokens they are made for, ``0-2048`` or ``0-2048,8192-16384``."""
    with_answer: bool = False
    """Whether the most tokens of the answer that the request allows count too."""


@catalog.register("scorer", "context_length", settings=ContextLengthRule, stability="beta")
class ContextLengthScorer:
    """Prefers servers made for prompts of this length, the most particular first.

    Where ranges hold the length, 0.3 + 0.7 * (width of the narrowest of all those) / (width): 1
    where it fits best, and more than 0.3 for the widest. Where none does, 0.3 * the nearer bound
    against the length: a prompt of 9,000 rather goes to 0-8192 than to 0-2048. 0.5 without a
    label that can be read. (The bounds are those of llm-d's ``context-length-aware``, spec 3.4.)
    """

    def __init__(self, rule: ContextLengthRule) -> None:
        self._label, self._with_answer = rule.label, rule.with_answer

    def score(self, need: Need, roster: Roster) -> Scores:
        known = roster.memo.get(self)
        if known is None:
            texts = [e.labels.get(self._label) for e in roster.endpoints]
            sorts = {text: context_range.read(text) for text in texts}
            known = roster.memo[self] = (texts, sorts)
        texts, sorts = known
        tokens = need.tokens + ((need.wanted_tokens or 0) if self._with_answer else 0)
        widths = {text: context_range.narrowest(ranges, tokens) for text, ranges in sorts.items()}
        least = min([width for width in widths.values() if width is not None], default=1)
        scores = {}
        for text, ranges in sorts.items():
            width = widths[text]
            if width is not None:
                scores[text] = 0.3 + 0.7 * least / width
            elif ranges:
                scores[text] = 0.3 * context_range.nearness(ranges, tokens)
            else:
                scores[text] = 0.5
        return list(map(scores.__getitem__, texts))
