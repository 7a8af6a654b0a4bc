"""A whole completion: made from what was sent, and sent again as a client wants it.

A stream is put together into the completion that it tells, so that what is kept of an answer is
the same however it came, and can be told either way. Source: the OpenAI API reference for chat
completions and completions, streamed and not.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wayside.dialects import UNREADABLE, decode, encode
from wayside.dialects.answers import DONE, STREAM, event

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning", "text")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the client was sent, for those who keep it.

    ``complete``: it ended as its protocol says it ends, nothing is missing and no guard stopped
    it. ``body`` are its bytes in the shape of OpenAI's API, cut off where it was too long to hold
    (then it is not ``complete``); ``status`` is 0 where no answer came. ``warnings`` are what the
    client was warned of. ``path`` says who answered in a model's place, if anybody did (``cache``,
    ``fast_response``, or ``fallback``: the ``model`` named here).
    """

    status: int = 0
    content_type: str = ""
    body: bytes = b""
    complete: bool = False
    warnings: tuple[str, ...] = ()
    path: str = ""
    model: str = ""
    _read: list[dict[str, Any] | None] = msgspec.field(default_factory=list)

    def completion(self) -> dict[str, Any] | None:
        """The whole completion, or ``None`` where there is none to be read; put together once,
        for all who ask, so that nobody changes it."""
        if not self._read:
            self._read.append(self._completion())
        return self._read[0]

    def _completion(self) -> dict[str, Any] | None:
        if not self.complete or self.status != 200:
            return None
        if self.content_type.partition(";")[0].strip().lower() == STREAM:
            return assembled(self.body)
        try:
            said, _ = decode(_decoder, self.body)
        except UNREADABLE:
            return None
        return said if shaped(said) else None


def shaped(said: Any) -> bool:
    """Whether it is built as a completion is: so that nobody who keeps one, or tells it again,
    meets a list where the API has an object."""
    choices = said.get("choices") if isinstance(said, dict) else None
    return isinstance(choices, list) and bool(choices) and all(map(_shaped, choices))


def _shaped(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return False
    turn = choice.get("message")
    if turn is None:
        return isinstance(choice.get("text"), str)
    calls = turn.get("tool_calls") if isinstance(turn, dict) else ()
    return calls is None or (
        isinstance(calls, list) and all([isinstance(call, dict) for call in calls])
    )


def assembled(stream: bytes) -> dict[str, Any] | None:
    """The completion that a stream of events tells; ``None`` unless it ends with ``[DONE]`` and
    every choice says why it ended."""
    whole: dict[str, Any] | None = None
    choices: dict[int, dict[str, Any]] = {}
    texts: _Texts = []
    done = False
    for block in stream.replace(b"\r\n", b"\n").split(b"\n\n"):
        data = b"\n".join(
            line[5:].removeprefix(b" ") for line in block.split(b"\n") if line[:5] == b"data:"
        )
        if not data:
            continue
        if data.strip() == b"[DONE]":
            done = True
            break
        try:
            said, _ = decode(_decoder, data)
        except UNREADABLE:
            return None
        if not isinstance(said, dict) or "error" in said:
            return None
        if whole is None:
            whole = {key: value for key, value in said.items() if key not in ("choices", "usage")}
        if isinstance(said.get("usage"), dict):
            whole["usage"] = said["usage"]
        listed = said.get("choices") or ()
        if not isinstance(listed, list | tuple):
            return None
        for choice in listed:
            index = choice.get("index", 0) if isinstance(choice, dict) else None
            if not isinstance(index, int):
                return None
            _add(choices.setdefault(index, {}), choice, texts)
    if whole is None or not done or not choices:
        return None
    if not all(choice.get("finish_reason") for choice in choices.values()):
        return None
    whole["object"] = str(whole.get("object", "chat.completion")).removesuffix(".chunk")
    for holder, key in texts:
        if isinstance(holder[key], _Pieces):
            holder[key] = "".join(holder[key])
    whole["choices"] = [choices[index] for index in sorted(choices)]
    return whole if shaped(whole) else None


class _Pieces(list[str]):
    """A text that is still being put together; it would take the square of its length to add to
    it piece by piece."""


_Texts = list[tuple[dict[str, Any], str]]
"""Where the pieces are: holders and keys."""


def _go_on(held: dict[str, Any], key: str, piece: str, texts: _Texts) -> None:
    """Add to the text at ``key``, which anything else makes way for."""
    before = held.get(key)
    if isinstance(before, _Pieces):
        before.append(piece)
    else:
        held[key] = _Pieces([before, piece] if isinstance(before, str) else [piece])
        texts.append((held, key))


def _add(whole: dict[str, Any], piece: dict[str, Any], texts: _Texts) -> None:
    """Add one event's piece of a choice to what came before."""
    whole["index"] = piece.get("index", 0)
    if piece.get("finish_reason"):
        whole["finish_reason"] = piece["finish_reason"]
    if isinstance(piece.get("text"), str):
        _go_on(whole, "text", piece["text"], texts)
    logprobs = piece.get("logprobs")
    if isinstance(logprobs, dict):
        held = whole.setdefault("logprobs", {})
        for key, value in logprobs.items():
            if isinstance(value, list):
                held.setdefault(key, []).extend(value)
    delta = piece.get("delta")
    if not isinstance(delta, dict):
        return
    turn = whole.setdefault("message", {"role": "assistant", "content": None})
    for key, value in delta.items():
        if key == "tool_calls":
            for call in value if isinstance(value, list) else ():
                if isinstance(call, dict):
                    _add_call(turn.setdefault("tool_calls", []), call, texts)
        elif isinstance(value, str) and key in _TEXTS:
            _go_on(turn, key, value, texts)
        elif key == "function_call" and isinstance(value, dict):
            _add_strings(turn, "function_call", value, texts)
        elif value is not None:
            turn[key] = value


def _add_call(calls: list[dict[str, Any]], piece: dict[str, Any], texts: _Texts) -> None:
    at = piece.get("index", len(calls))
    if not isinstance(at, int) or not 0 <= at <= len(calls):
        at = len(calls)
    if at == len(calls):
        calls.append({})
    call = calls[at]
    for key, value in piece.items():
        if key == "index":
            continue
        if isinstance(value, dict):
            _add_strings(call, key, value, texts)
        elif value is not None:
            call[key] = value


def _add_strings(holder: dict[str, Any], name: str, piece: dict[str, Any], texts: _Texts) -> None:
    """Add an object whose strings come in pieces, but for the name."""
    held = holder.get(name)
    if not isinstance(held, dict):
        held = holder[name] = {}
    for key, value in piece.items():
        if isinstance(value, str) and key != "name":
            _go_on(held, key, value, texts)
        elif value is not None:
            held[key] = value


_EACH = ("id", "object", "created", "model", "system_fingerprint", "service_tier")


def told(completion: dict[str, Any], *, stream: bool, usage: bool) -> bytes:
    """The completion as bytes, or as a stream of events: for every choice its words in one piece,
    then why it ended; with ``usage`` an event of usage before the end. What is not part of every
    event in OpenAI's API goes with the first."""
    if not stream:
        return encode(completion)
    each = {k: v for k, v in completion.items() if k in _EACH}
    more = {k: v for k, v in completion.items() if k not in (*_EACH, "choices", "usage")}
    chat = "text_completion" not in str(each.get("object"))
    if chat:
        each["object"] = "chat.completion.chunk"
    sent: list[bytes] = []
    for choice in completion.get("choices") or ():
        index, reason = choice.get("index", 0), choice.get("finish_reason")
        if not chat:
            sent.append(event({**each, **more, "choices": [choice]}))
            more = {}
            continue
        delta = dict(choice.get("message") or {})
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            delta["tool_calls"] = [{"index": i, **call} for i, call in enumerate(calls)]
        first = {"index": index, "delta": delta, "finish_reason": None}
        if choice.get("logprobs") is not None:
            first["logprobs"] = choice["logprobs"]
        last = {"index": index, "delta": {}, "finish_reason": reason}
        sent += [event({**each, **more, "choices": [first]}), event({**each, "choices": [last]})]
        more = {}
    if usage and isinstance(completion.get("usage"), dict):
        sent.append(event({**each, "choices": [], "usage": completion["usage"]}))
    return b"".join([*sent, DONE])
