"""Half a surrogate pair in JSON is read as U+FFFD; everything else stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.vocab.halves import mended

CASES = [
    (b'"\\ud83d"', '"\ufffd"'),
    (b'"\\uDE00\\ud83d x"', '"\ufffd\ufffd x"'),
    (b'"\\ud83d\\ude00"', '"\U0001f600"'),
    (b'"\\\\ud83d"', '"\\\\ud83d"'),
    (b'"\\\\\\ud83d"', '"\\\\\ufffd"'),
]


@pytest.mark.parametrize(("raw", "text"), CASES)
def test_halves_and_nothing_else(raw: bytes, text: str) -> None:
    assert json.loads(mended(raw)) == json.loads(text)


@given(st.text())
def test_whole_texts_are_the_same_bytes(text: str) -> None:
    raw = json.dumps(text).encode()
    assert mended(raw) is raw or "\\ud" in raw.decode()
    assert json.loads(mended(raw)) == text
