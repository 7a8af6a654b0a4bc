"""What operators see of the stores in the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from wayside.stores.base import Store
from wayside.stores.memory import MemoryStore
from wayside.stores.redis import RedisStore
from wayside.stores.registry import Count, Stores
from wayside.telemetry import Metrics
from wayside.telemetry.metrics import MICRO, Labels

ENTRIES = "wayside_cache_entries"


def watch(metrics: Metrics, stores: Callable[[], Stores]) -> Count:
    """Declare the metrics of the stores in force, and give back what counts questions to them.

    ``near`` are lookups that found something by meaning; whether it was fit is the plugin's to
    say (``wayside_cache_hits_total``).
    """
    asked = metrics.counter(
        "wayside_cache_operations_total",
        "Questions to the stores of the response cache.",
        "store",
        "operation",
        "status",
    )
    took = metrics.histogram(
        "wayside_cache_operation_seconds",
        "How long they took, waiting for another request's answer included.",
        "store",
        "operation",
        bounds=MICRO,
    )
    metrics.gauge(
        "wayside_store_degraded",
        "1 while a store is away, or keeps nothing of what it is given.",
        "store",
        read=lambda: _each(stores, lambda store: 0.0 if store.standing().ok else 1.0),
    )
    metrics.gauge(
        "wayside_store_bytes",
        "What a store takes in this process.",
        "store",
        read=lambda: _each(stores, _bytes),
    )
    for name, label in ((ENTRIES, "store"), ("llm_cache_entries_total", "backend")):
        metrics.gauge(
            name,
            "Answers kept in this process.",
            label,
            read=lambda: _each(stores, _entries),
        )
    names = {"store": "backend", "operation": "operation", "status": "status"}
    metrics.copy("wayside_cache_operations_total", "llm_cache_operations_total", names)
    metrics.copy(
        "wayside_cache_operation_seconds",
        "llm_cache_operation_duration_seconds",
        {"store": "backend", "operation": "operation"},
    )

    def count(store: str, operation: str, status: str, seconds: float) -> None:
        asked.add((store, operation, status))
        took.observe((store, operation), seconds)

    return count


def _each(
    stores: Callable[[], Stores], read: Callable[[Store], float | None]
) -> Iterator[tuple[Labels, float]]:
    for name, store in stores().made().items():
        value = read(store)
        if value is not None:
            yield (name,), value


def _bytes(store: Store) -> float | None:
    if isinstance(store, MemoryStore):
        return float(store.room.size)
    if isinstance(store, RedisStore):
        return float(store.server.finder.nbytes)
    return None


def _entries(store: Store) -> float | None:
    return float(store.answers()) if isinstance(store, MemoryStore) else None
