"""What is known of the models a decision may choose: from the settings, from watching them, and
from what others said of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

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
    written_per_1m: float | None = None
    currency: str = "USD"
    context_window: int | None = None

    @property
    def price(self) -> float | None:
        """Of a million tokens, half of them input and half output; ``None`` where nobody says."""
        if self.prompt_per_1m is None or self.completion_per_1m is None:
            return None
        return (self.prompt_per_1m + self.completion_per_1m) / 2


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A model as this router has lately seen it answer.

    ``ttft_s`` (to the first token of a stream), ``tpot_s`` (per token of output) and ``whole_s``
    (of answers that came whole, and of streams that the shell does not look into) hold a value per
    percentile asked for, ``None`` while there are no samples. ``samples`` are the answers, good
    and bad, that the window holds. ``latency_s`` (of all answers) and ``cache_hit`` (share of the
    input that the model's server had cached, 0..1) are moving averages.

    ``servers`` (in rotation), ``waiting`` (requests in the shortest of their queues) and ``kv``
    (the least of their KV caches' use, 0..1) are told where the question asks for ``servers``;
    the last two are ``None`` while no server has said.
    """

    in_flight: int = 0
    samples: int = 0
    ttft_s: tuple[float | None, ...] = ()
    tpot_s: tuple[float | None, ...] = ()
    whole_s: tuple[float | None, ...] = ()
    error_rate: float = 0.0
    latency_s: float | None = None
    cache_hit: float | None = None
    servers: int | None = None
    waiting: float | None = None
    kv: float | None = None


class Observe(msgspec.Struct, Ask[tuple[Seen, ...]], frozen=True):
    """How are these models doing? In their order; ``percentiles`` in 0..100. ``servers``: also
    what their servers say of themselves."""

    models: tuple[str, ...]
    percentiles: tuple[float, ...] = (50.0,)
    servers: bool = False


def delays(seen: Sequence[Seen], at: int = 0) -> list[float | None]:
    """How long one waits for each model, at percentile number ``at``: to the first token or, where
    that is known of fewer models than the time of whole answers is, for all of it. The two are
    never compared with each other."""
    first = [s.ttft_s[at] if s.ttft_s else None for s in seen]
    whole = [s.whole_s[at] if s.whole_s else None for s in seen]
    return first if _known(first) >= _known(whole) else whole


def _known(values: list[float | None]) -> int:
    return sum([1 for value in values if value is not None])


# What was said of answers

Verdict = Literal["good_fit", "underpowered", "overprovisioned", "failed"]
"""What became of an answer: the model suited; it was too weak; a smaller one would have done; it
failed (spec: vSR 7.1)."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What outcomes say of one candidate in one category of prompts.

    ``rating`` is on Elo's scale, ``games`` are the outcomes that moved it. The four verdicts are
    counts; an outcome with a score s counts s as ``good_fit`` and 1 - s as ``underpowered``.
    """

    rating: float
    games: int = 0
    good_fit: float = 0.0
    underpowered: float = 0.0
    overprovisioned: float = 0.0
    failed: float = 0.0

    @property
    def outcomes(self) -> float:
        return self.good_fit + self.underpowered + self.overprovisioned + self.failed


class Standings(msgspec.Struct, Ask[tuple[Standing, ...]], frozen=True):
    """What have outcomes said of these candidates? In their order.

    ``category`` is a domain such as ``math``; empty stands for all prompts together.
    """

    candidates: tuple[str, ...]
    category: str = ""


# Conversations


class Held(msgspec.Struct, Ask[bytes | None], frozen=True):
    """What is remembered of the conversation ``key`` in this process, if it still is."""

    key: str


class Hold(msgspec.Struct, Ask[None], frozen=True):
    """Remember this of the conversation ``key``, for ``ttl_s`` seconds."""

    key: str
    value: bytes
    ttl_s: float
