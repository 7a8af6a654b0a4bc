"""Whatever comes as JSON is read, refused or unreadable: nothing else is ever raised."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.dialects.anthropic_from_chat import from_chat
from wayside.dialects.anthropic_messages import MessagesBody, estimate
from wayside.dialects.anthropic_reader import Reader
from wayside.dialects.anthropic_request import plain, to_chat
from wayside.dialects.anthropic_writer import Writer
from wayside.dialects.stage import Stage, Unreadable
from wayside.vocab.errors import RequestError

_KEYS = st.sampled_from([
    "type", "role", "content", "text", "source", "data", "id", "name", "input", "tool_use_id",
    "thinking", "signature", "function", "arguments", "tool_calls", "function_call", "url",
    "image_url", "file", "file_data", "filename", "index", "delta", "message", "usage", "error",
    "choices", "finish_reason", "cache_control", "is_error", "content_block", "partial_json",
    "input_tokens", "output_tokens", "stop_reason", "prompt_tokens_details", "refusal", "block",
    "media_type", "custom", "user_id", "effort", "format", "budget_tokens", "reasoning_content",
])  # fmt: skip
_WORDS = st.sampled_from([
    "", "x", "text", "image", "base64", "url", "tool_use", "tool_result", "thinking", "user",
    "assistant", "system", "tool", "function", "document", "anthropic_block", "message_start",
    "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
    "message_stop", "ping", "error", "text_delta", "input_json_delta", "enabled", "disabled",
    "json_schema", "auto", "any", "none", "required", "stop", "end_turn", "low", "image_url",
    "file", "refusal", "redacted_thinking", "server_tool_use", "data:image/png;base64,AAAA",
])  # fmt: skip
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 9), st.floats(0, 2), _WORDS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(_KEYS, inner, max_size=5)
    ),
    max_leaves=24,
)
_FIELDS = (
    "messages", "system", "tools", "tool_choice", "stop_sequences", "metadata", "thinking",
    "output_config", "temperature", "top_p", "top_k", "stream", "max_tokens", "stop", "functions",
    "function_call", "reasoning_effort", "response_format", "n", "modalities", "user",
    "parallel_tool_calls", "stream_options", "anthropic", "logprobs", "max_completion_tokens",
)  # fmt: skip
_turn = st.fixed_dictionaries({"role": _WORDS, "content": _json}, optional={"tool_calls": _json})
_body = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.one_of(_json, st.lists(_turn, max_size=4))},
    optional={name: _json for name in _FIELDS if name != "messages"},
)


@settings(max_examples=120, deadline=None)
@given(_body)
def test_a_message_is_read_or_refused(said: dict[str, Any]) -> None:
    with contextlib.suppress(RequestError):
        chat = to_chat(said)
        json.dumps(plain(chat)[0])
        json.dumps(from_chat(chat)[0])
        assert estimate(chat) >= 0
        body = MessagesBody(json.dumps(said).encode())
        body.prompt({})
        edit = body.edit()
        edit.rewrite_texts(str.upper)
        body.plain(edit)


@settings(max_examples=120, deadline=None)
@given(_body)
def test_a_chat_is_told_or_refused(said: dict[str, Any]) -> None:
    with contextlib.suppress(RequestError):
        json.dumps(from_chat(said)[0])


@settings(max_examples=120, deadline=None)
@given(st.lists(_json, max_size=6), st.booleans(), st.sampled_from([200, 400, 529]))
def test_an_answer_is_told_or_unreadable(said: list[Any], reads: bool, status: int) -> None:
    def made() -> Stage:
        return Reader(usage=True, native=True) if reads else Writer("m")

    raw = b"".join([b"data: " + json.dumps(event).encode() + b"\n\n" for event in said])
    with contextlib.suppress(Unreadable):
        stage = made()
        stage.feed(raw)
        stage.finish()
    for whole in said:
        with contextlib.suppress(Unreadable):
            json.loads(made().whole(status, json.dumps(whole).encode()))


def test_events_that_nearly_fit_are_told_or_unreadable() -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": "x"}}}
    odd: list[Any] = [
        [
            start,
            {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}},
        ],
        [start, {"type": "content_block_delta", "delta": {"type": "input_json_delta"}}],
        [start, {"type": "message_delta", "delta": [], "usage": []}, {"type": "message_stop"}],
        [{"choices": [{"delta": {"tool_calls": [{"index": "x"}]}}]}],
        [{"choices": [{"delta": {"tool_calls": [{"index": 0, "function": "f"}]}}]}],
        [{"choices": [{"delta": {"content": [1]}, "finish_reason": ["x"]}]}],
        [{"choices": {"a": 1}, "usage": {"prompt_tokens_details": 7}}],
    ]
    for events in odd:
        raw = b"".join([b"data: " + json.dumps(event).encode() + b"\n\n" for event in events])
        for stage in (Reader(usage=True, native=True), Writer("m")):
            with contextlib.suppress(Unreadable):
                stage.feed(raw)
                stage.finish()
