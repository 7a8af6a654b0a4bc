"""How the model servers are, for the metrics: read when somebody looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from wayside.fleet.replica import Replica
from wayside.telemetry.metrics import MAX_SERIES, Counter, Metrics
from wayside.vocab.endpoint import NEVER, Endpoint, Vitals

if TYPE_CHECKING:
    from wayside.fleet import Fleet

CLOSED, HALF_OPEN, OPEN = 0.0, 0.5, 1.0


def show(metrics: Metrics, fleet: Callable[[], Fleet]) -> None:
    """Declare the gauges; ``fleet`` gives the one in force."""

    def breakers() -> Iterator[tuple[tuple[str, str], float]]:
        now = _now()
        for model, pool in fleet().pools.items():
            for replica in pool.replicas:
                state = OPEN if replica.out_until > now else CLOSED
                if state == CLOSED and (replica.on_trial or replica.out_until):
                    state = HALF_OPEN
                yield (model, replica.name), state

    metrics.gauge(
        "wayside_upstream_breaker_state",
        "0: in rotation; 1: left out; 0.5: its pause is over, one request tries it.",
        "model",
        "endpoint",
        read=breakers,
    )
    metrics.gauge(
        "wayside_upstream_in_flight",
        "Attempts under way at a server.",
        "model",
        "endpoint",
        read=lambda: [
            ((model, replica.name), float(replica.in_flight))
            for model, pool in fleet().pools.items()
            for replica in pool.replicas
        ],
    )
    metrics.gauge(
        "wayside_queue_length",
        "Requests that wait for a model.",
        "model",
        read=lambda: [((model,), float(len(pool.line))) for model, pool in fleet().pools.items()],
    )


def errors(metrics: Metrics) -> Counter:
    """Declare the counter of questions to servers that went wrong, by source and reason."""
    return metrics.counter(
        "wayside_scrape_errors_total",
        "Servers and exporters that did not answer as they should when asked how they are.",
        "source",
        "reason",
    )


def show_vitals(
    metrics: Metrics,
    fleet: Callable[[], Fleet],
    ages: Callable[[], Mapping[Endpoint, float]],
) -> None:
    """Declare the gauges of what servers say of themselves. A number that is not known is not
    shown; who is gone is gone from here too."""

    def gauge(name: str, help: str, read: Callable[[Replica], float | None]) -> None:
        metrics.gauge(name, help, "model", "endpoint", read=lambda: list(_each(fleet(), read)))

    def said(value: Callable[[Vitals], float | None]) -> Callable[[Replica], float | None]:
        return lambda r: value(r.vitals) if r.vitals.at > NEVER else None

    gauge(
        "wayside_endpoint_waiting",
        "Requests that wait at a server, as it says.",
        said(lambda v: v.waiting),
    )
    gauge(
        "wayside_endpoint_running",
        "Requests that a server works on, as it says.",
        said(lambda v: v.running),
    )
    gauge(
        "wayside_endpoint_kv_usage",
        "Share of a server's KV cache in use, 0 to 1.",
        said(lambda v: v.kv),
    )
    gauge(
        "wayside_endpoint_gpu_utilization",
        "Utilisation of a server's GPUs, 0 to 1, as an exporter says.",
        lambda r: r.vitals.gpu,
    )
    gauge(
        "wayside_endpoint_healthy",
        "1 while a server takes requests, 0 while it is left out or sleeps.",
        lambda r: 0.0 if r.down or r.asleep or r.out_until > _now() else 1.0,
    )
    metrics.gauge(
        "wayside_endpoint_scrape_age_seconds",
        "Time since a server's own metrics were read.",
        "model",
        "endpoint",
        read=lambda: list(_each(fleet(), ages().get)),
    )


def _each(
    fleet: Fleet, read: Callable[[Replica], float | None]
) -> Iterator[tuple[tuple[str, str], float]]:
    """One number for each model and endpoint name, the first of those that share a name."""
    seen: set[tuple[str, str]] = set()
    for model, pool in fleet.pools.items():
        for replica in pool.everybody:
            key = (model, replica.name)
            if key in seen or len(seen) >= MAX_SERIES:
                continue
            value = read(replica)
            if value is not None:
                seen.add(key)
                yield key, value


def _now() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # nothing is served yet, so nothing has failed
        return 0.0
