"""Counting tokens without a tokenizer; the right numbers are o200k_base's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.vocab.tokens import NAMES, counts, estimate_tokens


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("Hi, you 2!", {"letter": 5, "space": 2, "mark": 2, "digit": 1, "word": 1}),
        ("a\tb\n\x00\x7f", {"letter": 2, "control": 4}),
        ("é ñ", {"latin": 2, "space": 1}),
        ("Ελλ יד سلام", {"near_east": 9, "space": 2}),
        ("да", {"cyrillic": 2}),
        ("नमस्ते ไทย ქ", {"south_asia": 10, "space": 2}),
        ("Việt", {"letter": 3, "vietnamese": 1}),
        ("日本のアニメ", {"han": 6}),
        ("안녕", {"hangul": 2}),
        ("— “", {"symbol": 2, "space": 1}),
        ("😀！", {"picture": 2}),
        ("\ud800", {"mark": 1}),
        ("", {}),
    ],
)
def test_characters_are_counted_by_kind(text: str, kinds: dict[str, int]) -> None:
    found = dict(zip(NAMES, counts(text), strict=True))
    assert {name: n for name, n in found.items() if n} == kinds


ENGLISH = (
    "Please compare the two contracts and list every clause in which the notice period differs. "
    "If a clause is missing from one of them, say so, and quote the other in full."
)
CODE = """def read(path: str) -> dict[str, int]:
    with open(path, encoding="utf-8") as file:
        return {line.split()[0]: int(line.split()[1]) for line in file if line.strip()}
"""
TABLE = "0.1234,17,2024-11-02\n0.9876,3,2024-11-03\n" * 4


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (ENGLISH, 36),
        (CODE, 48),
        (TABLE, 112),
        ("请比较这两份合同，并列出通知期限不同的所有条款。如果其中一份缺少某个条款，请说明。", 29),
        ("कृपया दोनों अनुबंधों की तुलना करें और हर अलग धारा की सूची बनाएं।", 21),
        ("두 계약서를 비교하고 통지 기간이 다른 모든 조항을 나열해 주세요.", 19),
    ],
)
def test_an_estimate_is_near_what_a_tokenizer_counts(text: str, tokens: int) -> None:
    assert abs(estimate_tokens([text]) / tokens - 1) <= 0.25


def test_long_texts_are_judged_by_samples() -> None:
    long = (ENGLISH + "\n" + CODE + "\n" + "漢字仮名交じり文。" * 10) * 400
    whole = sum(estimate_tokens([long[i : i + 8_000]]) for i in range(0, len(long), 8_000))
    assert abs(estimate_tokens([long]) / whole - 1) < 0.05


@pytest.mark.parametrize("odd", ["\ud800" * 9, "e\u0301\u0317" * 99, "\x00" * 99, "密" * 99_999])
def test_odd_texts_are_counted_like_others(odd: str) -> None:
    assert 0 <= estimate_tokens([odd]) <= 2 * len(odd)


@given(st.lists(st.text(st.characters(), max_size=50), max_size=5))
def test_texts_are_added_up_and_rounded_once(texts: list[str]) -> None:
    total = estimate_tokens(texts)
    each = [estimate_tokens([text]) for text in texts]
    assert max(each, default=0) <= total <= sum(each)
    assert (total > 0) == any(texts) or all(set(counts(t)) == {0} for t in texts)


def test_nothing_is_no_tokens() -> None:
    assert estimate_tokens([]) == estimate_tokens([""]) == 0
