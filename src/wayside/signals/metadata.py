"""What the client says about the request in its ``metadata`` object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.signals import Reading
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict


def _as_written(value: Any) -> Any:
    """YAML reads ``true`` and ``5`` as a boolean and a number; metadata holds strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


Value = Annotated[str, BeforeValidator(_as_written)]


class MetadataPredicate(Settings):
    """What the value must be: exactly one of the three.

    Example: ``{in: [gold, platinum]}``
    """

    equals: Value | None = None
    """The value, exactly."""
    in_: tuple[Value, ...] | None = Field(None, alias="in", min_length=1)
    """One of these values, exactly."""
    exists: bool | None = None
    """Whether the key must be there, or must not."""

    @model_validator(mode="after")
    def _exactly_one(self) -> MetadataPredicate:
        if sum(v is not None for v in (self.equals, self.in_, self.exists)) != 1:
            raise ValueError("give exactly one of equals, in, exists")
        return self


class MetadataRule(Settings):
    """Example: ``{key: consent, predicate: {equals: denied}}``"""

    key: Annotated[str, Field(min_length=1)]
    """The name in the request's ``metadata``, exactly as the client writes it."""
    predicate: MetadataPredicate
    """What its value must be."""


@catalog.register("signal", "metadata", settings=MetadataRule, stability="stable")
class MetadataSignal:
    """Matches on one entry of the request's metadata object."""

    def __init__(self, rules: Mapping[str, MetadataRule]) -> None:
        self._rules = [
            (name, rule.key, _wanted(rule.predicate), rule.predicate.exists)
            for name, rule in rules.items()
        ]

    def read(self, prompt: Prompt) -> Reading:
        reading = {}
        for name, key, wanted, exists in self._rules:
            value = prompt.metadata.get(key)
            if value in wanted if exists is None else (value is not None) is exists:
                because = f"{key} is absent" if value is None else f"{key} is {value[:60]!r}"
                reading[name] = Verdict(True, 1.0, because)
        return reading


def _wanted(predicate: MetadataPredicate) -> frozenset[str]:
    return frozenset(predicate.in_ or () if predicate.equals is None else (predicate.equals,))
