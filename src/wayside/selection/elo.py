"""The candidate that people and tests have preferred: Elo ratings from outcomes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wayside.catalog import catalog
from wayside.selection import Candidate, Picked, told
from wayside.settings import Settings
from wayside.vocab.ask import Flow, ask
from wayside.vocab.observed import Standing, Standings
from wayside.vocab.prompt import Prompt
from wayside.vocab.selection_math import best, expected


class EloRule(Settings):
    """Example: ``{min_outcomes: 10}``"""

    by_category: bool = True
    """Whether ratings of the prompt's domain count before those of all prompts. The domain is
    what a `domain` signal of a decision saw."""
    min_outcomes: Annotated[int, Field(ge=0)] = 5
    """Outcomes that a candidate needs in a domain before its rating there counts."""
    explore: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of requests for the candidates that were judged least."""


@catalog.register("selector", "elo", settings=EloRule, stability="beta")
class EloSelector:
    """The candidate with the best Elo rating, learnt from outcomes.

    In Bradley and Terry's model (1952) candidate a is preferred to b with probability
    E = 1 / (1 + 10^((R_b - R_a) / 400)); after an outcome S (1 preferred, 0 not) its rating moves
    by K (S - E) (Elo 1978), K = 32 from 1500 unless ``learning`` says otherwise. What is rated
    and against whom stands with the outcomes API. The greatest rating wins; of equal ones the dice
    take one. With probability ``explore`` the one with the fewest outcomes is taken, since a
    rating nobody tests stays wrong. The score told is the chance of being preferred to the mean of
    the candidates.
    """

    learns = True

    def __init__(self, rule: EloRule) -> None:
        self._rule = rule

    def choose(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float
    ) -> Flow[Picked]:
        names = tuple([c.name for c in candidates])
        standing = yield from ask(Standings(names))
        if self._rule.by_category and prompt.category:
            local = yield from ask(Standings(names, prompt.category))
            standing = tuple([self._better(a, b) for a, b in zip(local, standing, strict=True)])
        mean = sum([s.rating for s in standing]) / len(standing)
        scores = tuple([expected(s.rating, mean) for s in standing])
        explore = self._rule.explore
        if dice < explore:
            fewest = [-float(s.games) for s in standing]
            chosen = candidates[best(fewest, dice / explore)]
            return Picked(chosen, f"{chosen.name} is tried: it was judged least", scores)
        rest = (dice - explore) / (1.0 - explore)
        ratings = tuple([s.rating for s in standing])
        return Picked(candidates[best(ratings, rest)], told(candidates, ratings, "Elo"), scores)

    def _better(self, local: Standing, overall: Standing) -> Standing:
        """What is known in the domain, where it is enough."""
        return local if local.games >= self._rule.min_outcomes else overall
