"""Which hazards a prompt touches: what it is about, not whether it attacks the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading, meant
from wayside.vocab.ask import Classify, Failure, Flow, Labels, ask_each
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.likeness import share, shown, unknown
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

SAFE = "safe"
HAZARDS = (
    "violent_crime",
    "non_violent_crime",
    "weapons",
    "self_harm",
    "sexual_content",
    "child_safety",
    "hate",
    "privacy",
    "specialised_advice",
    "elections",
)
"""Those the built-in classifier tells apart, after the hazards of MLCommons AILuminate
(arXiv:2503.05731); ``elections`` holds defamation too: false claims about people or votes."""


class SafetyRule(Settings):
    """Example: ``{hazards: [weapons, self_harm], threshold: 0.5}``"""

    hazards: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=100)] = ()
    """The hazards that match; none listed means any, which is whatever is not ``safe``."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The least probability of all of them together."""
    engine: Annotated[EngineName, EngineOf("classify")] = "safety"
    """The classifier. Another one may have hazards of its own, but must call the rest
    ``safe``."""


@catalog.register("signal", "safety", settings=SafetyRule, stability="stable")
class SafetySignal:
    """Matches when the question touches one of the given hazards."""

    def __init__(self, rules: Mapping[str, SafetyRule]) -> None:
        problems = [
            Problem(f"no hazard {hazard!r}", f"{name}.hazards[{i}]", _meant(hazard))
            for name, rule in rules.items()
            if rule.engine == "safety"
            for i, hazard in enumerate(rule.hazards)
            if hazard not in HAZARDS
        ]
        if problems:
            raise ConfigError(problems)
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
                reading[name] = _judge(rule, ranked)
        return reading


def _judge(rule: SafetyRule, ranked: Labels) -> Verdict:
    mine = [
        (label, p)
        for label, p in ranked
        if (label in rule.hazards if rule.hazards else label != SAFE)
    ]
    probability = sum(p for _, p in mine)
    told = dict.fromkeys((ranked[0], *mine[:1]))
    because = ", ".join(f"{shown(label)} {p:.2f}" for label, p in told)
    matched = bool(mine) and probability >= rule.threshold
    return Verdict(matched, share(probability) if matched else 0.0, because, probability)


def _meant(hazard: str) -> str:
    if hazard.lower() == "defamation":
        return "the built-in classifier has it under 'elections'"
    return meant(hazard, HAZARDS)
