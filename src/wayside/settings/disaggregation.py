"""Prompts read by some servers, answers written by others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Protocol

from pydantic import Field, PositiveFloat

from wayside.settings.base import Settings
from wayside.settings.picking import PickingSettings
from wayside.vocab.roles import ROLE_LABEL


class DisaggregationSettings(Settings):
    """Some of a model's servers read prompts (prefill), others write the answers (decode).

    Which does what is in the endpoints' labels: `decode` (or no label), `prefill`, `both`.

    Example: ``{min_tokens: 512}``
    """

    label: str = ROLE_LABEL
    """The label of `endpoints` that says so."""
    min_tokens: Annotated[int, Field(ge=0)] = 0
    """A prompt of which the decode server has all but fewer tokens cached is read there; what is
    cached is what a `prefix_cache` scorer of `picking` knows. 0: every prompt is read apart."""
    cached_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """A prompt of which the decode server has at least this share cached is read there, too."""
    how: Literal["two_step", "header"] = "two_step"
    """`two_step`: the router asks the prefill server for one token, then the decode server for
    the rest, with the `kv_transfer_params` of the first. `header`: the decode server's own
    sidecar does that; it is told where in `x-prefiller-host-port` (llm-d)."""
    picking: PickingSettings | None = None
    """Which of the prefill servers; unset, as the model's `picking` says."""
    timeout_s: PositiveFloat = 60.0
    """How long a request may wait for its prompt to be read, whoever is asked; Envoy waits for us
    as much longer. Who takes all of it counts as failed."""
    without: Literal["decode", "refuse"] = "decode"
    """What becomes of a request when no prefill server takes it: the decode server reads the
    prompt itself, or it is answered 503. What prefill servers refuse for what it is (400, 413,
    422) goes to the decode server, to be refused there."""


class HasDisaggregation(Protocol):
    """A model's settings."""

    @property
    def disaggregation(self) -> DisaggregationSettings | None: ...


def longest_s(models: Iterable[HasDisaggregation]) -> float:
    """The longest that a request waits for its prompt to be read, beside the decision."""
    apart = [model.disaggregation for model in models]
    return max([a.timeout_s for a in apart if a is not None and a.how == "two_step"], default=0.0)
