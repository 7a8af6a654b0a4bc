"""Outcomes, descriptions and AutoMix's value together, with a say for the price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, NonNegativeFloat, model_validator

from wayside.catalog import catalog
from wayside.selection import Candidate, Picked, told
from wayside.settings import EngineName, EngineOf, Settings
from wayside.vocab.affinity import affinity, described
from wayside.vocab.ask import Bank, Flow, Similar, ask
from wayside.vocab.errors import AskFailed
from wayside.vocab.observed import ModelFacts, Standings
from wayside.vocab.prompt import Prompt
from wayside.vocab.selection_math import (
    DEFAULT_QUALITY,
    automix_values,
    best,
    ladder,
    min_max,
    scaled,
)

Known = tuple[float | None, ...]


class HybridRule(Settings):
    """Example: ``{experience_weight: 0.4, router_dc_weight: 0.4, automix_weight: 0.2}``"""

    experience_weight: NonNegativeFloat = 0.3
    """Of the Elo ratings that outcomes gave."""
    router_dc_weight: NonNegativeFloat = 0.3
    """Of how like the question is to the model's description."""
    automix_weight: NonNegativeFloat = 0.2
    """Of the value of starting there when bad answers may be escalated."""
    cost_weight: Annotated[float, Field(ge=0, le=1)] = 0.2
    """How much a candidate that costs nothing is raised; the dearest is not raised at all."""
    quality_gap_threshold: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The price has a say only among candidates that score at most this much less than the
    best."""
    engine: Annotated[EngineName, EngineOf("embed")] = "embedding"
    """The embedder that compares questions and descriptions."""

    @model_validator(mode="after")
    def _some(self) -> HybridRule:
        if self.experience_weight + self.router_dc_weight + self.automix_weight <= 0:
            raise ValueError("every weight is 0, so nothing would decide; give one a weight")
        return self


@catalog.register("selector", "hybrid", settings=HybridRule, stability="beta")
class HybridSelector:
    """Elo ratings, descriptions and AutoMix's value, weighted, with a bonus for a low price.

        base(i)  = sum over k of w_k minmax(s_k)(i) / sum over k of w_k
        score(i) = base(i) (1 + cost_weight (1 - c_i / max c))   if max base - base(i) <= gap
                   base(i)                                       otherwise

    over experience (Elo rating), router_dc (sigmoid of cosine to the description / 0.07) and
    automix (value with its usual constants). minmax is 0 for the least, 1 for the greatest, 0.5
    where all are equal; what is not known of one candidate counts 0, and what is not known of any
    is left out with its weight. The greatest score wins; of equal ones the dice take one.

    Source: vSR's ``pkg/selection/hybrid.go``, where ``quality_gap_threshold`` is read and not used
    and a further bonus goes to the model that has the conversation cached; here conversations stay
    by ``sticky``.
    """

    learns = True

    def __init__(self, rule: HybridRule) -> None:
        self._rule = rule
        self._facts: dict[str, ModelFacts] = {}
        self._places: dict[str, int] = {}
        """Where each model's description stands in the bank."""
        self._bank = Bank((), rule.engine)
        self.banks: dict[str, Bank] = {}

    def meet(self, facts: tuple[ModelFacts, ...]) -> None:
        self._facts = {model.name: model for model in facts}
        said = {name: described(model) for name, model in self._facts.items()}
        texts = [text for text in said.values() if text]
        if self._rule.router_dc_weight and texts:
            self._places = {n: i for i, n in enumerate([n for n, text in said.items() if text])}
            self._bank = Bank(tuple(texts), self._rule.engine)
            self.banks = {self._rule.engine: self._bank}

    def choose(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float
    ) -> Flow[Picked]:
        facts = [self._facts.get(c.model) or ModelFacts(name=c.model) for c in candidates]
        standing = yield from ask(Standings(tuple([c.name for c in candidates])))
        likeness = yield from self._likeness(prompt, candidates)
        parts: list[tuple[float, Known]] = [
            (self._rule.experience_weight, tuple([s.rating for s in standing])),
            (self._rule.router_dc_weight, likeness),
            (self._rule.automix_weight, _values(facts)),
        ]
        scores = self.scores(parts, [f.price for f in facts])
        return Picked(candidates[best(scores, dice)], told(candidates, scores), scores)

    def scores(
        self, parts: Sequence[tuple[float, Known]], prices: Sequence[float | None]
    ) -> tuple[float, ...]:
        """The candidates' scores, from each part's weight and values and from the prices."""
        counted = [(w, min_max(v)) for w, v in parts if any([x is not None for x in v])]
        whole = sum([w for w, _ in counted])
        if whole <= 0:
            counted, whole = [(1.0, (0.5,) * len(prices))], 1.0
        base = [sum([w * (v[i] or 0.0) for w, v in counted]) / whole for i in range(len(prices))]
        dearest = max([p for p in prices if p is not None], default=0.0)
        within = max(base) - self._rule.quality_gap_threshold - _ROUNDING
        found = []
        for score, price in zip(base, prices, strict=True):
            if score >= within and price is not None and dearest > 0:
                score = scaled(score, 1 + self._rule.cost_weight * (1 - price / dearest))
            found.append(score)
        return tuple(found)

    def _likeness(self, prompt: Prompt, candidates: tuple[Candidate, ...]) -> Flow[Known]:
        """The affinity of the question to each candidate's description."""
        nothing: Known = (None,) * len(candidates)
        if not self._places or not prompt.question.strip():
            return nothing
        try:
            cosines = yield from ask(Similar(prompt.question, self._bank))
        except AskFailed:
            return nothing
        places = [self._places.get(c.model) for c in candidates]
        return tuple([None if at is None else affinity(cosines[at]) for at in places])


_ROUNDING = 1e-12
"""So that a gap of exactly the threshold counts as within it."""


def _values(facts: list[ModelFacts]) -> Known:
    """AutoMix's value with its usual constants; not known where no model has a quality."""
    if all([f.quality is None for f in facts]):
        return (None,) * len(facts)
    return automix_values(
        [DEFAULT_QUALITY if f.quality is None else f.quality for f in facts],
        [f.price or 0.0 for f in facts],
        ladder=ladder(facts),
        max_escalations=2,
        tradeoff=0.3,
        discount=0.95,
    )
