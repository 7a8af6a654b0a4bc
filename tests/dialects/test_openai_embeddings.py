"""Embedding bodies name their model; there is nothing to decide about them."""

import pytest

from wayside.dialects.openai_embeddings import EmbeddingBody
from wayside.vocab.errors import RequestError


def test_only_the_model_is_read() -> None:
    body = EmbeddingBody(b'{"input":[[1,2],[3]],"model":"e5","dimensions":64}')
    assert body.model == "e5"
    assert not body.stream


def test_an_edit_changes_the_model_and_no_other_byte() -> None:
    edit = EmbeddingBody(b'{"input":[1.0, 2],"model":"e5"}').edit()
    edit.set("model", "intfloat/e5")
    assert edit.encode() == b'{"input":[1.0, 2],"model":"intfloat/e5"}'


def test_asking_the_router_to_choose_is_refused_with_the_reason() -> None:
    body = EmbeddingBody(b'{"model":"auto","input":"x"}')
    assert "cannot be compared" in body.needs_model and "'auto'" in body.needs_model


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ('"a falcon"', ["a falcon"]),
        ('["one", "two"]', ["one", "two"]),
        ("[[1, 2], [3]]", []),
        ("[1, 2]", []),
        ("null", []),
    ],
)
def test_guards_read_its_texts(given: str, texts: list[str]) -> None:
    prompt = EmbeddingBody(f'{{"model":"e5","input":{given}}}'.encode()).prompt({})
    assert [m.text for m in prompt.messages] == texts
    assert prompt.question == "\n".join(texts)


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"model":1}', b'{"model":"\xff"}', b"[" * 100_000])
def test_a_bad_body_is_refused(raw: bytes) -> None:
    with pytest.raises(RequestError):
        EmbeddingBody(raw)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"x"', '"X"'),
        ('["x", "Y",[1, 2]]', '["X","Y",[1,2]]'),
        ("[1, 2]", "[1, 2]"),
        ("null", "null"),
    ],
)
def test_texts_are_rewritten_and_other_bytes_stay(before: str, after: str) -> None:
    edit = EmbeddingBody(f'{{"input":{before},"model":"m", "n":1.10}}'.encode()).edit()
    assert edit.rewrite_texts(str.upper) == (before != after)
    assert edit.encode() == f'{{"input":{after},"model":"m","n":1.10}}'.encode()
