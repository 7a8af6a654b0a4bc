"""The model that did best with the measured questions most like this one."""

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


class KnnRule(TaughtSettings):
    """Example: ``{file: models/model-selection/knn.selector, k: 5}``"""

    file: SelectorFile = f"{FOLDER}/knn.selector"
    """The file ``wayside train selection --algorithm knn`` wrote; a relative path starts where
    the router was started."""
    k: Annotated[int, Field(ge=1, le=1_000)] = 5
    """How many of the measured questions vote."""


@catalog.register("selector", "knn", settings=KnnRule, stability="beta")
class KnnSelector:
    """The model that did best with the measured questions most like this one.

    The features of a question are its embedding and, behind it, a 1 at its domain. Its k nearest
    measured questions (Euclidean; Cover and Hart 1967) vote, each for every model with the
    quality q it measured of it, nothing where it did not:

        score(m) = sum over the k of q_i(m) / k

    The greatest score is chosen; of equals the one that was faster there, then the earlier
    candidate. Source: vSR's ``pkg/modelselection`` (k 5, quality-weighted vote).
    """

    def __init__(self, rule: KnnRule) -> None:
        self._k = rule.k
        self.taught = Taught("knn", rule.file, rule.embedder, rule.classifier)

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
        near = yield from ask(Nearest(text, domain, self.taught, self._k))
        models = [c.model for c in candidates]
        scores: Scores = per_candidate(votes(near), self.taught, models)
        place = best(scores, per_candidate(speeds(near), self.taught, models))
        why = told(candidates, scores, f"{len(near)} measured questions like it")
        return Picked(candidates[place], why, scores)


def votes(near: tuple[Outcome, ...]) -> Scores:
    """The mean quality of each model over the neighbours, 0 where it was not measured.

    Worked: of three neighbours, a model that did 1, 0.5 and was not tried has 1.5 / 3 = 0.5.
    """
    count = len(near[0].quality) if near else 0
    return tuple([sum(one.quality[m] or 0.0 for one in near) / len(near) for m in range(count)])


def speeds(near: tuple[Outcome, ...]) -> Scores:
    """The mean speed of each model over the neighbours, 0 where it was not measured."""
    count = len(near[0].speed) if near else 0
    return tuple([sum(one.speed[m] or 0.0 for one in near) / len(near) for m in range(count)])
