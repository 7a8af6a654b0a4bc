"""Asks: one question, many flows in lockstep, and answers that do not come."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.vocab.ask import Ask, Classify, Failure, Flow, Language, ask, ask_each, gather
from wayside.vocab.errors import AskFailed


def drive(flow: Flow[Any], answer: Any) -> tuple[Any, list[tuple[Ask[Any], ...]]]:
    """The flow's result, and the batches it asked; ``answer`` answers each question."""
    batches: list[tuple[Ask[Any], ...]] = []
    try:
        batch = next(flow)
        while True:
            batches.append(batch)
            batch = flow.send(tuple(answer(q) for q in batch))
    except StopIteration as stop:
        return stop.value, batches


def asking(*texts: str) -> Flow[list[Any]]:
    answers = []
    for text in texts:
        answers.append((yield from ask(Language(text))))
    return answers


def test_an_answer_resumes_the_flow() -> None:
    assert drive(asking("a", "b"), lambda q: q.text.upper()) == (
        ["A", "B"],
        [(Language("a"),), (Language("b"),)],
    )


def test_no_answer_is_an_error_that_says_why() -> None:
    with pytest.raises(AskFailed, match="timed out"):
        drive(asking("a"), lambda q: Failure("timed out"))


def test_equal_asks_are_asked_once() -> None:
    results, batches = drive(gather([asking("a"), asking("a"), asking("b")]), lambda q: q.text)
    assert results == [["a"], ["a"], ["b"]]
    assert batches == [(Language("a"), Language("b"))]


def test_asks_of_different_sorts_are_never_equal() -> None:
    assert Language("a") != Classify("a", "")
    assert Classify("a", "x") != Classify("a", "y")
    assert len({Language("a"), Language("a"), Classify("a", "x")}) == 2


def test_one_flow_failing_fails_alone() -> None:
    def answer(question: Any) -> Any:
        return Failure("gone") if question.text == "bad" else question.text

    (first, second, third), _ = drive(
        gather([asking("a", "c"), asking("bad", "never"), asking("b")]), answer
    )
    assert first == ["a", "c"]
    assert isinstance(second, AskFailed)
    assert str(second) == "gone"
    assert third == ["b"]


def test_nothing_to_gather_asks_nothing() -> None:
    assert drive(gather([]), None) == ([], [])


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=3), max_size=5))
def test_gathering_gives_what_each_would_have_had_alone(plans: list[list[str]]) -> None:
    together, batches = drive(gather([asking(*p) for p in plans]), lambda q: q.text * 2)
    assert together == [drive(asking(*p), lambda q: q.text * 2)[0] for p in plans]
    assert len(batches) == max((len(p) for p in plans), default=0)
    assert all(len(set(batch)) == len(batch) for batch in batches)


def test_several_questions_are_one_batch_and_fail_only_together() -> None:
    flow = ask_each({"a": Classify("t", "one"), "b": Classify("t", "two")})
    assert next(flow) == (Classify("t", "one"), Classify("t", "two"))
    with pytest.raises(StopIteration) as stop:
        flow.send(((("x", 1.0),), Failure("slow")))
    assert stop.value.value == {"a": (("x", 1.0),), "b": Failure("slow")}

    flow = ask_each({"a": Classify("t", "one"), "b": Classify("t", "two")})
    next(flow)
    with pytest.raises(AskFailed, match="gone"):
        flow.send((Failure("gone"), Failure("slow")))

    with pytest.raises(StopIteration) as stop:
        next(ask_each({}))
    assert stop.value.value == {}
