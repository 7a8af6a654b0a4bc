"""What a prompt is about, as a classifier sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading, meant
from wayside.vocab.ask import Classify, Failure, Flow, Labels, ask, ask_each
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.likeness import unknown
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
    engine: Annotated[EngineName, EngineOf("classify")] = "domain"
    """The classifier. Another one may have categories of its own; ``other`` is what is left."""


@catalog.register("signal", "domain", settings=DomainRule, stability="stable")
class DomainSignal:
    """Matches when the domain classifier puts the question in one of the given categories."""

    def __init__(self, rules: Mapping[str, DomainRule]) -> None:
        problems = [
            Problem(f"no domain {label!r}", f"{name}.labels[{i}]", meant(label, LABELS))
            for name, rule in rules.items()
            if rule.engine == "domain"
            for i, label in enumerate(rule.labels)
            if label not in LABELS
        ]
        if problems:
            raise ConfigError(problems)
        self._rules = rules
        self._engines = tuple(dict.fromkeys(rule.engine for rule in rules.values()))

    def read(self, prompt: Prompt) -> Flow[Reading]:
        text = prompt.question
        if not text.strip():
            return {}
        if len(self._engines) == 1:  # as nearly always: no need for more
            ranked = yield from ask(Classify(text, self._engines[0]))
            return _judge(self._rules, ranked)
        found = yield from ask_each({e: Classify(text, e) for e in self._engines})
        reading: dict[str, Verdict] = {}
        for engine, answer in found.items():
            rules = {n: r for n, r in self._rules.items() if r.engine == engine}
            if isinstance(answer, Failure):
                reading |= dict.fromkeys(rules, unknown(answer))
            else:
                reading |= _judge(rules, answer)
        return reading


def _judge(rules: Mapping[str, DomainRule], ranked: Labels) -> dict[str, Verdict]:
    """What each rule says of one classifier's ranking."""
    if not ranked:
        return {}
    best, probability = ranked[0]
    because = f"{best} {probability:.2f}"
    by_label = dict(ranked)
    nearest = max((p for label, p in ranked if label != OTHER), default=0.0)
    reading = {}
    for name, rule in rules.items():
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
