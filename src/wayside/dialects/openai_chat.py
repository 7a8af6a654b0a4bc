"""OpenAI ``POST /v1/chat/completions``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from wayside.dialects import (
    UNREADABLE,
    Edit,
    Rewrite,
    answers,
    bad_body,
    decode,
    encode,
    fields_of,
    rewrite_strings,
)
from wayside.dialects.answers import Canned
from wayside.vocab.prompt import NOTHING, Message, Prompt
from wayside.vocab.tokens import estimate_tokens

PATH = "/v1/chat/completions"


class _Part(msgspec.Struct, gc=False):
    type: str = "text"
    text: str | None = None


class _Message(msgspec.Struct, gc=False):
    role: str
    content: str | list[_Part | str] | None = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: msgspec.Raw = msgspec.Raw()


class _Function(msgspec.Struct, gc=False):
    name: str = ""


class _Tool(msgspec.Struct, gc=False):
    type: str = "function"
    function: _Function | None = None
    custom: _Function | None = None
    name: str = ""


class _Request(msgspec.Struct, gc=False):
    model: str
    messages: msgspec.Raw = msgspec.Raw()
    stream: bool | None = None
    tools: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()


class _Role(msgspec.Struct, gc=False):
    role: str = ""


_request = msgspec.json.Decoder(_Request)
_messages = msgspec.json.Decoder(list[_Message])
_tools = msgspec.json.Decoder(list[_Tool] | None)
_metadata = msgspec.json.Decoder(dict[str, Any] | None)
_turns = msgspec.json.Decoder(list[msgspec.Raw])
_content = msgspec.json.Decoder(str | list[msgspec.Raw] | None)
_role = msgspec.json.Decoder(_Role)
_SYSTEM = frozenset({"system", "developer"})


class ChatBody:
    """Decodes ``model`` and ``stream`` at once, the conversation only when it is to be read."""

    __slots__ = ("_raw", "_request", "model", "stream")

    def __init__(self, raw: bytes) -> None:
        try:
            request, raw = decode(_request, raw)
        except UNREADABLE as error:
            raise bad_body(error) from None
        self._raw, self._request = raw, request
        self.model, self.stream = request.model, bool(request.stream)

    @property
    def needs_model(self) -> str:
        return ""

    def prompt(self, headers: Mapping[str, str]) -> Prompt:
        request = self._request
        inside = ""
        try:
            if not len(request.messages):
                raise msgspec.ValidationError("Object missing required field `messages`")
            inside = "messages"
            turns = _messages.decode(request.messages)
            inside = "tools"
            tools = _tools.decode(request.tools) if len(request.tools) else None
            inside = "metadata"
            metadata = _metadata.decode(request.metadata) if len(request.metadata) else None
        except UNREADABLE as error:
            raise bad_body(error, inside) from None
        messages = tuple([_message(turn) for turn in turns])
        question = ""
        for message in reversed(messages):
            if message.role == "user":
                question = message.text
                break
        return Prompt(
            model=request.model,
            messages=messages,
            question=question,
            stream=self.stream,
            tokens=estimate_tokens([m.text for m in messages]),
            tools=tuple(_tool_name(t) for t in tools) if tools else (),
            metadata=_strings(metadata) if metadata else NOTHING,
            headers=headers,
        )

    def edit(self) -> ChatEdit:
        return ChatEdit(self._raw)

    def canned(self, message: str, created: int, number: int) -> bytes:
        wanted = self.edit().get("stream_options")
        usage = isinstance(wanted, dict) and wanted.get("include_usage") is True
        return answers.chat(
            Canned(self.model, message, created, number, stream=self.stream, usage=usage)
        )


class ChatEdit(Edit):
    """Edits a chat body; other messages keep their bytes when one is changed."""

    __slots__ = ()

    def instruct(self, text: str, *, replace: bool) -> bool:
        """Set the system prompt: ``replace`` the client's, or put ``text`` before it."""
        turns = _turns.decode(self.fields["messages"])
        at = next((i for i, turn in enumerate(turns) if _role.decode(turn).role in _SYSTEM), None)
        if at is None:
            turns.insert(0, msgspec.Raw(encode({"role": "system", "content": text})))
        else:
            turn = fields_of(turns[at])
            content = text if replace else _before(text, turn.get("content"))
            turn["content"] = msgspec.Raw(encode(content))
            turns[at] = msgspec.Raw(encode(turn))
        self.fields["messages"] = msgspec.Raw(encode(turns))
        return True

    def rewrite_texts(self, rewrite: Rewrite) -> bool:
        """Contents of every role, and the strings inside the arguments of earlier tool calls."""
        turns = _turns.decode(self.fields["messages"])
        changed = False
        for i, raw in enumerate(turns):
            turn = fields_of(raw)
            if any([_rewrite_content(turn, rewrite), _rewrite_calls(turn, rewrite)]):
                turns[i] = msgspec.Raw(encode(turn))
                changed = True
        if changed:
            self.fields["messages"] = msgspec.Raw(encode(turns))
        return changed


Fields = dict[str, msgspec.Raw]


def _rewrite_content(turn: Fields, rewrite: Rewrite) -> bool:
    raw = turn.get("content")
    if raw is None or _first(raw) != b"[":
        return rewrite_strings(turn, "content", rewrite)
    parts = _turns.decode(raw)
    changed = False
    for i, part in enumerate(parts):
        fields = {"text": part} if _first(part) == b'"' else fields_of(part)
        if rewrite_strings(fields, "text", rewrite):
            parts[i] = fields["text"] if _first(part) == b'"' else msgspec.Raw(encode(fields))
            changed = True
    if changed:
        turn["content"] = msgspec.Raw(encode(parts))
    return changed


def _rewrite_calls(turn: Fields, rewrite: Rewrite) -> bool:
    """The arguments of earlier tool calls: they repeat what the client said."""

    def function(call: Fields) -> bool:
        return rewrite_strings(call, "arguments", lambda text: _inside_json(text, rewrite))

    def custom(call: Fields) -> bool:
        return rewrite_strings(call, "input", rewrite)

    changed = _within(turn, "function_call", function)
    raw = turn.get("tool_calls")
    if raw is not None and _first(raw) == b"[":
        calls = _turns.decode(raw)
        for i, call in enumerate(calls):
            if _first(call) != b"{":
                continue
            fields = fields_of(call)
            if any([_within(fields, "function", function), _within(fields, "custom", custom)]):
                calls[i] = msgspec.Raw(encode(fields))
                turn["tool_calls"] = msgspec.Raw(encode(calls))
                changed = True
    return changed


def _within(fields: Fields, name: str, change: Callable[[Fields], bool]) -> bool:
    """Apply ``change`` to the object ``name``, if there is one; whether it changed."""
    raw = fields.get(name)
    if raw is None or _first(raw) != b"{":
        return False
    inner = fields_of(raw)
    if not change(inner):
        return False
    fields[name] = msgspec.Raw(encode(inner))
    return True


# A string that never ends is one match to the end: begun again at each quote, it would be read
# as often as it has quotes.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)


def _first(raw: msgspec.Raw) -> bytes:
    """The byte that says what sort of value it is."""
    return bytes(memoryview(raw)[:1])


def _inside_json(text: str, rewrite: Rewrite) -> str:
    """Rewrite the strings of a JSON text as they read; numbers and spaces stay as written."""
    if text.lstrip()[:1] not in ("{", "["):
        return rewrite(text)

    def one(literal: re.Match[str]) -> str:
        try:
            said = msgspec.json.decode(literal[0], type=str)
        except UNREADABLE:
            return literal[0]
        new = rewrite(said)
        return literal[0] if new == said else encode(new).decode()

    return _STRING.sub(one, text)


def _before(text: str, content: msgspec.Raw | None) -> str | list[Any]:
    said = None if content is None else _content.decode(content)
    if isinstance(said, list):
        return [{"type": "text", "text": text}, *said]
    return f"{text}\n\n{said}" if said else text


def _message(turn: _Message) -> Message:
    content = turn.content
    calls = len(turn.tool_calls) if turn.tool_calls else int(len(turn.function_call) > 4)
    if isinstance(content, str):
        return Message(turn.role, content, calls)
    texts: list[str] = []
    images = audio = 0
    for part in content or ():
        if isinstance(part, str):
            texts.append(part)
        elif part.text is not None:
            texts.append(part.text)
        elif "image" in part.type:
            images += 1
        elif "audio" in part.type:
            audio += 1
    return Message(turn.role, "\n".join(texts), calls, images, audio)


def _tool_name(tool: _Tool) -> str:
    named = tool.function or tool.custom
    return named.name if named else tool.name or tool.type


def _strings(metadata: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if isinstance(value, str)}
