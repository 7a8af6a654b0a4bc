import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints import HITS
from wayside.endpoints.token_load import TokenLoadRule, TokenLoadScorer


def prompt(tokens):
    n = need("x")
    n.memo["text"] = b"x" * (4 * (tokens - 1))
    assert n.tokens == tokens
    return n


def scorer(**settings) -> TokenLoadScorer:
    return TokenLoadScorer(TokenLoadRule(**{"threshold": 1000, **settings}))


def test_what_was_sent_and_what_is_to_come_count() -> None:
    it, roster = scorer(), servers(3)
    a, b, _ = roster.endpoints
    it.chosen(prompt(100), a)
    it.chosen(prompt(700), b)
    it.chosen(prompt(200), b)
    assert it.score(prompt(50), roster) == pytest.approx([0.85, 0.05, 0.95])
    assert it.score(prompt(150), roster) == pytest.approx([0.75, 0.0, 0.85])  # not below 0


def test_what_is_cached_is_not_to_come() -> None:
    asked = prompt(100)
    asked.memo[HITS] = {1: 0.75}
    assert scorer().score(asked, servers(2)) == pytest.approx([0.9, 0.975])


def test_an_answer_that_is_over_frees_the_server() -> None:
    it, roster = scorer(), servers(1)
    (a,) = roster.endpoints
    first, second = prompt(100), prompt(300)
    it.chosen(first, a)
    it.chosen(second, a)
    it.answered(first, a, 0.1)
    it.ended(first, a)
    assert it.score(prompt(1), roster) == pytest.approx([1 - 0.301])
    it.ended(second, a)
    it.ended(second, a)
    assert it.score(prompt(1), roster) == pytest.approx([1 - 0.001])
    assert not it._loads, "a server with nothing to do is not remembered"


def test_until_the_first_token() -> None:
    it, roster = scorer(until="first_token"), servers(1)
    (a,) = roster.endpoints
    asked, failed = prompt(100), prompt(200)
    for n in (asked, failed):
        it.chosen(n, a)
    it.answered(asked, a, 0.1)
    it.ended(asked, a)
    assert it.score(prompt(1), roster) == pytest.approx([1 - 0.201])
    it.ended(failed, a)  # it never began to answer
    assert it.score(prompt(1), roster) == pytest.approx([1 - 0.001])


def test_one_request_at_two_servers() -> None:
    it, roster = scorer(), servers(2)
    a, b = roster.endpoints
    asked = prompt(100)
    it.chosen(asked, a)
    it.chosen(asked, b)
    it.ended(asked, a)
    assert it.score(prompt(1), roster) == pytest.approx([0.999, 0.899])


def test_what_ends_at_a_server_that_came_back_is_not_taken_off() -> None:
    it, roster = scorer(), servers(1)
    (a,) = roster.endpoints
    old, new = prompt(100), prompt(300)
    it.chosen(old, a)
    it.forget(a)
    it.chosen(new, a)
    it.ended(old, a)
    assert it.score(prompt(1), roster) == pytest.approx([1 - 0.301])
