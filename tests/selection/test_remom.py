from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.selection.asking import Asked, completion
from wayside.selection import Candidate, Spoken
from wayside.selection.remom import (
    RemomRule,
    RemomSelector,
    apportioned,
    distributed,
    shuffled,
)
from wayside.vocab.errors import AskFailed


def remom(**rule: Any) -> RemomSelector:
    return RemomSelector(RemomRule.model_validate(rule))


class Numbered:
    """Answers with the number of the question."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, model: str, purpose: str, body: Any) -> Any:
        self.count += 1
        return f"answer {self.count}"


def test_rounds_get_narrower_and_each_reads_the_one_before() -> None:
    asked = Asked(remom(breadth_schedule=[3, 2], shuffle_seed=None), Numbered())
    assert asked.purposes == [["round 1"] * 3, ["round 2"] * 2, ["synthesis"]]
    first, second, last = [batch[0][2]["messages"] for batch in asked.batches]
    assert first == [{"role": "user", "content": "Why?"}]
    for part in ("answer 1", "answer 2", "answer 3"):
        assert part in second[0]["content"]
        assert part not in last[0]["content"]
    assert 'number="1">\nanswer 4\n' in last[0]["content"]
    assert 'number="2">\nanswer 5\n' in last[0]["content"]
    assert asked.text == "answer 6"


A, B, C = Candidate("a", weight=3), Candidate("b"), Candidate("c")


@pytest.mark.parametrize(
    ("how", "breadth", "asked", "models"),
    [
        ("first_only", 3, 0, "aaa"),
        ("equal", 5, 0, "aabbc"),
        ("equal", 2, 0, "ab"),
        ("round_robin", 4, 0, "abca"),
        ("round_robin", 2, 4, "bc"),
        ("weighted", 5, 0, "aaabc"),
        ("weighted", 1, 0, "a"),
        ("weighted", 10, 0, "aaaaaabbcc"),
    ],
)
def test_who_answers(how: Any, breadth: int, asked: int, models: str) -> None:
    assert "".join(c.model for c in distributed((A, B, C), breadth, how, asked)) == models


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=8),
    st.integers(0, 64),
)
def test_parts_add_up_and_none_is_off_by_one(weights: list[float], total: int) -> None:
    parts = apportioned(weights, total)
    assert sum(parts) == total
    whole = sum(weights)
    if whole > 0:
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part - total * weight / whole) < 1 + 1e-6


def items(count: int) -> list[Spoken]:
    return [Spoken(Candidate(str(i)), completion(str(i))) for i in range(count)]


@given(st.integers(0, 12), st.integers())
def test_a_shuffle_loses_nothing_and_is_the_same_for_the_same_seed(count: int, seed: int) -> None:
    one, other = shuffled(items(count), seed), shuffled(items(count), seed)
    assert one == other
    assert sorted(s.candidate.model for s in one) == sorted(str(i) for i in range(count))


def test_every_place_is_as_likely() -> None:
    first = [shuffled(items(3), seed)[0].candidate.model for seed in range(3000)]
    assert all(900 < first.count(str(i)) < 1100 for i in range(3))


def test_what_is_read_can_be_shortened() -> None:
    long = " ".join(f"word{i}" for i in range(500))
    rule = {
        "breadth_schedule": [2],
        "compaction_strategy": "last_n_tokens",
        "compaction_tokens": 20,
    }
    asked = Asked(remom(**rule), lambda *_: long)
    text = asked.batches[-1][0][2]["messages"][0]["content"]
    assert "word499" in text
    assert "word400" not in text


def test_thoughts_are_read_only_where_wanted() -> None:
    thinking = completion("so it is", message={"reasoning_content": "let me think"})
    for wanted in (True, False):
        asked = Asked(remom(breadth_schedule=[1], include_reasoning=wanted), lambda *_: thinking)
        assert ("let me think" in asked.batches[-1][0][2]["messages"][0]["content"]) == wanted


def test_how_many_are_read_can_be_limited() -> None:
    asked = Asked(
        remom(breadth_schedule=[4], max_responses_per_round=2, shuffle_seed=None), Numbered()
    )
    text = asked.batches[-1][0][2]["messages"][0]["content"]
    assert ("answer 2" in text, "answer 3" in text) == (True, False)


def test_temperature_and_length_are_of_the_rounds_alone() -> None:
    asked = Asked(
        remom(breadth_schedule=[1], temperature=0.7, max_completion_tokens=99),
        Numbered(),
        body={"temperature": 0, "max_tokens": 2000, "tools": [{}]},
    )
    (early,), (late,) = [[q[2] for q in batch] for batch in asked.batches]
    assert (early["temperature"], early["max_tokens"], "tools" in early) == (0.7, 99, False)
    assert (late["temperature"], late["max_tokens"], "tools" in late) == (0, 2000, True)


def test_a_model_of_its_own_may_write() -> None:
    selector = remom(breadth_schedule=[1], synthesis_model="writer")
    assert Asked(selector, Numbered()).models[-1] == ["writer"]
    assert selector.asks == {"synthesis_model": "writer"}


def test_rounds_are_told_when_asked_for() -> None:
    asked = Asked(remom(breadth_schedule=[2, 1], include_intermediate_responses=True), Numbered())
    rounds = asked.composed.extra["rounds"]
    assert [[said["content"] for said in answers] for answers in rounds] == [
        ["answer 1", "answer 2"],
        ["answer 3"],
    ]


def test_too_few_answers_are_no_round() -> None:
    def half(model: str, purpose: str, body: Any) -> Any:
        return None if model == "small" else "yes"

    rule = {"breadth_schedule": [2], "model_distribution": "equal"}
    with pytest.raises(AskFailed, match="1 of 2"):
        Asked(remom(**rule, min_successful_responses=2), half)
    asked = Asked(remom(**rule), half)
    assert asked.composed.model == "large"  # the writer, small, is mute: what it would have read


def test_the_schedule_is_all_it_costs() -> None:
    assert remom(breadth_schedule=[3, 2]).calls(9) == 6
    with pytest.raises(ValueError, match="asks only 2 times"):
        remom(breadth_schedule=[3, 2], min_successful_responses=3)
    with pytest.raises(ValueError):
        remom(breadth_schedule=[])
