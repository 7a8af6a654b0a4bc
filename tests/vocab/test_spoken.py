from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.vocab.endpoint import Need
from wayside.vocab.spoken import spoken


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, ""),
        ([], ""),
        ({"prompt": "Why?"}, "Why?"),
        ({"prompt": ["a", "b"]}, '["a","b"]'),
        ({"input": [1, 2]}, "[1,2]"),
        ({"messages": [{"role": "user", "content": "Why?"}]}, "uWhy?\n"),
        ({"system": "S", "messages": [{"role": "user", "content": [{"text": "Why?"}]}]},
         'Su[{"text":"Why?"}]\n'),
        ({"messages": [{"content": "x", "role": "system"}, {"role": "tool", "tool_calls": [1]}]},
         "sx\nt[1]\n"),
        ({"input": [{"type": "function_call_output", "output": "4"}], "instructions": "I"},
         'I"4"\n'),
        ({"tools": [{}], "messages": {"role": 1}}, '[{}]{"role":1}'),
    ],
)  # fmt: skip
def test_what_is_said(body, said) -> None:
    assert (
        spoken(Need("m", body=json.dumps(body, separators=(",", ":")).encode())) == said.encode()
    )


@given(st.binary(max_size=60))
def test_any_body_says_something_or_nothing(body: bytes) -> None:
    assert isinstance(spoken(Need("m", body=body)), bytes)


@given(st.lists(st.tuples(st.sampled_from(["user", "tool"]), st.text()), min_size=1))
def test_a_conversation_begins_with_what_it_was(turns) -> None:
    messages = [{"role": role, "content": text} for role, text in turns]
    said = [
        spoken(Need("m", body=json.dumps({"messages": messages[:n]}).encode()))
        for n in range(len(messages) + 1)
    ]
    assert all(b.startswith(a) and b != a for a, b in pairwise(said))


def test_what_was_said_is_let_go_with_the_prompt() -> None:
    asked = Need("m", body=json.dumps({"prompt": "A long prompt."}).encode())
    assert spoken(asked) and asked.text
    asked.let_go()
    assert not any(isinstance(kept, bytes) and kept for kept in asked.memo.values())
