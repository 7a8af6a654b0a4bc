"""Counters, gauges and histograms as Prometheus reads them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from wayside.telemetry.metrics import MAX_SERIES, MICRO, SECONDS, Metrics


def read(metrics: Metrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for s in family.samples:
            found.setdefault(s.name, {})[tuple(sorted(s.labels.items()))] = s.value
    return found


@given(st.lists(st.tuples(st.text(), st.text()), max_size=10))
def test_any_label_value_survives_the_format(labels: list[tuple[str, str]]) -> None:
    metrics = Metrics()
    counter = metrics.counter("x_total", "X.", "a", "b")
    safe = [
        (a.encode("utf-8", "replace").decode(), b.encode("utf-8", "replace").decode())
        for a, b in labels
    ]
    for pair in safe:
        counter.add(pair)
    total = sum(read(metrics).get("x_total", {}).values())
    assert total == len(labels)


@given(st.lists(st.floats(0, 200), max_size=50), st.sampled_from([SECONDS, MICRO]))
def test_a_histogram_counts_everything_once(
    values: list[float], bounds: tuple[float, ...]
) -> None:
    metrics = Metrics()
    histogram = metrics.histogram("x_seconds", "X.", "a", bounds=bounds)
    for value in values:
        histogram.observe(("m",), value)
    if not values:
        assert "x_seconds_count" not in read(metrics)
        return
    found = read(metrics)
    buckets = {float(dict(labels)["le"]): n for labels, n in found["x_seconds_bucket"].items()}
    assert buckets == {b: sum(v <= b for v in values) for b in (*bounds, math.inf)}
    assert found["x_seconds_count"] == {(("a", "m"),): len(values)}
    assert found["x_seconds_sum"][("a", "m"),] == pytest.approx(sum(values))


def test_series_are_bounded_and_those_there_still_count() -> None:
    metrics = Metrics()
    counter = metrics.counter("x_total", "X.", "a")
    histogram = metrics.histogram("y_seconds", "Y.", "a")
    for i in range(MAX_SERIES + 500):
        counter.add((str(i),))
        histogram.observe((str(i),), 1.0)
    counter.add(("0",))
    histogram.observe(("0",), 1.0)
    assert len(counter.values) == len(histogram.values) == MAX_SERIES + 1
    assert counter.values["other",] == histogram.values["other",].count == 500
    assert counter.values["0",] == 2
    assert histogram.values["0",].count == 2


def test_endpoints_over_the_bound_are_one_of_their_model() -> None:
    """Appendix B 10: label values over the cap become ``other``."""
    metrics = Metrics()
    counter = metrics.counter("x_total", "X.", "model", "endpoint")
    for i in range(MAX_SERIES):
        counter.add(("small", f"10.0.0.{i}:80"))
    for i in range(300):
        counter.add(("large", f"10.1.0.{i}:80"))
    assert counter.values["large", "other"] == 300
    for i in range(2 * MAX_SERIES):
        counter.add((str(i), "a"))
    assert len(counter.values) == 2 * MAX_SERIES, "models over the bound are not counted at all"


def test_a_copy_sums_over_the_labels_it_does_not_have() -> None:
    metrics = Metrics()
    counter = metrics.counter("ours_total", "O.", "model", "status")
    histogram = metrics.histogram("ours_seconds", "O.", "model", "status", bounds=(1.0,))
    metrics.copy("ours_total", "theirs_total", {"model": "m"})
    metrics.copy("ours_seconds", "theirs_seconds", {"model": "m"})
    for model, status, value in (("a", "200", 0.5), ("a", "500", 2.0), ("b", "200", 0.5)):
        counter.add((model, status))
        histogram.observe((model, status), value)
    counter.add(("", "404"))
    found = read(metrics)
    assert found["theirs_total"] == {(("m", "a"),): 2, (("m", "b"),): 1}
    assert found["theirs_seconds_count"] == {(("m", "a"),): 2, (("m", "b"),): 1}
    assert found["theirs_seconds_bucket"][("le", "1.0"), ("m", "a")] == 1
    assert found["theirs_seconds_bucket"][("le", "+Inf"), ("m", "a")] == 2
    assert metrics.names() == ["ours_seconds", "ours_total", "theirs_seconds", "theirs_total"]


def test_a_name_is_declared_once() -> None:
    metrics = Metrics()
    metrics.counter("x_total", "X.")
    with pytest.raises(ValueError, match="declared twice"):
        metrics.gauge("x_total", "X.", read=list)


def test_a_gauge_is_read_when_somebody_looks() -> None:
    metrics = Metrics()
    values = [(("a",), 1.0)]
    metrics.gauge("x", "X.", "name", read=lambda: values)
    assert read(metrics)["x"] == {(("name", "a"),): 1.0}
    values[:] = [(("b",), 2.5)]
    assert read(metrics)["x"] == {(("name", "b"),): 2.5}


def test_two_sets_of_metrics_share_nothing() -> None:
    first, second = Metrics(), Metrics()
    first.counter("x_total", "X.").add(())
    assert "x_total" in read(first)
    assert "x_total" not in read(second)
