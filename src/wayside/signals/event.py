"""Requests that carry an event: an alert, an audit record, a failed transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import StringConstraints, model_validator

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.signals import Reading, WholeWords, fold
from wayside.vocab.patterns import compile_pattern, compile_set
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256)]

TEMPORAL = (
    "urgent",
    "urgently",
    "immediate",
    "immediately",
    "asap",
    "as soon as possible",
    "deadline",
    "time-sensitive",
    "time sensitive",
    "now",
    "critical window",
)
"""What ``temporal`` looks for: vSR's markers, and their adverbs."""


class EventRule(Settings):
    """Example: ``{event_types: [payment_failed], severities: [critical], temporal: true}``"""

    event_types: tuple[Word, ...] = ()
    """Names of events, as whole words in any case."""
    severities: tuple[Word, ...] = ()
    """Words for how bad it is (critical, high, sev1), as whole words in any case."""
    action_codes: tuple[Word, ...] = ()
    """RE2 patterns that match a whole word in any case: ``TXN_DECLINE``, ``AUTH_\\w+``."""
    temporal: bool = False
    """Whether words of urgency (urgent, asap, deadline, now...) are a criterion too."""

    @model_validator(mode="after")
    def _some_criterion(self) -> EventRule:
        if not (self.event_types or self.severities or self.action_codes or self.temporal):
            raise ValueError(
                "give at least one of event_types, severities, action_codes, temporal"
            )
        return self


@catalog.register("signal", "event", settings=EventRule, stability="beta")
class EventSignal:
    """Matches requests that name an event, a severity, an action code or urgency."""

    def __init__(self, rules: Mapping[str, EventRule]) -> None:
        words: dict[str, int] = {}
        patterns: dict[str, int] = {}
        # By rule, its criteria; each is met when one of its words or patterns occurs.
        self._rules: list[tuple[str, list[tuple[str, frozenset[int], frozenset[int]]]]] = []
        for name, rule in rules.items():
            criteria = []
            temporal = TEMPORAL if rule.temporal else ()
            for told, listed in (
                ("type", rule.event_types),
                ("severity", rule.severities),
                ("urgency", temporal),
            ):
                if listed:
                    numbers = [words.setdefault(fold(w, False), len(words)) for w in listed]
                    criteria.append((told, frozenset(numbers), frozenset[int]()))
            numbers = []
            for i, code in enumerate(rule.action_codes):
                where = f"{name}.action_codes[{i}]"
                compile_pattern(code, case_sensitive=False, where=where)
                numbers.append(patterns.setdefault(rf"\b(?:{code})\b", len(patterns)))
            if numbers:
                criteria.append(("code", frozenset(), frozenset(numbers)))
            self._rules.append((name, criteria))
        self._words = WholeWords(list(words)) if words else None
        self._codes = compile_set(list(patterns), case_sensitive=False) if patterns else None

    def read(self, prompt: Prompt) -> Reading:
        text = "\n".join([prompt.question, *prompt.metadata.values()])
        said = self._words.which(fold(text, False)) if self._words else set()
        codes: set[int] = set()
        if self._codes is not None:  # Match gives None where nothing matched
            codes.update(self._codes.Match(text.encode("utf-8", "replace")) or ())
        reading = {}
        for name, criteria in self._rules:
            met = [
                told
                for told, words, patterns in criteria
                if not (words.isdisjoint(said) and patterns.isdisjoint(codes))
            ]
            if met:
                share = len(met) / len(criteria)
                # spec: vSR's 0.5 + 0.5 * matched / total
                reading[name] = Verdict(True, 0.5 + 0.5 * share, ", ".join(met), share)
        return reading
