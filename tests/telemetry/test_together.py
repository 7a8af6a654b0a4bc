"""Several processes' metrics as one page, in both formats."""

from __future__ import annotations

import pytest

from wayside.telemetry.metrics import OPENMETRICS, TEXT, Metrics, wants_openmetrics
from wayside.telemetry.together import asked_for, together

A, B = "a" * 32, "b" * 32
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


def process(trace: str, value: float, healthy: float, waiting: float) -> Metrics:
    found = Metrics()
    found.counter("wayside_requests_total", "Requests.", "model").add(("m",), value)
    seconds = found.histogram("t_seconds", "Time.", "model")
    seconds.observe(("m",), 0.2, trace)
    seconds.observe(("m",), 0.7)
    labels = ("model", "endpoint")
    for name, number in (("healthy", healthy), ("waiting", waiting)):
        reading = [(("m", "e"), number)]
        found.gauge(f"wayside_endpoint_{name}", "x", *labels, read=lambda reading=reading: reading)
    return found


@pytest.mark.parametrize("accept", ["text/plain", PROMETHEUS])
def test_counts_add_up_and_states_are_the_worst(accept: str) -> None:
    one, other = process(A, 2, 1, 5), process(B, 3, 0, 7)
    pages = [metrics.page(asked_for(accept))[0] for metrics in (one, other)]
    page, kind = together(pages, accept)
    text = page.decode()
    assert kind == (OPENMETRICS if accept == PROMETHEUS else TEXT)
    assert 'wayside_requests_total{model="m"} 5.0' in text
    assert 't_seconds_count{model="m"} 4.0' in text
    assert 'wayside_endpoint_healthy{endpoint="e",model="m"} 0.0' in text
    assert 'wayside_endpoint_waiting{endpoint="e",model="m"} 7.0' in text
    assert (B in text) == (accept == PROMETHEUS), "the newer of two exemplars"
    assert A not in text


def test_an_exemplar_that_only_one_has_stays() -> None:
    one, other = process(A, 2, 1, 5), process("", 3, 0, 7)
    pages = [metrics.page(OPENMETRICS)[0] for metrics in (one, other)]
    assert f'# {{trace_id="{A}"}} 0.2'.encode() in together(pages, OPENMETRICS)[0]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        (PROMETHEUS, True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x, text/plain", False),
        ("text/plain;q=0.9, application/openmetrics-text; version=1.0.0; q=0.1", False),
    ],
)
def test_openmetrics_is_for_whoever_asks_for_it(accept: str, wanted: bool) -> None:
    assert wants_openmetrics(accept) is wanted
