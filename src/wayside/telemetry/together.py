"""The metrics of several processes as those of one.

Counters and histograms add up. So do gauges of what a process has itself (requests under way,
bytes it takes); gauges of what all of them see alike (a server's state, a certificate's end) are
one process's, the worst. An exemplar is the newest of the bucket it stands at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families
from prometheus_client.samples import Exemplar

from wayside.telemetry.metrics import OPENMETRICS, TEXT, wants_openmetrics

SMALLEST: Final = frozenset(
    {
        "wayside_config_last_reload_successful",
        "wayside_config_generation",
        "wayside_endpoint_healthy",
        "wayside_endpoint_scrape_age_seconds",
        "wayside_tls_certificate_expiry_timestamp_seconds",
    }
)
"""The least of these is the truth."""
GREATEST: Final = frozenset(
    {
        "wayside_config_refused",
        "wayside_endpoint_waiting",
        "wayside_endpoint_running",
        "wayside_endpoint_kv_usage",
        "wayside_endpoint_gpu_utilization",
        "wayside_upstream_breaker_state",
        "wayside_store_degraded",
        "router_cpu_usage_percent",
        "router_memory_usage_percent",
        "router_disk_usage_percent",
    }
)
"""The greatest of these is."""

Key = tuple[str, tuple[tuple[str, str], ...]]


def asked_for(accept: str) -> str:
    """What each process is to be asked for (``Accept``), for somebody who accepts that."""
    return OPENMETRICS if wants_openmetrics(accept) else TEXT


def together(texts: Sequence[bytes], accept: str = "") -> tuple[bytes, str]:
    """One page made of several, and its content type; each is as :func:`asked_for` wants it."""
    if wants_openmetrics(accept):
        pages = [open_families(text.decode()) for text in texts]  # type: ignore[no-untyped-call]
        registry = _registry(pages)
        found: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return found, OPENMETRICS
    return generate_latest(_registry([plain_families(text.decode()) for text in texts])), TEXT


def _registry(pages: Sequence[Iterable[Metric]]) -> CollectorRegistry:
    found: dict[str, Metric] = {}
    values: dict[str, dict[Key, tuple[float, Exemplar | None]]] = {}
    for page in pages:
        for family in page:
            found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            held = values.setdefault(family.name, {})
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                before = held.get(key)
                if before is None:
                    held[key] = sample.value, sample.exemplar
                else:
                    value = _joined(family.name, before[0], sample.value)
                    held[key] = value, _newest(before[1], sample.exemplar)
    for name, metric in found.items():
        for (sample_name, labels), (value, exemplar) in values[name].items():
            metric.add_sample(sample_name, dict(labels), value, exemplar=exemplar)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(list(found.values())))
    return registry


def _joined(name: str, one: float, other: float) -> float:
    if name in SMALLEST:
        return min(one, other)
    return max(one, other) if name in GREATEST else one + other


def _newest(one: Exemplar | None, other: Exemplar | None) -> Exemplar | None:
    if one is None or other is None:
        return one or other
    return other if _at(other) > _at(one) else one


def _at(exemplar: Exemplar) -> float:
    stamp: Any = exemplar.timestamp
    return float(stamp) if stamp else 0.0


class _Fixed:
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics
