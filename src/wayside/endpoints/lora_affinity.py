"""Prefer servers that run the request's adapter already, or have room to load it."""

from __future__ import annotations

from wayside.catalog import catalog
from wayside.endpoints import Scores
from wayside.settings import Settings
from wayside.vocab.endpoint import Fact, Need, Roster, Vitals

RUNS, ROOM, WAITS = 1.0, 0.8, 0.6
"""Scores of a server that runs the adapter, has room for one more, or will load it when its turn
comes (llm-d's ``lora-affinity-scorer``, spec 3.4)."""
_MOST_MODELS = 64
_LONGEST = 256
"""Characters of a name that is remembered; no adapter's is longer."""


class LoraAffinityRule(Settings):
    """Example: ``{}``"""


@catalog.register("scorer", "lora_affinity", settings=LoraAffinityRule, stability="beta")
class LoraAffinityScorer:
    """1 where the adapter runs, 0.8 where there is room for it, 0.6 where it waits, 0 elsewhere.

    A server that says nothing of adapters scores 0: with none that does, nobody is named.
    """

    reads: tuple[Fact, ...] = ("vitals",)

    def __init__(self, rule: LoraAffinityRule) -> None:
        pass

    def score(self, need: Need, roster: Roster) -> Scores:
        found: dict[str, dict[int, float]] | None = roster.memo.get(self)
        if found is None:
            found = roster.memo[self] = {}
        model = need.model
        scores = found.get(model)
        if scores is None:
            if len(found) >= _MOST_MODELS:  # names are the clients' to choose
                found.clear()
            rated = [_rate(e.vitals, model) for e in roster.endpoints]
            scores = {i: score for i, score in enumerate(rated) if score}
            if len(model) <= _LONGEST:
                found[model] = scores
        return scores


def _rate(vitals: Vitals, model: str) -> float:
    if model in vitals.loras:
        return RUNS
    if len(vitals.loras) + len(vitals.loras_waiting) < vitals.max_loras:
        return ROOM
    return WAITS if model in vitals.loras_waiting else 0.0
