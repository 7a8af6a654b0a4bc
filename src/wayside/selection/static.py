"""The first model listed, always."""

from __future__ import annotations

from wayside.catalog import catalog
from wayside.selection import Candidate
from wayside.settings import Settings
from wayside.vocab.prompt import Prompt


class StaticRule(Settings):
    """Example: ``{}``"""


@catalog.register("selector", "static", settings=StaticRule, stability="stable")
class StaticSelector:
    """Always the first model listed."""

    steady = True

    def __init__(self, rule: StaticRule) -> None:
        pass

    def choose(self, prompt: Prompt, candidates: tuple[Candidate, ...], dice: float) -> Candidate:
        return candidates[0]
