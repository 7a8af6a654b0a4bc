"""What is believed of a server's counts, and what stands in their place (faults table, row 34)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.telemetry import Meter
from wayside.vocab.usage import MAX_TOKENS, Tokens

WORDS = 30
DONE = b"data: [DONE]\n\n"


def event(delta: dict[str, Any], usage: Any = None, *, choices: bool = True) -> bytes:
    said: dict[str, Any] = {"id": "c", "choices": [{"index": 0, "delta": delta}]}
    if not choices:
        said["choices"] = []
    if usage is not None:
        said["usage"] = usage
    return b"data: " + json.dumps(said).encode() + b"\n\n"


def stream(usage: Any = None, *, last: Any = None, each: bool = False) -> list[bytes]:
    """A role, 30 words, an end, the usage where there is one, and [DONE]."""
    running = [{"prompt_tokens": 7, "completion_tokens": i} if each else None for i in range(99)]
    events = [event({"role": "assistant", "content": ""}, running[0])]
    events += [event({"content": f"word {i}"}, running[i + 1]) for i in range(WORDS)]
    events.append(event({}, last))
    if usage is not None:
        events.append(event({}, usage, choices=False))
    return [*events, DONE]


def took(
    pieces: list[bytes], *, asked: int = 12, streamed: bool = True, broken: bool = False
) -> Tokens:
    meter = Meter(stream=streamed, asked=asked)
    for piece in pieces:
        meter.feed(piece)
    return meter.took(broken=broken)


HONEST = {"prompt_tokens": 7, "completion_tokens": WORDS, "total_tokens": 7 + WORDS}


@pytest.mark.parametrize(
    ("usage", "prompt", "completion", "why"),
    [
        (HONEST, 7, WORDS, ""),
        (None, 12, WORDS + 1, "missing"),
        ({}, 12, WORDS + 2, "missing"),
        ({"prompt_tokens": 0, "completion_tokens": 0}, 12, WORDS + 2, "zero"),
        ({"prompt_tokens": 7, "completion_tokens": 0}, 7, WORDS + 2, "zero"),
        ({"prompt_tokens": 10**12, "completion_tokens": WORDS}, 12, WORDS, "zero"),
        ({"prompt_tokens": 7, "completion_tokens": 10**12}, 7, WORDS + 2, "zero"),
        ({"prompt_tokens": -7, "completion_tokens": WORDS}, 12, WORDS, "zero"),
        ({"prompt_tokens": 7.5, "completion_tokens": WORDS}, 12, WORDS, "zero"),
        ({"prompt_tokens": 7.0, "completion_tokens": 30.0}, 7, WORDS, ""),
        ({"prompt_tokens": "7", "completion_tokens": True}, 12, WORDS + 2, "missing"),
        (17, 12, WORDS + 2, "missing"),
    ],
)
def test_what_a_stream_says_of_itself_is_checked(
    usage: Any, prompt: int, completion: int, why: str
) -> None:
    found = took(stream(usage))
    assert (found.prompt, found.completion, found.estimated) == (prompt, completion, why)


def test_usage_said_twice_at_the_end_is_counted_once() -> None:
    """Bug 8 (Higress#1080): the event that ends the words says it, and the one after that."""
    assert took(stream(HONEST, last=HONEST)) == Tokens(7, WORDS)


def test_cumulative_counts_are_not_added_up() -> None:
    assert took(stream(HONEST, each=True)) == Tokens(7, WORDS)


def test_a_stream_that_breaks_off_is_what_it_said_last_or_its_events() -> None:
    assert took(stream(HONEST, each=True)[:11], broken=True) == Tokens(7, 10)
    # nothing was said: ten words and a role, less what is no word
    assert took(stream(HONEST)[:11], broken=True) == Tokens(12, 9, estimated="broken")
    assert took(stream(HONEST)[:1], broken=True).completion == 0


def test_counts_in_each_event_of_several_choices_are_of_one_of_them() -> None:
    """vLLM's running counts are a choice's own; its last event has the sum."""
    words = [
        event({"content": "x"}, {"prompt_tokens": 7, "completion_tokens": i // 3})
        for i in range(30)
    ]
    found = took(words, broken=True)
    assert (found.completion, found.estimated) == (28, "broken")


@pytest.mark.parametrize("size", [1, 3, 100, 10_000])
def test_it_does_not_matter_where_pieces_are_cut(size: int) -> None:
    whole = b"".join(stream(HONEST))
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
    assert took(pieces) == Tokens(7, WORDS)


def test_usage_of_a_framed_stream_is_read_across_its_chunks() -> None:
    framed = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in stream(HONEST)]
    assert took([b"".join(framed), b"0\r\n\r\n"]) == Tokens(7, WORDS)
    cut = b"".join(stream(HONEST))
    middle = cut.index(b'"total_tokens"') + 5
    halves = [cut[:middle], cut[middle:]]
    framed = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in halves]
    assert took(framed) == Tokens(7, WORDS)


def whole(usage: Any, *, before: bool = False, padding: int = 0) -> bytes:
    said: dict[str, Any] = {"choices": [{"message": {"content": "word " * WORDS}}]}
    said = {"usage": usage, **said} if before else {**said, "usage": usage}
    said["prompt_logprobs"] = "x" * padding
    return json.dumps(said).encode()


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("padding", [0, 50_000])
def test_usage_of_a_whole_answer_is_found_wherever_it_stands(before: bool, padding: int) -> None:
    raw = whole(HONEST, before=before, padding=padding)
    pieces = [raw[i : i + 16_384] for i in range(0, len(raw), 16_384)]
    assert took(pieces, streamed=False) == Tokens(7, WORDS)


def test_a_whole_answer_without_usage_is_estimated_by_its_texts() -> None:
    found = took([whole(None)], streamed=False)
    assert (found.prompt, found.estimated) == (12, "missing")
    assert WORDS * 0.8 < found.completion < WORDS * 1.4
    raw = whole(None, padding=40_000)
    long = took([raw[:16_384], raw[16_384:]], streamed=False)
    assert long.estimated == "missing" and long.completion > 10_000


def test_an_answer_of_which_nothing_came_took_nothing_that_we_know() -> None:
    assert took([]) == Tokens()


@pytest.mark.parametrize(
    ("usage", "kinds"),
    [
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 60},
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            {"prompt": 40, "cached": 60, "completion": 30, "reasoning": 20},
        ),
        (  # xAI: thoughts are beside the completion, and in the total
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 35,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            {"prompt": 10, "completion": 5, "reasoning": 20},
        ),
        (  # Gemini: and are not told
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 35},
            {"prompt": 10, "completion": 5, "reasoning": 20},
        ),
        (  # Anthropic: what was cached is beside the input
            {
                "input_tokens": 10,
                "cache_read_input_tokens": 30,
                "cache_creation_input_tokens": 40,
                "output_tokens": 5,
            },
            {"prompt": 10, "cached": 30, "cache_write": 40, "completion": 5},
        ),
        (  # Responses: a part of it
            {
                "input_tokens": 40,
                "input_tokens_details": {"cached_tokens": 30},
                "output_tokens": 9,
                "output_tokens_details": {"reasoning_tokens": 4},
                "total_tokens": 49,
            },
            {"prompt": 10, "cached": 30, "completion": 5, "reasoning": 4},
        ),
        (  # DeepSeek
            {"prompt_tokens": 10, "prompt_cache_hit_tokens": 4, "completion_tokens": 1},
            {"prompt": 6, "cached": 4, "completion": 1},
        ),
        (  # parts that are more than the whole
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 99},
                "completion_tokens_details": {"reasoning_tokens": 99},
            },
            {"cached": 10, "reasoning": 5},
        ),
        (  # a part that is no count is dropped, and the rest stands
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": -1},
            },
            {"prompt": 10, "completion": 5},
        ),
    ],
)
def test_kinds_of_tokens_do_not_overlap(usage: dict[str, Any], kinds: dict[str, int]) -> None:
    found = took([whole(usage)], streamed=False)
    assert {kind: count for kind, count in found.kinds() if count} == kinds
    assert not found.estimated


def test_anthropics_stream_is_counted_at_both_ends() -> None:
    """Bug 7 (APISIX#13662): the last event's usage has the output only."""
    start = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 40, "output_tokens": 1}},
    }
    piece = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 900}}
    end = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 15}}
    events = [start, *[piece] * 20, end, {"type": "message_stop"}]
    meter = Meter(stream=True, leads=True, asked=12)
    for said in events:
        meter.feed(b"event: x\ndata: " + json.dumps(said).encode() + b"\n\n")
    assert meter.took(broken=False) == Tokens(40, 15)
    assert meter.ended


COUNT = st.one_of(
    st.integers(-(10**15), 10**15), st.floats(), st.text(max_size=3), st.none(), st.booleans()
)
DETAILS = st.dictionaries(st.sampled_from(["cached_tokens", "reasoning_tokens"]), COUNT)
NAMES = ("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens")
LIES = st.dictionaries(st.sampled_from(NAMES), COUNT) | st.dictionaries(
    st.sampled_from(["prompt_tokens_details", "completion_tokens_details", "prompt_tokens"]),
    DETAILS | COUNT,
)


@given(LIES)
def test_whatever_a_server_says_kinds_are_counts_that_add_up(usage: dict[str, Any]) -> None:
    found = took([whole(usage)], streamed=False)
    assert all(0 <= count <= 2 * MAX_TOKENS for _, count in found.kinds())
    assert sum(count for _, count in found.kinds()) == found.total
