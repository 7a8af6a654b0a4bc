from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flow.driving import chat, forwarded, policy, post
from wayside.flow.judging import (
    MAX_CANDIDATES,
    MAX_CATEGORIES,
    Judged,
    Table,
    Tally,
    added,
    lesson,
    tally_of,
)
from wayside.vocab.ask import Ask
from wayside.vocab.observed import Hold, Observe, Seen, Standing, Standings

RATINGS = {("", "a"): 1500.0, ("", "b"): 1600.0, ("", "c"): 1400.0, ("math", "a"): 1700.0}
"""Everybody else has 1500."""


def rating(category: str, candidate: str) -> float:
    return RATINGS.get((category, candidate), 1500.0)


def learnt(among: str = "abc", category: str = "", **fields: Any) -> Table:
    told = {"candidate": "a", "verdict": "good_fit", **fields}
    outcome = Judged(replay_id="r", source="user", target="model", at=0.0, **told)
    return lesson(outcome, category, among, rating, 32.0)


@pytest.mark.parametrize(
    ("told", "moved"),
    [
        # against the field, (1600 + 1400) / 2 = 1500: expected 0.5
        ({"verdict": "good_fit"}, 16.0),
        ({"verdict": "underpowered"}, -16.0),
        ({"verdict": "failed"}, -16.0),
        ({"verdict": "overprovisioned"}, 0.0),
        ({"verdict": "good_fit", "score": 0.75}, 8.0),
        ({"verdict": "failed", "score": 0.9}, -16.0),
    ],
)
def test_a_verdict_is_a_game_against_the_field(told: dict[str, Any], moved: float) -> None:
    table = learnt(**told)
    assert list(table) == [""] and list(table[""]) == ["a"]
    assert table[""]["a"].moved == pytest.approx(moved)
    assert table[""]["a"].games == 1


def test_a_comparison_is_a_game_between_two_and_moves_both() -> None:
    # b is 100 points ahead: expected 1 / (1 + 10^0.25) = 0.3599
    table = learnt(compared_with="b")[""]
    assert table["a"].moved == pytest.approx(32 * (1 - 0.3599), abs=0.01)
    assert table["b"].moved == pytest.approx(-table["a"].moved)
    assert table["b"].games == 1 and table["b"].good_fit == 0, "nobody judged it"


def test_it_counts_for_all_prompts_and_for_the_domain_by_the_ratings_of_each() -> None:
    # in math a has 1700 against 1500: expected 0.7597
    table = learnt(category="math")
    assert table[""]["a"].moved == pytest.approx(16.0)
    assert table["math"]["a"].moved == pytest.approx(32 * (1 - 0.7597), abs=0.01)


def test_with_no_other_candidate_nothing_is_won_but_verdicts_count() -> None:
    tally = learnt(among="a")[""]["a"]
    assert (tally.moved, tally.games, tally.good_fit) == (0.0, 0, 1.0)


@pytest.mark.parametrize(
    ("told", "counts"),
    [
        ({"verdict": "good_fit"}, (1, 0, 0, 0)),
        ({"verdict": "underpowered"}, (0, 1, 0, 0)),
        ({"verdict": "overprovisioned"}, (0, 0, 1, 0)),
        ({"verdict": "failed"}, (0, 0, 0, 1)),
        ({"verdict": "good_fit", "score": 0.75}, (0.75, 0.25, 0, 0)),
        ({"verdict": "underpowered", "score": 0.25}, (0.25, 0.75, 0, 0)),
        ({"verdict": "overprovisioned", "score": 0.25}, (0, 0, 1, 0)),
    ],
)
def test_verdicts_are_counted_and_scores_split(
    told: dict[str, Any], counts: tuple[float, ...]
) -> None:
    t = learnt(**told)[""]["a"]
    assert (t.good_fit, t.underpowered, t.overprovisioned, t.failed) == counts


tables = st.dictionaries(
    st.sampled_from(["", "math", "law"]),
    st.dictionaries(
        st.sampled_from("ab"),
        st.builds(
            Tally, moved=st.integers(-9, 9), games=st.integers(0, 9), failed=st.integers(0, 9)
        ),
    ),
)


@given(st.lists(tables, max_size=4))
def test_what_was_learnt_adds_up_in_any_order(found: list[Table]) -> None:
    one: Table = {}
    other: Table = {}
    for table in found:
        added(one, table)
    for table in reversed(found):
        added(other, table)
    assert one == other


def test_adding_up_leaves_the_parts_as_they_are() -> None:
    part: Table = {"": {"a": Tally(moved=1.0)}}
    whole: Table = {}
    added(whole, part)
    added(whole, part)
    assert whole[""]["a"].moved == 2.0 and part[""]["a"].moved == 1.0


def test_what_is_counted_is_bounded() -> None:
    table: Table = {}
    for i in range(MAX_CATEGORIES):
        assert tally_of(table, str(i), "a") is not None
    assert tally_of(table, "one more", "a") is None
    for i in range(MAX_CANDIDATES - 1):
        assert tally_of(table, "0", str(i)) is not None
    assert tally_of(table, "0", "one more") is None


# in the journey

CONFIG = """
models:
  small: {endpoints: ["http://small:8000"]}
  big: {endpoints: ["http://big:8000"]}
routing:
  decisions:
    - {name: chat, models: [small, big], select: {elo: {explore: 0}}}
"""


def answers(question: Ask[Any]) -> Any:
    match question:
        case Standings():
            return (Standing(rating=1400.0), Standing(rating=1600.0))
        case Observe(models=models):
            return (Seen(),) * len(models)
        case Hold():
            return None
    pytest.fail(str(question))


def test_a_request_that_may_be_judged_tells_its_id_and_keeps_whose_it_is() -> None:
    asked = {"x-request-id": "req_1", "authorization": "Bearer sk-1"}
    sent = forwarded(policy(CONFIG), post(chat("auto"), asked), answers)
    assert sent.target.name == "big" and sent.record.candidate == "big"
    assert ("x-vsr-replay-id", "req_1") in sent.report
    assert len(sent.record.owner) == 32 and "sk-1" not in repr(sent.record)
    assert sent.record.why == "Elo: big 1600, small 1400"


def test_where_nothing_learns_nobody_is_told_anything() -> None:
    static = CONFIG.replace("{elo: {explore: 0}}", "static")
    sent = forwarded(policy(static), post(chat("auto"), {"x-request-id": "req_1"}))
    assert "x-vsr-replay-id" not in dict(sent.report) and sent.record.owner == ""


def test_a_plugin_that_keeps_the_request_names_it_itself() -> None:
    kept = CONFIG.replace("explore: 0}}}", "explore: 0}}, plugins: {router_replay: {}}}")

    def more(question: Ask[Any]) -> Any:
        return 1.0 if type(question).__name__ == "Now" else answers(question)

    sent = forwarded(policy(kept), post(chat("auto"), {"x-request-id": "req_1"}), more)
    assert [v for k, v in sent.report if k == "x-vsr-replay-id"] == ["replay_req_1"]


def test_learning_can_be_turned_on_and_off_whatever_the_algorithms() -> None:
    asked = post(chat("auto"), {"x-request-id": "req_1", "authorization": "Bearer sk-1"})
    off = forwarded(policy(CONFIG + "learning: {enabled: false}"), asked, answers)
    on = CONFIG.replace("{elo: {explore: 0}}", "static") + "learning: {enabled: true}"
    assert off.record.owner == "" and forwarded(policy(on), asked).record.owner != ""


def test_the_domain_that_was_seen_reaches_the_algorithm() -> None:
    text = CONFIG.replace(
        "  decisions:", "  signals: {domain: {math: {labels: [math]}}}\n  decisions:"
    )
    text = text.replace("name: chat,", "name: chat, when: 'domain:math',")
    asked: list[Standings] = []

    def more(question: Ask[Any]) -> Any:
        if type(question).__name__ == "Classify":
            return (("math", 0.9), ("law", 0.1))
        if isinstance(question, Standings):
            asked.append(question)
        return answers(question)

    forwarded(policy(text), post(chat("auto")), more)
    assert [q.category for q in asked] == ["", "math"]
