"""Keep the parameters of a request within bounds."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PositiveInt, field_validator, model_validator

from wayside.catalog import catalog
from wayside.dialects import Edit
from wayside.plugins import Draft
from wayside.settings import Settings
from wayside.vocab.prompt import Prompt

Param = Annotated[str, Field(min_length=1, max_length=256)]

NEEDED = ("model", "messages", "prompt", "input")
"""Without them a request is none."""

KNOWN = frozenset({
    "model", "messages", "prompt", "input", "stream", "stream_options", "n", "max_tokens",
    "max_completion_tokens", "temperature", "top_p", "stop", "seed", "presence_penalty",
    "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "response_format", "tools",
    "tool_choice", "parallel_tool_calls", "functions", "function_call", "reasoning_effort",
    "verbosity", "modalities", "audio", "prediction", "metadata", "store", "user",
    "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier",
    "web_search_options", "suffix", "echo", "best_of", "dimensions", "encoding_format",
})  # fmt: skip
"""The request fields of OpenAI's API reference: chat completions, completions, embeddings."""

_LENGTHS = ("max_tokens", "max_completion_tokens")
_NUMBERS = ("n", "best_of")


class RequestParamsRule(Settings):
    """Example: ``{blocked: [logprobs, top_logprobs], max_tokens_limit: 500, max_n: 1}``"""

    blocked: tuple[Param, ...] = ()
    """Fields that are taken out."""
    max_tokens_limit: PositiveInt | None = None
    """The most tokens an answer may have: the ceiling of ``max_tokens`` and of
    ``max_completion_tokens``, and set where the client gives neither."""
    max_n: PositiveInt | None = None
    """The most answers to one request: the ceiling of ``n`` and ``best_of``."""
    strip_unknown: bool = False
    """Take out fields that OpenAI's API does not have."""
    allowed: tuple[Param, ...] = ()
    """Fields that ``strip_unknown`` leaves in all the same: ``top_k``, ``guided_json``."""

    @field_validator("blocked")
    @classmethod
    def _not_needed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name in NEEDED:
                raise ValueError(f"a request without {name!r} is none; it cannot be blocked")
        return value

    @model_validator(mode="after")
    def _does_something(self) -> RequestParamsRule:
        if self.allowed and not self.strip_unknown:
            raise ValueError("allowed is for strip_unknown: true; remove it, or say so")
        if not (self.blocked or self.max_tokens_limit or self.max_n or self.strip_unknown):
            raise ValueError("give blocked, max_tokens_limit, max_n or strip_unknown")
        return self


@catalog.register("plugin", "request_params", settings=RequestParamsRule, stability="stable")
class RequestParamsPlugin:
    """Takes parameters out of a request, and keeps its lengths and numbers within bounds."""

    def __init__(self, rule: RequestParamsRule) -> None:
        self._rule = rule
        self._kept = KNOWN | set(rule.allowed) if rule.strip_unknown else None

    def before(self, prompt: Prompt, draft: Draft) -> None:
        rule, edit = self._rule, draft.edit
        for name in rule.blocked:
            edit.drop(name)
        if self._kept is not None:
            for name in [name for name in edit.fields if name not in self._kept]:
                edit.drop(name)
        if rule.max_n is not None:
            for name in _NUMBERS:
                _cap(edit, name, rule.max_n)
        if rule.max_tokens_limit is not None and "input" not in edit.fields:
            capped = [_cap(edit, name, rule.max_tokens_limit) for name in _LENGTHS]
            if not any(capped):
                # A chat has the newer name; models that reason refuse the older one.
                name = _LENGTHS["messages" in edit.fields]
                edit.set(name, rule.max_tokens_limit)


def _cap(edit: Edit, name: str, most: int) -> bool:
    """Keep ``name`` at or below ``most``; whether the client gave it. What is no number cannot be
    compared, so it does not stay: servers differ in what they make of it."""
    if name not in edit.fields:
        return False
    value: Any = edit.get(name)
    if value is None:
        edit.drop(name)
        return False
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or value > most:
        edit.set(name, most)
    return True
