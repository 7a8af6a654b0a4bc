"""An OpenAI chat completion, told as an answer of Anthropic's Messages API.

A stream becomes blocks, one after another: each is begun, said and stopped before the next, as
that API's clients expect it. So of two tools that are called at once the second waits until the
arguments of the first are whole. Only the first choice is told, as the API knows no other.

Source: Anthropic's API reference for ``POST /v1/messages`` and for streaming.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from wayside.dialects import UNREADABLE, anthropic_errors, decode, encode
from wayside.dialects.anthropic_from_chat import arguments_of
from wayside.dialects.anthropic_reader import BLOCKS
from wayside.dialects.openai_responses_events import Splitter
from wayside.dialects.stage import Unreadable

STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
MAX_ARGUMENTS = 8 << 20
"""Bytes of a call's arguments that are held while it is under way."""
MAX_CALLS = 1024
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_THOUGHTS = ("reasoning_content", "reasoning")


@dataclass(slots=True)
class _Call:
    """A call of a tool under way; ``told`` counts the pieces of its arguments that went out."""

    number: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    told: int = 0
    checked: int = 0
    size: int = 0
    begun: bool = False

    def complete(self) -> bool:
        """Whether the arguments are whole; looked at once for every new piece."""
        if self.checked == len(self.pieces):
            return False
        self.checked = len(self.pieces)
        try:
            msgspec.json.decode("".join(self.pieces))
        except UNREADABLE:
            return False
        return True


class Writer:
    """Translates one answer (:class:`~wayside.dialects.stage.Stage`).

    ``model`` is told where the answer names none. ``estimate`` is how many tokens the input may
    have, for the start of a stream; the end says what its server counted.
    """

    __slots__ = (
        "_at",
        "_block",
        "_called",
        "_calls",
        "_comments",
        "_estimate",
        "_finish",
        "_index",
        "_late",
        "_model",
        "_over",
        "_request_id",
        "_splitter",
        "_started",
        "_usage",
    )

    def __init__(self, model: str, estimate: int = 0, request_id: str = "") -> None:
        self._model, self._estimate, self._request_id = model, estimate, request_id
        self._comments: list[bytes] = []
        self._splitter = Splitter(self._comments)
        self._started = self._over = False
        self._block = ""
        """The kind of the block that is open, or ``""``."""
        self._index = -1
        self._calls: dict[int, _Call] = {}
        """Calls under way, in the order they were begun; those that were told are gone."""
        self._called = 0
        """Calls that were ever begun."""
        self._at: dict[int, tuple[int, str]] = {}
        """By the index that the server gives: which call it means, and that call's id."""
        self._late: list[tuple[str, str]] = []
        """What was said while a call was under way: it waits for the call's end."""
        self._finish: dict[str, Any] | None = None
        self._usage: dict[str, Any] = {}

    def whole(self, status: int, body: bytes) -> bytes:
        if status >= 300:
            return anthropic_errors.from_openai(status, body, self._request_id)
        said = _object(body)
        choices = said.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            raise Unreadable("a chat completion has a choice with a message")
        blocks = _blocks(message)
        return encode(
            {
                **self._head(said),
                "content": blocks,
                **_ending(choice, called=any(b.get("type") == "tool_use" for b in blocks)),
                "usage": usage_of(said.get("usage") or {}),
            }
        )

    def _head(self, said: dict[str, Any]) -> dict[str, Any]:
        number = str(said.get("id") or "0")
        return {
            "id": number if number.startswith("msg_") else f"msg_{number}",
            "type": "message",
            "role": "assistant",
            "model": said.get("model") or self._model,
        }

    # streams

    def feed(self, chunk: bytes) -> bytes:
        out: list[bytes] = []
        for data in self._splitter.feed(chunk):
            self._event(data, out)
        if self._comments:
            out += self._comments
            self._comments.clear()
        return b"".join(out)

    def finish(self) -> bytes:
        """The rest of a stream; one that says why it ended is whole without its ``[DONE]``."""
        out: list[bytes] = []
        for data in self._splitter.finish():
            self._event(data, out)
        if not self._over:
            if self._finish is None:
                raise Unreadable("the stream ended before it said why")
            self._end(out)
        return b"".join(out)

    def _event(self, data: bytes, out: list[bytes]) -> None:
        if self._over:
            return
        if data.strip() == b"[DONE]":
            self._end(out)
            return
        said = _object(data)
        if said.get("error"):
            self._over = True
            out.append(anthropic_errors.event_from_openai(said["error"], self._request_id))
            return
        if isinstance(said.get("usage"), dict):
            self._usage = said["usage"]
        self._start(said, out)
        choices = said.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index", 0) == 0:
                delta = choice.get("delta")
                if isinstance(delta, dict):
                    self._delta(delta, out)
                if choice.get("finish_reason"):
                    self._finish = choice

    def _start(self, said: dict[str, Any], out: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        usage = {"input_tokens": self._estimate, "output_tokens": 0}
        message = {
            **self._head(said),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        out.append(_sse("message_start", {"message": message}))

    def _delta(self, delta: dict[str, Any], out: list[bytes]) -> None:
        for name in _THOUGHTS:
            if isinstance(delta.get(name), str) and delta[name]:
                self._say("thinking", delta[name], out)
                break
        if isinstance(delta.get("signature"), str) and delta["signature"]:
            self._say("signature", delta["signature"], out)
        for name in ("content", "refusal"):
            if isinstance(delta.get(name), str) and delta[name]:
                self._say("text", delta[name], out)
        for block in _dicts(delta.get(BLOCKS)):
            self._close(out)
            self._index += 1
            out.append(_sse("content_block_start", {"index": self._index, "content_block": block}))
            out.append(_sse("content_block_stop", {"index": self._index}))
        for at, piece in enumerate(_dicts(delta.get("tool_calls"))):
            self._take(piece, piece.get("index", at))
        if isinstance(delta.get("function_call"), dict):
            self._take({"function": delta["function_call"]}, 0)
        if self._calls:
            self._pump(out, final=False)

    def _say(self, kind: str, text: str, out: list[bytes]) -> None:
        """Say ``text`` in a block of its kind; while a call is under way it waits."""
        if self._calls:
            self._pump(out, final=False)
        if self._calls:
            if sum([len(held) for _, held in self._late]) + len(text) > MAX_ARGUMENTS:
                raise Unreadable("a call of a tool does not end")
            self._late.append((kind, text))
            return
        block = "thinking" if kind == "signature" else kind
        if self._block != block:
            empty = {"text": ""} if block == "text" else {"thinking": "", "signature": ""}
            self._open(block, {"type": block, **empty}, out)
        delta = {"type": f"{kind}_delta", kind: text}
        out.append(_sse("content_block_delta", {"index": self._index, "delta": delta}))

    def _take(self, piece: dict[str, Any], index: Any) -> None:
        """Take a piece of a call."""
        if not isinstance(index, int):
            raise Unreadable("the index of a call is no number")
        number = str(piece.get("id") or "")
        key, known = self._at.get(index, (-1, ""))
        if key < 0 or (number and known and number != known):  # some say index 0 of every call
            if self._called >= MAX_CALLS:
                raise Unreadable("too many calls of tools")
            key, known = self._called, number
            self._calls[key] = _Call()
            self._called += 1
        self._at[index] = (key, known or number)
        asked = piece.get("function") or piece.get("custom")
        asked = asked if isinstance(asked, dict) else {}
        said = asked.get("arguments", asked.get("input"))
        call = self._calls.get(key)
        if call is None:
            if isinstance(said, str) and said.strip():
                raise Unreadable("a call goes on after its arguments were whole")
            return
        call.number = call.number or number
        call.name = call.name or str(asked.get("name") or "")
        if isinstance(said, str) and said:
            call.size += len(said)
            if call.size > MAX_ARGUMENTS:
                raise Unreadable("the arguments of a call are too long")
            call.pieces.append(said)

    def _pump(self, out: list[bytes], *, final: bool) -> None:
        """Tell the first call as far as it goes, and the next ones once it is whole."""
        for index, call in list(self._calls.items()):
            if not call.begun:
                if not call.name and not final:
                    return
                call.begun = True
                number = call.number or f"toolu_{self._index + 1}"
                block = {"type": "tool_use", "id": number, "name": call.name, "input": {}}
                self._open("tool_use", block, out)
            for piece in call.pieces[call.told :]:
                delta = {"type": "input_json_delta", "partial_json": piece}
                out.append(_sse("content_block_delta", {"index": self._index, "delta": delta}))
            call.told = len(call.pieces)
            waits = len(self._calls) > 1 or bool(self._late)
            if not final and not (waits and call.complete()):
                return
            del self._calls[index]
            self._close(out)

    def _open(self, kind: str, block: dict[str, Any], out: list[bytes]) -> None:
        self._close(out)
        self._index += 1
        self._block = kind
        out.append(_sse("content_block_start", {"index": self._index, "content_block": block}))

    def _close(self, out: list[bytes]) -> None:
        if self._block:
            self._block = ""
            out.append(_sse("content_block_stop", {"index": self._index}))

    def _end(self, out: list[bytes]) -> None:
        self._over = True
        self._start({}, out)
        self._pump(out, final=True)
        late, self._late = self._late, []
        for kind, text in late:
            self._say(kind, text, out)
        self._close(out)
        ending = _ending(self._finish or {}, called=self._called > 0)
        usage = usage_of(self._usage)
        out.append(_sse("message_delta", {"delta": ending, "usage": usage}))
        out.append(_sse("message_stop", {}))


def usage_of(usage: dict[str, Any]) -> dict[str, int]:
    """Anthropic's counts for OpenAI's: theirs of the input leave out what was cached."""
    details = usage.get("prompt_tokens_details")
    cached = _count(details if isinstance(details, dict) else {}, "cached_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    fresh = max(0, _count(usage, "prompt_tokens") - cached - written)
    return {
        "input_tokens": fresh,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": _count(usage, "completion_tokens"),
    }


def _count(usage: dict[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _ending(choice: dict[str, Any], *, called: bool) -> dict[str, Any]:
    """Why it ended. vLLM says ``stop`` of a call that was forced, and names the text that
    stopped it beside."""
    reason = STOP.get(str(choice.get("finish_reason")), "end_turn")
    stopped = choice.get("stop_reason")
    if called and reason == "end_turn":
        reason = "tool_use"
    elif reason == "end_turn" and isinstance(stopped, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": stopped}
    return {"stop_reason": reason, "stop_sequence": None}


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for name in _THOUGHTS:
        if isinstance(message.get(name), str) and message[name]:
            signature = str(message.get("signature") or "")
            blocks.append({"type": "thinking", "thinking": message[name], "signature": signature})
            break
    blocks += _dicts(message.get(BLOCKS))
    content = message.get("content")
    texts = [content] if isinstance(content, str) else []
    texts += [str(part.get("text") or "") for part in _dicts(content)]
    refusal = message.get("refusal")
    texts += [refusal] if isinstance(refusal, str) else []
    blocks += [{"type": "text", "text": text} for text in texts if text]
    calls = _dicts(message.get("tool_calls"))
    if isinstance(message.get("function_call"), dict):
        calls.append({"function": message["function_call"]})
    for at, call in enumerate(calls):
        asked = call.get("function") or call.get("custom") or {}
        blocks.append(
            {
                "type": "tool_use",
                "id": str(call.get("id") or f"toolu_{at}"),
                "name": str(asked.get("name") or ""),
                "input": arguments_of(asked.get("arguments", asked.get("input"))),
            }
        )
    return blocks


def _dicts(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _object(raw: bytes) -> dict[str, Any]:
    try:
        said, _ = decode(_decoder, raw)
    except UNREADABLE:
        said = None
    if not isinstance(said, dict):
        raise Unreadable("what should be a JSON object is none")
    return said


def _sse(kind: str, said: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: ".encode() + encode({"type": kind, **said}) + b"\n\n"
