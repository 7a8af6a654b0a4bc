"""Personal data in what the user wrote, by type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading
from wayside.vocab.ask import Failure, Flow, Mark, Span, Spans, ask_each
from wayside.vocab.errors import ConfigError
from wayside.vocab.personal import chosen, counted, unknown_types
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict


class PiiRule(Settings):
    """Example: ``{allowed: [EMAIL_ADDRESS, PERSON], include_history: true}``"""

    types: tuple[str, ...] = ()
    """Types that count; absent: all that identify a person or open a door."""
    allowed: tuple[str, ...] = ()
    """Types that do not count (vSR's ``pii_types_allowed``)."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """How sure a finding must be to count."""
    include_history: bool = False
    """Whether to read every message, tool results included, or only the user's last one."""
    engine: Annotated[EngineName, EngineOf("mark")] = "pii"
    """Who finds it: the built-in recogniser, or an engine of your own."""


@catalog.register("signal", "pii", settings=PiiRule, stability="beta")
class PiiSignal:
    """Matches when a prompt holds personal data of a type that is not allowed."""

    def __init__(self, rules: Mapping[str, PiiRule]) -> None:
        problems = [
            problem
            for name, rule in rules.items()
            for problem in unknown_types(rule.types, rule.allowed, rule.engine, f"{name}.")
        ]
        if problems:
            raise ConfigError(problems)
        self._rules = [
            (name, rule, chosen(rule.types, rule.allowed)) for name, rule in rules.items()
        ]

    def read(self, prompt: Prompt) -> Flow[Reading]:
        texts = {rule.include_history: _texts(prompt, rule) for _, rule, _ in self._rules}
        questions = {
            (rule.engine, text): Mark(text, rule.engine)
            for _, rule, _ in self._rules
            for text in texts[rule.include_history]
        }
        answers = yield from ask_each(questions)
        reading = {}
        for name, rule, types in self._rules:
            marked = [answers[rule.engine, text] for text in texts[rule.include_history]]
            verdict = _judge(marked, types, rule.threshold)
            if verdict is not None:
                reading[name] = verdict
        return reading


def _texts(prompt: Prompt, rule: PiiRule) -> tuple[str, ...]:
    """What the rule reads, each text once."""
    texts = [m.text for m in prompt.messages] if rule.include_history else []
    return tuple(dict.fromkeys(text for text in (*texts, prompt.question) if text.strip()))


def _judge(
    marked: list[Spans | Failure], types: frozenset[str], threshold: float
) -> Verdict | None:
    """A match, ``None``, or unknown: what a text that nobody read holds, nobody knows."""
    found: list[Span] = []
    failed = ""
    for spans in marked:
        if isinstance(spans, Failure):
            failed = spans.reason
        else:
            found += counted(spans, types, threshold)
    if found:
        because = ", ".join(sorted({span.label for span in found}))
        sure = min(1.0, max([span.score for span in found]))
        return Verdict(True, sure, because, float(len(found)))
    return Verdict(False, 0.0, failed, unknown=True) if failed else None
