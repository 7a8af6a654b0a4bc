"""A3-14, precisely: what servers tell of their KV caches (spec 4.4)."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.precise_prefix_cache import (
    TOKEN_IDS,
    PrecisePrefixCacheRule,
    PrecisePrefixCacheScorer,
    tokenize_body,
)
from wayside.vocab.endpoint import Need, Roster

SIZE = 16
STORY = "Once upon a time there was a king who had three daughters. " * 20


def tokens(text: str) -> list[int]:
    """A tokenizer for tests: a word is a token."""
    return [hash(word) % 50_000 for word in text.split()]


class Fleet:
    """Servers that tell what they have, and a scorer that may ask for tokens."""

    def __init__(self, count: int = 3, *, asks: bool = True, **rule) -> None:
        self.roster = servers(count)
        self.part = PrecisePrefixCacheScorer(PrecisePrefixCacheRule(**rule))
        self.numbers = dict.fromkeys(range(count), -1)
        self.asked: list[tuple[str, bytes]] = []
        if asks:
            self.part.tokenizer = self._tokenize

    def _tokenize(self, endpoint, body, learn) -> None:
        self.asked.append((endpoint.name, body))
        said = json.loads(body)
        learn(tokens(said.get("prompt") or " ".join(m["content"] for m in said["messages"])))

    def tells(self, server: int, *events) -> str:
        self.numbers[server] += 1
        body = msgspec.msgpack.encode([0.0, events])
        return self.part.hear(self.roster.endpoints[server], b"0", self.numbers[server], body)

    def has(self, server: int, ids, medium="GPU", lora=None) -> str:
        names = [hash((lora, tuple(ids[: i + SIZE]))) for i in range(0, len(ids) - SIZE + 1, SIZE)]
        given = [names, None, ids, SIZE, 1 if lora else None, medium, lora]
        return self.tells(server, ["BlockStored", *given])

    def scores(self, asked: Need) -> dict[int, float]:
        return dict(self.part.score(asked, self.roster))

    def sent(self, server: int, asked: Need) -> None:
        self.part.chosen(asked, self.roster.endpoints[server])


def test_who_has_more_of_it_scores_more() -> None:
    fleet, ids = Fleet(), tokens(STORY)
    fleet.has(0, ids[:96])
    fleet.has(1, ids)
    asked = Need("m", body=json.dumps({"prompt": ids}).encode())  # tokens need nobody's help
    blocks = len(ids) // SIZE
    assert fleet.scores(asked) == {0: 6 / blocks, 1: 1.0}
    assert asked.memo["prefix_hits"] == {0: 6 / blocks, 1: 1.0}


def test_blocks_in_slower_memory_count_less() -> None:
    fleet, ids = Fleet(), list(range(64))
    fleet.has(0, ids)
    fleet.has(1, ids, "CPU")
    fleet.has(2, ids, "DISK")
    asked = need()
    asked.memo[TOKEN_IDS] = ids
    assert fleet.scores(asked) == pytest.approx({0: 1.0, 1: 0.8, 2: 0.3})


def test_tokens_are_asked_for_once_and_known_from_then_on() -> None:
    fleet = Fleet()
    fleet.has(0, [1] * 32)
    fleet.sent(1, need(STORY))
    fleet.has(1, tokens(STORY))
    fleet.sent(1, need(STORY))
    ((name, body),) = fleet.asked
    assert name == "b" and json.loads(body)["add_generation_prompt"] is True
    assert fleet.scores(need(STORY)) == {1: 1.0}


def test_what_a_server_lost_counts_no_more_though_it_was_sent() -> None:
    fleet = Fleet(speculative_s=1)
    for server in range(3):
        fleet.tells(server)
        fleet.sent(server, need(STORY))
        fleet.has(server, tokens(STORY))
    assert fleet.scores(need(STORY)) == pytest.approx({0: 1.0, 1: 1.0, 2: 1.0})
    fleet.tells(1, ["AllBlocksCleared"])
    fleet.tells(2, ["BlockRemoved", [hash((None, tuple(tokens(STORY)[:SIZE])))], "GPU"])
    assert fleet.scores(need(STORY, now=10.0)) == {0: 1.0}


def test_the_next_turn_is_found_by_what_was_said_before() -> None:
    fleet = Fleet()
    talk = [{"role": "user", "content": STORY}]
    fleet.tells(0), fleet.tells(2)
    fleet.sent(2, need(messages=talk))
    fleet.has(2, tokens(STORY))
    talk += [{"role": "assistant", "content": "And?"}, {"role": "user", "content": "Go on."}]
    scores = fleet.scores(need(messages=talk))
    assert set(scores) == {2} and 0.8 < scores[2] <= 1.0


def test_a_server_has_what_was_just_sent_until_it_should_have_said_so() -> None:
    fleet = Fleet(speculative_s=2)
    fleet.has(0, [1] * 32)
    fleet.has(1, [1] * 32)
    fleet.sent(0, need(STORY, now=100.0))  # its tokens become known
    fleet.sent(1, need(STORY, now=100.0))
    assert fleet.scores(need(STORY, now=101.0))[1] == 1.0
    assert 1 not in fleet.scores(need(STORY, now=110.0))


@pytest.mark.parametrize("events", [False, True])
def test_without_tokens_it_guesses_as_prefix_cache_does(events) -> None:
    fleet = Fleet(asks=False)
    if events:
        fleet.has(0, tokens(STORY))
    fleet.sent(1, need(STORY))
    assert fleet.scores(need(STORY)) == {1: 1.0}


def test_a_server_that_tells_nothing_is_guessed_about_beside_those_that_tell() -> None:
    fleet = Fleet()
    fleet.tells(0)
    fleet.sent(0, need(STORY, now=0.0))
    fleet.sent(1, need(STORY, now=0.0))
    assert fleet.scores(need(STORY, now=50.0)) == {1: 1.0}, "0 would have said so"


def test_after_a_gap_it_guesses_too_since_not_all_is_told_again() -> None:
    fleet = Fleet()
    fleet.tells(0)
    fleet.sent(0, need(STORY))
    fleet.has(0, tokens(STORY))
    fleet.numbers[0] += 5
    assert fleet.tells(0) == "gap"
    assert fleet.scores(need(STORY, now=50.0)) == {0: 1.0}


def test_after_a_restart_it_does_not() -> None:
    """llm-d-router#2853: a pod that came back empty kept its old entries."""
    fleet = Fleet()
    fleet.tells(0)
    fleet.sent(0, need(STORY))
    fleet.has(0, tokens(STORY))
    fleet.numbers[0] = -1
    assert fleet.tells(0) == "restart"
    assert fleet.scores(need(STORY, now=50.0)) == {}


def test_adapters_are_apart() -> None:
    fleet, ids = Fleet(), list(range(64))
    fleet.has(0, ids)
    fleet.has(1, ids, lora="Alice")
    for model, scores in (("m", {0: 1.0}), ("Alice", {1: 1.0}), ("Bob", {0: 1.0})):
        asked = need(model=model)
        asked.memo[TOKEN_IDS] = ids
        assert fleet.scores(asked) == scores, model


def test_a_server_that_is_forgotten_has_nothing() -> None:
    fleet = Fleet()
    fleet.tells(0)
    fleet.sent(0, need(STORY))
    fleet.has(0, tokens(STORY))
    fleet.part.forget(fleet.roster.endpoints[0])
    assert fleet.scores(need(STORY)) == {}
    assert dict(fleet.part.score(need(STORY), Roster(fleet.roster.endpoints[1:]))) == {}


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"prompt": "Why?"}, {"model": "m", "prompt": "Why?"}),
        (
            {"messages": [{"role": "user", "content": "x"}], "tools": [{"a": 1}], "stream": True},
            {
                "model": "m",
                "messages": [{"role": "user", "content": "x"}],
                "tools": [{"a": 1}],
                "add_generation_prompt": True,
            },
        ),
        ({"prompt": [1, 2]}, None),
        ({"input": "Why?"}, None),
        ({"system": "S", "messages": [{"role": "user", "content": "x"}]}, None),
        ({"prompt": "x" * 2**21}, None),
        ({}, None),
    ],
)
def test_what_a_server_is_asked(body, asked) -> None:
    said = tokenize_body(Need("m", body=json.dumps(body).encode()))
    assert (None if said is None else json.loads(said)) == asked
