"""Bodies of very many values, and bytes that are no text (fault 1 and 2 of ``tests/faults``)."""

from __future__ import annotations

import json

import pytest

from wayside.dialects import MAX_TOKEN_IDS, MAX_VALUES, check_size
from wayside.dialects.openai_chat import ChatBody
from wayside.dialects.openai_embeddings import EmbeddingBody
from wayside.vocab.errors import RequestError


def test_values_are_counted_and_texts_are_not() -> None:
    check_size(b'["' + b"," * 10_000 + b'"]', 100)
    check_size(json.dumps(['[{,\\"' * 100]).encode() + b" " * 10_000, 100)
    check_size(b"[" + b"1," * 98 + b"1]" + b" " * 1_000, 100)
    for many in (b"[" + b"1," * 200 + b"1]", b"[" * 200 + b"]" * 200, b'{"a":[],"b":{}},' * 80):
        with pytest.raises(RequestError) as refused:
            check_size(many, 100)
        assert refused.value.code == "request_too_complex"


def test_a_string_without_its_end_is_read_once() -> None:
    check_size(b'"' + b'\\"' * 500_000 + b"," * 200_000, 100)


def test_token_ids_may_be_more() -> None:
    ids = b"[" + b"7," * (MAX_VALUES + 9) + b"7]"
    assert EmbeddingBody(b'{"model":"m","input":%b}' % ids).model == "m"
    with pytest.raises(RequestError):
        ChatBody(b'{"model":"m","messages":%b}' % ids)
    with pytest.raises(RequestError):
        EmbeddingBody(b'{"model":"m","input":[%b7]}' % (b"7," * MAX_TOKEN_IDS))


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xc0\x80", b"\xf0\x9f"])
def test_what_is_no_text_is_refused_also_where_nobody_reads_it(bad: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        ChatBody(b'{"model":"m","x":"' + bad + b'"}')
    assert refused.value.code == "invalid_json"


def test_characters_may_lie_across_any_bound() -> None:
    for more in range(4):
        text = "a" * more + "€😀" * 60_000
        assert ChatBody(json.dumps({"model": "m", "x": text}, ensure_ascii=False).encode()).model
