"""An answer of Anthropic's Messages API, told as an OpenAI chat completion.

Blocks of text become the message's content, thoughts its ``reasoning_content`` with their
``signature`` beside them (the API wants it back), uses of tools its ``tool_calls``. Blocks with no
counterpart go along as ``anthropic_blocks`` where the client speaks Anthropic's API itself.

The counts of a stream come twice, at its start and, as totals, at its end, where those that did
not change may be missing: a later count takes the place of an earlier one, and no count is lost
because a later event does not repeat it.

Source: Anthropic's API reference for ``POST /v1/messages`` and for streaming.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wayside.dialects import UNREADABLE, anthropic_errors, decode, encode
from wayside.dialects.answers import DONE, event
from wayside.dialects.openai_responses_events import Splitter
from wayside.dialects.stage import Unreadable

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
BLOCKS = "anthropic_blocks"
MAX_HELD = 8 << 20
"""Bytes of a block with no counterpart that are held until it is whole."""
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_PIECES = {"text_delta": ("text", "content"), "thinking_delta": ("thinking", "reasoning_content")}


class Reader:
    """Translates one answer (:class:`~wayside.dialects.stage.Stage`).

    ``usage``: a stream ends with an event of usage. ``native``: blocks with no counterpart are
    told. ``created`` (Unix seconds) stands in what is told; the API itself names no time.
    """

    __slots__ = (
        "_calls",
        "_finish",
        "_head",
        "_kept",
        "_kept_size",
        "_native",
        "_open",
        "_over",
        "_said",
        "_splitter",
        "_usage",
        "_wants_usage",
        "created",
    )

    def __init__(self, *, usage: bool, native: bool = False) -> None:
        self.created = 0
        self._wants_usage, self._native = usage, native
        self._splitter = Splitter()
        self._head: dict[str, Any] | None = None
        self._usage: dict[str, Any] = {}
        self._calls = 0
        self._open: tuple[str, Any] = ("", None)
        """The kind of the block that is open, and what is known of it."""
        self._said = False
        """Whether the open call has said any of its arguments."""
        self._kept: list[str] = []
        self._kept_size = 0
        self._finish: dict[str, Any] | None = None
        self._over = False

    def whole(self, status: int, body: bytes) -> bytes:
        if status >= 300:
            return anthropic_errors.to_openai(body, status)
        said = _object(body)
        if said.get("type") == "error":
            return anthropic_errors.to_openai(body, 500)
        if not isinstance(said.get("content"), list):
            raise Unreadable("an answer of the Messages API has a list of blocks as its content")
        message = self._message([block for block in said["content"] if isinstance(block, dict)])
        choice = {"index": 0, "message": message, "logprobs": None, **_ending(said)}
        return encode(
            {
                **self._of(said, "chat.completion"),
                "choices": [choice],
                "usage": usage_of(said.get("usage")),
            }
        )

    def _message(self, blocks: list[dict[str, Any]]) -> dict[str, Any]:
        texts: list[str] = []
        thoughts: list[str] = []
        signature = ""
        calls: list[dict[str, Any]] = []
        kept: list[dict[str, Any]] = []
        for block in blocks:
            match block.get("type"):
                case "text":
                    texts.append(str(block.get("text") or ""))
                case "thinking":
                    thoughts.append(str(block.get("thinking") or ""))
                    signature = str(block.get("signature") or "")
                case "tool_use":
                    arguments = encode(block.get("input") or {}).decode()
                    calls.append(_call(block, arguments))
                case _:
                    kept.append(block)
        content = "".join(texts) if texts or not calls else None
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if thoughts:
            message["reasoning_content"] = "".join(thoughts)
            message["signature"] = signature
        if calls:
            message["tool_calls"] = calls
        if kept and self._native:
            message[BLOCKS] = kept
        return message

    def _of(self, said: dict[str, Any], kind: str) -> dict[str, Any]:
        return {
            "id": str(said.get("id") or ""),
            "object": kind,
            "created": self.created,
            "model": str(said.get("model") or ""),
        }

    # streams

    def feed(self, chunk: bytes) -> bytes:
        return b"".join([self._event(data) for data in self._splitter.feed(chunk)])

    def finish(self) -> bytes:
        rest = b"".join([self._event(data) for data in self._splitter.finish()])
        if not self._over:
            raise Unreadable("the stream ended before its message_stop")
        return rest

    def _event(self, data: bytes) -> bytes:
        if self._over:
            return b""
        said = _object(data)
        kind = said.get("type")
        if kind == "ping":
            return b": ping\n\n"
        if kind == "error":
            return self._failed(said)
        if kind == "message_start":
            message = said.get("message")
            if not isinstance(message, dict):
                raise Unreadable("a message_start without a message")
            self._head = self._of(message, "chat.completion.chunk")
            self._count(message.get("usage"))
            return self._delta({"role": "assistant", "content": ""})
        if self._head is None:
            raise Unreadable(f"{str(kind)[:64]!r} before message_start")
        if kind == "content_block_start":
            return self._start(said.get("content_block"))
        if kind == "content_block_delta":
            return self._piece(said.get("delta"))
        if kind == "content_block_stop":
            return self._stop()
        if kind == "message_delta":
            self._count(said.get("usage"))
            delta = said.get("delta")
            self._finish = _ending(delta if isinstance(delta, dict) else {})
            return b""
        return self._end() if kind == "message_stop" else b""

    def _failed(self, said: dict[str, Any]) -> bytes:
        """An error in the middle; nothing follows it."""
        self._over = True
        raw = encode(said)
        return b"data: " + anthropic_errors.to_openai(raw, 500) + b"\n\n" + DONE

    def _start(self, block: Any) -> bytes:
        block = block if isinstance(block, dict) else {}
        kind = str(block.get("type"))
        self._open, self._said = (kind, block), False
        if kind == "text":
            return self._delta({"content": block["text"]}) if block.get("text") else b""
        if kind == "thinking":
            thought = block.get("thinking")
            return self._delta({"reasoning_content": thought}) if thought else b""
        if kind == "tool_use":
            call = {"index": self._calls, **_call(block, "")}
            self._calls += 1
            return self._delta({"tool_calls": [call]})
        self._kept, self._kept_size = [], 0
        return b""

    def _piece(self, delta: Any) -> bytes:
        if not isinstance(delta, dict):
            raise Unreadable("a content_block_delta without a delta")
        kind = str(delta.get("type"))
        if kind in _PIECES:
            source, name = _PIECES[kind]
            return self._delta({name: str(delta.get(source) or "")})
        if kind == "signature_delta":
            return self._delta({"signature": str(delta.get("signature") or "")})
        if kind == "input_json_delta":
            piece = str(delta.get("partial_json") or "")
            if self._open[0] != "tool_use":
                self._keep(piece)
                return b""
            if not piece:
                return b""
            self._said = True
            return self._arguments(piece)
        return b""  # citations: what is cited stands in the text

    def _keep(self, piece: str) -> None:
        self._kept_size += len(piece)
        if self._kept_size > MAX_HELD:
            raise Unreadable("a block is too long")
        self._kept.append(piece)

    def _arguments(self, piece: str) -> bytes:
        call = {"index": self._calls - 1, "function": {"arguments": piece}}
        return self._delta({"tool_calls": [call]})

    def _stop(self) -> bytes:
        (kind, block), self._open = self._open, ("", None)
        if kind == "tool_use" and not self._said:  # a call without arguments streams none
            return self._arguments(encode(block.get("input") or {}).decode())
        if kind in ("text", "thinking", "tool_use", "") or not self._native:
            return b""
        if self._kept:
            try:
                block = {**block, "input": msgspec.json.decode("".join(self._kept))}
            except UNREADABLE:
                raise Unreadable(f"the input of a {kind[:64]} is no JSON") from None
        return self._delta({BLOCKS: [block]})

    def _end(self) -> bytes:
        self._over = True
        ending = self._finish or {"finish_reason": "stop"}
        out = [event({**self._chunk({}), "choices": [{"index": 0, "delta": {}, **ending}]})]
        if self._wants_usage:
            out.append(
                event({**(self._head or {}), "choices": [], "usage": usage_of(self._usage)})
            )
        return b"".join([*out, DONE])

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self._usage |= {key: value for key, value in usage.items() if value is not None}

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return event(self._chunk(delta))

    def _chunk(self, delta: dict[str, Any]) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return {**(self._head or {}), "choices": [choice]}


def usage_of(usage: Any) -> dict[str, Any]:
    """OpenAI's counts for Anthropic's: theirs of the input leave out what was cached, ours do
    not. What is no object counts nothing."""
    usage = usage if isinstance(usage, dict) else {}
    fresh, output = _count_of(usage, "input_tokens"), _count_of(usage, "output_tokens")
    cached = _count_of(usage, "cache_read_input_tokens")
    written = _count_of(usage, "cache_creation_input_tokens")
    prompt = fresh + cached + written
    told: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    if written:
        told["cache_creation_input_tokens"] = written
    details = usage.get("output_tokens_details")
    if isinstance(details, dict) and "thinking_tokens" in details:
        thought = _count_of(details, "thinking_tokens")
        told["completion_tokens_details"] = {"reasoning_tokens": thought}
    return told


def _count_of(usage: dict[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _ending(said: dict[str, Any]) -> dict[str, Any]:
    """Why the answer ended; the text that stopped it stands where vLLM puts it."""
    ending: dict[str, Any] = {"finish_reason": FINISH.get(str(said.get("stop_reason")), "stop")}
    if isinstance(said.get("stop_sequence"), str):
        ending["stop_reason"] = said["stop_sequence"]
    return ending


def _call(block: dict[str, Any], arguments: str) -> dict[str, Any]:
    asked = {"name": str(block.get("name") or ""), "arguments": arguments}
    return {"id": str(block.get("id") or ""), "type": "function", "function": asked}


def _object(raw: bytes) -> dict[str, Any]:
    try:
        said, _ = decode(_decoder, raw)
    except UNREADABLE:
        said = None
    if not isinstance(said, dict):
        raise Unreadable("what should be a JSON object is none")
    return said
