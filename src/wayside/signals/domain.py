"""What a prompt is about, as a classifier sees it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.signals import Reading
from wayside.vocab.ask import Classify, Flow, ask
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

LABELS = (
    "biology",
    "business",
    "chemistry",
    "computer science",
    "economics",
    "engineering",
    "health",
    "history",
    "law",
    "math",
    "other",
    "philosophy",
    "physics",
    "psychology",
)
"""The categories of MMLU-Pro (arXiv:2406.01574), which vSR's classifier has too."""

OTHER = "other"


class DomainRule(Settings):
    """Example: ``{labels: [math, physics], threshold: 0.6}``"""

    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    """Categories that match. ``other`` also stands for prompts no category is sure of."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How probable the best category must be to count; below it, the category is ``other``."""


@catalog.register("signal", "domain", settings=DomainRule, stability="stable")
class DomainSignal:
    """Matches when the domain classifier puts the question in one of the given categories."""

    def __init__(self, rules: Mapping[str, DomainRule]) -> None:
        problems = [
            Problem(f"no domain {label!r}", f"{name}.labels[{i}]", _meant(label))
            for name, rule in rules.items()
            for i, label in enumerate(rule.labels)
            if label not in LABELS
        ]
        if problems:
            raise ConfigError(problems)
        self._rules = rules

    def read(self, prompt: Prompt) -> Flow[Reading]:
        if not prompt.question.strip():
            return {}
        ranked = yield from ask(Classify(prompt.question, "domain"))
        if not ranked:
            return {}
        best, probability = ranked[0]
        because = f"{best} {probability:.2f}"
        by_label = dict(ranked)
        nearest = max((p for label, p in ranked if label != OTHER), default=0.0)
        reading = {}
        for name, rule in self._rules.items():
            listed = max([by_label.get(label, 0.0) for label in rule.labels])
            if probability >= rule.threshold and best in rule.labels:
                verdict = Verdict(True, min(1.0, probability), because, listed)
            elif probability < rule.threshold and OTHER in rule.labels:
                # spec: vSR's fallback. Its confidence is how far the prompt is from any category.
                verdict = Verdict(True, max(0.0, 1.0 - nearest), f"unsure: {because}", listed)
            else:
                verdict = Verdict(False, 0.0, because, listed)
            reading[name] = verdict
        return reading


def _meant(label: str) -> str:
    plain = label.lower().replace("_", " ").replace("-", " ").strip()
    close = get_close_matches(plain, LABELS, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"use one of: {', '.join(LABELS)}"
