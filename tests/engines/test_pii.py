"""The built-in recogniser: what it finds, what it leaves, and that work grows with length only."""

import asyncio
import inspect
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wayside.engines.pii import PiiRecogniser, apart
from wayside.vocab.ask import Span
from wayside.vocab.personal import PII_TYPES

RECOGNISER = PiiRecogniser()


def marked(text: str, threshold: float = 0.5) -> list[tuple[str, str]]:
    return [
        (text[s.start : s.end], s.label) for s in RECOGNISER.spans(text) if s.score >= threshold
    ]


def test_it_is_an_engine_that_marks_and_says_which_types() -> None:
    assert RECOGNISER.tasks == {"mark"}
    assert RECOGNISER.labels == tuple(PII_TYPES)
    found = RECOGNISER.mark("write to ann@example.org", "")
    assert found == (Span(9, 24, "EMAIL_ADDRESS", 0.98),)


async def test_a_long_text_is_read_on_another_thread_with_the_same_answer() -> None:
    text = "nothing to see here. " * 1_000 + "write to ann@example.org"
    answer = RECOGNISER.mark(text, "")
    assert inspect.isawaitable(answer)
    assert await asyncio.wait_for(answer, 30) == RECOGNISER.spans(text)


TEXT = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="0123456789 -.()+@:/AaZz\n", max_size=200),
    st.lists(
        st.sampled_from(
            ["4111 1111 1111 1111", "+49 30 1234567", "a@b.co", "Dr. Anna Weber", "\ud800", "é",
             "号", "212-555-0198", "my name is", "IBAN", "10.0.0.1", "٣", "\x00", " ", "\n", "🙂"]
        ),
        max_size=12,
    ).map("".join),
)  # fmt: skip


@given(text=TEXT)
@example(text="a\ud800b 4111111111111111 \udfff")
@example(text="éé call +49 30 901820 éé 号 ann@example.org 🙂 10.1.2.3")
def test_any_text_gives_spans_in_order_that_lie_in_it(text: str) -> None:
    spans = RECOGNISER.spans(text)
    for span in spans:
        assert 0 <= span.start < span.end <= len(text)
        assert span.label in PII_TYPES
        assert 0.0 < span.score <= 1.0
    assert all(a.end <= b.start for a, b in pairwise(spans))
    assert spans == RECOGNISER.spans(text), "the same text gets the same answer"


def test_offsets_count_characters_whatever_stands_before() -> None:
    for before in ("", "é", "日本語", "🙂🙂", "\ud800", "٣٤ ", "ñandú \u0301\u0302"):
        text = f"{before} ann@example.org, 4111 1111 1111 1111 {before}"
        assert marked(text) == [
            ("ann@example.org", "EMAIL_ADDRESS"),
            ("4111 1111 1111 1111", "CREDIT_CARD"),
        ]


def test_digits_of_every_script_are_digits() -> None:
    assert marked("بطاقة ٤١١١١١١١١١١١١١١١") == [("٤١١١١١١١١١١١١١١١", "CREDIT_CARD")]
    assert marked("カード ４１１１１１１１１１１１１１１１") == [
        ("４１１１１１１１１１１１１１１１", "CREDIT_CARD")
    ]


def test_the_surest_finding_stays_and_of_equals_the_longest() -> None:
    sure, unsure = Span(4, 8, "A", 0.9), Span(0, 20, "B", 0.5)
    assert apart([unsure, sure]) == (sure,)
    short, long = Span(4, 8, "A", 0.5), Span(4, 30, "B", 0.5)
    assert apart([short, long]) == (long,)
    assert apart([Span(4, 8, "A"), Span(8, 9, "B")]) == (Span(4, 8, "A"), Span(8, 9, "B"))


@given(
    st.lists(
        st.builds(
            lambda start, size, score: Span(start, start + size, "A", score),
            st.integers(0, 80), st.integers(1, 40), st.sampled_from([0.3, 0.5, 0.9]),
        ),
        max_size=20,
    )
)  # fmt: skip
def test_what_is_left_out_overlaps_something_at_least_as_sure(found: list[Span]) -> None:
    kept = apart(found)
    assert all(a.end <= b.start for a, b in pairwise(kept))
    for span in found:
        assert span in kept or any(
            k.start < span.end and span.start < k.end and k.score >= span.score for k in kept
        )


HOSTILE = {
    "prose": "Please explain how plants turn light into sugar, and why leaves are green. ",
    "numbers": "12 345 6789 01234 ",
    "digits": "1",
    "lone digits": "1 ",
    "phones": "0171 1234567 und 212-555-0198 ",
    "abroad": "+49 30 1234567 ",
    "cards that fail": "4111 1111 1111 ",
    "accounts": "DE89 3704 0044 0532 0130 00 ",
    "mails": "a@b.co ",
    "ats": "a@",
    "keys": "api_key=",
    "tokens": "eyJabcdefgh.",
    "passwords": "password: hunter2A ",
    "links": "http://a/",
    "addresses": "12 Main Street, ",
    "names": "Anna Maria Schmidt Weber ",
    "introductions": "my name is ",
    "capitals": "A ",
    "zalgo": "e\u0301\u0302\u0303",
    "half surrogates": "\ud800 1",
    "colons": "ab:12:",
    "dots": "1.2.",
}


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_four_times_the_text_takes_about_four_times_as_long(piece: str) -> None:
    def cost(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        best = 1e9
        for _ in range(3):
            began = process_time()
            RECOGNISER.spans(text)
            best = min(best, process_time() - began)
        return best

    # A quadratic reader takes 16 times as long. Below a millisecond the clock tells nothing.
    assert cost(160_000) < 9 * max(cost(40_000), 0.002)
