"""Keep servers by one of their labels."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.vocab.endpoint import Need, Roster


class LabelRule(Settings):
    """Example: ``{label: hardware, values: [H100, H200]}``"""

    label: str = Field(min_length=1)
    """Of servers: its name."""
    values: tuple[str, ...] = ()
    """Servers stay whose label has one of these."""
    absent: bool = False
    """Whether servers without the label stay too."""

    @model_validator(mode="after")
    def _somebody(self) -> LabelRule:
        if not self.values and not self.absent:
            raise ValueError("nobody would stay: name values, or let absent be true")
        return self


@catalog.register("filter", "label", settings=LabelRule, stability="beta")
class LabelFilter:
    """Keeps servers whose label has one of some values.

    (llm-d's ``by-label``, spec 3.4.)
    """

    steady = True

    def __init__(self, rule: LabelRule) -> None:
        self._label = rule.label
        self._values: frozenset[str | None] = frozenset(
            (*rule.values, None) if rule.absent else rule.values
        )

    def keep(self, need: Need, roster: Roster) -> Sequence[int] | None:
        label, values = self._label, self._values
        return [i for i, e in enumerate(roster.endpoints) if e.labels.get(label) in values]
