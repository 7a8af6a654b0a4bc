"""How long the conversation is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.signals import Reading
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict

_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmM]?)")
_TIMES = {"": 1, "k": 1_000, "m": 1_000_000}


def _tokens(value: Any) -> Any:
    """``32K`` as 32,000, as in vSR, whose configurations let ``8K`` follow ``"7999"``."""
    if not isinstance(value, str):
        return value
    written = _WRITTEN.fullmatch(value.strip())
    if not written:
        raise ValueError(f"{value!r} is not a number of tokens; write 32000, 32K or 1M")
    return round(float(written[1]) * _TIMES[written[2].lower()])


Tokens = Annotated[
    int,
    BeforeValidator(_tokens),
    Field(ge=0),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*[kKmM]?\s*$"},
            ]
        }
    ),
]


class ContextRule(Settings):
    """Example: ``{min_tokens: 32K, max_tokens: 256K}``"""

    min_tokens: Tokens = 0
    """The fewest tokens that match; 32K is 32,000 and 1M is 1,000,000."""
    max_tokens: Tokens | None = None
    """The most tokens that match; no limit when absent."""

    @model_validator(mode="after")
    def _in_order(self) -> ContextRule:
        if self.max_tokens is not None and self.max_tokens < self.min_tokens:
            raise ValueError(
                f"max_tokens {self.max_tokens} is below min_tokens {self.min_tokens}, "
                "so nothing could match"
            )
        return self


@catalog.register("signal", "context", settings=ContextRule, stability="stable")
class ContextSignal:
    """Matches on the estimated length of the whole conversation, in tokens."""

    def __init__(self, rules: Mapping[str, ContextRule]) -> None:
        self._rules = [
            (name, rule.min_tokens, float("inf") if rule.max_tokens is None else rule.max_tokens)
            for name, rule in rules.items()
        ]

    def read(self, prompt: Prompt) -> Reading:
        tokens = prompt.tokens
        yes = Verdict(True, 1.0, f"{tokens} tokens", tokens)
        no = Verdict(False, 0.0, yes.because, tokens)
        return {name: yes if low <= tokens <= high else no for name, low, high in self._rules}
