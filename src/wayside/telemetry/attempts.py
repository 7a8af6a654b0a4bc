"""What it took to get answers: attempts, retries, hedges, other models, refusals of our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wayside.telemetry.metrics import Metrics
from wayside.vocab.outcome import Record, Tried

SHED = frozenset({"server_is_overloaded", "slow_down"})
"""Reasons of our own refusals (429)."""


class Attempts:
    """Counts attempts of requests that have ended, and tells of them in the log."""

    __slots__ = ("_attempts", "_fallbacks", "_hedges", "_retries", "_shed")

    def __init__(self, metrics: Metrics) -> None:
        self._attempts = metrics.counter(
            "wayside_upstream_attempts_total",
            "Attempts to get an answer from a model's server.",
            "model",
            "outcome",
        )
        self._retries = metrics.counter(
            "wayside_retries_total", "Attempts after one that failed.", "model"
        )
        self._hedges = metrics.counter(
            "wayside_hedges_total",
            "Second attempts beside a slow one: won, or not.",
            "model",
            "outcome",
        )
        self._fallbacks = metrics.counter(
            "wayside_fallbacks_total",
            "Requests that another model was asked for.",
            "from",
            "to",
            "reason",
        )
        self._shed = metrics.counter(
            "wayside_shed_total", "Requests refused for want of room.", "model", "reason"
        )

    def count(self, tries: Sequence[Tried], record: Record, reason: str) -> None:
        """One request has ended."""
        if len(tries) == 1 and tries[0].outcome == "ok" and not record.fallback_from:
            self._attempts.add((tries[0].model, "ok"))
            return
        for tried in tries:
            if tried.kind == "prefill":  # no answer was to come from there
                continue
            self._attempts.add((tried.model, tried.outcome))
            if tried.kind == "retry":
                self._retries.add((tried.model,))
            elif tried.kind == "hedge":
                won = "lost" if tried.outcome == "hedge_lost" else tried.outcome
                self._hedges.add((tried.model, "won" if won == "ok" else won))
        if record.fallback_from:
            self._fallbacks.add((record.fallback_from, record.model, record.fallback_reason))
        if reason in SHED:
            self._shed.add((record.model, reason))


def told(tries: Sequence[Tried], unserved: Sequence[int] = ()) -> list[dict[str, Any]] | None:
    """The attempts for the log, where there is more to tell than that the only one went well;
    ``unserved`` is what each of them took for nothing."""
    if len(tries) == 1 and tries[0].outcome == "ok":
        return None
    found = [
        {
            "endpoint": tried.endpoint,
            "model": tried.model,
            "kind": tried.kind,
            "outcome": tried.outcome,
            "ms": round(tried.seconds * 1e3, 3),
            "status": tried.status,
        }
        for tried in tries
    ]
    for attempt, tokens in zip(found, unserved, strict=False):
        if tokens:
            attempt["unserved_tokens"] = tokens
    return found
