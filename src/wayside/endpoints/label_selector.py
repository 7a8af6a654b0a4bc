"""Keep servers by a label selector as Kubernetes has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import Need, Roster


class Requirement(Settings):
    """Example: ``{key: zone, operator: NotIn, values: [eu-west-1c]}``"""

    key: str = Field(min_length=1)
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """What is asked of it; ``NotIn`` holds for servers without the label too."""
    values: tuple[str, ...] = ()
    """For ``In`` and ``NotIn``, at least one; none for the others."""

    @model_validator(mode="after")
    def _values_where_needed(self) -> Requirement:
        if self.operator in ("In", "NotIn") and not self.values:
            raise ValueError(f"{self.operator} needs values")
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            raise ValueError(f"{self.operator} takes no values; did you mean In, or NotIn?")
        return self


class LabelSelectorRule(Settings):
    """Example: ``{match_expressions: [{key: zone, operator: In, values: [a, b]}]}``"""

    match_labels: dict[str, str] = Field(default_factory=dict)
    """Labels and the values that they must have."""
    match_expressions: tuple[Requirement, ...] = ()
    """What else must hold."""

    @model_validator(mode="after")
    def _something(self) -> LabelSelectorRule:
        if not self.match_labels and not self.match_expressions:
            raise ValueError("name match_labels or match_expressions; without, everybody stays")
        return self


@catalog.register("filter", "label_selector", settings=LabelSelectorRule, stability="beta")
class LabelSelectorFilter:
    """Keeps servers whose labels a selector matches; all it asks must hold.

    As in Kubernetes: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels
    (llm-d's ``label-selector-filter``, ``by-label-selector``, spec 3.4).
    """

    steady = True

    def __init__(self, rule: LabelSelectorRule) -> None:
        self._equal = tuple(rule.match_labels.items())
        self._further = rule.match_expressions

    def keep(self, need: Need, roster: Roster) -> Sequence[int] | None:
        return [i for i, e in enumerate(roster.endpoints) if self._matches(e.labels)]

    def _matches(self, labels: Mapping[str, str]) -> bool:
        return all([labels.get(key) == value for key, value in self._equal]) and all(
            [_holds(requirement, labels) for requirement in self._further]
        )


def _holds(asked: Requirement, labels: Mapping[str, str]) -> bool:
    if asked.operator == "Exists":
        return asked.key in labels
    if asked.operator == "DoesNotExist":
        return asked.key not in labels
    return (labels.get(asked.key) in asked.values) == (asked.operator == "In")
