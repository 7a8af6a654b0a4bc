"""A3-07 and A3-15: a conversation of several turns stays, and goes on elsewhere when it must."""

from __future__ import annotations

import base64

from tests.endpoints.rig import need, servers
from wayside.endpoints import Profile
from wayside.endpoints.max_score import MaxScorePicker, MaxScoreRule
from wayside.endpoints.session_affinity import SessionAffinityRule, SessionAffinityScorer
from wayside.vocab.endpoint import Roster


def turn(scorer, roster, now=0.0, seed=0, **headers):
    """The server that one request of a session goes to."""
    chooser = Profile([], [(scorer, 1.0)], MaxScorePicker(MaxScoreRule()))
    asked = need(headers=headers or {"x-session-id": "s1"}, now=now, seed=seed)
    (taken,) = chooser.pick(asked, roster)
    chooser.chosen(asked, taken)
    return taken


def test_turns_stay_with_the_server_of_the_first() -> None:
    roster = servers(5)
    for session in "abcdef":
        scorer = SessionAffinityScorer(SessionAffinityRule())
        said = {"x-session-id": session}
        taken = {turn(scorer, roster, now=i, seed=i, **said).name for i in range(20)}
        assert len(taken) == 1


def test_sessions_spread_over_the_servers() -> None:
    roster, scorer = servers(3), SessionAffinityScorer(SessionAffinityRule())
    taken = [
        turn(scorer, roster, seed=i, **{"x-claude-code-session-id": str(i)}) for i in range(60)
    ]
    assert {e.name for e in taken} == {"a", "b", "c"}


def test_it_goes_on_elsewhere_when_its_server_is_gone_and_stays_there() -> None:
    roster, scorer = servers(4), SessionAffinityScorer(SessionAffinityRule())
    home = turn(scorer, roster)
    rest = Roster(tuple(e for e in roster.endpoints if e is not home))
    scorer.forget(home)
    second = turn(scorer, rest, seed=1)
    assert second is not home
    assert {turn(scorer, roster, seed=i) for i in range(20)} == {second}, "though it came back"


def test_a_session_ends_when_nobody_asks_for_long() -> None:
    roster, scorer = servers(2), SessionAffinityScorer(SessionAffinityRule(ttl_s=300))
    turn(scorer, roster, now=0.0)
    asked = need(headers={"x-session-id": "s1"}, now=299.0)
    assert len(scorer.score(asked, roster)) == 1
    assert scorer.score(need(headers={"x-session-id": "s1"}, now=300.0), roster) == {}


def test_a_token_names_the_server_to_any_router() -> None:
    roster = servers(3)
    rule = SessionAffinityRule.model_validate({"sources": [{"token": "x-session-token"}]})
    ((name, token),) = SessionAffinityScorer(rule).says(need(), roster.endpoints[2])
    assert (name, base64.b64decode(token)) == ("x-session-token", b"c")
    another = SessionAffinityScorer(rule)
    assert another.score(need(headers={name: token}), roster) == {2: 1.0}
    assert another.score(need(headers={name: token}), servers(2)) == {}


def test_a_token_goes_before_what_is_remembered() -> None:
    roster = servers(3)
    sources = [{"header": "x-session-id"}, {"token": "x-session-token"}]
    scorer = SessionAffinityScorer(SessionAffinityRule.model_validate({"sources": sources}))
    said = {"x-session-id": "s1", "x-session-token": "Yw=="}
    scorer.chosen(need(headers=said), roster.endpoints[0])
    assert scorer.score(need(headers=said), roster) == {2: 1.0}
    assert scorer.score(need(headers={"x-session-id": "s1"}), roster) == {0: 1.0}


def test_a_request_of_no_session_is_nobodys_and_leaves_nothing() -> None:
    roster, scorer = servers(3), SessionAffinityScorer(SessionAffinityRule())
    scorer.chosen(need(), roster.endpoints[0])
    assert scorer.score(need(), roster) == {} and scorer.says(need(), roster.endpoints[0]) == ()
