"""What one request may cost when several models are asked to answer it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from wayside.settings.base import Settings

Cost = Annotated[float, Field(gt=0)]
Calls = Annotated[int, Field(ge=1, le=1024)]


class MultiCallSettings(Settings):
    """The most that any decision may allow; where it allows more, this is what counts.

    Example: ``{max_calls: 20, max_cost: 0.5}``
    """

    max_calls: Calls = 64
    """Requests to models that one request of a client may cause."""
    max_concurrent: Calls = 32
    """Of those under way at once."""
    timeout_s: PositiveFloat = 600.0
    """For all of them together."""
    max_total_tokens: PositiveInt | None = None
    """Tokens, prompts and answers of all calls; once they are spent, nothing more is asked.
    Calls that are asked together are finished, so a round may end above it."""
    max_cost: Cost | None = None
    """What they may cost, at the models' `price`; once it is spent, nothing more is asked.
    Calls that are asked together are finished, so a round may end above it."""


class CallLimits(Settings):
    """Settings of every algorithm that asks several models."""

    max_calls: Calls = 16
    """Requests to models, all rounds together; `multi_call.max_calls` may be less."""
    max_concurrent: Calls = 8
    """Of those under way at once; the others wait."""
    timeout_s: PositiveFloat = 120.0
    """For all calls together."""
    max_total_tokens: PositiveInt | None = None
    """Tokens, prompts and answers of all calls; once they are spent, nothing more is asked.
    Calls that are asked together are finished, so a round may end above it."""
    max_cost: Cost | None = None
    """What the calls may cost, at the models' `price`; once it is spent, nothing more is asked.
    Calls that are asked together are finished, so a round may end above it."""
    on_error: Literal["skip", "fail"] = "skip"
    """A call that gives no answer: go on with the others, or answer 502."""
