from itertools import pairwise

import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints import HITS, Profile
from wayside.endpoints.bounded_load import BoundedLoadFilter, BoundedLoadRule
from wayside.endpoints.least_work import LeastWorkRule, LeastWorkScorer
from wayside.endpoints.max_score import MaxScorePicker, MaxScoreRule
from wayside.endpoints.prefix_cache import PrefixCacheRule, PrefixCacheScorer
from wayside.vocab.endpoint import Roster


def prompt(tokens):
    n = need("x")
    n.memo["text"] = b"x" * (4 * (tokens - 1))
    assert n.tokens == tokens
    return n


def scorer(**settings) -> LeastWorkScorer:
    return LeastWorkScorer(LeastWorkRule(**settings))


def test_the_score_is_what_it_says() -> None:
    roster = servers(3)
    roster.endpoints[1].in_flight = 3
    roster.endpoints[2].in_flight, roster.endpoints[2].weight = 3, 2.0
    asked = prompt(1000)
    asked.memo[HITS] = {0: 0.5}
    assert scorer().score(asked, roster) == pytest.approx(
        [16384 / (16384 + 500), 16384 / (16384 + 1300), 16384 / (16384 + 1150)]
    )


def test_a_long_hit_outweighs_a_queue_and_a_short_one_does_not() -> None:
    roster = servers(2)
    busy, _ = roster.endpoints
    busy.in_flight = 8

    def best(tokens: int, hit: float) -> int:
        asked = prompt(tokens)
        asked.memo[HITS] = {0: hit}
        scores = list(scorer().score(asked, roster))
        return scores.index(max(scores))

    assert best(2000, 0.9) == 0
    assert best(100, 1.0) == 1
    assert best(2000, 0.3) == 1


def test_no_prompt_is_too_long_to_compare() -> None:
    roster = servers(4)
    for count, e in enumerate(roster.endpoints):
        e.in_flight = count
    scores = scorer(request_tokens=1).score(prompt(1_000_000), roster)
    assert all(a > b > 0 for a, b in pairwise(scores))


def test_a_prompt_that_everybody_sends_spreads_as_far_as_it_has_to() -> None:
    """With the filter and the index beside it: one copy while it is quiet, more under load."""
    profile = Profile(
        [BoundedLoadFilter(BoundedLoadRule())],
        [(PrefixCacheScorer(PrefixCacheRule()), 0.0), (scorer(), 1.0)],
        MaxScorePicker(MaxScoreRule()),
    )
    roster: Roster = servers(8)
    text = "same words " * 800

    def send(count: int) -> set[str]:
        taken = []
        for _ in range(count):
            asked = need(text)
            (endpoint,) = profile.pick(asked, roster)
            profile.chosen(asked, endpoint)
            endpoint.in_flight += 1
            taken.append(endpoint)
        busiest = max(e.in_flight for e in roster.endpoints)
        for e in roster.endpoints:
            e.in_flight = 0
        assert busiest <= 1.1 * count / 8 + 4
        return {e.name for e in taken}

    assert len(send(2)) == 1
    assert 5 <= len(send(40)) < 8


def test_what_others_have_waiting_there_counts_where_it_is_wanted() -> None:
    roster = servers(2, waiting=[4, 0])
    asked = prompt(1000)
    asked.memo[HITS] = {0: 1.0}
    alone, shared = scorer(), scorer(waiting_tokens=500)
    assert (alone.reads, shared.reads) == ((), ("vitals",))
    mine = alone.score(asked, roster)
    assert mine[0] > mine[1], "nothing is known of a queue"
    ours = shared.score(asked, roster)
    assert ours[0] == pytest.approx(16384 / (16384 + 2000)) and ours[0] < ours[1]
