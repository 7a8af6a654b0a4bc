"""Answers of models' servers that are told in another API, cut anywhere.

The first byte says who answers whom, the second where the bytes are cut. Whatever comes, what is
told is whole events or an error; the same bytes cut otherwise are told alike; memory is bounded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.fuzz.targets import check, split
from wayside.dialects.anthropic_reader import Reader
from wayside.dialects.anthropic_writer import Writer
from wayside.dialects.openai_responses_answer import Head
from wayside.dialects.openai_responses_reader import Reader as ResponsesReader
from wayside.dialects.openai_responses_stream import ResponseStage
from wayside.dialects.stage import Unreadable
from wayside.dialects.trim import Trimmer

WORDS = (
    b"data: ",
    b"event: message_start\n",
    b"event: content_block_delta\ndata: ",
    b'{"type":"message_start","message":{"usage":{"input_tokens":1}}}',
    b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
    b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}',
    b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}',
    b'{"choices":[{"index":0,"delta":{"content":"a"}}]}',
    b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}',
    b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}',
    b'"usage":{"prompt_tokens":1}',
    b"data: [DONE]\n\n",
    b"\n\n",
    b"\r\n\r\n",
    b"null",
    b"\\ud800",
)

_HEAD = Head("0" * 32, 1_760_000_000, "m")
STAGES: tuple[Callable[[], Any], ...] = (
    lambda: Reader(usage=True),
    lambda: Reader(usage=False, native=True),
    lambda: Writer("m", 3, "id"),
    lambda: ResponseStage(_HEAD),
    lambda: ResponsesReader(usage=True),
)
TRIMS = ("end", "all")


def run(data: bytes) -> None:
    if len(data) < 2:
        return
    kind, cut, said = data[0], data[1], data[2:]
    if kind % 8 >= len(STAGES):
        _trimmed(TRIMS[kind % 2], said, cut)
        return
    made = STAGES[kind % 8]
    whole, pieces = _streamed(made(), [said]), _streamed(made(), split(said, cut))
    check((whole is None) == (pieces is None), "cut otherwise it can be read, or not", cut)
    if whole is not None and pieces is not None:
        check(_told(whole) == _told(pieces), "cut otherwise it says something else", whole, pieces)
    for status in (200, 429, 503):
        try:
            told = made().whole(status, said)
        except Unreadable:
            check(status == 200, "an error is told whatever its body is")
            continue
        json.loads(told)


def _streamed(stage: Any, pieces: list[bytes]) -> bytes | None:
    """What is told, or ``None`` for what cannot be read."""
    told = b""
    try:
        for piece in pieces:
            told += stage.feed(piece)
        told += stage.finish()
    except Unreadable:
        return None
    check(len(told) < 4096 + 400 * sum(map(len, pieces)), "told far more than was said", len(told))
    return told


def _told(stream: bytes) -> list[Any]:
    """The events of a stream, which are whole, without times and ids that are made up."""
    check(not stream or stream.endswith(b"\n\n"), "half an event", stream[-80:])
    found = []
    for event in stream.split(b"\n\n"):
        lines = [line for line in event.split(b"\n") if line.startswith(b"data: ")]
        for line in lines:
            text = line.removeprefix(b"data: ")
            found.append(text if text == b"[DONE]" else _known(json.loads(text)))
    return found


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        made_up = ("id", "created", "item_id", "created_at", "obfuscation")
        return {k: _known(v) for k, v in value.items() if k not in made_up}
    return [_known(item) for item in value] if isinstance(value, list) else value


def _trimmed(trim: Any, said: bytes, cut: int) -> None:
    """Bytes go on in their order, and only usage is taken out."""
    whole, cutter = Trimmer(trim), Trimmer(trim)
    first = whole.feed(said) + whole.rest()
    second = b"".join(cutter.feed(piece) for piece in split(said, cut)) + cutter.rest()
    if b'"usage"' not in said:
        check(first == said and second == said, "bytes that are no usage are lost", said, second)
    check(len(first) <= len(said) and len(second) <= len(said), "more than was said")
