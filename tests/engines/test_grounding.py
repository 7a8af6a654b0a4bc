"""The grounding checker: what it marks, how often it is right, and what it costs."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from time import perf_counter
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.engines.grounding import (
    AT_ONCE,
    BIAS,
    FEATURES,
    LABEL,
    WEIGHTS,
    GroundingChecker,
    probability,
)
from wayside.vocab.ask import Spans

CHECKER = GroundingChecker()
CORPUS = Path(__file__).parents[2] / "corpora" / "grounding"
SOURCE = (
    "The Harbour Museum opened in 1931 in a former grain store. It has four floors and shows "
    "2,300 ship models. It is closed on Mondays. Visitors rose by 12 percent last year."
)


def marked(answer: str, source: str = SOURCE) -> list[str]:
    return [answer[s.start : s.end] for s in CHECKER.find(answer, source)]


def test_the_sentences_without_support_are_marked_where_they_stand() -> None:
    answer = "It opened in 1931.\n- The museum has nine floors.\n- It shows 2300 ship models."
    (span,) = CHECKER.find(answer, SOURCE)
    assert answer[span.start : span.end] == "The museum has nine floors."
    assert span.label == LABEL and 0.5 <= span.score <= 1


@pytest.mark.parametrize(
    "claim",
    [
        "It opened in 1931 in a former grain store.",
        "Four floors show 2300 models of ships.",
        "The museum is closed on Mondays.",
        "It has 4 floors.",
    ],
)
def test_what_the_source_says_is_left_alone(claim: str) -> None:
    assert marked(claim) == []


@pytest.mark.parametrize(
    "claim",
    [
        "The Harbour Museum opened in 1913.",
        "The museum is in Hamburg, near the old Customs House.",
        "The museum is not closed on Mondays.",
        "Visitors fell by 12 percent last year.",
        "A famous architect designed the staircase and the restaurant.",
    ],
    ids=["number", "name", "negation", "opposite", "addition"],
)
def test_what_it_does_not_say_is_marked(claim: str) -> None:
    assert marked(claim) == [claim]


@pytest.mark.parametrize(
    "answer",
    ["", "Sure!", "Would you like to know about the Titanic exhibition of 1912?", "OK. Fine."],
)
def test_what_claims_nothing_is_not_marked(answer: str) -> None:
    assert marked(answer) == []


def test_without_a_source_nothing_can_be_said() -> None:
    assert marked("The museum opened in 1913.", "") == []
    assert marked("The museum opened in 1913.", " \n ") == []


def test_more_evidence_against_a_claim_is_a_higher_score() -> None:
    assert len(WEIGHTS) == len(FEATURES) and all(weight > 0 for weight in WEIGHTS) and BIAS < 0
    for i in range(len(FEATURES)):
        more = [float(i == j) for j in range(len(FEATURES))]
        assert probability(more) > probability([0.0] * len(FEATURES))


def test_on_claims_it_was_not_fitted_to_it_is_right_as_often_as_its_page_says() -> None:
    """The page says .84 and .80 at 0.5; room is left for another machine's arithmetic."""
    wrong = right = missed = 0
    source = ""
    for line in (CORPUS / "heldout.txt").read_text("utf-8").splitlines():
        sign, _, rest = line.partition(" ")
        if sign == "=":
            source = rest
        elif sign in ("+", "~"):
            wrong += bool(marked(rest, source))
        elif sign == "-":
            found = bool(marked(rest.partition(" ")[2], source))
            right, missed = right + found, missed + (not found)
    assert right + missed == 40
    assert right / (right + wrong) >= 0.78
    assert right / (right + missed) >= 0.72


def test_much_text_is_read_on_another_thread_and_in_parts() -> None:
    answer = "The museum has nine floors. " + "It opened in 1931. " * 200_000
    found = CHECKER.mark(answer, SOURCE * 10_000)
    assert inspect.iscoroutine(found)

    async def wait() -> Spans:
        return cast(Spans, await found)

    began = perf_counter()
    spans = asyncio.run(wait())
    assert perf_counter() - began < 5, "a bound, not a speed"
    assert answer[spans[0].start : spans[0].end] == "The museum has nine floors."
    assert isinstance(CHECKER.mark("x" * (AT_ONCE - 10), "y" * 10), tuple)


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_taken_and_spans_are_in_order(answer: str, source: str) -> None:
    spans = CHECKER.find(answer, source)
    ends = [0, *(s.end for s in spans)]
    for span, before in zip(spans, ends, strict=False):
        assert before <= span.start < span.end <= len(answer)
        assert 0.5 <= span.score <= 1


@pytest.mark.parametrize(
    "text", ["a" * 300_000, ". " * 150_000, "1," * 150_000, "\ud800x. " * 60_000, "字。" * 100_000,
             "A B. " * 60_000, "e" + "\u0301" * 300_000, "e.g." * 80_000]
)  # fmt: skip
def test_strange_texts_cost_no_more_than_others(text: str) -> None:
    began = perf_counter()
    CHECKER.find(text, text)
    assert perf_counter() - began < 5, "a bound, not a speed"
