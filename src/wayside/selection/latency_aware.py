"""The candidate that has lately answered fastest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from wayside.catalog import catalog
from wayside.selection import Candidate, Picked, told
from wayside.settings import Settings
from wayside.vocab.ask import Flow, ask
from wayside.vocab.observed import Observe, Seen, delays
from wayside.vocab.prompt import Prompt
from wayside.vocab.selection_math import best

Percentile = Annotated[float, Field(gt=0, le=100)]


class LatencyAwareRule(Settings):
    """Example: ``{ttft_percentile: 95, tpot_percentile: 90}``"""

    ttft_percentile: Percentile | None = None
    """Of the time to the first token; the median where neither percentile is given."""
    tpot_percentile: Percentile | None = None
    """Of the time per token of output; the median where neither is given, left out where only the
    other one is."""
    explore: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of requests for candidates that have no samples, while others have."""


@catalog.register("selector", "latency_aware", settings=LatencyAwareRule, stability="beta")
class LatencyAwareSelector:
    """The candidate that has lately answered fastest.

    With x_m(i) candidate i's percentile of the measure m (time to the first token, per token):

        slowness(i) = mean over m of x_m(i) / min over j of x_m(j)

    over the measures that i has samples of; where first tokens are not seen, the time of whole
    answers stands for them. The least wins; its score is 1 / slowness, so the
    fastest in everything has 1. Source: vSR's ``pkg/selection/latency_aware.go``, which takes the
    first candidate while it has no samples. Here a candidate without samples is tried: all of
    them at random while none has any, then with probability ``explore``.
    """

    observes = True

    def __init__(self, rule: LatencyAwareRule) -> None:
        self._rule = rule
        given = (rule.ttft_percentile, rule.tpot_percentile)
        self._first, self._each = given if any(given) else (50.0, 50.0)
        self._at = tuple([p for p in (self._first, self._each) if p is not None])

    def choose(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float
    ) -> Flow[Picked]:
        seen = yield from ask(Observe(tuple([c.model for c in candidates]), self._at))
        slow = self.slowness(seen)
        known = [1.0 / s for s in slow if s is not None]
        if not known:
            chosen = candidates[int(dice * len(candidates))]
            return Picked(chosen, "at random: nothing has been measured yet")
        unknown = [c for c, s in zip(candidates, slow, strict=True) if s is None]
        middle = sum(known) / len(known)
        scores = tuple([middle if s is None else 1.0 / s for s in slow])
        if unknown and dice < self._rule.explore:
            chosen = unknown[int(dice / self._rule.explore * len(unknown))]
            return Picked(chosen, f"{chosen.name} is tried: it has no samples", scores)
        at = best([None if s is None else 1.0 / s for s in slow], dice)
        return Picked(candidates[at], told(candidates, scores, "speed"), scores)

    def slowness(self, seen: Sequence[Seen]) -> tuple[float | None, ...]:
        """Each candidate's mean of x / min x over the measures; 1 is the fastest in all."""
        measures = []
        if self._first is not None:
            measures.append(delays(seen))
        if self._each is not None:
            measures.append([s.tpot_s[-1] if s.tpot_s else None for s in seen])
        ratios: list[list[float]] = [[] for _ in seen]
        for values in measures:
            least = min([v for v in values if v is not None], default=0.0)
            for found, value in zip(ratios, values, strict=True):
                if value is not None:
                    found.append(max(value, _TICK) / max(least, _TICK))
        return tuple([sum(found) / len(found) if found else None for found in ratios])


_TICK = 1e-6
"""Seconds below which times do not differ."""
