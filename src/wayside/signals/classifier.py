"""Any classifier's labels as a signal: a model of one's own, or a language model as judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading
from wayside.vocab.ask import Classify, Failure, Flow, Labels
from wayside.vocab.errors import AskFailed
from wayside.vocab.likeness import share, shown, unknown
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict


class ClassifierRule(Settings):
    """Example: ``{engine: safety, labels: [weapons, violent_crime], threshold: 0.5}``"""

    engine: Annotated[EngineName, EngineOf("classify")]
    """The classifier: a built-in one, or a key of ``engines``."""
    labels: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """Labels that match, as the classifier writes them. The probabilities of several are
    added."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The least probability of all the labels together."""
    on_error: Literal["unknown", "match", "no_match"] = "unknown"
    """What a classifier that does not answer means. ``unknown`` leaves it to the decision's
    ``on_unknown``."""


@catalog.register("signal", "classifier", settings=ClassifierRule, stability="stable")
class ClassifierSignal:
    """Matches when a classifier of your choice gives the question one of the given labels."""

    def __init__(self, rules: Mapping[str, ClassifierRule]) -> None:
        self._rules = rules
        self._engines = tuple(dict.fromkeys(rule.engine for rule in rules.values()))

    def read(self, prompt: Prompt) -> Flow[Reading]:
        text = prompt.question
        if not text.strip() or not self._engines:
            return {}
        # Not `ask_each`, which gives up when nobody answers: a rule may have its own idea of that
        answers = yield tuple(Classify(text, engine) for engine in self._engines)
        found: dict[str, Labels | Failure] = dict(zip(self._engines, answers, strict=True))
        reading = {name: _judge(rule, found[rule.engine]) for name, rule in self._rules.items()}
        if all(verdict.unknown for verdict in reading.values()):
            raise AskFailed(next(iter(reading.values())).because)
        return reading


def _judge(rule: ClassifierRule, ranked: Labels | Failure) -> Verdict:
    if isinstance(ranked, Failure):
        if rule.on_error == "unknown":
            return unknown(ranked)
        matched = rule.on_error == "match"
        because = f"on_error {rule.on_error}: {shown(ranked.reason, 200)}"
        return Verdict(matched, 1.0 if matched else 0.0, because)
    probability = sum(p for label, p in ranked if label in rule.labels)
    matched = bool(ranked) and probability >= rule.threshold
    because = f"{shown(ranked[0][0])} {ranked[0][1]:.2f}" if ranked else "no label"
    return Verdict(matched, share(probability) if matched else 0.0, because, probability)
