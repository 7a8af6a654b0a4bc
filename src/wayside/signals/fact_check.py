"""Whether an answer would have to be right about the world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading
from wayside.vocab.ask import Classify, Failure, Flow, ask_each
from wayside.vocab.likeness import share, shown, unknown
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict


class FactCheckRule(Settings):
    """Example: ``{label: needs_fact_check, threshold: 0.6}``"""

    label: Literal["needs_fact_check", "no_fact_check_needed"] = "needs_fact_check"
    """What the prompt must be: one whose answer rests on checkable facts, or one whose answer
    does not (code, creative writing, opinions)."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.6
    """The least probability of the label."""
    engine: Annotated[EngineName, EngineOf("classify")] = "fact_check"
    """The classifier, with these two labels."""


@catalog.register("signal", "fact_check", settings=FactCheckRule, stability="stable")
class FactCheckSignal:
    """Matches when an answer would, or would not, rest on facts that can be checked."""

    def __init__(self, rules: Mapping[str, FactCheckRule]) -> None:
        self._rules = rules
        self._engines = tuple(dict.fromkeys(rule.engine for rule in rules.values()))

    def read(self, prompt: Prompt) -> Flow[Reading]:
        text = prompt.question
        if not text.strip():
            return {}
        found = yield from ask_each({e: Classify(text, e) for e in self._engines})
        reading = {}
        for name, rule in self._rules.items():
            ranked = found[rule.engine]
            if isinstance(ranked, Failure):
                reading[name] = unknown(ranked)
            elif ranked:
                probability = dict(ranked).get(rule.label, 0.0)
                matched = probability >= rule.threshold
                because = f"{shown(ranked[0][0])} {ranked[0][1]:.2f}"
                sure = share(probability) if matched else 0.0
                reading[name] = Verdict(matched, sure, because, probability)
        return reading
