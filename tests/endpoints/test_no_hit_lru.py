from tests.endpoints.rig import need, servers
from wayside.endpoints import HITS
from wayside.endpoints.no_hit_lru import NoHitLruRule, NoHitLruScorer


def test_the_longest_unused_is_first() -> None:
    it, roster = NoHitLruScorer(NoHitLruRule()), servers(5)
    assert it.score(need(), roster) == [1.0] * 5
    for i in (3, 0, 3):
        it.chosen(need(), roster.endpoints[i])
    assert it.score(need(), roster) == [0.25, 1.0, 1.0, 0.0, 1.0]
    for i in (1, 2, 4):
        it.chosen(need(), roster.endpoints[i])
    assert it.score(need(), roster) == [1.0, 0.5, 0.25, 0.75, 0.0]


def test_what_is_cached_somewhere_is_for_others_to_rate_and_leaves_no_trace() -> None:
    it, roster = NoHitLruScorer(NoHitLruRule()), servers(3)
    warm, cold = need(), need()
    warm.memo[HITS], cold.memo[HITS] = {1: 0.4}, {1: 0.0}
    assert it.score(warm, roster) == [0.5] * 3
    it.chosen(warm, roster.endpoints[1])
    assert it.score(cold, roster) == [1.0] * 3
    it.chosen(cold, roster.endpoints[1])
    assert it.score(need(), roster) == [1.0, 0.0, 1.0]


def test_it_remembers_only_so_many() -> None:
    it, roster = NoHitLruScorer(NoHitLruRule(size=2)), servers(3)
    for e in roster.endpoints:
        it.chosen(need(), e)
    assert it.score(need(), roster) == [1.0, 0.5, 0.0]
    assert len(it._used) == 2


def test_who_is_gone_is_forgotten_and_one_alone_is_best() -> None:
    it, roster = NoHitLruScorer(NoHitLruRule()), servers(2)
    a, b = roster.endpoints
    it.chosen(need(), a)
    it.chosen(need(), b)
    it.forget(b)
    assert it.score(need(), roster) == [0.0, 1.0]
    one = servers(1)
    it.chosen(need(), one.endpoints[0])
    assert it.score(need(), one) == [1.0]
