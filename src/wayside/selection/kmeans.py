"""The model that did best, for its speed, in the nearest group of measured questions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wayside.catalog import catalog
from wayside.selection import Candidate, Picked, Scores, told
from wayside.settings.taught import FOLDER, SelectorFile, TaughtSettings
from wayside.vocab.ask import Flow, ask
from wayside.vocab.observed import ModelFacts
from wayside.vocab.prompt import Prompt
from wayside.vocab.taught import Nearest, Outcome, Taught, best, category, per_candidate


class KmeansRule(TaughtSettings):
    """Example: ``{file: models/model-selection/kmeans.selector, efficiency_weight: 0.1}``"""

    file: SelectorFile = f"{FOLDER}/kmeans.selector"
    """The file ``wayside train selection --algorithm kmeans`` wrote; a relative path starts where
    the router was started."""
    efficiency_weight: Annotated[float, Field(ge=0, le=1)] = 0.1
    """What speed counts against quality, 0..1: 0.1 is 0.9 quality and 0.1 speed."""


@catalog.register("selector", "kmeans", settings=KmeansRule, stability="beta")
class KmeansSelector:
    """The model that did best, for its speed, in the nearest group of measured questions.

    The features of a question are its embedding and, behind it, a 1 at its domain. The training
    put the measured questions in groups (k-means; Lloyd 1982). In the group with the nearest
    centre, with w the ``efficiency_weight``:

        score(m) = (1 - w) quality(m) + w speed(m)      speed(m) = 1 - seconds(m) / the slowest

    both means over the group. The greatest score is chosen, the earlier candidate of equals.
    Source: vSR's ``pkg/modelselection`` (0.9 quality + 0.1 speed).
    """

    def __init__(self, rule: KmeansRule) -> None:
        self._weight = rule.efficiency_weight
        self.taught = Taught("kmeans", rule.file, rule.embedder, rule.classifier)

    def meet(self, facts: tuple[ModelFacts, ...]) -> None:
        self.taught.meet(facts)

    def choose(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float
    ) -> Candidate | Flow[Picked]:
        if len(self.taught.models) < 2 or not prompt.question.strip():
            return candidates[0]
        return self._asked(prompt.question, candidates)

    def _asked(self, text: str, candidates: tuple[Candidate, ...]) -> Flow[Picked]:
        domain = yield from category(text, self.taught)
        (group,) = yield from ask(Nearest(text, domain, self.taught))
        found = weighed(group, self._weight)
        scores: Scores = per_candidate(found, self.taught, [c.model for c in candidates])
        return Picked(candidates[best(scores)], told(candidates, scores), scores)


def weighed(group: Outcome, weight: float) -> Scores:
    """Quality and speed together; ``None`` for a model without quality, and a speed of 0 where
    nobody timed it.

    Worked, weight 0.1: quality 0.8 and speed 0.5 are 0.72 + 0.05 = 0.77.
    """
    return tuple(
        [
            None if quality is None else (1 - weight) * quality + weight * (speed or 0.0)
            for quality, speed in zip(group.quality, group.speed, strict=True)
        ]
    )
