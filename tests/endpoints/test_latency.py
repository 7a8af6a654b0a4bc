import random

import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints import HIT, HITS, TPOT
from wayside.endpoints.latency import LatencyRule, LatencyScorer
from wayside.vocab.endpoint import UNKNOWN, Roster, Vitals


def scorer(**settings) -> LatencyScorer:
    return LatencyScorer(LatencyRule(**{"explore": 0.0, **settings}))


def asked(tokens=1, *, stream=True, **more):
    n = need("x", stream=stream, **more)
    n.memo["text"] = b"x" * (4 * (tokens - 1))
    return n


def see(it, endpoint, seconds, n=None, per_token=None) -> None:
    n = n or asked()
    endpoint.in_flight += 1
    it.chosen(n, endpoint)
    it.answered(n, endpoint, seconds)
    if per_token is not None:
        n.memo[TPOT] = per_token
    it.ended(n, endpoint)
    endpoint.in_flight -= 1


def taught(it, roster, times=200, **more) -> None:
    """Servers take 0.1 s, 20 ms per request that waits, 0.1 s per 1,000 tokens, 10 ms per request
    in flight; the second is twice as slow."""
    dice = random.Random(3)
    for i in range(times):
        e = roster.endpoints[i % len(roster.endpoints)]
        e.vitals = Vitals(at=0.0, waiting=dice.randrange(20))
        tokens, others = dice.randrange(1, 8000), dice.randrange(10)
        e.in_flight = others
        seconds = 0.1 + e.vitals.waiting * 0.02 + tokens * 1e-4 + others * 0.01
        see(it, e, seconds * (1 + (i % len(roster.endpoints) == 1)), asked(tokens, **more))
        e.in_flight = 0


def at_rest(roster) -> Roster:
    for e in roster.endpoints:
        e.vitals = Vitals(at=0.0)
    return Roster(roster.endpoints)


def test_it_says_nothing_before_it_has_seen_anything() -> None:
    assert scorer().score(asked(), servers(3)) == [0.0, 0.0, 0.0]


def test_a_server_that_is_twice_as_slow_gets_half() -> None:
    it, roster = scorer(), servers(3)
    taught(it, roster, 600)
    assert it.score(asked(1000), at_rest(roster)) == pytest.approx([1.0, 0.5, 1.0], abs=0.03)


def test_load_and_length_are_learnt() -> None:
    it, roster = scorer(), servers(3)
    taught(it, roster, 600)
    a, b, c = at_rest(roster).endpoints
    c.vitals = Vitals(at=0.0, waiting=10)
    a.in_flight = 10
    scores = it.score(asked(1000), Roster((a, b, c)))
    # 0.1 + 0.1 + 0.1 = 0.3 s, twice 0.2 s, 0.1 + 0.2 + 0.1 = 0.4 s
    assert scores == pytest.approx([1.0, 0.75, 0.75], abs=0.04)


def test_what_is_cached_takes_no_time() -> None:
    it, roster = scorer(), servers(3)
    taught(it, roster, 600)
    n = asked(7000)
    n.memo[HITS] = {2: 1.0}
    assert it.score(n, at_rest(roster))[0] == pytest.approx(0.1 / 0.8, abs=0.03)


def test_what_is_cached_is_known_when_it_is_learnt() -> None:
    it, roster = scorer(), servers(1)
    for i in range(200):
        n = asked(1000 * (i % 8) + 1)
        n.memo[HIT] = 1.0
        see(it, roster.endpoints[0], 0.1, n)
    (seconds,) = it._first.predict(roster, [0.0], [0], 0.0) or ()
    assert seconds == pytest.approx(0.1, abs=0.01)


def test_who_is_not_known_is_as_the_others_with_its_load() -> None:
    it, roster = scorer(), servers(4)
    taught(it, Roster((roster.endpoints[0], roster.endpoints[2], roster.endpoints[2])), 600)
    new = roster.endpoints[3]
    two = Roster((at_rest(roster).endpoints[0], new))
    assert 0.6 < it.score(asked(1000), two)[1] < 0.9  # one in three answers took twice as long
    new.vitals = Vitals(at=0.0, waiting=20)
    assert it.score(asked(1000), Roster(two.endpoints))[1] < 0.5


def test_a_server_that_said_nothing_is_rated_with_the_mean_load() -> None:
    it, roster = scorer(), servers(3)
    taught(it, Roster((roster.endpoints[0],)), 300)
    for e, waiting in zip(roster.endpoints, (0, 20, 0), strict=True):
        e.vitals = Vitals(at=0.0, waiting=waiting)
    roster.endpoints[2].vitals = UNKNOWN
    a, b, c = it.score(asked(1000), Roster(roster.endpoints))
    assert b < c < a


def test_answers_that_are_whole_are_learnt_apart() -> None:
    it, roster = scorer(), servers(2)
    a, b = roster.endpoints
    for _ in range(50):
        see(it, a, 0.1)
        see(it, b, 0.2)
        see(it, a, 9.0, asked(stream=False))
        see(it, b, 3.0, asked(stream=False))
    assert it.score(asked(), roster) == pytest.approx([1.0, 0.5], abs=0.03)
    assert it.score(asked(stream=False), roster) == pytest.approx([1 / 3, 1.0], abs=0.03)


def test_time_per_token_weighs_where_it_is_known() -> None:
    it, roster = scorer(ttft_weight=0.5, tpot_weight=0.5), servers(2)
    a, b = roster.endpoints
    for _ in range(50):
        see(it, a, 0.1, per_token=0.02)
        see(it, b, 0.2, per_token=0.01)
    assert it.score(asked(), roster) == pytest.approx([0.75, 0.75], abs=0.02)


def test_it_forgets() -> None:
    it, roster = scorer(half_life_s=10), servers(2)
    a, b = roster.endpoints
    for _ in range(50):
        see(it, a, 0.1)
        see(it, b, 0.4)
    later = {"now": 60.0}
    for _ in range(5):
        see(it, b, 0.1, asked(**later))
    assert it.score(asked(**later), roster)[1] > 0.7
    it.forget(b)
    assert it.score(asked(**later), roster)[1] == pytest.approx(1.0, abs=0.25)


def test_who_is_silent_is_held_less_and_less_against() -> None:
    it, roster = scorer(half_life_s=10), servers(2)
    a, b = roster.endpoints
    for _ in range(20):
        see(it, b, 5.0)
    for second in range(200):
        see(it, a, 0.1, asked(now=float(second)))
    assert it.score(asked(now=1.0), roster)[1] < 0.2
    assert it.score(asked(now=400.0), Roster(roster.endpoints))[1] > 0.8


def objectives(ttft, tpot=None):
    said = {"x-slo-ttft-ms": ttft} | ({"x-llm-d-slo-tpot-ms": tpot} if tpot else {})
    return {"headers": said}


def four(it) -> Roster:
    """0.1, 0.2, 0.4 and 0.8 s to the first token, 80, 40, 20 and 10 ms for each further one."""
    roster = servers(4)
    for _ in range(300):
        for i, e in enumerate(roster.endpoints):
            see(it, e, 0.1 * 2**i, per_token=0.08 / 2**i)
    return roster


@pytest.mark.parametrize(
    ("headroom", "ttft", "tpot", "scores"),
    [
        ("least", "400.9", None, [0.625, 0.75, 1.0, 0.25]),
        ("most", "400.9", None, [0.875, 0.75, 0.5, 0.25]),
        ("least", "50", None, [0.25, 0.125, 0.0625, 0.03125]),
        ("most", "50", None, [0.25, 0.125, 0.0625, 0.03125]),
        ("least", "400.9", "40.9", [0.25, 0.5 + 0.5 * 0.6, 0.5 + 0.5 * 0.9, 0.25]),
    ],
)
def test_who_keeps_the_objective_comes_first(headroom, ttft, tpot, scores) -> None:
    it = scorer(headroom=headroom)
    n = asked(**objectives(ttft, tpot))
    assert it.score(n, four(it)) == pytest.approx(scores, abs=0.012)


@pytest.mark.parametrize("said", ["soon", "-1", "0", "inf", "nan", ""])
def test_an_objective_that_is_none_is_none(said) -> None:
    it = scorer()
    roster = four(it)
    assert it.score(asked(**objectives(said)), roster) == it.score(asked(), roster)


def test_some_requests_go_anywhere() -> None:
    it, roster = scorer(explore=0.25), servers(2)
    for e in roster.endpoints:
        see(it, e, 1.0)
    said = [it.score(asked(seed=i), roster) for i in range(400)]
    assert 60 < said.count({}) < 140


def test_what_took_no_possible_time_is_not_learnt() -> None:
    it, roster = scorer(), servers(1)
    for seconds in (float("nan"), float("inf"), -1.0):
        see(it, roster.endpoints[0], seconds)
    assert it.score(asked(), roster) == [0.0]


def test_sheets_follow_what_is_learnt_after_them() -> None:
    """Predictions kept with a roster are the same as those of a new one."""
    it, roster = scorer(), servers(6)
    dice = random.Random(2)
    for _ in range(300):
        e = dice.choice(roster.endpoints)
        see(it, e, dice.random(), asked(dice.randrange(1, 4000)))
        if dice.random() < 0.3:
            kept = it.score(asked(500), roster)
            assert kept == pytest.approx(it.score(asked(500), Roster(roster.endpoints)))
        if dice.random() < 0.02:
            it.forget(dice.choice(roster.endpoints))
