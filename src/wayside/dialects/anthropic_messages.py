"""Anthropic ``POST /v1/messages``: as clients ask it, and as models' servers answer it.

A body is read as the chat that it asks for, so that signals, plugins and the cache know one shape
only; where the model's servers speak the same API and nothing was changed, its own bytes go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wayside.dialects import (
    UNREADABLE,
    ClientProtocol,
    Edit,
    anthropic_errors,
    bad_body,
    decode,
    encode,
)
from wayside.dialects.answers import Canned, chat
from wayside.dialects.anthropic_from_chat import from_chat
from wayside.dialects.anthropic_reader import Reader
from wayside.dialects.anthropic_request import plain, to_chat
from wayside.dialects.anthropic_writer import Writer
from wayside.dialects.openai_chat import ChatBody, ChatEdit
from wayside.dialects.stage import Loss
from wayside.dialects.whole import told
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import HeaderPairs
from wayside.vocab.prompt import Prompt
from wayside.vocab.tokens import estimate_tokens

PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
VERSION = "anthropic-version"


class _Request(msgspec.Struct, gc=False):
    model: str
    stream: bool | None = None


_request = msgspec.json.Decoder(_Request)
_decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


class MessagesBody:
    """Decodes ``model`` and ``stream`` at once, the rest only when it is to be read."""

    __slots__ = ("_chat", "_raw", "model", "request_id", "stream")
    protocol: ClientProtocol = "anthropic"
    judged: tuple[str, ...] = ("model", "messages", "system")
    translates = True

    def __init__(self, raw: bytes) -> None:
        try:
            request, raw = decode(_request, raw)
        except UNREADABLE as error:
            raise bad_body(error) from None
        self._raw = raw
        self.model, self.stream = request.model, bool(request.stream)
        self.request_id = ""
        """Told in errors."""
        self._chat: dict[str, Any] | None = None

    @property
    def needs_model(self) -> str:
        return ""

    @property
    def chat(self) -> dict[str, Any]:
        """The rich chat (:mod:`wayside.dialects.anthropic_request`)."""
        if self._chat is None:
            try:
                self._chat = to_chat(_decoder.decode(self._raw))
            except UNREADABLE as error:
                raise bad_body(error) from None
        return self._chat

    def prompt(self, headers: Mapping[str, str]) -> Prompt:
        return ChatBody(encode(self.chat)).prompt(headers)

    def edit(self) -> ChatEdit:
        return ChatEdit(encode(self.chat))

    def renamed(self, model: str) -> bytes:
        edit = Edit(self._raw)
        edit.set("model", model)
        return edit.encode()

    def plain(self, edit: Edit) -> tuple[bytes, tuple[Loss, ...]]:
        found, losses = plain(_decoder.decode(edit.encode()))
        return encode(found), losses

    def client_stage(self) -> Writer:
        tokens = estimate(self.chat) if self.stream else 0
        return Writer(self.model, tokens, self.request_id)

    def canned(self, message: str, created: int, number: int) -> bytes:
        said = chat(Canned(self.model, message, created, number))
        return self.told(_decoder.decode(said))

    def told(self, completion: dict[str, Any]) -> bytes:
        stage = Writer(self.model)
        if not self.stream:
            return stage.whole(200, encode(completion))
        return stage.feed(told(completion, stream=True, usage=True)) + stage.finish()

    @staticmethod
    def error(error: RequestError, request_id: str) -> bytes:
        return anthropic_errors.of_request(error, request_id)

    @staticmethod
    def broken(error: RequestError, request_id: str) -> bytes:
        kind = anthropic_errors.error_type(error.status)
        return anthropic_errors.event(kind, str(error), request_id)


class MessagesServer:
    """Models' servers that speak this API."""

    path = PATH
    headers: HeaderPairs = ((VERSION, "2023-06-01"),)
    """The version that every server of this API has known from its beginning."""
    plain = False

    def request(self, edit: Edit) -> tuple[bytes, tuple[Loss, ...]]:
        said, losses = from_chat(_decoder.decode(edit.encode()))
        return encode(said), losses

    def stage(self, *, usage: bool, native: bool = False) -> Reader:
        return Reader(usage=usage, native=native)


def check_key(headers: Mapping[str, str]) -> None:
    """Refuse a request with two different keys: nobody could say whose it is. SDKs of this API
    send theirs in ``x-api-key`` or, lately, as a bearer. Raises :class:`RequestError`."""
    key, bearer = headers.get("x-api-key"), headers.get("authorization")
    if key is None or bearer is None:
        return
    scheme, _, token = bearer.strip().partition(" ")
    if scheme.lower() != "bearer" or token.strip() != key.strip():
        raise RequestError(
            "x-api-key and Authorization say different keys; send one of them.",
            status=401,
            kind="authentication_error",
            code="invalid_api_key",
        )


def estimate(said: dict[str, Any]) -> int:
    """How many tokens the input of a rich chat may have (:mod:`wayside.vocab.tokens`): its texts,
    the arguments of calls and the definitions of tools, 4 for every turn, and for each picture
    and each document a page's worth."""
    texts: list[str] = []
    total = 0
    for turn in said.get("messages") or ():
        total += _TURN
        content = turn.get("content")
        parts = content if isinstance(content, list) else [{"text": content}] if content else []
        for part in parts:
            texts += [part[key] for key in ("text", "thinking") if isinstance(part.get(key), str)]
            total += _PICTURE * (part.get("type") in ("image_url", "file"))
        for call in turn.get("tool_calls") or ():
            texts += [call["function"]["name"], call["function"]["arguments"]]
    texts += [encode(tool).decode() for tool in said.get("tools") or ()]
    return total + estimate_tokens(texts)


_TURN = 4
_PICTURE = 1600
"""A picture of about a megapixel costs width * height / 750 tokens (Anthropic's page on vision);
a page of a PDF 1500 to 3000 and its picture."""
