"""The model whose description is most like the question."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from wayside.catalog import catalog
from wayside.selection import Candidate
from wayside.settings import EngineName, EngineOf, Settings
from wayside.vocab.affinity import (
    MIN_SIMILARITY,
    OWN_MIN_SIMILARITY,
    TEMPERATURE,
    affinities,
    described,
    shares,
)
from wayside.vocab.ask import Bank, Flow, Similar, ask
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.observed import ModelFacts
from wayside.vocab.prompt import Prompt

OWN = "embedding"
"""The built-in embedder's name."""


class RouterDcRule(Settings):
    """Example: ``{min_similarity: 0.25}``"""

    min_similarity: Annotated[float, Field(ge=-1, le=1)] | None = None
    """The least cosine of a description to the question for its model to count: 0.3, or 0.21 with
    the built-in embedder, whose cosines are lower."""
    min_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The least share (softmax of the affinities) that the best model must have; below it the
    first candidate answers. Two models that fit equally well have 0.5 each."""
    temperature: Annotated[float, Field(gt=0, le=100)] | None = None
    """How sharply affinity follows similarity (0.07). It moves shares, never their order, so it
    goes with ``min_share``."""
    use_capabilities: bool = True
    """Whether a model's ``capabilities`` are part of what is said of it."""
    require_descriptions: bool = False
    """Whether the first candidate, too, must be described. The others always must."""
    engine: Annotated[EngineName, EngineOf("embed")] = OWN
    """The embedder that compares the question with the descriptions."""

    @model_validator(mode="after")
    def _temperature_counts(self) -> RouterDcRule:
        if self.temperature is not None and self.min_share == 0:
            raise ValueError(
                "temperature changes no choice without min_share: the most similar model is the "
                "same at any temperature; remove it, or set min_share"
            )
        return self


@catalog.register("selector", "router_dc", settings=RouterDcRule, stability="beta")
class RouterDcSelector:
    """The model whose description is most like the question.

    With c_i the cosine of the question to model i's description and capabilities:
    affinity_i = sigmoid(c_i / temperature) where c_i >= min_similarity, else the model is out;
    share_i = softmax(affinity)_i; the greatest share is chosen, the earlier candidate of equals.
    The first candidate answers where no model is left, where the best share is below
    ``min_share``, and where there is no question.

    Source of the formula: vSR's ``pkg/selection/router_dc.go``; see :mod:`wayside.vocab.affinity`.
    """

    def __init__(self, rule: RouterDcRule) -> None:
        self._rule = rule
        usual = OWN_MIN_SIMILARITY if rule.engine == OWN else MIN_SIMILARITY
        self._least = usual if rule.min_similarity is None else rule.min_similarity
        self._temperature = rule.temperature or TEMPERATURE
        self._models: dict[str, int] = {}
        """Where each model's description stands in the bank."""
        self._bank = Bank((), rule.engine)
        self.banks: dict[str, Bank] = {}

    def meet(self, facts: tuple[ModelFacts, ...]) -> None:
        """Learn what is said of the candidates. Raises :class:`ConfigError` for those who could
        never be chosen because nothing is."""
        said = {model.name: self._said(model) for model in facts}
        if len(said) < 2:
            return
        needed = list(said) if self._rule.require_descriptions else list(said)[1:]
        missing = [name for name in needed if not said[name]]
        if missing:
            raise ConfigError(
                [
                    Problem(
                        f"nothing is said of model {name!r}, so it could never be chosen",
                        fix=f"give models.{name}.description: what it is good at, in a sentence",
                    )
                    for name in missing
                ]
            )
        texts = tuple(text for text in said.values() if text)
        self._models = {name: i for i, name in enumerate(n for n, text in said.items() if text)}
        self._bank = Bank(texts, self._rule.engine)
        self.banks = {self._rule.engine: self._bank}

    def _said(self, model: ModelFacts) -> str:
        return described(model) if self._rule.use_capabilities else model.description.strip()

    def choose(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float
    ) -> Candidate | Flow[Candidate]:
        if not self._models or not prompt.question.strip():
            return candidates[0]
        return self._nearest(prompt.question, candidates)

    def _nearest(self, text: str, candidates: tuple[Candidate, ...]) -> Flow[Candidate]:
        cosines = yield from ask(Similar(text, self._bank))
        said = [c for c in candidates if c.model in self._models]
        likeness = [cosines[self._models[c.model]] for c in said]
        found = shares(
            affinities(likeness, min_similarity=self._least, temperature=self._temperature)
        )
        best = max(range(len(said)), key=lambda i: (found[i], likeness[i]))
        enough = found[best] > 0 and found[best] >= self._rule.min_share
        return said[best] if enough else candidates[0]
