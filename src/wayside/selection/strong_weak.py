"""The strong model for prompts that need it, the weak one for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator

from wayside.catalog import catalog
from wayside.selection import Candidate, Picked
from wayside.settings import EngineName, EngineOf, Settings
from wayside.vocab.ask import Classify, Flow, Labels, ask
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.observed import ModelFacts
from wayside.vocab.prompt import Prompt

OWN = "complexity"
OWN_WEIGHTS: Mapping[str, float] = {"hard": 1.0, "medium": 0.5}
"""What the built-in classifier's labels count: `medium` is a coin toss, `easy` is nothing."""
TRAINED_WEIGHTS: Mapping[str, float] = {"strong": 1.0}
"""The label of a classifier that ``wayside train own`` made of outcomes."""

Count = Annotated[float, Field(ge=0, le=1)]


class StrongWeakRule(Settings):
    """Example: ``{threshold: 0.62}``"""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The score from which on the strong model, the first candidate, answers.
    ``wayside calibrate --strong-share 0.3 --prompts FILE`` finds it."""
    engine: Annotated[EngineName, EngineOf("classify")] = OWN
    """The classifier that the score comes from."""
    weights: Annotated[dict[str, Count], Field(max_length=64)] | None = None
    """What each of its labels counts, 0..1; those not named count 0. ``{hard: 1, medium: 0.5}``
    for the built-in classifier, ``{strong: 1}`` for others."""

    @model_validator(mode="after")
    def _something_counts(self) -> StrongWeakRule:
        if self.weights is not None and not any(self.weights.values()):
            raise ValueError("no label counts anything, so no prompt would need the strong model")
        return self

    def counted(self) -> Mapping[str, float]:
        """What each label counts."""
        if self.weights is not None:
            return self.weights
        return OWN_WEIGHTS if self.engine == OWN else TRAINED_WEIGHTS


@catalog.register("selector", "strong_weak", settings=StrongWeakRule, stability="beta")
class StrongWeakSelector:
    """The strong model for prompts that need it, the weak one for the rest.

    With p_l the classifier's probability of label l and w_l what the label counts:

        score = sum over l of w_l p_l       the strong model answers where score >= threshold

    The strong model is the first candidate, the weak one the second. After RouteLLM (Ong et al.
    2024, arXiv:2406.18665), whose routers estimate the same probability that the strong model is
    needed; the score here comes from any classifier.
    """

    at_most = 2
    """Candidates it can choose between."""

    def __init__(self, rule: StrongWeakRule) -> None:
        self._threshold, self._engine = rule.threshold, rule.engine
        self._weights = rule.counted()

    def meet(self, facts: tuple[ModelFacts, ...]) -> None:
        """Raises :class:`ConfigError` unless there is one strong and one weak candidate."""
        if len(facts) > self.at_most:
            raise ConfigError.one(
                f"{len(facts)} candidates, but it chooses between two",
                fix="keep the strong model and, behind it, the weak one",
            )

    def choose(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float
    ) -> Candidate | Flow[Picked]:
        if len(candidates) < 2 or not prompt.question.strip():
            return candidates[0]
        return self._judged(prompt.question, candidates)

    def _judged(self, text: str, candidates: tuple[Candidate, ...]) -> Flow[Picked]:
        ranked = yield from ask(Classify(text, self._engine))
        score = strength(ranked, self._weights)
        needed = score >= self._threshold
        chosen, sign = (candidates[0], ">=") if needed else (candidates[1], "<")
        return Picked(chosen, f"{score:.3f} {sign} {self._threshold:.3f}")


def strength(ranked: Labels, weights: Mapping[str, float]) -> float:
    """How much the strong model is needed, 0..1. Raises :class:`AskFailed` where the classifier
    gives none of the labels that count: its silence must not look like "the weak one will do".

    Worked: hard 0.6, medium 0.3, easy 0.1 under {hard: 1, medium: 0.5} are 0.75.
    """
    if not any(label in weights for label, _ in ranked):
        raise AskFailed(
            f"the classifier gave none of the labels {', '.join(sorted(weights))}, "
            f"but {', '.join(label for label, _ in ranked[:5]) or 'nothing'}"
        )
    total = sum(weights.get(label, 0.0) * probability for label, probability in ranked)
    return min(1.0, max(0.0, total))
