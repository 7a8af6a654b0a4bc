"""Counting tokens without a tokenizer."""

import pytest

from wayside.vocab.prompt import estimate_tokens


@pytest.mark.parametrize(
    ("texts", "tokens"),
    [
        ([], 0),
        ([""], 0),
        (["a"], 1),
        (["abcd"], 1),
        (["abcde"], 2),
        (["ab", "cd"], 1),
        (["é"], 1),
        (["日本語"], 3),
        (["\ud800"], 1),
    ],
)
def test_tokens_are_a_quarter_of_the_bytes_rounded_up(texts: list[str], tokens: int) -> None:
    assert estimate_tokens(texts) == tokens
