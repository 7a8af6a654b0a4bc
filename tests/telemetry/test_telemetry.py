"""One line and the metrics per request, from the same facts."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from wayside.telemetry import Exchange, Log, Price, Telemetry
from wayside.vocab.outcome import Record
from wayside.vocab.verdict import SignalRef, Verdict

ROUTED = Record(
    requested="auto",
    model="big",
    recipe="default",
    decision="sums",
    confidence=0.87654,
    algorithm="static",
    verdicts={
        SignalRef("domain", "math"): Verdict(True, because="the prompt said SECRET"),
        SignalRef("keyword", "no"): Verdict(False),
    },
)
DIRECT = Record(requested="big", model="big", stream=True)
USAGE = (
    b'{"usage":{"prompt_tokens":1000,"completion_tokens":200,'
    b'"prompt_tokens_details":{"cached_tokens":400},"cache_creation_input_tokens":100}}'
)
KINDS = ("prompt", "cached", "cache_write", "completion")
PRICE = Price("USD", prompt=1.0, completion=10.0, cached=0.1, written=2.0)


class Bench:
    """Telemetry with a clock that is turned by hand, and the lines it wrote."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.telemetry = Telemetry(access=Log(self.stream, console=False))
        self.time = 100.0
        self.telemetry.now = lambda: self.time

    def exchange(self, record: Record | None = None, **begin: Any) -> Exchange:
        found = self.telemetry.begin(shell="gateway", **begin)
        if record is not None:
            self.time += 0.001
            found.routed(record)
        return found

    def lines(self) -> list[dict[str, Any]]:
        self.telemetry.flush()
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def samples(self) -> dict[str, float]:
        """``name{label=value,...}`` and its value, as Prometheus's own parser reads them."""
        return {key: value for key, value in self._samples()}

    def _samples(self) -> Iterator[tuple[str, float]]:
        for family in text_string_to_metric_families(self.telemetry.metrics.text().decode()):
            for s in family.samples:
                labels = ",".join(f"{k}={v}" for k, v in sorted(s.labels.items()))
                yield f"{s.name}{{{labels}}}", s.value


def test_a_routed_request_is_one_line() -> None:
    bench = Bench()
    found = bench.exchange(ROUTED, request_id="req-1")
    found.attempt("10.0.0.7:8000")
    bench.time += 0.5
    found.first_byte(200)
    bench.time += 1.5
    found.first_byte(200)
    found.measure(stream=False).feed(USAGE)
    found.ended(status=200)
    (line,) = bench.lines()
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "event": "request",
        "id": "req-1",
        "shell": "gateway",
        "status": 200,
        "requested": "auto",
        "model": "big",
        "total_ms": 2001.0,
        "routing_ms": 1.0,
        "first_byte_ms": 501.0,
        "endpoint": "10.0.0.7:8000",
        "decision": "sums",
        "algorithm": "static",
        "confidence": 0.8765,
        "signals": ["domain:math"],
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "cached_tokens": 400,
        "cache_write_tokens": 100,
    }


def test_a_request_that_named_its_model_says_less() -> None:
    bench = Bench()
    bench.exchange(DIRECT).ended(status=200)
    (line,) = bench.lines()
    assert line["stream"] is True
    assert "decision" not in line and "signals" not in line and "first_byte_ms" not in line


def test_why_it_failed_is_said_by_the_shell_or_else_by_the_core() -> None:
    bench = Bench()
    bench.exchange(Record(path="error", reason="model_not_found")).ended(status=404)
    bench.exchange(DIRECT).ended(status=502, reason="upstream_reset")
    bench.exchange().ended(status=400)
    assert [line.get("reason") for line in bench.lines()] == [
        "model_not_found",
        "upstream_reset",
        None,
    ]
    samples = bench.samples()
    assert samples["wayside_request_errors_total{model=,reason=model_not_found}"] == 1
    assert samples["wayside_request_errors_total{model=big,reason=upstream_reset}"] == 1
    assert samples["wayside_request_errors_total{model=,reason=400}"] == 1


def test_nothing_of_the_prompt_is_in_a_line() -> None:
    bench = Bench()
    found = bench.exchange(ROUTED)
    found.measure(stream=False).feed(b'{"content":"SECRET"}' + USAGE)
    found.ended(status=200)
    bench.telemetry.flush()
    assert "SECRET" not in bench.stream.getvalue()
    assert "SECRET" not in bench.telemetry.metrics.text().decode()


def test_a_request_ends_once() -> None:
    bench = Bench()
    found = bench.exchange(ROUTED)
    assert bench.telemetry.in_flight == 1
    found.measure(stream=False).feed(USAGE)
    found.ended(status=200)
    found.ended(status=500, reason="late")
    assert bench.telemetry.in_flight == 0
    assert len(bench.lines()) == 1
    samples = bench.samples()
    tokens = {t: samples[f"wayside_tokens_total{{model=big,type={t}}}"] for t in KINDS}
    assert tokens == {"prompt": 500, "cached": 400, "cache_write": 100, "completion": 200}
    assert samples["wayside_requests_total{decision=sums,model=big,shell=gateway,status=200}"] == 1


def test_a_watcher_with_a_bug_costs_no_answer() -> None:
    """Behind Envoy, what is raised here would end the streams of every other request, too."""

    class Broken:
        def began(self, exchange: Exchange) -> None: ...

        def ended(self, *_: Any) -> None:
            raise KeyError("the prompt said SECRET")

    bench = Bench()
    bench.telemetry.log = Log(told := io.StringIO(), console=False)
    bench.telemetry.watchers = (Broken(),)
    bench.exchange(ROUTED).ended(status=200)
    assert bench.telemetry.in_flight == 0
    line = json.loads(told.getvalue())
    assert (line["event"], line["error"]) == ("not counted", "KeyError")
    assert "SECRET" not in told.getvalue()


def test_requests_without_an_id_get_different_ones() -> None:
    telemetry = Telemetry()
    ids = {telemetry.begin(shell="gateway").request_id for _ in range(100)}
    assert len(ids) == 100
    assert telemetry.begin(shell="x", request_id="mine").request_id == "mine"


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 200}, 1000 * 1.0 + 200 * 10.0),
        (
            {"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 400}},
            600 * 1.0 + 400 * 0.1,
        ),
        (
            {
                "prompt_tokens": 1000,
                "prompt_tokens_details": {"cached_tokens": 400},
                "cache_creation_input_tokens": 100,
            },
            500 * 1.0 + 400 * 0.1 + 100 * 2.0,
        ),
        # a server that counts more cached than there were is not paid for it
        ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 999}}, 10 * 0.1),
        ({"prompt_tokens": 10, "cache_creation_input_tokens": 999}, 10 * 2.0),
        ({"prompt_tokens": 0, "completion_tokens": 0}, 0.0),
    ],
)
def test_cost_is_tokens_by_their_price(usage: dict[str, Any], cost: float) -> None:
    bench = Bench()
    bench.telemetry.prices = {"big": PRICE}
    found = bench.exchange(DIRECT)
    found.measure(stream=False).feed(json.dumps({"usage": usage}).encode())
    found.ended(status=200)
    (line,) = bench.lines()
    assert line["cost"] == pytest.approx(cost / 1e6)
    assert bench.samples()["wayside_cost_total{currency=USD,model=big}"] == pytest.approx(
        cost / 1e6
    )


def test_a_model_without_a_price_has_no_cost() -> None:
    bench = Bench()
    bench.telemetry.prices = {"other": PRICE}
    found = bench.exchange(DIRECT)
    found.measure(stream=False).feed(USAGE)
    found.ended(status=200)
    assert "cost" not in bench.lines()[0]
    assert not any("cost_total" in name for name in bench.samples())


def test_compatible_names_show_the_same_numbers() -> None:
    bench = Bench()
    bench.telemetry.prices = {"big": PRICE}
    for _ in range(2):
        found = bench.exchange(ROUTED)
        bench.time += 0.02
        found.first_byte()
        found.measure(stream=False).feed(USAGE)
        found.ended(status=200)
    bench.exchange(DIRECT).ended(status=503)
    samples = bench.samples()
    for ours, theirs, value in (
        ("", "llm_model_requests_total{model=big}", 3),
        ("", "llm_decision_match_total{decision_name=sums}", 2),
        ("", "llm_signal_match_total{signal_name=math,signal_type=domain}", 2),
        ("", "llm_model_tokens_total{model=big}", 2400),
        ("", "llm_request_errors_total{model=big,reason=503}", 1),
        ("wayside_cost_total", "llm_model_cost_total{currency=USD,model=big}", None),
        ("wayside_time_to_first_byte_seconds_count", "llm_model_ttft_seconds_count{model=big}", 2),
        ("", "llm_model_completion_latency_seconds_count{model=big}", 3),
    ):
        assert theirs in samples
        if value is not None:
            assert samples[theirs] == value
        else:
            assert samples[theirs] == samples[f"{ours}{{currency=USD,model=big}}"]


def test_streamed_answers_have_a_pace() -> None:
    """From the first token to the last; what came in one piece has none."""
    bench = Bench()
    for record in (DIRECT, ROUTED):
        found = bench.exchange(record)
        found.first_byte()
        found.measure(stream=False).feed(USAGE)
        bench.time += 1.99
        found.ended(status=200)
    samples = bench.samples()
    assert samples["wayside_time_per_output_token_seconds_count{model=big}"] == 1
    paced = samples["wayside_time_per_output_token_seconds_sum{model=big}"]
    assert paced == pytest.approx(0.01)  # 200 tokens
    assert samples["llm_model_tpot_seconds_sum{model=big}"] == paced
    assert samples["llm_model_routing_latency_seconds_count{}"] == 2


def test_a_request_without_a_decision_matched_none() -> None:
    bench = Bench()
    bench.exchange(DIRECT).ended(status=200)
    bench.exchange().ended(status=404)
    assert not any(name.startswith("llm_decision_match") for name in bench.samples())
    assert "llm_model_requests_total{model=}" not in bench.samples()


def test_in_flight_is_read_when_somebody_looks() -> None:
    bench = Bench()
    found = bench.exchange(DIRECT)
    assert bench.samples()["wayside_requests_in_flight{}"] == 1
    found.ended(status=200)
    assert bench.samples()["wayside_requests_in_flight{}"] == 0


def test_a_log_that_is_closed_never_stops_a_request() -> None:
    bench = Bench()
    bench.stream.close()
    for _ in range(300):
        bench.exchange(DIRECT).ended(status=200)
    bench.telemetry.flush()
    assert bench.telemetry.in_flight == 0
