"""What a request needs of a server, read only as far as somebody asks."""

from __future__ import annotations

import json

import pytest

from wayside.vocab.endpoint import Need

DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"not json", b'{"model":"\xff","messages":[]}', b'{"x":' + DEEP + b"}"],
)
def test_a_body_that_cannot_be_read_has_no_prompt(body: bytes) -> None:
    need = Need("usual", body=body)
    assert (need.text, need.model, need.salt, need.tokens) == (b"", "usual", b"", 1)
    assert need.wanted_tokens is None


def test_tokens_are_counted_without_joining_the_prompt() -> None:
    body = {"tools": [1], "messages": [{"role": "user", "content": "x" * 4000}], "model": "m"}
    need = Need("usual", body=json.dumps(body).encode())
    tokens = need.tokens
    assert not need.memo
    assert tokens == len(need.text) // 4 + 1


def test_a_prompt_is_let_go_and_what_ends_ask_for_stays() -> None:
    body = {"model": "lora", "prompt": "x" * 400, "stream": True, "max_tokens": 5}
    need = Need("usual", body=json.dumps(body).encode())
    tokens, text = need.tokens, need.text
    assert text and tokens > 100
    need.let_go()
    need.let_go()
    assert (need.tokens, need.model, need.wanted_tokens) == (tokens, "lora", 5)
    assert need.shape.stream is True
    assert not need.body and not need.text and not bytes(need.shape.prompt)


def test_what_nobody_read_is_not_read_to_be_let_go() -> None:
    need = Need("usual", body=b'{"model":"m"}')
    need.let_go()
    assert need.model == "usual" and not need.body
