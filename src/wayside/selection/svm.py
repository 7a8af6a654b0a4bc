"""The model whose support vector machine claims the question."""

from __future__ import annotations

from wayside.catalog import catalog
from wayside.selection import Candidate, Picked, Scores, told
from wayside.settings.taught import FOLDER, SelectorFile, TaughtSettings
from wayside.vocab.ask import Flow, ask
from wayside.vocab.observed import ModelFacts
from wayside.vocab.prompt import Prompt
from wayside.vocab.taught import Scored, Taught, best, category, per_candidate


class SvmRule(TaughtSettings):
    """Example: ``{file: models/model-selection/svm.selector}``"""

    file: SelectorFile = f"{FOLDER}/svm.selector"
    """The file ``wayside train selection --algorithm svm`` wrote; a relative path starts where
    the router was started."""


@catalog.register("selector", "svm", settings=SvmRule, stability="beta")
class SvmSelector:
    """The model whose support vector machine claims the question most.

    The features of a question are its embedding and, behind it, a 1 at its domain. A machine a
    model was trained to tell the questions that it did best on from the rest (Cortes and Vapnik
    1995; Gaussian kernel, one against the rest):

        score(m) = sum over support vectors x_i of w_i(m) exp(-gamma |x - x_i|^2) + b(m)

    The greatest score is chosen, the earlier candidate of equals. Scores are signed distances,
    about -1..1, not probabilities. Source: vSR's ``pkg/modelselection`` (rbf, one against the
    rest).
    """

    def __init__(self, rule: SvmRule) -> None:
        self.taught = Taught("svm", rule.file, rule.embedder, rule.classifier)

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
