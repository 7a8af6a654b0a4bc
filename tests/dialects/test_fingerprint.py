"""Digests of what a request asks: the same only where the answer must be."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wayside.dialects import fields_of
from wayside.dialects.fingerprint import UNASKED, WHO, Fingerprint, fingerprint


def of(body: Any) -> Fingerprint:
    found = fingerprint(fields_of(body if isinstance(body, bytes) else json.dumps(body).encode()))
    assert found is not None
    return found


BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "x": {"a": 1, "b": [1, 2]}}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(VALUES, VALUES)
def test_values_that_json_tells_apart_are_apart(one: Any, other: Any) -> None:
    plain = [json.dumps(value, sort_keys=True) for value in (one, other)]
    same = of({**BODY, "x": one}).exact == of({**BODY, "x": other}).exact
    assert same == (plain[0] == plain[1])


@pytest.mark.parametrize("name", sorted(UNASKED))
def test_how_it_is_told_is_not_what_is_asked(name: str) -> None:
    assert of({**BODY, name: "other"})[:3] == of(BODY)[:3]


@pytest.mark.parametrize("name", WHO)
def test_who_asks_is_told_apart_from_what(name: str) -> None:
    claimed = of({**BODY, name: "ann"})
    assert claimed.exact == of(BODY).exact and claimed.who != of(BODY).who
    assert of({**BODY, "user": "a"}).who != of({**BODY, "safety_identifier": "a"}).who


def test_large_numbers_keep_all_their_digits() -> None:
    assert of({**BODY, "seed": 10**30}).exact != of({**BODY, "seed": 10**30 + 1}).exact


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_around_leaves_the_last_question_out_and_nothing_else(one: str, other: str) -> None:
    assume(one != other)

    def asked(question: str, before: str = "Hello.") -> Fingerprint:
        turns = [("user", before), ("assistant", "Hi."), ("user", question)]
        return of({**BODY, "messages": [{"role": r, "content": c} for r, c in turns]})

    a, b = asked(one), asked(other)
    assert (a.last, b.last) == (one, other)
    assert a.around == b.around and a.exact != b.exact
    assert asked(one, before=other).around != asked(one, before=one).around


def test_a_text_in_parts_is_a_text_and_pictures_are_none() -> None:
    def last(content: Any, role: str = "user") -> str | None:
        return of({**BODY, "messages": [{"role": role, "content": content}]}).last

    assert last([{"type": "text", "text": "hi"}]) == last("hi") == "hi"
    for content in ([{"type": "image_url", "image_url": {}}], [], None, ["hi"],
                    [{"type": "text", "text": "hi", "cache_control": {}}]):  # fmt: skip
        assert last(content) is None
    assert last("hi", "tool") is None
    assert of({**BODY, "messages": []}).last is None and of({"prompt": "x"}).around is None


def test_what_cannot_be_read_has_no_fingerprint() -> None:
    assert fingerprint(fields_of(b'{"x": 1e999}')) is None


_TEXT = st.text(st.characters(codec="utf-8")) | st.sampled_from(
    ["\\", '"', '\\"', "a\\", '\\\\"', "\\u005c"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(_JSON, st.booleans())
def test_what_can_be_read_in_one_way_only_has_a_fingerprint(value: Any, plain: bool) -> None:
    raw = json.dumps(value, ensure_ascii=plain).encode()
    assert fingerprint({"x": msgspec.Raw(raw)}) is not None


@given(_TEXT, _JSON, _JSON, st.booleans())
def test_a_key_that_stands_twice_leaves_none(key: str, one: Any, two: Any, plain: bool) -> None:
    name, *values = [json.dumps(v, ensure_ascii=plain) for v in (key, one, two)]
    raw = "[{" + ", ".join(f"{name}: {value}" for value in values) + "}]"
    assert fingerprint({"messages": msgspec.Raw(raw.encode())}) is None
