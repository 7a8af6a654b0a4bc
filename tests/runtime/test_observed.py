from __future__ import annotations

import pytest

from wayside.runtime.observed import MAX_AGE_S, SAMPLES, STALE_S, Observed, percentiles
from wayside.telemetry import Exchange, Telemetry, Tokens
from wayside.vocab.observed import Observe, Seen, delays
from wayside.vocab.outcome import Record, Tried


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Plane:
    """Requests by hand: every figure of a test is a moment it set."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.observed = Observed(self.clock)
        self.telemetry = Telemetry()
        self.telemetry.now = self.clock
        self.telemetry.watchers = (self.observed,)
        self.shell = "gateway"

    def begin(self, model: str, *, stream: bool = True, routing: float = 0.5) -> Exchange:
        exchange = self.telemetry.begin(shell=self.shell)
        self.clock.now += routing
        exchange.routed(Record(model=model, stream=stream))
        return exchange

    def request(
        self,
        model: str,
        *,
        first: float = 0.1,
        rest: float = 0.9,
        status: int = 200,
        reason: str = "",
        stream: bool = True,
        tail: bytes = b"",
        tries: tuple[Tried, ...] = (),
    ) -> None:
        exchange = self.begin(model, stream=stream)
        self.clock.now += first
        exchange.first_byte(status)
        self.clock.now += rest
        for attempt in tries:
            exchange.tried(attempt)
        if tail:
            exchange.measure(stream=stream).feed(tail)
        exchange.ended(status=status, reason=reason)

    def seen(self, *models: str, at: tuple[float, ...] = (50.0,)) -> tuple[Seen, ...]:
        self.clock.now += 2 * STALE_S
        return self.observed.answer(Observe(models, at))


@pytest.fixture
def plane() -> Plane:
    return Plane()


def usage(prompt: int, completion: int, cached: int = 0) -> bytes:
    details = f',"prompt_tokens_details":{{"cached_tokens":{cached}}}' if cached else ""
    body = f'{{"prompt_tokens":{prompt},"completion_tokens":{completion}{details}}}'
    return f'data: {{"usage":{body}}}\n\ndata: [DONE]\n\n'.encode()


@pytest.mark.parametrize(
    ("values", "at", "found"),
    [
        ((5, 1, 3), (50,), (3,)),
        ((1, 2, 3, 4), (50,), (2,)),
        ((1, 2, 3, 4), (25, 75, 76, 100), (1, 3, 4, 4)),
        (tuple(range(1, 101)), (1, 95, 99.5), (1, 95, 100)),
        ((7,), (0.1, 100), (7, 7)),
        ((), (50, 90), (None, None)),
    ],
)
def test_percentiles_are_the_nearest_rank(
    values: tuple[float, ...], at: tuple[float, ...], found: tuple[float | None, ...]
) -> None:
    assert percentiles(values, at) == found


def test_a_stream_tells_the_first_byte_and_the_time_per_token_after_it(plane: Plane) -> None:
    plane.request("a", first=0.2, rest=1.0, tail=usage(10, 11))
    (seen,) = plane.seen("a")
    assert seen.ttft_s == pytest.approx((0.2,))  # from the decision, not from the request
    assert seen.tpot_s == pytest.approx((0.1,))  # ten tokens after the first
    assert seen.latency_s == pytest.approx(1.2)
    assert (seen.samples, seen.in_flight, seen.error_rate) == (1, 0, 0.0)


def test_a_whole_answer_spreads_all_its_time_over_its_tokens(plane: Plane) -> None:
    plane.request(
        "a", first=1.0, rest=0.0, stream=False, tail=b'{"usage":{"completion_tokens":4}}'
    )
    (seen,) = plane.seen("a")
    assert seen.tpot_s == pytest.approx((0.25,))


def test_a_stream_without_usage_is_counted_by_its_events(plane: Plane) -> None:
    # one says the role, ten bring a token each, one ends it, and [DONE]
    events = b"".join([b'data: {"choices":[]}\n\n'] * 12)
    plane.request("a", first=0.2, rest=0.9, tail=events)
    (seen,) = plane.seen("a")
    assert seen.tpot_s == pytest.approx((0.1,)) and seen.cache_hit is None


def test_a_guess_at_a_whole_answer_is_no_sample(plane: Plane) -> None:
    plane.request("a", first=1.0, rest=0.0, stream=False, tail=b'{"choices":[]}')
    assert plane.seen("a")[0].tpot_s == (None,)


def test_streams_and_whole_answers_are_told_apart(plane: Plane) -> None:
    plane.request("a", first=0.1, rest=0.4)
    plane.request("a", first=3.0, rest=0.0, stream=False)
    (seen,) = plane.seen("a")
    assert seen.ttft_s == pytest.approx((0.1,)) and seen.whole_s == pytest.approx((3.0,))


def test_a_shell_that_does_not_see_first_tokens_measures_whole_answers(plane: Plane) -> None:
    plane.shell = "extproc"
    plane.request("a", first=0.001, rest=2.0)
    (seen,) = plane.seen("a")
    assert seen.ttft_s == (None,) and seen.whole_s == pytest.approx((2.001,))


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        ([((1.0,), (9.0,)), ((2.0,), (9.0,))], [1.0, 2.0]),
        ([((1.0,), (3.0,)), ((None,), (4.0,))], [3.0, 4.0]),
        ([((1.0,), (3.0,)), ((None,), (None,))], [1.0, None]),
        ([((), ()), ((), ())], [None, None]),
    ],
)
def test_waiting_is_to_the_first_token_where_that_is_known_of_as_many(
    seen: list[tuple[tuple[float | None, ...], tuple[float | None, ...]]],
    found: list[float | None],
) -> None:
    assert delays([Seen(ttft_s=first, whole_s=whole) for first, whole in seen]) == found


def test_what_is_in_flight_is_of_this_moment(plane: Plane) -> None:
    first, second = plane.begin("a"), plane.begin("a")
    ask = Observe(("a", "b"), (50.0,))
    assert [s.in_flight for s in plane.observed.answer(ask)] == [2, 0]
    first.ended(status=200)
    assert [s.in_flight for s in plane.observed.answer(ask)] == [1, 0], "no time has passed"
    second.ended(status=499, reason="client_closed")
    assert [s.in_flight for s in plane.observed.answer(ask)] == [0, 0]


def test_percentiles_are_sorted_at_most_ten_times_a_second(plane: Plane) -> None:
    plane.request("a", first=0.1)
    ask = Observe(("a",), (100.0,))
    before = plane.observed.answer(ask)
    plane.request("a", first=0.05, rest=0.0)
    plane.clock.now -= 0.55
    assert plane.observed.answer(ask) is before
    plane.clock.now += STALE_S
    assert plane.observed.answer(ask)[0].samples == 2


def test_samples_grow_old(plane: Plane) -> None:
    plane.request("a", first=0.1)
    plane.clock.now += MAX_AGE_S
    plane.request("a", first=0.3)
    (seen,) = plane.seen("a", at=(1.0,))
    assert seen.ttft_s == pytest.approx((0.3,)) and seen.samples == 1


def test_samples_are_bounded(plane: Plane) -> None:
    for _ in range(SAMPLES + 10):
        plane.request("a", first=0.001, rest=0.0)
        plane.clock.now -= 0.5
    assert plane.seen("a")[0].samples == SAMPLES


@pytest.mark.parametrize(
    ("status", "reason", "samples", "rate"),
    [
        (200, "", 1, 0.0),
        (500, "", 1, 1.0),
        (429, "", 1, 1.0),
        (502, "connect_failed", 1, 1.0),
        (200, "upstream_reset", 1, 1.0),
        (400, "", 0, 0.0),
        (499, "client_closed", 0, 0.0),
        (200, "jailbreak", 0, 0.0),
    ],
)
def test_only_what_speaks_against_a_model_is_its_error(
    plane: Plane, status: int, reason: str, samples: int, rate: float
) -> None:
    plane.request("a", status=status, reason=reason)
    (seen,) = plane.seen("a")
    assert (seen.samples, seen.error_rate) == (samples, rate)


def test_failed_answers_give_no_times(plane: Plane) -> None:
    plane.request("a", first=0.001, status=503)
    assert plane.seen("a")[0].ttft_s == (None,)


def test_a_fallback_counts_against_the_model_that_failed_and_for_the_other(plane: Plane) -> None:
    exchange = plane.begin("a")
    plane.clock.now += 5.0
    exchange.tried(Tried(endpoint="x", model="a", outcome="connect_failed"))
    exchange.rerouted(Record(model="b", stream=True))
    flights = [s.in_flight for s in plane.observed.answer(Observe(("a", "b")))]
    plane.clock.now += 0.25
    exchange.first_byte(200)
    exchange.tried(Tried(endpoint="y", model="b", outcome="ok", status=200))
    exchange.ended(status=200)
    one, two = plane.seen("a", "b")
    assert flights == [0, 1]
    assert (one.samples, one.error_rate, one.ttft_s) == (1, 1.0, (None,))
    assert (two.samples, two.error_rate) == (1, 0.0)
    assert two.ttft_s == pytest.approx((0.25,)), "counted from when it was asked"


def test_a_retry_that_succeeds_is_no_error_of_the_model(plane: Plane) -> None:
    retried = (
        Tried(endpoint="x", model="a", outcome="status_503", status=503),
        Tried(endpoint="y", model="a", outcome="ok", status=200, kind="retry"),
    )
    plane.request("a", tries=retried)
    assert plane.seen("a")[0].error_rate == 0.0


def test_the_share_of_input_that_was_cached_is_averaged(plane: Plane) -> None:
    plane.request("a", tail=usage(100, 5, cached=50))
    assert plane.seen("a")[0].cache_hit == pytest.approx(0.5)
    plane.request("a", tail=usage(100, 5))
    assert plane.seen("a")[0].cache_hit == pytest.approx(0.4)


def test_models_that_left_the_configuration_are_forgotten(plane: Plane) -> None:
    plane.request("a")
    late = plane.begin("a")
    plane.observed.keep(["b"])
    assert plane.seen("a")[0].samples == 0
    late.ended(status=200)
    assert plane.seen("a")[0].in_flight == 0


def test_answers_given_here_are_nobodys(plane: Plane) -> None:
    exchange = plane.telemetry.begin(shell="gateway")
    exchange.routed(Record(path="cache"))
    exchange.ended(status=200)
    exchange = plane.telemetry.begin(shell="gateway")
    exchange.ended(status=400, reason="invalid")
    assert usage_free(plane.seen("", at=()))


def usage_free(seen: tuple[Seen, ...]) -> bool:
    return seen == (Seen(),)


def test_nothing_is_watched_unless_somebody_asks() -> None:
    telemetry = Telemetry()
    exchange = telemetry.begin(shell="gateway")
    exchange.routed(Record(model="a"))
    exchange.ended(status=200)
    assert telemetry.watchers == () and exchange.watched == ""


def test_usage_is_read_once_for_everybody(plane: Plane) -> None:
    found: list[Tokens | None] = []

    class Other:
        def began(self, exchange: Exchange) -> None: ...

        def ended(
            self, exchange: Exchange, status: int, reason: str, usage: Tokens | None
        ) -> None:
            found.append(usage)

    plane.telemetry.watchers += (Other(),)
    plane.request("a", tail=usage(3, 4))
    assert found[0] is not None and found[0].completion == 4
