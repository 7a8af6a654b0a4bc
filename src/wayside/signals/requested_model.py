"""Which model the client asked for, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.settings.base import Name
from wayside.signals import Reading
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict


class RequestedModelRule(Settings):
    """Example: ``{models: [llama-70b, llama-70b-lora]}``"""

    models: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Names as clients write them, exactly: of models, aliases, adapters, or `auto`."""


@catalog.register("signal", "requested_model", settings=RequestedModelRule, stability="beta")
class RequestedModelSignal:
    """Matches requests that ask for one of these models by name."""

    def __init__(self, rules: Mapping[str, RequestedModelRule]) -> None:
        self._rules = {name: frozenset(rule.models) for name, rule in rules.items()}

    def read(self, prompt: Prompt) -> Reading:
        return {
            name: Verdict(True, 1.0, f"asks for {prompt.model[:60]}")
            for name, models in self._rules.items()
            if prompt.model in models
        }
