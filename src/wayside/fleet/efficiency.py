"""How well servers are picked, for the metrics (A3-25, A3-26): which ones, how fast, and how much
of the prompts they were thought to have cached already."""

from __future__ import annotations

from wayside.endpoints import HIT
from wayside.fleet.replica import Replica
from wayside.telemetry.metrics import MICRO, Metrics
from wayside.vocab.endpoint import Need


class Efficiency:
    """Told of every request that a strategy found a server for."""

    __slots__ = ("_cached", "_picks", "_prompts", "_seconds")

    def __init__(self, metrics: Metrics) -> None:
        self._picks = metrics.counter(
            "wayside_picks_total",
            "Requests sent to a server that a strategy picked.",
            "model",
            "endpoint",
        )
        self._seconds = metrics.histogram(
            "wayside_pick_seconds", "What picking a server took.", "model", bounds=MICRO
        )
        self._prompts = metrics.counter(
            "wayside_pick_prompt_tokens_total",
            "Tokens of prompts whose server was picked by what it has cached, about.",
            "model",
        )
        self._cached = metrics.counter(
            "wayside_pick_cached_tokens_total",
            "Those of them that the server was thought to have cached.",
            "model",
        )

    def __call__(self, model: str, replica: Replica, need: Need) -> None:
        self._picks.add((model, replica.name))
        self._seconds.observe((model,), need.took)
        memo = need.memo
        if "prefix_hits" in memo:
            tokens = need.tokens
            self._prompts.add((model,), tokens)
            self._cached.add((model,), tokens * memo.get(HIT, 0.0))
