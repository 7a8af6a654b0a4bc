"""A3-06: the same prefix goes to the same backend, and few move when the backends change."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.endpoints.rig import need, servers
from wayside.catalog import catalog
from wayside.endpoints.prefix_hash import PrefixHashPicker, PrefixHashRule
from wayside.vocab.endpoint import Roster

OPENING = PrefixHashRule(by="opening")


def picked(asked, roster, rule=None) -> int:
    return PrefixHashPicker(rule or PrefixHashRule()).pick(asked, roster, ())[0]


def talk(system: str, *turns: str, **body):
    messages = [{"role": "system", "content": system}]
    for i, text in enumerate(turns):
        messages.append({"role": "assistant" if i % 2 else "user", "content": text})
    return need(messages=messages, **body)


@pytest.mark.parametrize("name", ["prefix_hash", "PrefixHash", "prefix-hash"])
def test_it_has_the_names_people_write(name) -> None:
    kind = catalog.get("picker", name)
    assert kind is not None and kind.build is PrefixHashPicker


def test_the_same_prefix_goes_to_the_same_server() -> None:
    """production-stack's own test: families of prompts with 128 characters in common."""
    roster = servers(8)
    homes = []
    for family in range(40):
        chunk = f"Family {family}: " + "chapter and verse, " * 7
        asked = [need(chunk + f"and question {i}?") for i in range(6)]
        taken = {picked(a, roster) for a in asked}
        assert len(taken) == 1
        homes += taken
    assert len(set(homes)) >= 6


def test_only_prefixes_of_the_server_that_left_move() -> None:
    roster = servers(8)
    asked = [need(f"Document {i} says that") for i in range(300)]
    gone = 3
    rest = Roster(tuple(e for i, e in enumerate(roster.endpoints) if i != gone))
    before = [roster.endpoints[picked(a, roster)] for a in asked[:300]]
    after = [rest.endpoints[picked(a, rest)] for a in asked[:300]]
    moved = {b for b, a in zip(before, after, strict=True) if b is not a}
    assert moved == {roster.endpoints[gone]}


def test_a_prefix_that_everybody_shares_spreads_by_load() -> None:
    roster, picker = servers(4), PrefixHashPicker(PrefixHashRule())
    for i in range(80):
        (position,) = picker.pick(need("The shared system prompt. " * 9 + str(i)), roster, ())
        roster.endpoints[position].in_flight += 1
    loads = sorted(e.in_flight for e in roster.endpoints)
    assert sum(loads) == 80 and loads[-1] <= 26, "ceil(1.25 * 80 / 4) = 25, and one for rounding"


def test_an_opening_keeps_a_conversation_and_tells_conversations_apart() -> None:
    roster, system = servers(8), "You are a helpful assistant, and so on. " * 9
    homes = Counter()
    for who in range(40):
        turns = [f"I am {who}.", "Hello!", "Why?", "Because.", "Really?"]
        grown = [talk(system, *turns[:n]) for n in (1, 3, 5)]
        taken = {picked(g, roster, OPENING) for g in grown}
        assert len(taken) == 1
        homes.update(taken)
    assert len(homes) >= 6


def test_tools_and_the_model_are_part_of_the_beginning() -> None:
    roster = servers(26)
    tools = [[{"type": "function", "function": {"name": f"tool_{i}"}}] for i in range(30)]
    for rule in (PrefixHashRule(), OPENING):
        taken = {picked(talk("s", "q", tools=t), roster, rule) for t in tools}
        assert len(taken) > 5
        taken = {picked(talk("s", "q", model=f"m{i}"), roster, rule) for i in range(30)}
        assert len(taken) > 5


@pytest.mark.parametrize("body", [b"", b"[]", b'{"prompt": "x"}', b'{"messages": {"role": 1}}'])
def test_an_opening_of_something_else_is_the_whole_of_it(body) -> None:
    from wayside.vocab.endpoint import Need

    assert picked(Need("m", body=body), servers(3), OPENING) in range(3)
