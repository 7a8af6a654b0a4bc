"""What starting at each candidate is worth when a bad answer may be escalated."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat

from wayside.catalog import catalog
from wayside.selection import Candidate, Picked, told
from wayside.settings import Settings
from wayside.vocab.observed import ModelFacts
from wayside.vocab.prompt import Prompt
from wayside.vocab.selection_math import DEFAULT_QUALITY, automix_values, ladder, scaled

TRUSTED = 1.1
"""What the value of a candidate that is likely to pass verification is multiplied by (vSR)."""


class AutomixRule(Settings):
    """Example: ``{verification_threshold: 0.78, max_escalations: 2}``"""

    verification_threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    """A candidate at least this likely to answer well has its value raised by a tenth."""
    max_escalations: Annotated[int, Field(ge=0, le=16)] = 2
    """Steps up to a larger model that the value counts on; 0: the first answer stands."""
    cost_aware_routing: bool = True
    """Whether values are also divided by 1 + `cost_weight` times the price."""
    cost_weight: NonNegativeFloat = 0.01
    """For `cost_aware_routing`: per price of a million tokens."""
    cost_quality_tradeoff: NonNegativeFloat = 0.3
    """Quality that a price of 10 per million tokens is worth."""
    discount_factor: Annotated[float, Field(ge=0, le=1)] = 0.95
    """What an answer after one escalation is worth, of what it would be at once."""


@catalog.register("selector", "automix", settings=AutomixRule, stability="beta")
class AutomixSelector:
    """The candidate worth starting with when a bad answer may be escalated.

    Candidates stand on a ladder from the smallest to the largest (parameters, else price). With
    quality q, taken as the chance p that an answer passes verification, and price c:

        V_0(i) = q_i - tradeoff c_i / 10
        V_n(i) = V_0(i) + discount (1 - p_i) max(0, max over j above i of V_(n-1)(j))

    The value is V_n with n = ``max_escalations``, divided by 1 + ``cost_weight`` c where costs
    count, times 1.1 where p >= ``verification_threshold``. The greatest wins, the smaller of equal
    ones. A model without ``quality`` has 0.8, one without a price costs nothing.

    After AutoMix (Aggarwal et al. 2023, arXiv:2310.12963) in the one-shot form of vSR's
    ``pkg/selection/automix.go``: one model is asked, and the value only reckons with escalation.
    To really ask a larger model after a bad answer, use ``confidence``.
    """

    steady = True

    def __init__(self, rule: AutomixRule) -> None:
        self._rule = rule
        self._facts: dict[str, ModelFacts] = {}
        self._chosen: dict[tuple[Candidate, ...], Picked] = {}
        """Nothing else decides, so the candidates of the decision are weighed once."""

    def meet(self, facts: tuple[ModelFacts, ...]) -> None:
        self._facts = {model.name: model for model in facts}

    def choose(self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float) -> Picked:
        found = self._chosen.get(candidates)
        if found is None:
            found = self._weigh(candidates)
            self._chosen = {candidates: found}
        return found

    def _weigh(self, candidates: tuple[Candidate, ...]) -> Picked:
        facts = [self._facts.get(c.model) or ModelFacts(name=c.model) for c in candidates]
        rungs = ladder(facts)
        scores = self.values(facts, rungs)
        at = max(rungs, key=lambda i: scores[i])
        return Picked(candidates[at], told(candidates, scores, "value"), scores)

    def values(self, facts: list[ModelFacts], rungs: tuple[int, ...]) -> tuple[float, ...]:
        """What starting at each candidate is worth."""
        rule = self._rule
        quality = [DEFAULT_QUALITY if f.quality is None else f.quality for f in facts]
        price = [f.price or 0.0 for f in facts]
        found = automix_values(
            quality,
            price,
            ladder=rungs,
            max_escalations=rule.max_escalations,
            tradeoff=rule.cost_quality_tradeoff,
            discount=rule.discount_factor,
        )
        weight = rule.cost_weight if rule.cost_aware_routing else 0.0
        discounted = [scaled(v, 1 / (1 + c * weight)) for v, c in zip(found, price, strict=True)]
        sure = [q >= rule.verification_threshold for q in quality]
        return tuple(
            [scaled(v, TRUSTED) if ok else v for v, ok in zip(discounted, sure, strict=True)]
        )
