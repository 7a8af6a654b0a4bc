"""Chat requests made out of a client's own, and what can be read in the answers to them.

For algorithms that ask several models. What an answer says is a text by a stranger: it is quoted,
cut and parsed here, never trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from wayside.vocab.tokens import estimate_tokens

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_turns = msgspec.json.Decoder(list[msgspec.Raw])
_any: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

STREAMING = ("stream", "stream_options")
TOOLS = ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call")
FORM = ("n", "logprobs", "top_logprobs", "response_format", "prediction", "logit_bias", "stop")
"""What says how an answer is to look: for the last call, whose answer the client gets, not for
those before it."""
LIMITS = ("max_tokens", "max_completion_tokens")
MAX_JSON = 64 << 10
"""Characters of an answer in which a JSON object is looked for."""
_OPENINGS = 8


class Chat:
    """A chat request; every change gives another one. What is not changed keeps its bytes."""

    __slots__ = ("fields",)

    def __init__(self, fields: dict[str, msgspec.Raw]) -> None:
        self.fields = fields

    @classmethod
    def read(cls, body: bytes) -> Chat:
        """``body`` without its streaming: what is asked from inside a flow comes whole."""
        return cls(_fields.decode(body)).without(*STREAMING)

    def get(self, name: str) -> Any:
        raw = self.fields.get(name)
        return None if raw is None else _any.decode(raw)

    def without(self, *names: str) -> Chat:
        return Chat({name: raw for name, raw in self.fields.items() if name not in names})

    def having(self, values: Mapping[str, Any]) -> Chat:
        """With these fields; ``None`` leaves a field as it is."""
        new = {k: msgspec.Raw(_encode(v)) for k, v in values.items() if v is not None}
        return Chat({**self.fields, **new})

    def plain(self) -> Chat:
        """Without tools and without wishes for the answer's form: for calls whose answers are
        read by other models."""
        return self.without(*TOOLS, *FORM)

    def limited(self, tokens: int | None) -> Chat:
        """With an answer of at most ``tokens``, told as the client tells it."""
        if tokens is None:
            return self
        name = "max_tokens" if "max_tokens" in self.fields else "max_completion_tokens"
        return self.without(*LIMITS).having({name: tokens})

    def saying(self, turns: Iterable[tuple[str, str]]) -> Chat:
        """With these turns (role and text) instead of its own."""
        said = [{"role": role, "content": text} for role, text in turns]
        return Chat({**self.fields, "messages": msgspec.Raw(_encode(said))})

    def under(self, instructions: str) -> Chat:
        """With a system prompt: before what its own says, for many models take only one."""
        turns = _turns.decode(self.fields["messages"])
        first = _any.decode(turns[0]) if turns else None
        if isinstance(first, dict) and first.get("role") in ("system", "developer"):
            said = first.get("content")
            if isinstance(said, list):
                first["content"] = [{"type": "text", "text": instructions}, *said]
            else:
                first["content"] = f"{instructions}\n\n{said}" if said else instructions
            turns[0] = msgspec.Raw(_encode(first))
        else:
            turns.insert(0, msgspec.Raw(_encode({"role": "system", "content": instructions})))
        return Chat({**self.fields, "messages": msgspec.Raw(_encode(turns))})

    def question(self) -> str:
        """What the user said last, as it stands in the request: masked where plugins masked."""
        for raw in reversed(_turns.decode(self.fields["messages"])):
            turn = _any.decode(raw)
            if isinstance(turn, dict) and turn.get("role") == "user":
                return _text(turn.get("content"))
        return ""

    def said(self) -> str:
        """The words of all turns, whoever spoke."""
        turns = [_any.decode(raw) for raw in _turns.decode(self.fields["messages"])]
        texts = [_text(turn.get("content")) for turn in turns if isinstance(turn, dict)]
        return "\n\n".join([text for text in texts if text])

    def encode(self) -> bytes:
        return _encode(self.fields)


def completion_of(body: bytes) -> dict[str, Any] | None:
    """The completion that an answer is; ``None`` where it has no choice that can be read."""
    try:
        said = _any.decode(body)
    except _UNREADABLE:
        return None
    if not isinstance(said, dict):
        return None
    choices = said.get("choices")
    if not isinstance(choices, list) or not choices:
        return None
    if not all(isinstance(c, dict) and isinstance(c.get("message"), dict) for c in choices):
        return None
    return said


def text_of(completion: Mapping[str, Any]) -> str:
    """The words of its first choice."""
    return _text(completion["choices"][0]["message"].get("content"))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "\n".join([text for text in texts if isinstance(text, str)])


def reasoning_of(completion: Mapping[str, Any]) -> str:
    """The thoughts of its first choice, as vLLM (``reasoning_content``, ``reasoning``) tells
    them."""
    message = completion["choices"][0]["message"]
    said = message.get("reasoning_content") or message.get("reasoning")
    return said if isinstance(said, str) else ""


def object_in(text: str) -> dict[str, Any] | None:
    """The first JSON object in what a model wrote, whatever stands around it."""
    text = text[:MAX_JSON]
    at = text.find("{")
    for _ in range(_OPENINGS):
        if at < 0:
            return None
        end = _closing(text, at)
        if end:
            try:
                said = _any.decode(text[at:end])
            except (*_UNREADABLE, UnicodeEncodeError):
                said = None
            if isinstance(said, dict):
                return said
        at = text.find("{", at + 1)
    return None


def _closing(text: str, start: int) -> int:
    """Behind the brace that closes the one at ``start``; 0 where none does."""
    depth, quoted, skip = 0, False, False
    for i in range(start, len(text)):
        char = text[i]
        if skip:
            skip = False
        elif quoted:
            if char == "\\":
                skip = True
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return i + 1
    return 0


def texts_in(value: Any, *, most: int, longest: int) -> list[str]:
    """The strings of a list that a model wrote, at most so many and cut at so many characters."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return []
    return [item[:longest] for item in value if isinstance(item, str) and item.strip()][:most]


def last_tokens(text: str, tokens: int) -> str:
    """About the last ``tokens`` tokens of a text, from the start of a word on."""
    whole = estimate_tokens([text])
    if whole <= tokens:
        return text
    cut = text[-max(1, len(text) * tokens // whole) :]
    _, space, rest = cut.partition(" ")
    return "... " + (rest if space and rest else cut)


def quoted(texts: Iterable[str], name: str = "answer") -> str:
    """Texts by strangers, each between marks that it cannot close."""
    blocks = []
    for i, text in enumerate(texts, start=1):
        inside = text.replace(f"</{name}", f"<\\/{name}")
        blocks.append(f'<{name} number="{i}">\n{inside}\n</{name}>')
    return "\n\n".join(blocks)
