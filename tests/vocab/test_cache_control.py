"""What a client says about a cache."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.vocab.cache_control import Controls, read_controls

ALL = ("no-cache", "no-store", "bypass", "max-age", "ttl")


@pytest.mark.parametrize(
    ("own", "standard", "expected"),
    [
        ("", "", Controls()),
        ("no-cache", "", Controls(read=False)),
        ("", "No-Cache", Controls(read=False)),
        ("no-store", "", Controls(write=False)),
        ("bypass", "", Controls(read=False, write=False)),
        ("no-cache, no-store", "", Controls(read=False, write=False)),
        ("max-age=60", "max-age=30", Controls(max_age_s=30)),
        ('max-age="60"', "", Controls(max_age_s=60)),
        ("max-age=0", "", Controls(max_age_s=0)),
        ("ttl=60", "", Controls(ttl_s=60)),
        ("ttl=100", "", Controls(ttl_s=90)),
        ("ttl=0", "", Controls(write=False)),
        ("", "ttl=60, private, bypass, only-if-cached", Controls()),
        ("ttl, max-age=-1, no-cache=x", "", Controls(ignored=("ttl", "max-age"), read=False)),
        ("max-age=99999999999999999999", "", Controls(ignored=("max-age",))),
        ("evict; please", "", Controls(ignored=("unknown",))),
    ],
)
def test_directives(own: str, standard: str, expected: Controls) -> None:
    assert read_controls(own, standard, ALL, 90) == expected


@given(st.text(max_size=60))
def test_anything_may_be_said(text: str) -> None:
    found = read_controls(text, text, ALL, 90)
    assert set(found.ignored) <= {*ALL, "unknown"}
    assert found.ttl_s is None or 0 < found.ttl_s <= 90


@pytest.mark.parametrize("word", ["no-cache", "no-store", "bypass", "max-age=1", "ttl=1"])
def test_nothing_is_followed_that_is_not_allowed(word: str) -> None:
    assert read_controls(word, "", (), 90) == Controls(ignored=(word.partition("=")[0],))
