"""A3-14: prompts go where their beginning was read before."""

from __future__ import annotations

import json

import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.prefix_cache import PrefixCacheRule, PrefixCacheScorer
from wayside.vocab.endpoint import Endpoint, Need, Roster, Vitals

LONG = "All work and no play makes Jack a dull boy. " * 200


def scorer(**rule) -> PrefixCacheScorer:
    return PrefixCacheScorer(PrefixCacheRule(**rule))


def talk(*texts: str, **body) -> Need:
    roles = ["user", "assistant"]
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return need(messages=messages, **body)


def test_nobody_is_named_before_anything_was_sent() -> None:
    assert scorer().score(need(LONG), servers(3)) == {}


def test_the_share_of_blocks_sent_there_is_the_score() -> None:
    part, roster = scorer(block_tokens=4), servers(3)
    body = {"prompt": "0123456789abcdef" * 10}  # JSON: 162 bytes, so 11 blocks of 16
    part.chosen(Need("m", body=json.dumps(body).encode()), roster.endpoints[1])
    asked = Need("m", body=json.dumps({"prompt": "0123456789abcdef" * 5 + "!" * 80}).encode())
    assert part.score(asked, roster) == {1: 5 / 11}
    assert asked.memo["prefix_hits"] == {1: 5 / 11}


def test_less_than_the_least_share_counts_as_nothing() -> None:
    """A3-09: at the threshold it counts, below it does not."""
    body = {"prompt": "0123456789abcdef" * 10}  # JSON: 162 bytes, so 11 blocks of 16
    asked = {"prompt": "0123456789abcdef" * 5 + "!" * 80}
    for least, expected in ((5 / 11, {1: 5 / 11}), (0.46, {})):
        part, roster = scorer(block_tokens=4, least_share=least), servers(3)
        part.chosen(Need("m", body=json.dumps(body).encode()), roster.endpoints[1])
        sent = Need("m", body=json.dumps(asked).encode())
        assert part.score(sent, roster) == expected
        assert sent.memo["prefix_hits"] == {1: 5 / 11}, "what is known is known all the same"


def test_turns_of_a_conversation_find_what_was_said_before() -> None:
    part, roster = scorer(), servers(4)
    part.chosen(talk(LONG), roster.endpoints[2])
    scores = part.score(talk(LONG, "Here's Johnny!", "Why?"), roster)
    assert set(scores) == {2} and scores[2] > 0.9


def test_all_messages_count_not_only_the_first() -> None:
    """sglang#26263: with the first message alone everybody has everything."""
    part, roster = scorer(), servers(3)
    part.chosen(talk("Hi.", LONG, "Go on."), roster.endpoints[0])
    part.chosen(talk("Hi.", LONG.upper(), "Go on."), roster.endpoints[1])
    for shouted, position in ((LONG, 0), (LONG.upper(), 1)):
        scores = part.score(talk("Hi.", shouted, "Go on.", "No.", "Do."), roster)
        assert scores[position] > 0.9 and len(scores) == 1


@pytest.mark.parametrize(
    "change", [{"model": "other"}, {"cache_salt": "s"}, {"tools": [{"a": 1}]}]
)
def test_other_models_salts_and_tools_share_nothing(change) -> None:
    part, roster = scorer(), servers(2)
    part.chosen(need(LONG), roster.endpoints[0])
    assert part.score(need(LONG, **change), roster) == {}
    part.chosen(need(LONG, **change), roster.endpoints[1])
    assert part.score(need(LONG, **change), roster) == {1: 1.0}


def test_positions_are_those_of_the_roster_asked_about() -> None:
    part, roster = scorer(), servers(4)
    for e in roster.endpoints[1:3]:
        part.chosen(need(LONG), e)
    assert part.score(need(LONG), roster) == {1: 1.0, 2: 1.0}
    some = Roster((roster.endpoints[3], roster.endpoints[2]))
    assert part.score(need(LONG), some) == {1: 1.0}


def test_a_server_that_is_forgotten_has_nothing() -> None:
    part, roster = scorer(), servers(2)
    part.chosen(need(LONG), roster.endpoints[0])
    part.forget(roster.endpoints[0])
    assert part.score(need(LONG), roster) == {} and len(part._guess.index) == 0


def test_what_was_not_used_for_longest_is_forgotten_first() -> None:
    part, roster = scorer(capacity=100), servers(1)
    prompts = [f"{i} " + LONG[:6400] for i in range(8)]  # 26 blocks each
    for i, text in enumerate(prompts):
        part.chosen(need(text), roster.endpoints[0])
        part.chosen(need(prompts[0]), roster.endpoints[0])
        assert len(part._guess.index) <= 100, i
    assert part.score(need(prompts[0]), roster) == {0: 1.0}
    assert part.score(need(prompts[1]), roster) == {}
    assert part.score(need(prompts[7]), roster) == {0: 1.0}


def test_a_server_remembers_as_much_as_its_own_cache_holds() -> None:
    part, roster = scorer(), servers(1)
    roster.endpoints[0].vitals = Vitals(at=0.0, blocks=160, block_size=16)  # 2560 tokens
    for i in range(9):
        part.chosen(need(f"{i} " + LONG), roster.endpoints[0])
    assert 30 <= len(part._guess.index) <= 2560 // 64


def test_all_servers_together_have_a_bound() -> None:
    part = scorer(max_memory_mb=1)
    most = 2**20 // 224
    for i in range(60):
        server = Endpoint(f"p{i}", f"10.0.0.{i}:80")
        for j in range(4):
            part.chosen(need(f"{i} {j} " + LONG * 8), server)
        assert len(part._guess.index) <= most
    assert len(part._guess.index) > most // 2


def test_a_prompt_that_is_too_long_counts_up_to_the_most() -> None:
    part, roster = scorer(max_blocks=4), servers(1)
    part.chosen(need(LONG), roster.endpoints[0])
    assert len(part._guess.index) == 4
    assert part.score(need(LONG + "and what follows is not looked at"), roster) == {0: 1.0}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"messages": []}', b'{"cache_salt": "\\ud800"}'])
def test_a_request_without_a_prompt_is_known_to_nobody(body) -> None:
    part, roster = scorer(), servers(1)
    part.chosen(Need("m", body=body), roster.endpoints[0])
    assert part.score(Need("m", body=body), roster) in ({}, {0: 1.0})
