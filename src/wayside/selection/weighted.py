"""Each candidate in proportion to its weight, independently per request."""

from __future__ import annotations

from wayside.catalog import catalog
from wayside.selection import Candidate
from wayside.settings import Settings
from wayside.vocab.prompt import Prompt


class WeightedRule(Settings):
    """Example: ``{}``"""


@catalog.register("selector", "weighted", settings=WeightedRule, stability="stable")
class WeightedSelector:
    """At random, in proportion to the candidates' weights.

    A candidate of weight w among weights summing to W is chosen with probability w / W; if every
    weight is 0, all are equally likely.
    """

    def __init__(self, rule: WeightedRule) -> None:
        pass

    def choose(self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float) -> Candidate:
        total = sum(c.weight for c in candidates)
        if total <= 0:
            return candidates[int(dice * len(candidates))]
        mark = dice * total
        for candidate in candidates:
            mark -= candidate.weight
            if mark < 0:
                return candidate
        return max(candidates, key=lambda c: c.weight)  # rounding left mark at exactly 0
