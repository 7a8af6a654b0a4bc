"""The radix tree policy of vllm-router and sglang-router, and what their tests pin down (6.2)."""

from __future__ import annotations

import json

import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.cache_aware import CacheAwarePicker, CacheAwareRule
from wayside.vocab.endpoint import Need, Roster


def picker(**rule) -> CacheAwarePicker:
    return CacheAwarePicker(CacheAwareRule(**rule))


def prompt(text: str) -> Need:
    return Need("m", body=json.dumps({"prompt": text}, ensure_ascii=False).encode())


def loaded(*loads: int) -> Roster:
    roster = servers(len(loads))
    for e, load in zip(roster.endpoints, loads, strict=True):
        e.in_flight = load
    return roster


def test_a_prompt_follows_its_beginning() -> None:
    part, roster = picker(), loaded(5, 5, 5)
    part.chosen(need("Once upon a time there was a king."), roster.endpoints[1])
    roster.endpoints[1].in_flight = 20
    asked = need("Once upon a time there was a queen.")
    assert part.pick(asked, roster, ()) == (1,)
    assert 0.8 < asked.memo["prefix_hits"][1] < 0.9


@pytest.mark.parametrize(("shared", "position"), [(49, 0), (50, 0), (51, 1)])
def test_a_share_of_exactly_the_threshold_is_a_miss(shared, position) -> None:
    part, roster = picker(cache_threshold=0.5), loaded(0, 3)
    part.chosen(prompt("x" * 200), roster.endpoints[1])
    asked = prompt("x" * shared + "y" * (100 - shared))
    assert part.pick(asked, roster, ()) == (position,)


def test_the_first_request_goes_where_the_fewest_are() -> None:
    assert picker().pick(need(), loaded(2, 1, 3), ()) == (1,)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"prompt": ""}', b'{"messages": []}'])
def test_an_empty_prompt_goes_where_the_fewest_are(body) -> None:
    part, roster = picker(cache_threshold=0.9), loaded(2, 1, 3)
    assert part.pick(Need("m", body=body), roster, ()) == (1,)
    part.chosen(Need("m", body=body), roster.endpoints[0])


def test_a_single_server_takes_everything() -> None:
    part, roster = picker(), loaded(500)
    for text in ("", "a", "b"):
        assert part.pick(prompt(text), roster, ()) == (0,)
        part.chosen(prompt(text), roster.endpoints[0])


def test_characters_of_several_bytes_may_part_in_their_middle() -> None:
    part, roster = picker(), loaded(0, 0, 0)
    part.chosen(prompt("雪が降る" * 9 + "é"), roster.endpoints[1])  # é is c3 a9
    part.chosen(prompt("雪が降る" * 9 + "ê"), roster.endpoints[2])  # ê is c3 aa
    assert part.pick(prompt("雪が降る" * 9 + "é!"), roster, ()) == (1,)
    assert part.pick(prompt("雪が降る" * 9 + "ê!"), roster, ()) == (2,)


@pytest.mark.parametrize(
    ("loads", "position"),
    [
        ((0, 64), 1),  # 64 apart is not more than 64
        ((0, 65), 0),
        ((200, 300), 1),  # 100 apart, but not half as many again
        ((200, 301), 0),
    ],
)
def test_where_the_load_is_uneven_the_least_busy_takes_it(loads, position) -> None:
    part, roster = picker(), loaded(*loads)
    part.chosen(need("Once upon a time."), roster.endpoints[1])
    assert part.pick(need("Once upon a time."), roster, ()) == (position,)


def test_of_several_that_have_it_the_least_busy_takes_it() -> None:
    part, roster = picker(), loaded(9, 5, 7, 0)
    for e in roster.endpoints[:3]:
        part.chosen(need("Once upon a time."), e)
    assert part.pick(need("Once upon a time."), roster, ()) == (1,)


def test_servers_that_are_away_are_not_asked_and_those_that_went_are_forgotten() -> None:
    part, roster = picker(), loaded(3, 3, 0)
    part.chosen(need("Once upon a time."), roster.endpoints[0])
    part.chosen(need("Once upon a midnight."), roster.endpoints[1])
    rest = Roster(roster.endpoints[1:])
    assert part.pick(need("Once upon a time."), rest, ()) == (0,), "it has most of the rest"
    part.forget(roster.endpoints[0])
    part.forget(roster.endpoints[1])
    assert part.pick(need("Once upon a time."), roster, ()) == (2,)


def test_all_messages_count_not_only_the_first() -> None:
    """sglang#26263: with the first message alone everything is everybody's."""
    part, roster = picker(cache_threshold=0.9), loaded(0, 1, 1)
    first = {"role": "system", "content": "Be brief."}
    talks = [
        [first, {"role": "user", "content": f"{name} " * 90 + "?"}] for name in ("Ada", "Bob")
    ]
    for i, messages in enumerate(talks):
        part.chosen(need(messages=messages), roster.endpoints[1 + i])
    for i, messages in enumerate(talks):
        further = [*messages, {"role": "assistant", "content": "No."}]
        assert part.pick(need(messages=further), roster, ()) == (1 + i,)


@pytest.mark.parametrize("change", [{"model": "other"}, {"cache_salt": "s"}])
def test_models_and_salts_have_trees_of_their_own(change) -> None:
    part, roster = picker(), loaded(0, 3)
    part.chosen(need("Once upon a time."), roster.endpoints[1])
    assert part.pick(need("Once upon a time.", **change), roster, ()) == (0,)


def test_json_that_all_requests_have_in_common_is_no_beginning() -> None:
    part, roster = picker(), loaded(0, 3)
    part.chosen(need("Why?", temperature=0), roster.endpoints[1])
    assert part.pick(need("How?"), roster, ()) == (0,)


def test_equals_are_told_apart_by_their_trees_then_by_the_dice() -> None:
    part, roster = picker(), loaded(0, 0, 0)
    part.chosen(need("Something else entirely"), roster.endpoints[0])
    taken = {part.pick(need("Once upon", seed=s), roster, ())[0] for s in range(40)}
    assert taken == {1, 2}


def test_further_ones_follow_by_load() -> None:
    assert picker(count=3).pick(need(), loaded(4, 1, 3, 2), ()) == [1, 3, 2]


def test_memory_is_bounded_and_the_newest_stays() -> None:
    part, roster = picker(max_tree_mb=1), loaded(0, 0)
    for i in range(40):
        part.chosen(prompt(f"{i:04}" * 25_000), roster.endpoints[1])
    assert part._tree.size(roster.endpoints[1]) <= 2**20
    assert part.pick(prompt("0039" * 25_000), loaded(0, 3), ()) == (0,), "another roster's servers"
    roster.endpoints[1].in_flight = 3
    assert part.pick(prompt("0039" * 25_000), roster, ()) == (1,)
    assert part.pick(prompt("0001" * 25_000), roster, ()) == (0,)
