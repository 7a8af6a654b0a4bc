"""How the model servers are, for the metrics: read when somebody looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from wayside.telemetry.metrics import Metrics

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


def _now() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # nothing is served yet, so nothing has failed
        return 0.0
