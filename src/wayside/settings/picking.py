"""How one of a model's servers is chosen: filters, scorers and a picker, by their names."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, field_validator, model_validator

from wayside.settings.base import Settings

_OR_TEXT = ConfigDict(json_schema_extra={"type": ["object", "string"]})


def _any_name(schema: dict[str, Any]) -> None:
    """Written as ``{name: {...}}``, where the name is any kind's; ``full_schema`` knows them."""
    schema["type"] = ["object", "string"]
    schema["additionalProperties"] = True
    del schema["required"]


class UseSettings(Settings):
    """A kind and its settings. A bare string is its name.

    Example: ``{prefix_cache: {}, weight: 3}``
    """

    model_config = ConfigDict(json_schema_extra=_any_name)

    name: str
    """Of the filter or scorer."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its own; written as ``{name: {...}}``."""
    weight: NonNegativeFloat = 1.0
    """Of a scorer, against the others'."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and "name" not in value:
            rest = {k: v for k, v in value.items() if k != "weight"}
            if len(rest) == 1:
                ((name, settings),) = rest.items()
                if isinstance(name, str) and isinstance(settings, dict):
                    given = {"weight": value["weight"]} if "weight" in value else {}
                    return {"name": name, "settings": settings, **given}
            raise ValueError("name one kind: its name, or {name: {its settings}, weight: 1}")
        return value


class PickingSettings(Settings):
    """How one of a model's servers is chosen. A bare string is a strategy by itself: a picker, or
    a scorer of which the highest score wins.

    Example: ``{scorers: [{prefix_cache: {}, weight: 3}, queue], picker: max_score}``
    """

    model_config = _OR_TEXT

    strategy: str | None = None
    """A picker or scorer by itself, or `balanced`: what the other settings together say then."""
    filters: tuple[UseSettings, ...] = ()
    """Who may be chosen, one after the other."""
    scorers: tuple[UseSettings, ...] = ()
    """What makes a server better than others, each from 0 to 1 times its weight."""
    picker: str | dict[str, dict[str, Any]] = "max_score"
    """Who takes one by its score: its name, or ``{name: {its settings}}``."""
    when_none: Literal["any", "refuse"] = "any"
    """What becomes of a request that the filters leave no server for: one of the others takes
    it, or it is answered 503."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"strategy": value} if isinstance(value, str) else value

    @field_validator("picker", mode="before")
    @classmethod
    def _one_picker(cls, value: Any) -> Any:
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and len(value) == 1:
            ((name, settings),) = value.items()
            if isinstance(name, str) and isinstance(settings, dict):
                return value
        raise ValueError("name one picker: its name, or {name: {its settings}}")

    @field_validator("filters")
    @classmethod
    def _no_weights(cls, value: tuple[UseSettings, ...]) -> tuple[UseSettings, ...]:
        for use in value:
            if "weight" in use.model_fields_set:
                raise ValueError(f"{use.name} is a filter: it keeps a server or not, unweighted")
        return value

    @model_validator(mode="after")
    def _one_form(self) -> PickingSettings:
        if self.strategy is not None and (self.filters or self.scorers):
            raise ValueError("strategy stands for filters and scorers; write either")
        if self.strategy is not None and "picker" in self.model_fields_set:
            raise ValueError("strategy stands for a picker, too; write scorers beside picker")
        return self
