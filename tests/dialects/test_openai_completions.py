"""Completion bodies: the prompt is one user turn."""

import pytest

from wayside.dialects.openai_completions import CompletionBody
from wayside.vocab.errors import RequestError
from wayside.vocab.prompt import Message


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ('"2+2 is"', "2+2 is"),
        ('["a","b"]', "a\nb"),
        ("null", ""),
    ],
)
def test_the_prompt_is_what_the_user_says(prompt: str, text: str) -> None:
    body = CompletionBody(f'{{"model":"m","prompt":{prompt},"stream":true}}'.encode())
    read = body.prompt({"x-team": "blue"})
    assert body.stream
    assert read.messages == (Message("user", text),)
    assert read.question == text
    assert read.headers == {"x-team": "blue"}


@pytest.mark.parametrize(
    "body",
    ['"prompt":[1,2,3]', '"prompt":["a",[1,2]]', '"prompt":{"a":1}', '"prompt_embeds":"AAAA"'],
)
def test_what_no_signal_could_read_is_not_judged(body: str) -> None:
    with pytest.raises(RequestError, match="Only text can be judged"):
        CompletionBody(f'{{"model":"m",{body}}}'.encode()).prompt({})


def test_the_suffix_is_read_too() -> None:
    body = CompletionBody(b'{"model":"m","prompt":"a","suffix":"b"}')
    assert body.prompt({}).question == "a\nb"


def test_a_field_in_another_case_is_refused() -> None:
    with pytest.raises(RequestError, match="Did you mean 'prompt'"):
        CompletionBody(b'{"model":"m","prompt":"a","Prompt":"b"}').prompt({})


def test_a_missing_prompt_is_an_empty_one_as_openai_has_it() -> None:
    assert CompletionBody(b'{"model":"m"}').prompt({}).question == ""


@pytest.mark.parametrize(
    ("raw", "param"),
    [(b"{}", "model"), (b'{"model":[]}', "model"), (b'{"model":"m","stream":3}', "stream")],
)
def test_a_wrong_field_is_named(raw: bytes, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        CompletionBody(raw)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "raw", [b"", b"[", b'{"model":"\xff"}', b'{"model":"m","prompt":' + b"[" * 100_000]
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        CompletionBody(raw)
    assert caught.value.status == 400


def test_an_edit_has_no_place_for_a_system_prompt() -> None:
    edit = CompletionBody(b'{"model":"m","prompt":"x"}').edit()
    assert not edit.instruct("be kind", replace=True)
    assert edit.encode() == b'{"model":"m","prompt":"x"}'


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
    edit = CompletionBody(f'{{"prompt":{before},"model":"m", "n":1.10}}'.encode()).edit()
    assert edit.rewrite_texts(str.upper) == (before != after)
    assert edit.encode() == f'{{"prompt":{after},"model":"m","n":1.10}}'.encode()
