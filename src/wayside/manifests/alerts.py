"""Rules that tell people of a router that does not do well, over metrics that it exports.

The thresholds are those of vLLM Semantic Router's rules for OpenShift; two more are about what
only this router says of itself. Each rule is told once per namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule. ``expression`` is PromQL with ``{MINE}`` where labels are matched."""

    name: str
    expression: str
    how_long: str
    """It has to hold for this long: ``10m``."""
    summary: str
    severity: str = "warning"


def _p95(metric: str) -> str:
    rates = f"sum by (namespace, le) (rate({metric}_bucket{{MINE}}[5m]))"
    return f"histogram_quantile(0.95, {rates})"


def _sum(metric: str) -> str:
    return f"sum by (namespace) (rate({metric}{{MINE}}[5m]))"


_CACHE: Final = f"({_sum('wayside_cache_hits_total')} + {_sum('wayside_cache_misses_total')})"
ALERTS: Final = (
    Alert(
        "HighRequestErrorRate",
        f"{_sum('wayside_request_errors_total')} / {_sum('wayside_requests_total')} > 0.05",
        "10m",
        "More than one request in twenty is answered with an error.",
    ),
    Alert(
        "HighCompletionLatencyP95",
        f"{_p95('wayside_request_duration_seconds')} > 30",
        "10m",
        "One answer in twenty takes more than half a minute.",
    ),
    Alert(
        "HighTTFTP95",
        f"{_p95('wayside_time_to_first_byte_seconds')} > 5",
        "10m",
        "One answer in twenty begins after more than five seconds.",
    ),
    Alert(
        "HighTPOTP95",
        f"{_p95('wayside_time_per_output_token_seconds')} > 0.25",
        "10m",
        "One streamed answer in twenty comes slower than four tokens a second.",
    ),
    Alert(
        "HighRoutingLatencyP95",
        f"{_p95('wayside_routing_seconds')} > 0.1",
        "10m",
        "One request in twenty waits a tenth of a second for the router to decide.",
    ),
    Alert(
        "HighInflightRequests",
        "sum by (namespace) (wayside_requests_in_flight{MINE}) > 50",
        "5m",
        "More than fifty requests are under way at once.",
    ),
    Alert(
        "LowCacheHitRate",
        f"{_sum('wayside_cache_hits_total')} / {_CACHE} < 0.2 and {_CACHE} > 0.1",
        "15m",
        "Fewer than one lookup in five is answered from the response cache.",
    ),
    Alert(
        "WaysideConfigurationRefused",
        "min by (namespace) (wayside_config_last_reload_successful{MINE}) == 0",
        "5m",
        "A router keeps its last configuration, because the new one cannot be used.",
    ),
    Alert(
        "WaysideServerDown",
        "min by (namespace, model, endpoint) (wayside_endpoint_healthy{MINE}) == 0",
        "5m",
        "A model's server takes no requests.",
    ),
    Alert(
        "WaysideModelDown",
        "max by (namespace, model) (wayside_endpoint_healthy{MINE}) == 0",
        "1m",
        "None of a model's servers takes requests.",
        "critical",
    ),
    Alert(
        "WaysideCertificateExpires",
        "min by (namespace, listener) (wayside_tls_certificate_expiry_timestamp_seconds{MINE})"
        " - time() < 604800",
        "1h",
        "A listener's certificate ends within a week, and nobody has renewed it.",
    ),
    Alert(
        "WaysideStoreDegraded",
        "max by (namespace, store) (wayside_store_degraded{MINE}) == 1",
        "10m",
        "A store is away, or keeps nothing of what it is given.",
    ),
    Alert(
        "WaysideSignalsUnknown",
        f"{_sum('wayside_signals_unknown_total')} / {_sum('wayside_requests_total')} > 0.05",
        "10m",
        "For more than one request in twenty a signal could not be read.",
    ),
)


_PER_POD: Final = "sum by (namespace, pod) (rate(wayside_requests_total{MINE}[2m]))"
RECORDED: Final = {"wayside_requests_per_second": _PER_POD}
"""Series that Prometheus keeps: what `router.autoscale.requests_per_second` asks for, of each pod,
once an adapter serves Prometheus's series as custom metrics."""


def groups(name: str, namespace: str = "") -> list[Object]:
    """``spec.groups`` of a PrometheusRule; of one namespace's routers, or of all."""
    mine = f'{{namespace="{namespace}"}}' if namespace else ""
    rules: list[Object] = [
        {"record": record, "expr": expression.replace("{MINE}", mine)}
        for record, expression in RECORDED.items()
    ]
    rules += [
        {
            "alert": each.name,
            "expr": each.expression.replace("{MINE}", mine),
            "for": each.how_long,
            "labels": {"severity": each.severity},
            "annotations": {"summary": each.summary},
        }
        for each in ALERTS
    ]
    return [{"name": name, "rules": rules}]
