"""Where a prompt belongs in a knowledge base: labels, each with texts that belong to it.

A base sorts prompts as a classifier does, but is written instead of trained. Its labels may be
gathered in groups ("private", "public"), and two groups may be set against one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from wayside.catalog import catalog
from wayside.settings import EngineName, EngineOf, Settings
from wayside.signals import Reading, meant
from wayside.vocab.ask import Failure, Flow
from wayside.vocab.likeness import (
    Cosines,
    Examples,
    Places,
    compare,
    prototype,
    share,
    shown,
    unknown,
)
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

ExampleText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Score = Annotated[float, Field(ge=-1, le=1)]
Scores = dict[str, float]
"""By label: the score of its examples."""


class KbTarget(Settings):
    """What of a base a rule is about.

    Example: ``{kind: group, value: private}``
    """

    kind: Literal["label", "group"] = "label"
    """One label, or a group of labels."""
    value: Annotated[str, Field(min_length=1)]
    """Its name."""


class KnowledgeBase(Settings):
    """Labels, texts that belong to them, and groups of labels.

    Example: ``{labels: {code: [fix this function], memo: [our plan for next year]}}``
    """

    labels: Annotated[
        dict[str, Annotated[tuple[ExampleText, ...], Field(min_length=1, max_length=2_000)]],
        Field(min_length=1),
    ]
    """By label: texts as users would write them."""
    groups: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field({})
    """By group: labels. A label may be in several; a group's score is that of its best label."""
    threshold: Score = 0.5
    """The least score with which a label matches."""
    label_thresholds: dict[str, Score] = Field({})
    """By label: another threshold."""

    @model_validator(mode="after")
    def _labels_exist(self) -> KnowledgeBase:
        named = [(f"group {group!r}", label) for group, of in self.groups.items() for label in of]
        named += [("label_thresholds", label) for label in self.label_thresholds]
        for where, label in named:
            if label not in self.labels:
                raise ValueError(f"{where} names no label {label!r}; {meant(label, self.labels)}")
        return self

    def least(self, label: str) -> float:
        """The threshold of a label."""
        return self.label_thresholds.get(label, self.threshold)


class KbRule(Settings):
    """Example: ``{base: {labels: {code: [fix this function], memo: [plan for next year]}}, target: {value: code}}``"""  # noqa: E501

    base: KnowledgeBase
    """The knowledge base. Rules with equal ones share it: write it once and use a YAML alias."""
    target: KbTarget
    """The label or group that is to match."""
    match: Literal["best", "threshold"] = "best"
    """``best``: the label that scores highest in the whole base is the target or in it;
    ``threshold``: any label of the target will do. Either way it must reach its threshold."""
    value: Literal["score", "best_score", "best_matched_score", "group_margin"] = "score"
    """The number that conditions and projections see: the target's score; the highest of the
    base; the highest among labels that reach their threshold; the score less that of
    ``against``."""
    against: str | None = None
    """For ``group_margin``: the group that the target is set against."""
    engine: Annotated[EngineName, EngineOf("embed")] = "embedding"
    """The embedder that compares."""

    @model_validator(mode="after")
    def _names_exist(self) -> KbRule:
        kind, value = self.target.kind, self.target.value
        there = self.base.labels if kind == "label" else self.base.groups
        if value not in there:
            raise ValueError(f"the base has no {kind} {value!r}; {meant(value, there)}")
        if (self.against is not None) != (self.value == "group_margin"):
            raise ValueError("against and value: group_margin go together")
        if self.against is not None and self.against not in self.base.groups:
            raise ValueError(
                f"the base has no group {self.against!r}; {meant(self.against, self.base.groups)}"
            )
        return self

    def labels(self) -> tuple[str, ...]:
        """The labels of the target."""
        value = self.target.value
        return (value,) if self.target.kind == "label" else self.base.groups[value]


@catalog.register("signal", "kb", settings=KbRule, stability="stable")
class KbSignal:
    """Matches when the question belongs to a label, or group, of a knowledge base."""

    def __init__(self, rules: Mapping[str, KbRule]) -> None:
        self._rules = rules
        texts = Examples()
        self._places: dict[str, dict[str, Places]] = {
            name: {label: texts.add(of, rule.engine) for label, of in rule.base.labels.items()}
            for name, rule in rules.items()
        }
        self.banks = texts.banks()

    def read(self, prompt: Prompt) -> Flow[Reading]:
        if not prompt.question.strip():
            return {}
        found = yield from compare(prompt.question, self.banks)
        reading = {}
        for name, rule in self._rules.items():
            cosines = found[rule.engine]
            if isinstance(cosines, Failure):
                reading[name] = unknown(cosines)
            else:
                reading[name] = _judge(rule, _scores(cosines, self._places[name]))
        return reading


def _scores(cosines: Cosines, places: Mapping[str, Places]) -> Scores:
    return {label: prototype(cosines, at) for label, at in places.items()}


def _judge(rule: KbRule, scores: Scores) -> Verdict:
    base, mine = rule.base, rule.labels()
    top = max(scores, key=scores.__getitem__)
    reached = [label for label in scores if scores[label] >= base.least(label)]
    if rule.match == "best":
        matched = top in mine and top in reached
    else:
        matched = any(label in mine for label in reached)
    score = max(scores[label] for label in mine)
    value = score
    if rule.value == "best_score":
        value = scores[top]
    elif rule.value == "best_matched_score":
        value = max((scores[label] for label in reached), default=0.0)
    elif rule.against is not None:
        value = score - max(scores[label] for label in base.groups[rule.against])
    because = f"{shown(rule.target.value)} {score:.2f}, best {shown(top)} {scores[top]:.2f}"
    return Verdict(matched, share(score) if matched else 0.0, because, value)
