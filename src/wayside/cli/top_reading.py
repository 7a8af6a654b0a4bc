"""What ``wayside top`` shows, worked out from two looks at a router's metrics. Pure.

A look is the text of ``/metrics``, which holds the sums of all workers where there are several.
Counters are told by the second between the looks; quantiles come from what histograms counted
between them, or since the router's start where there was only one look or nothing in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]
NAMES: Final = frozenset({
    "wayside_requests_total",
    "wayside_request_errors_total",
    "wayside_requests_in_flight",
    "wayside_request_duration_seconds_bucket",
    "wayside_time_to_first_byte_seconds_bucket",
    "wayside_tokens_total",
    "wayside_cache_hits_total",
    "wayside_cache_misses_total",
    "wayside_shed_total",
    "wayside_queue_length",
    "wayside_upstream_in_flight",
    "wayside_upstream_breaker_state",
    "wayside_picks_total",
    "wayside_endpoint_waiting",
    "wayside_endpoint_running",
    "wayside_endpoint_kv_usage",
    "wayside_endpoint_gpu_utilization",
    "wayside_endpoint_healthy",
    "wayside_config_last_reload_successful",
    "wayside_config_generation",
})  # fmt: skip
"""What is read of a page; the rest of it is not even parsed."""


@dataclass(frozen=True, slots=True)
class Look:
    """A router's metrics at ``at`` (seconds of a clock that only goes forward)."""

    at: float
    values: Mapping[str, Mapping[Labels, float]]

    def of(self, name: str) -> Mapping[Labels, float]:
        return self.values.get(name, {})


@dataclass(frozen=True, slots=True)
class Replica:
    """One of a model's servers. What is not known of it is ``None``."""

    name: str
    in_flight: int
    waiting: float | None
    running: float | None
    kv_usage: float | None
    """Share of its KV cache in use, 0 to 1."""
    gpu: float | None
    """Utilisation of its GPUs, 0 to 1."""
    state: str
    """``in rotation``, ``left out``, ``on trial`` or ``not well``."""
    picks_per_s: float


@dataclass(frozen=True, slots=True)
class Model:
    """What a model answered, and its servers."""

    name: str
    requests: int
    per_s: float
    errors_per_s: float
    p50_s: float | None
    p95_s: float | None
    first_byte_p50_s: float | None
    tokens_per_s: float
    queued: int
    in_flight: int
    replicas: tuple[Replica, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. ``per_s`` are of the last ``interval_s`` seconds."""

    interval_s: float
    requests: int
    """Since the router's start, as are ``errors``."""
    errors: int
    per_s: float
    errors_per_s: float
    shed_per_s: float
    in_flight: int
    queued: int
    p50_s: float | None
    p95_s: float | None
    cache_hit_share: float | None
    """Of the requests since the start that the response cache was asked about."""
    config_in_force: bool
    generation: int
    models: tuple[Model, ...]
    decisions: Mapping[str, float] = field(default_factory=dict)
    """Requests by the second of each decision, the most frequent first; ``""`` is none."""


def look(text: str, at: float) -> Look:
    """Raises ``ValueError`` for what is no page of metrics of a router's."""
    lines = [line for line in text.splitlines() if line.partition("{")[0].split(" ")[0] in NAMES]
    values: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            held = values.setdefault(sample.name, {})
            held[tuple(sorted(sample.labels.items()))] = sample.value
    if "wayside_requests_in_flight" not in values:
        raise ValueError("no metrics of a router")
    return Look(at, values)


def frame(before: Look | None, now: Look) -> Frame:
    """What happened between two looks; before the first, since the start."""
    seconds = now.at - before.at if before is not None else 0.0
    if before is not None and (seconds <= 0 or _restarted(before, now)):
        before, seconds = None, 0.0
    between = _Between(before, now, seconds)
    hits = sum(now.of("wayside_cache_hits_total").values())
    asked = hits + sum(now.of("wayside_cache_misses_total").values())
    bad = now.of("wayside_request_errors_total")
    in_force = now.of("wayside_config_last_reload_successful").values()
    models = tuple(between.model(name) for name in _models(now))
    return Frame(
        interval_s=seconds,
        requests=int(sum(now.of("wayside_requests_total").values())),
        errors=int(sum(bad.values())),
        per_s=between.rate("wayside_requests_total"),
        errors_per_s=between.rate("wayside_request_errors_total"),
        shed_per_s=between.rate("wayside_shed_total"),
        in_flight=int(sum(now.of("wayside_requests_in_flight").values())),
        queued=sum(model.queued for model in models),
        p50_s=between.quantile("wayside_request_duration_seconds_bucket", 0.5),
        p95_s=between.quantile("wayside_request_duration_seconds_bucket", 0.95),
        cache_hit_share=hits / asked if asked else None,
        config_in_force=all(value >= 1 for value in in_force),
        generation=int(max(now.of("wayside_config_generation").values(), default=0)),
        models=models,
        decisions=between.by("wayside_requests_total", "decision"),
    )


def _restarted(before: Look, now: Look) -> bool:
    """A counter that went down belongs to another process."""
    total = "wayside_requests_total"
    return sum(now.of(total).values()) < sum(before.of(total).values())


def _models(now: Look) -> list[str]:
    """Every model that has servers or was asked, by name."""
    sources = ("wayside_requests_total", "wayside_upstream_in_flight", "wayside_queue_length")
    found = {dict(labels).get("model", "") for name in sources for labels in now.of(name)}
    return sorted(found - {""})


class _Between:
    """Two looks, and the questions about what lies between them."""

    def __init__(self, before: Look | None, now: Look, seconds: float) -> None:
        self._before, self._now, self._seconds = before, now, seconds

    def model(self, name: str) -> Model:
        replicas = tuple(self._replica(name, endpoint) for endpoint in self._endpoints(name))
        duration = "wayside_request_duration_seconds_bucket"
        first = "wayside_time_to_first_byte_seconds_bucket"
        asked = self._now.of("wayside_requests_total")
        return Model(
            name=name,
            requests=int(sum(v for k, v in asked.items() if ("model", name) in k)),
            per_s=self.rate("wayside_requests_total", model=name),
            errors_per_s=self.rate("wayside_request_errors_total", model=name),
            p50_s=self.quantile(duration, 0.5, model=name),
            p95_s=self.quantile(duration, 0.95, model=name),
            first_byte_p50_s=self.quantile(first, 0.5, model=name),
            tokens_per_s=self.rate("wayside_tokens_total", model=name),
            queued=int(self._gauge("wayside_queue_length", model=name) or 0),
            in_flight=sum(replica.in_flight for replica in replicas),
            replicas=replicas,
        )

    def _endpoints(self, model: str) -> list[str]:
        named = self._now.of("wayside_upstream_in_flight")
        return [d["endpoint"] for k in named if (d := dict(k)).get("model") == model]

    def _replica(self, model: str, endpoint: str) -> Replica:
        def said(name: str) -> float | None:
            return self._gauge(name, model=model, endpoint=endpoint)

        breaker = said("wayside_upstream_breaker_state") or 0.0
        state = "left out" if breaker >= 1 else "on trial" if breaker > 0 else "in rotation"
        if state == "in rotation" and said("wayside_endpoint_healthy") == 0:
            state = "not well"
        return Replica(
            name=endpoint,
            in_flight=int(said("wayside_upstream_in_flight") or 0),
            waiting=said("wayside_endpoint_waiting"),
            running=said("wayside_endpoint_running"),
            kv_usage=said("wayside_endpoint_kv_usage"),
            gpu=said("wayside_endpoint_gpu_utilization"),
            state=state,
            picks_per_s=self.rate("wayside_picks_total", model=model, endpoint=endpoint),
        )

    def rate(self, name: str, **labels: str) -> float:
        """By the second; 0 after the first look."""
        if self._before is None or not self._seconds:
            return 0.0
        wanted = set(labels.items())
        then = self._before.of(name)
        grown = (v - then.get(k, 0.0) for k, v in self._now.of(name).items() if wanted <= set(k))
        return max(0.0, sum(grown)) / self._seconds

    def by(self, name: str, label: str) -> dict[str, float]:
        """The rate for each value of ``label``, the greatest first."""
        found = {dict(k).get(label, "") for k in self._now.of(name)}
        rates = {value: self.rate(name, **{label: value}) for value in found}
        return dict(sorted(rates.items(), key=lambda pair: (-pair[1], pair[0])))

    def _gauge(self, name: str, **labels: str) -> float | None:
        wanted = set(labels.items())
        return next((v for k, v in self._now.of(name).items() if wanted <= set(k)), None)

    def quantile(self, name: str, share: float, **labels: str) -> float | None:
        """In seconds, by straight lines within buckets; ``None`` where nothing was counted."""
        now = _buckets(self._now.of(name), labels)
        if self._before is not None:
            then = _buckets(self._before.of(name), labels)
            grown = {bound: count - then.get(bound, 0.0) for bound, count in now.items()}
            if max(grown.values(), default=0.0) > 0:
                now = grown
        return _within(now, share)


def _buckets(samples: Mapping[Labels, float], labels: Mapping[str, str]) -> dict[float, float]:
    """Cumulative counts by upper bound, added up over all series that have ``labels``."""
    wanted = set(labels.items())
    found: dict[float, float] = {}
    for key, value in samples.items():
        if wanted <= set(key):
            bound = float(dict(key)["le"])
            found[bound] = found.get(bound, 0.0) + value
    return found


def _within(buckets: Mapping[float, float], share: float) -> float | None:
    bounds: Iterable[tuple[float, float]] = sorted(buckets.items())
    total = max(buckets.values(), default=0.0)
    if total <= 0:
        return None
    rank = share * total
    for (low, below), (high, count) in pairwise([(0.0, 0.0), *bounds]):
        if count >= rank:
            if high == float("inf"):
                return low
            return low + (high - low) * (rank - below) / (count - below) if count > below else high
    return None
