"""Each candidate as often as it is likely to be the best one, learnt from outcomes."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import NonNegativeFloat

from wayside.catalog import catalog
from wayside.selection import Candidate, Picked, told
from wayside.settings import Settings
from wayside.vocab.ask import Flow, ask
from wayside.vocab.errors import AskFailed
from wayside.vocab.observed import ModelFacts, Observe, Seen, Standing, Standings
from wayside.vocab.prompt import Prompt
from wayside.vocab.selection_math import beta, stream

UNSAID = 0.5
"""The quality of a model that the settings give none: a coin."""
PRIOR = 2.0
"""Outcomes that a model's ``quality`` counts as (vSR)."""
BASE_BONUS = 0.001
"""For the first candidate, so that it wins where nothing else differs (vSR)."""
_INPUT, _OVER, _FAILED, _SLOW, _CACHED = 0.03, 0.03, 0.10, 0.02, 0.02


class ThompsonRule(Settings):
    """Example: ``{cost_margin: 0.1}``"""

    cost_margin: NonNegativeFloat = 0.04
    """What the dearest candidate loses for its price; others in proportion."""
    switch_margin: NonNegativeFloat = 0.0
    """How much more than the first candidate another must score to be taken."""
    by_category: bool = False
    """Whether only outcomes of the prompt's domain count, as a `domain` signal saw it."""
    sample: bool = True
    """Draw from the distributions, which explores; otherwise take their means, which does not."""


@catalog.register("selector", "thompson", settings=ThompsonRule, stability="beta")
class ThompsonSelector:
    """Each candidate as often as it is likely to be the best, by Thompson sampling.

    With Q the model's ``quality`` (0.5 unsaid), w = 2, and g, u, o, f the outcomes good_fit,
    underpowered, overprovisioned and failed of n = g + u + o + f + 1:

        theta ~ Beta(w Q + g + 1, w (1 - Q) + u + 1)
        score = theta - cost_margin p / max p - 0.03 i - 0.03 o / n - 0.10 f / n
                - 0.02 l + 0.02 h + 0.001 [first candidate]

    p is the price, l the moving average of the latency over the greatest one, h that of the share
    of input that was cached, and i what is paid for input because of it, 1 - h (1 - cached price
    / input price). A candidate other than the first is taken only if it scores at least
    ``switch_margin`` plus what its price costs it more than the first.

    Thompson 1933; the score and its constants are vSR's router learning
    (``pkg/extproc/router_learning_adaptation.go``). The random numbers come from the request's one
    roll of the dice, so the same roll, outcomes and latencies give the same choice.
    """

    observes = learns = True

    def __init__(self, rule: ThompsonRule) -> None:
        self._rule = rule
        self._facts: dict[str, ModelFacts] = {}

    def meet(self, facts: tuple[ModelFacts, ...]) -> None:
        self._facts = {model.name: model for model in facts}

    def choose(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float
    ) -> Flow[Picked]:
        names = tuple([c.name for c in candidates])
        category = prompt.category if self._rule.by_category else ""
        standing = yield from ask(Standings(names, category))
        try:
            seen = yield from ask(Observe(tuple([c.model for c in candidates])))
        except AskFailed:
            seen = (Seen(),) * len(candidates)
        facts = [self._facts.get(c.model) or ModelFacts(name=c.model) for c in candidates]
        shapes = self.shapes(facts, standing)
        means = [a / (a + b) for a, b in shapes]
        numbers = stream(dice)
        drawn = [beta(a, b, numbers) for a, b in shapes] if self._rule.sample else means
        costs = self.costs(facts)
        scores = self.scores(drawn, costs, facts, standing, seen)
        at = max(range(len(scores)), key=lambda i: scores[i])
        needed = scores[0] + self._rule.switch_margin + max(0.0, costs[at] - costs[0])
        if at and scores[at] < needed:
            at = 0
        # What a conversation would gain by moving is what is expected, not what was drawn.
        likely = self.scores(means, costs, facts, standing, seen)
        return Picked(candidates[at], told(candidates, scores, f"dice {dice!r}"), likely)

    def shapes(
        self, facts: Sequence[ModelFacts], standing: Sequence[Standing]
    ) -> list[tuple[float, float]]:
        """The two parameters of each candidate's beta distribution."""
        found = []
        for model, s in zip(facts, standing, strict=True):
            quality = UNSAID if model.quality is None else model.quality
            a = PRIOR * quality + s.good_fit + 1.0
            found.append((a, PRIOR * (1.0 - quality) + s.underpowered + 1.0))
        return found

    def costs(self, facts: Sequence[ModelFacts]) -> list[float]:
        """What each candidate loses for its price."""
        prices = [f.price or 0.0 for f in facts]
        dearest = max(prices)
        return [self._rule.cost_margin * p / dearest if dearest else 0.0 for p in prices]

    def scores(
        self,
        thetas: Sequence[float],
        costs: Sequence[float],
        facts: Sequence[ModelFacts],
        standing: Sequence[Standing],
        seen: Sequence[Seen],
    ) -> tuple[float, ...]:
        """The scores, from the draws and from everything else that counts."""
        slowest = max([s.latency_s or 0.0 for s in seen])
        found = []
        for i, (model, s, watched) in enumerate(zip(facts, standing, seen, strict=True)):
            n = s.outcomes + 1.0
            hit = watched.cache_hit or 0.0
            slow = (watched.latency_s or 0.0) / slowest if slowest else 0.0
            score = thetas[i] - costs[i] - _INPUT * _input_cost(model, hit)
            score -= _OVER * s.overprovisioned / n + _FAILED * s.failed / n
            score += _CACHED * hit - _SLOW * slow
            found.append(score + (0.0 if i else BASE_BONUS))
        return tuple(found)


def _input_cost(model: ModelFacts, hit: float) -> float:
    """What is paid for input, as a share of what it would cost with nothing cached."""
    if not model.prompt_per_1m or model.cached_per_1m is None:
        return 1.0
    return 1.0 - hit * (1.0 - model.cached_per_1m / model.prompt_per_1m)
