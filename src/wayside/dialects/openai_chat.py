"""OpenAI ``POST /v1/chat/completions``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from wayside.dialects import (
    UNREADABLE,
    Edit,
    OpenAIBody,
    Rewrite,
    answers,
    bad_body,
    check_keys,
    decode,
    encode,
    fields_of,
    rewrite_strings,
)
from wayside.dialects.answers import Canned
from wayside.dialects.whole import told
from wayside.vocab.prompt import NOTHING, Message, Prompt
from wayside.vocab.tokens import estimate_tokens

PATH = "/v1/chat/completions"


class _Part(msgspec.Struct, gc=False):
    type: str = "text"
    text: str | None = None
    refusal: str | None = None
    thinking: Any = None


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
    functions: msgspec.Raw = msgspec.Raw()
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
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw])
_each_keys = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_SYSTEM = frozenset({"system", "developer"})
_ROLES = _SYSTEM | {"user", "assistant", "tool", "function"}
_FIELDS = frozenset({
    "model", "messages", "stream", "stream_options", "tools", "tool_choice", "functions",
    "function_call", "metadata", "n", "max_tokens", "max_completion_tokens", "logprobs",
    "top_logprobs", "response_format", "prediction", "user",
})  # fmt: skip
_OF_TURN = frozenset({
    "role", "content", "name", "tool_calls", "function_call", "refusal", "reasoning_content",
    "reasoning",
})  # fmt: skip
_OF_PART = frozenset({"type", "text", "refusal", "thinking"})


class ChatBody(OpenAIBody):
    """Decodes ``model`` and ``stream`` at once, the conversation only when it is to be read."""

    __slots__ = ("_raw", "_request", "model", "stream")
    judged: tuple[str, ...] = ("model", "messages")
    translates = True

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
            check_keys(_keys.decode(self._raw), _FIELDS)
            inside = "messages"
            turns = _messages.decode(request.messages)
            _check_turns(request.messages)
            inside = "tools"
            tools = _tools.decode(request.tools) if len(request.tools) else None
            inside = "functions"
            older = _tools.decode(request.functions) if len(request.functions) else None
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
            tools=tuple(_tool_name(t) for t in (*(tools or ()), *(older or ()))),
            metadata=_strings(metadata) if metadata else NOTHING,
            headers=headers,
        )

    def edit(self) -> ChatEdit:
        return ChatEdit(self._raw)

    def canned(self, message: str, created: int, number: int) -> bytes:
        usage = self.edit().wants_usage
        return answers.chat(
            Canned(self.model, message, created, number, stream=self.stream, usage=usage)
        )

    def told(self, completion: dict[str, Any]) -> bytes:
        return told(completion, stream=self.stream, usage=self.edit().wants_usage)


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
        """Contents of every role, earlier reasoning and refusals, the strings inside the arguments
        of earlier tool calls, and the answer that the client predicts."""
        turns = _turns.decode(self.fields["messages"])
        changed = False
        for i, raw in enumerate(turns):
            turn = fields_of(raw)
            said = [_rewrite_content(turn, name, rewrite) for name in _SAID]
            if any([*said, _rewrite_calls(turn, rewrite)]):
                turns[i] = msgspec.Raw(encode(turn))
                changed = True
        if changed:
            self.fields["messages"] = msgspec.Raw(encode(turns))
        foretold = _within(
            self.fields, "prediction", lambda said: _rewrite_content(said, "content", rewrite)
        )
        return changed or foretold


Fields = dict[str, msgspec.Raw]


_SAID = ("content", "refusal", "reasoning_content", "reasoning")
_SAID_IN_PART = ("text", "refusal", "thinking")


def _rewrite_content(turn: Fields, name: str, rewrite: Rewrite) -> bool:
    """Rewrite a text, or the texts of its parts."""
    raw = turn.get(name)
    if raw is None or _first(raw) != b"[":
        return rewrite_strings(turn, name, rewrite)
    parts = _turns.decode(raw)
    changed = False
    for i, part in enumerate(parts):
        if _first(part) == b'"':
            fields = {"text": part}
            if rewrite_strings(fields, "text", rewrite):
                parts[i], changed = fields["text"], True
        elif _first(part) == b"{":
            fields = fields_of(part)
            if any([_rewrite_content(fields, key, rewrite) for key in _SAID_IN_PART]):
                parts[i], changed = msgspec.Raw(encode(fields)), True
    if changed:
        turn[name] = msgspec.Raw(encode(parts))
    return changed


def _rewrite_calls(turn: Fields, rewrite: Rewrite) -> bool:
    """The arguments of earlier tool calls: they repeat what the client said."""

    def function(call: Fields) -> bool:
        raw = call.get("arguments")
        if raw is not None and _first(raw) == b"{":  # some servers want them as they are
            text = bytes(raw).decode()
            new = _inside_json(text, rewrite)
            call["arguments"] = msgspec.Raw(new.encode())
            return new != text
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
    # A template writes whatever role it is given, so what plays none that we know is the user's.
    role = turn.role if turn.role in _ROLES else "user"
    calls = len(turn.tool_calls) if turn.tool_calls else int(len(turn.function_call) > 4)
    if isinstance(content, str):
        return Message(role, content, calls)
    texts: list[str] = []
    images = audio = 0
    for part in content or ():
        if isinstance(part, str):
            texts.append(part)
            continue
        said = [text for text in (part.text, part.refusal) if text is not None]
        if part.thinking is not None:
            said += _strings_in(part.thinking)
        if said:
            texts += said
        elif "image" in part.type:
            images += 1
        elif "audio" in part.type:
            audio += 1
    return Message(role, "\n".join(texts), calls, images, audio)


def _strings_in(thinking: Any) -> list[str]:
    """A string, or the texts of its parts."""
    parts = thinking if isinstance(thinking, list) else [thinking]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return [text for text in texts if isinstance(text, str)]


def _check_turns(messages: msgspec.Raw) -> None:
    for i, turn in enumerate(_each_keys.decode(messages)):
        check_keys(turn, _OF_TURN, f"messages[{i}]")
        content = turn.get("content")
        if content is not None and _first(content) == b"[":
            for part in _turns.decode(content):
                if _first(part) == b"{":
                    check_keys(_keys.decode(part), _OF_PART, f"messages[{i}].content")


def _tool_name(tool: _Tool) -> str:
    named = tool.function or tool.custom
    return named.name if named else tool.name or tool.type


def _strings(metadata: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if isinstance(value, str)}
