"""Consistent hashing by session (spec 6.1)."""

from __future__ import annotations

import pytest

from tests.endpoints.rig import need, servers
from wayside.endpoints.consistent_hash import ConsistentHashPicker, ConsistentHashRule
from wayside.vocab.endpoint import Roster
from wayside.vocab.errors import ConfigError


def picked(asked, roster, rule=None) -> int:
    return ConsistentHashPicker(rule or ConsistentHashRule()).pick(asked, roster, ())[0]


def test_a_session_goes_to_one_server_whatever_it_asks() -> None:
    roster = servers(8)
    for s in range(20):
        asked = [need(f"Question {i}?", headers={"x-session-id": str(s)}) for i in range(5)]
        assert len({picked(a, roster) for a in asked}) == 1


def test_sessions_spread() -> None:
    roster = servers(8)
    taken = [picked(need(headers={"x-session-id": str(s)}), roster) for s in range(200)]
    assert set(taken) == set(range(8))


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"x-session-id": "1", "x-user-id": "2"}, {"user": "3"}),
        ({"x-user-id": "1", "x-tenant-id": "2"}, {}),
        ({}, {"session_params": {"session_id": "1"}, "user": "2"}),
        ({}, {"user": "1", "session_id": "2"}),
    ],
)
def test_the_first_of_its_names_counts(headers, body) -> None:
    """Without the others the choice is the same."""
    roster = servers(26)
    given = [*headers, *body]
    alone = (
        need(headers={given[0]: headers[given[0]]})
        if headers
        else need(**{given[0]: body[given[0]]})
    )
    assert picked(need(headers=headers, **body), roster) == picked(alone, roster)


def test_without_a_name_the_prompts_beginning_counts() -> None:
    roster, system = servers(26), "You are a pirate. " * 20
    asked = [
        need(messages=[{"role": "system", "content": system}, {"role": "user", "content": q}])
        for q in "abcdefgh"
    ]
    assert len({picked(a, roster) for a in asked}) == 1
    assert len({picked(need(f"{q} is what I ask."), roster) for q in range(50)}) > 5


def test_one_that_is_away_is_walked_past_and_comes_back() -> None:
    roster, picker = servers(5), ConsistentHashPicker(ConsistentHashRule())
    asked = need(headers={"x-session-id": "s"})
    (home,) = picker.pick(asked, roster, ())
    others = Roster(tuple(e for i, e in enumerate(roster.endpoints) if i != home))
    second = others.endpoints[picker.pick(asked, others, ())[0]]
    rule = ConsistentHashRule(count=2)
    both = ConsistentHashPicker(rule).pick(asked, roster, ())
    assert [roster.endpoints[i] for i in both] == [roster.endpoints[home], second]
    assert picker.pick(asked, roster, ()) == [home]


def test_a_server_with_more_than_its_share_is_passed_over() -> None:
    roster, asked = servers(4), need(headers={"x-session-id": "s"})
    home = picked(asked, roster)
    for e in roster.endpoints:
        e.in_flight = 8
    roster.endpoints[home].in_flight = 11  # ceil(1.25 * (35 + 1) / 4) = 12: one more fits
    assert picked(asked, Roster(roster.endpoints)) == home
    roster.endpoints[home].in_flight = 12  # ceil(1.25 * (36 + 1) / 4) = 12: full
    assert picked(asked, Roster(roster.endpoints)) != home
    unbounded = ConsistentHashRule(load_factor=None)
    assert picked(asked, Roster(roster.endpoints), unbounded) == home


def test_a_token_is_for_another_kind() -> None:
    rule = ConsistentHashRule.model_validate({"sources": [{"token": "x-session-token"}]})
    with pytest.raises(ConfigError, match="session_affinity"):
        ConsistentHashPicker(rule)
