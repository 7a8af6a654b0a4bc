"""Servers that answer, but slowly or with errors; how patient a hedge is; what metrics show."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left

import pytest
from prometheus_client.parser import text_string_to_metric_families

from wayside.fleet import Fleet, Pool
from wayside.fleet.budget import Budget
from wayside.fleet.gauges import show
from wayside.settings import BreakerSettings, HedgeSettings, QueueSettings
from wayside.settings.model import EndpointSettings, ModelSettings
from wayside.telemetry.metrics import Metrics


def pool(count: int, **settings: object) -> Pool:
    endpoints = tuple(EndpointSettings(url=f"http://10.0.0.{i + 1}:80") for i in range(count))
    model = ModelSettings.model_validate({"endpoints": endpoints, **settings})
    return Fleet({"m": model}).pools["m"]


# Slowness


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize(("seconds", "out"), [(0.41, True), (0.39, False)])
def test_a_server_slower_than_the_others_by_the_factor_is_left_out(
    count: int, seconds: float, out: bool
) -> None:
    some = pool(count, breaker=BreakerSettings(slow_factor=4, least_requests=5))
    slow, *others = some.replicas
    for i in range(5):
        assert slow.out_until == 0, f"judged after {i} answers"
        for other in others:
            some.took(other, 0.1, now=0)
        some.took(slow, seconds, now=0)
    assert (slow.out_until > 0) is out
    assert slow.why == ("slow" if out else "")
    assert not any(other.out_until for other in others)


def test_slowness_leaves_out_no_more_than_may_be_and_is_judged_anew() -> None:
    some = pool(4, breaker=BreakerSettings(slow_factor=2, least_requests=2, most_out=0.25))
    first, second, *others = some.replicas

    def all_answer(now: float) -> None:
        for _ in range(2):
            for other in others:
                some.took(other, 0.1, now)
            for slow in (first, second):
                if slow.out_until <= now:
                    some.took(slow, 1.0, now)

    all_answer(0.0)
    assert (first.out_until, second.out_until) == (1.0, 0.0), "one of four"
    assert first.pace == 0
    some.pick(1.5, lambda: 0.5)  # its pause is over
    some.took(first, 0.1, 1.5)
    some.took(first, 0.1, 1.5)
    assert first.out_until == 0, "it is as quick as the others by now"


def test_one_server_alone_is_never_too_slow() -> None:
    some = pool(1, breaker=BreakerSettings(slow_factor=2, least_requests=1, most_out=1))
    for seconds in (0.1, 100.0, 100.0):
        some.took(some.replicas[0], seconds, now=0)
    assert some.replicas[0].out_until == 0


# Errors


def test_a_share_of_errors_leaves_a_server_out_once_enough_was_seen() -> None:
    breaker = BreakerSettings(errors=0, error_share=0.5, least_requests=10, window_s=10)
    some = pool(2, breaker=breaker)
    bad, _ = some.replicas
    for i in range(1, 10):
        some.erred(bad, now=1.0) if i % 2 else bad.answered(1.0)
        assert bad.out_until == 0, f"{i} requests are too few"
    some.erred(bad, now=1.0)
    assert (bad.out_until, bad.why) == (2.0, "errors")


def test_a_smaller_share_and_older_errors_do_not() -> None:
    breaker = BreakerSettings(errors=0, error_share=0.5, least_requests=4, window_s=10)
    some = pool(2, breaker=breaker)
    bad, _ = some.replicas
    for i in range(60):
        some.erred(bad, now=1.0) if i % 3 == 2 else bad.answered(1.0)
    assert bad.out_until == 0, "a third is less than half"
    for _ in range(3):
        some.erred(bad, now=40.0)  # what was 39 seconds ago is nothing any more
    assert bad.out_until == 0, "three are too few"
    some.erred(bad, now=40.0)
    assert bad.out_until == 41.0


# Hedges and budgets


def test_patience_is_the_percentile_of_what_answers_took() -> None:
    hedge = HedgeSettings(percentile=95)
    some = pool(2, hedge=hedge)
    for i in range(15):
        some.took(some.replicas[0], i / 1000, now=0)
    assert some.patience(hedge) is None, "too little is known"
    for i in range(1000, 0, -1):
        some.took(some.replicas[0], i / 1000, now=0)
    assert some.patience(hedge) == pytest.approx(0.95 * 0.256, abs=0.001), "the last 256 count"
    for _ in range(256):
        some.took(some.replicas[1], 2.0, now=0)
    looks = [some.patience(hedge) for _ in range(20)]
    assert looks[-1] == 2.0, "looked at again, now and then"


@pytest.mark.parametrize("rate", [7, 100, 900])
def test_no_ten_seconds_have_more_than_their_share_of_further_attempts(rate: int) -> None:
    """A storm that wants twice as many attempts as it has requests, in every window there is."""
    budget = Budget(0.2, 0, 10.0)
    spent: list[float] = []
    for i in range(rate * 45):
        now = 3.0 + i / rate
        budget.request(now)
        spent += [now for _ in range(2) if budget.spend(now)]
    worst = max(bisect_left(spent, since + 10) - i for i, since in enumerate(spent))
    assert worst <= 0.2 * 10 * rate * 1.02 + 1
    assert len(spent) >= 0.15 * rate * 45, "and those are given"


# Metrics


async def test_metrics_show_who_is_out_who_is_tried_and_who_waits() -> None:
    metrics = Metrics()
    queue = QueueSettings(max_in_flight=1)
    endpoints = [EndpointSettings(url=f"http://10.0.0.{i}:80", name=n) for i, n in enumerate("ab")]
    fleet = Fleet({"m": ModelSettings(endpoints=tuple(endpoints), queue=queue)})
    show(metrics, lambda: fleet)
    some = fleet.pools["m"]
    a, _ = some.replicas

    def shown(name: str) -> dict[str, float]:
        text = metrics.text().decode()
        families = text_string_to_metric_families(text)
        return {
            sample.labels.get("endpoint", ""): sample.value
            for family in families
            for sample in family.samples
            if sample.name == name
        }

    def breakers() -> dict[str, float]:
        return shown("wayside_upstream_breaker_state")

    now = asyncio.get_running_loop().time()
    assert breakers() == {"a": 0, "b": 0}
    a.leave(now, "errors")
    assert breakers() == {"a": 1, "b": 0}
    a.out_until = math.nextafter(now, 0)
    assert breakers() == {"a": 0.5, "b": 0}, "its pause is over"
    some.pick(asyncio.get_running_loop().time() + 60, lambda: 0.5)
    a.answers()
    a.completed()
    assert breakers() == {"a": 0, "b": 0}
    some.began(a)
    place = some.line.join(0, 9, lambda: None, lambda: None)
    assert place is not None
    assert shown("wayside_upstream_in_flight") == {"a": 1, "b": 0}
    assert shown("wayside_queue_length") == {"": 1}
    some.line.leave(place)
    some.ended(a)
    assert shown("wayside_upstream_in_flight") == {"a": 0, "b": 0}
    assert shown("wayside_queue_length") == {"": 0}
