"""A3-07 for those who want it hard: nothing but its server's absence moves a conversation."""

from __future__ import annotations

from tests.endpoints.rig import need, servers
from wayside.endpoints import Profile
from wayside.endpoints.max_score import MaxScorePicker, MaxScoreRule
from wayside.endpoints.queue import QueueRule, QueueScorer
from wayside.endpoints.session_filter import SessionFilter, SessionFilterRule
from wayside.vocab.endpoint import Roster

ASKED = {"x-session-id": "s1"}


def test_no_queue_moves_a_session() -> None:
    part, roster = SessionFilter(SessionFilterRule()), servers(3, waiting=[0, 90, 1])
    chooser = Profile([part], [(QueueScorer(QueueRule()), 9.0)], MaxScorePicker(MaxScoreRule()))
    chooser.chosen(need(headers=ASKED), roster.endpoints[1])
    assert chooser.pick(need(headers=ASKED), roster)[0].name == "b"
    assert chooser.pick(need(), roster)[0].name == "a"


def test_everybody_may_have_it_when_its_server_is_away() -> None:
    part, roster = SessionFilter(SessionFilterRule()), servers(3)
    part.chosen(need(headers=ASKED), roster.endpoints[1])
    assert part.keep(need(headers=ASKED), roster) == (1,)
    assert part.keep(need(headers=ASKED), Roster(roster.endpoints[2:])) is None
    part.forget(roster.endpoints[1])
    assert part.keep(need(headers=ASKED), roster) is None


def test_a_cookie_and_a_token_pin_as_well() -> None:
    sources = [{"token": "x-session-token"}, {"cookie": "sid"}]
    part = SessionFilter(SessionFilterRule.model_validate({"sources": sources}))
    roster = servers(3)
    part.chosen(need(headers={"cookie": "sid=7"}), roster.endpoints[0])
    assert part.keep(need(headers={"cookie": "x=1; sid=7"}), roster) == (0,)
    (pair,) = part.says(need(), roster.endpoints[2])
    assert part.keep(need(headers=dict([pair])), roster) == (2,)
