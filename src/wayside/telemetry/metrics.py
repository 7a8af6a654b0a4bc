"""Counters and histograms that cost a dictionary update, shown in Prometheus's text format.

``prometheus_client`` renders them; on the request path there are only plain dictionaries, because
its own children cost a lock and a method call per update.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.samples import Exemplar

Labels = tuple[str, ...]

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
)  # fmt: skip
MICRO = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005,
    0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0,
)  # fmt: skip
COUNTS = tuple([float(4**n) for n in range(14)])
"""How many tokens: 1, 4, 16 and so on, as OpenTelemetry's conventions have it."""
MAX_SERIES = 2_000
"""Per metric. Further endpoints, which come and go, are counted as ``other``; further label values
of other sorts come from the configuration, so for them this is a backstop, not a policy."""
OTHER = "other"


def wants_openmetrics(accept: str) -> bool:
    """Whether whoever accepts that reads OpenMetrics, and likes it no less than plain text: as
    Prometheus says it when it wants exemplars."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.split(","):
        name, _, rest = part.partition(";")
        weight = 1.0
        for parameter in rest.split(";"):
            key, _, value = parameter.strip().partition("=")
            if key == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        kind = name.strip().lower()
        if kind in weights:
            weights[kind] = max(weights[kind], weight)
    openly, plainly = weights.values()
    return openly > 0 and openly >= plainly


def _others(names: Labels, labels: Labels) -> Labels:
    """The labels that what is over :data:`MAX_SERIES` is counted under."""
    if "endpoint" not in names:
        return tuple([OTHER] * len(names))
    pairs = zip(names, labels, strict=True)
    return tuple([OTHER if name == "endpoint" else value for name, value in pairs])


@dataclass(slots=True)
class Counter:
    """A count per label values."""

    name: str
    help: str
    labels: Labels
    values: dict[Labels, float]

    def add(self, labels: Labels, amount: float = 1.0) -> None:
        values = self.values
        if labels in values:
            values[labels] += amount
        else:
            if len(values) >= MAX_SERIES:
                labels = _others(self.labels, labels)
            if labels in values or len(values) < 2 * MAX_SERIES:
                values[labels] = values.get(labels, 0.0) + amount


@dataclass(slots=True)
class Gauge:
    """Numbers read when somebody looks."""

    name: str
    help: str
    labels: Labels
    read: Callable[[], Iterable[tuple[Labels, float]]]


class Mark(NamedTuple):
    """An exemplar: the trace of one request, what was measured of it, and when (seconds since
    1970)."""

    trace: str
    value: float
    at: float


class Series:
    """Bucket counts, sum and count of one label set."""

    __slots__ = ("buckets", "count", "exemplars", "sum")

    def __init__(self, size: int) -> None:
        self.buckets = [0] * size
        self.exemplars: dict[int, Mark] = {}
        """By bucket, the last traced request that fell into it."""
        self.sum = 0.0
        self.count = 0


@dataclass(slots=True)
class Histogram:
    """A distribution per label values, in seconds."""

    name: str
    help: str
    labels: Labels
    bounds: tuple[float, ...]
    values: dict[Labels, Series]

    def observe(self, labels: Labels, value: float, trace: str = "") -> None:
        """Count ``value``; ``trace`` is the id of the trace that shows where it comes from."""
        series = self.values.get(labels)
        if series is None:
            if len(self.values) >= MAX_SERIES:
                labels = _others(self.labels, labels)
            series = self.values.get(labels)
            if series is None:
                if len(self.values) >= 2 * MAX_SERIES:
                    return
                series = self.values[labels] = Series(len(self.bounds) + 1)
        bucket = bisect_left(self.bounds, value)
        series.buckets[bucket] += 1
        if trace:
            series.exemplars[bucket] = Mark(trace, value, time.time())
        series.sum += value
        series.count += 1


class Copy(NamedTuple):
    """A metric that is shown under another name, too; see :meth:`Metrics.copy`."""

    name: str
    as_name: str
    help: str
    labels: dict[str, str]
    empty: bool
    only: Mapping[str, Collection[str]]


M = TypeVar("M", Counter, Gauge, Histogram)


class Metrics:
    """Every metric of one process. Declared once; declaring a name twice is an error."""

    def __init__(self) -> None:
        self._metrics: dict[str, Counter | Gauge | Histogram] = {}
        self._copies: list[Copy] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def counter(self, name: str, help: str, *labels: str) -> Counter:
        return self._declare(Counter(name, help, labels, {}))

    def gauge(
        self,
        name: str,
        help: str,
        *labels: str,
        read: Callable[[], Iterable[tuple[Labels, float]]],
    ) -> Gauge:
        return self._declare(Gauge(name, help, labels, read))

    def histogram(
        self, name: str, help: str, *labels: str, bounds: tuple[float, ...] = SECONDS
    ) -> Histogram:
        return self._declare(Histogram(name, help, labels, bounds, {}))

    def copy(
        self,
        name: str,
        as_name: str,
        labels: dict[str, str],
        *,
        empty: bool = False,
        only: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        """Also show ``name`` as ``as_name``, summed over the labels that are not in ``labels``.

        ``labels`` maps our label to the compatible one. What has none of them is left out, unless
        ``empty``: a request without a decision matched none. ``only`` leaves out what has other
        values of these labels of ours.
        """
        text = self._metrics[name].help
        self._copies.append(Copy(name, as_name, text, labels, empty, only))

    def names(self) -> list[str]:
        return sorted([*self._metrics, *(copy.as_name for copy in self._copies)])

    def declared(self) -> list[Counter | Gauge | Histogram]:
        return list(self._metrics.values())

    def copies(self) -> list[tuple[str, str]]:
        """Our name and the compatible one, for each that is shown twice."""
        return [(copy.name, copy.as_name) for copy in self._copies]

    def labels_of(self, as_name: str) -> tuple[str, ...]:
        """The labels of a copy."""
        (found,) = [copy for copy in self._copies if copy.as_name == as_name]
        return tuple(found.labels.values())

    def text(self) -> bytes:
        """Prometheus's text format, version 0.0.4."""
        return generate_latest(self._registry)

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """What is shown to somebody who accepts that, and its content type: OpenMetrics, which
        has exemplars, for those who name it; else Prometheus's text format."""
        if wants_openmetrics(accept):
            found: bytes = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]
            return found, OPENMETRICS
        return self.text(), TEXT

    def _declare(self, metric: M) -> M:
        if metric.name in self._metrics:
            raise ValueError(f"metric {metric.name!r} is declared twice")
        self._metrics[metric.name] = metric
        return metric

    def collect(self) -> Iterator[Metric]:
        for metric in self._metrics.values():
            yield _family(metric)
        for copy in self._copies:
            yield _family(_regrouped(self._metrics[copy.name], copy))


def _regrouped(metric: Counter | Gauge | Histogram, copy: Copy) -> Counter | Histogram:
    _, name, text, labels, empty, only = copy
    keep = [metric.labels.index(ours) for ours in labels]
    theirs = tuple(labels.values())
    wanted = [(metric.labels.index(label), values) for label, values in only.items()]
    if isinstance(metric, Histogram):
        histogram = Histogram(name, text, theirs, metric.bounds, {})
        for key, series in metric.values.items():
            short = tuple(key[i] for i in keep)
            if not (empty or any(short)) or any([key[i] not in v for i, v in wanted]):
                continue
            total = histogram.values.setdefault(short, Series(len(metric.bounds) + 1))
            total.buckets = [a + b for a, b in zip(total.buckets, series.buckets, strict=True)]
            total.sum += series.sum
            total.count += series.count
            total.exemplars |= series.exemplars
        return histogram
    assert isinstance(metric, Counter)
    counter = Counter(name, text, theirs, {})
    for key, value in metric.values.items():
        short = tuple(key[i] for i in keep)
        if (empty or any(short)) and all([key[i] in v for i, v in wanted]):
            counter.add(short, value)
    return counter


def _family(metric: Counter | Gauge | Histogram) -> Metric:
    if isinstance(metric, Counter):
        name = metric.name.removesuffix("_total")
        counter = CounterMetricFamily(name, metric.help, labels=metric.labels)
        for labels, value in metric.values.items():
            counter.add_metric(labels, value)
        return counter
    if isinstance(metric, Gauge):
        gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in metric.read():
            gauge.add_metric(labels, value)
        return gauge
    histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, series in metric.values.items():
        running = 0
        buckets: list[Any] = []
        for i, (bound, count) in enumerate(
            zip((*metric.bounds, float("inf")), series.buckets, strict=True)
        ):
            running += count
            mark = series.exemplars.get(i)
            buckets.append(
                (
                    "+Inf" if bound == float("inf") else repr(bound),
                    float(running),
                    None if mark is None else Exemplar({"trace_id": mark.trace}, *mark[1:]),
                )
            )
        histogram.add_metric(labels, buckets, series.sum)
    return histogram
