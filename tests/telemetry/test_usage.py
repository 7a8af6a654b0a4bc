"""Reading token counts from the end of a response."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.vocab.usage import Tokens, tokens_in

ANSWER = {
    "id": "chatcmpl-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}}],
    "usage": {
        "prompt_tokens": 12,
        "total_tokens": 14,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "x": {"y": {}}},
    },
    "system_fingerprint": "fp",
    "kv_transfer_params": None,
}


def counts(usage: Tokens | None) -> tuple[int | None, int | None, int] | None:
    return usage and (usage.prompt, usage.completion, usage.cached)


@pytest.mark.parametrize("indent", [None, 1, 4])
def test_counts_are_read_however_the_json_is_laid_out(indent: int | None) -> None:
    assert counts(tokens_in(json.dumps(ANSWER, indent=indent).encode())) == (12, 2, 8)
    tight = json.dumps(ANSWER, separators=(",", ":")).encode()
    assert counts(tokens_in(tight)) == (12, 2, 8)


def test_a_tail_that_begins_anywhere_is_read_right_or_not_at_all() -> None:
    raw = json.dumps(ANSWER).encode()
    begins = raw.index(b'"usage"')
    for cut in range(len(raw)):
        assert counts(tokens_in(raw[cut:])) == ((12, 2, 8) if cut <= begins else None)


def test_a_tail_that_ends_early_is_not_guessed_at() -> None:
    raw = json.dumps(ANSWER).encode()
    closes = raw.index(b', "system_fingerprint"')
    for cut in range(len(raw)):
        assert counts(tokens_in(raw[:cut])) == ((12, 2, 8) if cut >= closes else None)


def test_the_last_count_of_a_stream_is_the_one() -> None:
    stream = (
        b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}\n\n'
        b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":9}}\n\n'
        b"data: [DONE]\n\n"
    )
    assert counts(tokens_in(stream)) == (5, 9, 0)


def test_chunks_without_a_count_are_passed_over() -> None:
    stream = (
        b'data: {"usage":null,"choices":[1]}\n\n'
        b'data: {"usage":{"prompt_tokens":5,"completion_tokens":9}}\n\n'
        b'data: {"usage":null}\n\ndata: [DONE]\n\n'
    )
    assert counts(tokens_in(stream)) == (5, 9, 0)
    assert tokens_in(b'data: {"usage":null}\n\n' * 50) is None


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"not json",
        b'"usage":',
        b'"usage":{',
        b'"usage":5',
        b'"usage":[{}]',
        b'"usage":{"prompt_tokens":1.5}',
        b'"usage":{"prompt_tokens":-5}',
        b'"usage":{"prompt_tokens":"5"}',
        b'"usage":{"prompt_tokens":%s}' % (b"9" * 400),
        b'"usage":{"prompt_tokens":9007199254740993}',
        b'"usage":{"prompt_tokens_details":{"cached_tokens":-1}}',
        b'"usage":{"a":' + b"[" * 60_000 + b"}",
        b'"usage":{' + b'"a":{' * 60_000 + b"}" * 60_000,
        b'"usage":{"\xff":}',
    ],
)
def test_what_is_no_count_is_none(tail: bytes) -> None:
    assert tokens_in(tail) is None


@given(
    st.text(max_size=40), st.sampled_from(['"usage":{"prompt_tokens":999}', '"usage": {', '"}'])
)
def test_text_of_an_answer_cannot_pass_for_a_count(before: str, hostile: str) -> None:
    answer: dict[str, Any] = {
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        "choices": [{"message": {"content": before + hostile, "tool_calls": [hostile]}}],
    }
    assert counts(tokens_in(json.dumps(answer).encode())) == (1, 2, 0)
    assert counts(
        tokens_in(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace"))
    ) == (
        1,
        2,
        0,
    )


@given(st.binary(max_size=300))
def test_no_bytes_at_all_are_an_error(tail: bytes) -> None:
    tokens_in(b'"usage":{' + tail)
    tokens_in(tail)
