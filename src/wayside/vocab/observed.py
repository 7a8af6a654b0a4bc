"""What is known of the models a decision may choose: from the settings, and from watching them."""

from __future__ import annotations

import msgspec

from wayside.vocab.ask import Ask


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A model as the settings describe it. Prices are per million tokens; ``quality`` is 0..1,
    ``parameters_b`` in billions. ``None`` where nothing is said."""

    name: str
    description: str = ""
    capabilities: tuple[str, ...] = ()
    quality: float | None = None
    parameters_b: float | None = None
    prompt_per_1m: float | None = None
    completion_per_1m: float | None = None
    cached_per_1m: float | None = None
    context_window: int | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A model as this router has lately seen it answer.

    ``ttft_s`` (to the first byte) and ``tpot_s`` (per token of output after it) hold a value per
    percentile asked for, ``None`` while there are no samples.
    """

    in_flight: int = 0
    samples: int = 0
    ttft_s: tuple[float | None, ...] = ()
    tpot_s: tuple[float | None, ...] = ()
    error_rate: float = 0.0


class Observe(msgspec.Struct, Ask[tuple[Seen, ...]], frozen=True):
    """How are these models doing? In their order; ``percentiles`` in 0..100."""

    models: tuple[str, ...]
    percentiles: tuple[float, ...] = (50.0,)
