"""The model that a small neural network expects the most of."""

from __future__ import annotations

from wayside.catalog import catalog
from wayside.selection import Candidate, Picked, Scores, told
from wayside.settings.taught import FOLDER, SelectorFile, TaughtSettings
from wayside.vocab.ask import Flow, ask
from wayside.vocab.observed import ModelFacts
from wayside.vocab.prompt import Prompt
from wayside.vocab.taught import Scored, Taught, best, category, per_candidate


class MlpRule(TaughtSettings):
    """Example: ``{file: models/model-selection/mlp.selector}``"""

    file: SelectorFile = f"{FOLDER}/mlp.selector"
    """The file ``wayside train selection --algorithm mlp`` wrote; a relative path starts where
    the router was started."""


@catalog.register("selector", "mlp", settings=MlpRule, stability="beta")
class MlpSelector:
    """The model that a small neural network expects the best answer from.

    The features x of a question are its embedding and, behind it, a 1 at its domain. A network of
    one hidden layer was trained on the measured quality of each model:

        score(m) = sigmoid(V max(0, W x + a) + b)(m)

    which is the quality that it expects, 0..1. The greatest is chosen, the earlier candidate of
    equals. vSR's network (``pkg/modelselection``, Candle) names the best model instead; expecting
    each one's quality also learns from questions that only some models were tried with.
    """

    def __init__(self, rule: MlpRule) -> None:
        self.taught = Taught("mlp", rule.file, rule.embedder, rule.classifier)

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
        found = yield from ask(Scored(text, domain, self.taught))
        scores: Scores = per_candidate(found, self.taught, [c.model for c in candidates])
        return Picked(candidates[best(scores)], told(candidates, scores), scores)
