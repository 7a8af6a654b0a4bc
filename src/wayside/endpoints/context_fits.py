"""Keep servers made for contexts as long as this one."""

from __future__ import annotations

from collections.abc import Sequence

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab import context_range
from wayside.vocab.endpoint import Need, Roster


class ContextFitsRule(Settings):
    """Example: ``{with_answer: true}``"""

    label: str = context_range.LABEL
    """Of servers: the tokens they are made for, ``0-2048`` or ``0-2048,8192-16384``."""
    with_answer: bool = False
    """Whether the most tokens of the answer that the request allows count too."""
    unlabelled: bool = True
    """Whether servers stay that have no such label, or one that cannot be read."""


@catalog.register("filter", "context_fits", settings=ContextFitsRule, stability="beta")
class ContextFitsFilter:
    """Keeps servers whose label says that they take prompts of this length.

    (llm-d's ``context-length-aware`` with ``enableFiltering``, spec 3.4.)
    """

    def __init__(self, rule: ContextFitsRule) -> None:
        self._label, self._with_answer = rule.label, rule.with_answer
        self._unlabelled = rule.unlabelled

    def keep(self, need: Need, roster: Roster) -> Sequence[int] | None:
        known = roster.memo.get(self)
        if known is None:
            texts = [e.labels.get(self._label) for e in roster.endpoints]
            sorts = {text: context_range.read(text) for text in texts}
            known = roster.memo[self] = (texts, sorts)
        texts, sorts = known
        tokens = need.tokens + ((need.wanted_tokens or 0) if self._with_answer else 0)
        fitting = {
            text
            for text, ranges in sorts.items()
            if (
                context_range.narrowest(ranges, tokens) is not None if ranges else self._unlabelled
            )
        }
        if len(fitting) == len(sorts):
            return None
        return [i for i, text in enumerate(texts) if text in fitting]
