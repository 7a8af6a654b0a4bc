"""What the user says about the answer before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading
from wayside.vocab.ask import Classify, Failure, Flow, Labels, ask_each
from wayside.vocab.likeness import share, shown, unknown
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

Feedback = Literal["satisfied", "need_clarification", "wrong_answer", "want_different"]


class UserFeedbackRule(Settings):
    """Example: ``{labels: [wrong_answer, want_different], threshold: 0.7}``"""

    labels: Annotated[tuple[Feedback, ...], Field(min_length=1)]
    """What the user says: content with the answer, unable to follow it, sure that it is wrong,
    or asking for another. The probabilities of several are added."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    """The least probability of all the labels together."""
    engine: Annotated[EngineName, EngineOf("classify")] = "feedback"
    """The classifier, with these labels and ``none``."""


@catalog.register("signal", "user_feedback", settings=UserFeedbackRule, stability="stable")
class UserFeedbackSignal:
    """Matches when the question is feedback of the given sort on the answer before it."""

    def __init__(self, rules: Mapping[str, UserFeedbackRule]) -> None:
        self._rules = rules
        self._engines = tuple(dict.fromkeys(rule.engine for rule in rules.values()))

    def read(self, prompt: Prompt) -> Flow[Reading]:
        text = prompt.question
        if not text.strip() or not _answered_before(prompt):
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


def _answered_before(prompt: Prompt) -> bool:
    """Whether the assistant spoke before the user's last turn."""
    asked = False
    for message in reversed(prompt.messages):
        if asked and message.role == "assistant":
            return True
        asked = asked or message.role == "user"
    return False


def _judge(rule: UserFeedbackRule, ranked: Labels) -> Verdict:
    probability = sum(p for label, p in ranked if label in rule.labels)
    matched = probability >= rule.threshold
    because = f"{shown(ranked[0][0])} {ranked[0][1]:.2f}"
    return Verdict(matched, share(probability) if matched else 0.0, because, probability)
