"""Fields that are written twice: two servers would read two requests."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.dialects import check_once
from wayside.flow import BODIES
from wayside.vocab.errors import RequestError

JUDGED = tuple(sorted({name for body in BODIES.values() for name in body.judged}))
"""What any API says."""


def test_every_api_says_what_is_read_once() -> None:
    assert set(JUDGED) == {"input", "instructions", "messages", "model", "prompt", "system"}
    assert all(body.judged[0] == "model" for body in BODIES.values())


@pytest.mark.parametrize(
    "body",
    [
        rb'{"model":"a","messages":[],"model":"b"}',
        rb'{"model":"a","mod\u0065l":"b"}',
        rb'{"\u006dodel":"a","\u006Dodel":"b"}',
        b'{"model" : "a" , "x": {"model": 1}, "model"\n:"a"}',
    ],
)
def test_two_models_are_refused_however_they_are_written(body: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        check_once(body)
    assert (caught.value.param, caught.value.code) == ("model", "invalid_json")


@pytest.mark.parametrize("name", JUDGED)
def test_so_is_all_that_is_judged(name: str) -> None:
    with pytest.raises(RequestError):
        check_once(b'{"%b":1,"x":2,"%b":3}' % (name.encode(), name.encode()), JUDGED)


@pytest.mark.parametrize(
    "body",
    [
        {"model": "a", "messages": [{"role": "user", "content": '"model": "b", "model"'}]},
        {"model": "a", "metadata": {"model": "b"}, "tools": [{"model": 1}, {"model": 2}]},
        {"model": "model", "messages": "model"},
        {"model": "café", "x": "\x7f"},
    ],
)
def test_the_same_word_elsewhere_is_fine(body: object) -> None:
    check_once(json.dumps(body).encode(), JUDGED)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(JUDGED), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text() | st.sampled_from(JUDGED), JSON))
def test_no_body_that_is_written_by_a_program_is_refused(body: dict[str, object]) -> None:
    check_once(json.dumps(body).encode(), JUDGED)
    check_once(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"), JUDGED)
