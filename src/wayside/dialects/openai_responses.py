"""OpenAI ``POST /v1/responses``: read as the chat that it asks for, answered in its own events.

Stored conversations are put before the request with :meth:`ResponsesBody.remember`; where they
come from is not known here (:mod:`wayside.flow.responses`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from wayside.dialects import (
    UNREADABLE,
    ClientProtocol,
    Edit,
    OpenAIBody,
    bad_body,
    decode,
    encode,
    fields_of,
)
from wayside.dialects.openai_chat import ChatBody, ChatEdit
from wayside.dialects.openai_responses_answer import Head
from wayside.dialects.openai_responses_items import Item
from wayside.dialects.openai_responses_request import Translated, items_of, translated
from wayside.dialects.openai_responses_stream import ResponseStage
from wayside.dialects.stage import Loss
from wayside.dialects.whole import told
from wayside.vocab.errors import RequestError
from wayside.vocab.prompt import Prompt

PATH = "/v1/responses"


class _Request(msgspec.Struct, gc=False):
    model: str
    stream: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None


_request = msgspec.json.Decoder(_Request)


class ResponsesBody(OpenAIBody):
    """Decodes the few fields that say where to go at once; the rest when it is to be read.

    ``store`` is what the client says, ``None`` where it says nothing. ``items`` are its own
    items, and ``previous`` names the response that they follow.
    """

    __slots__ = (
        "_chat",
        "_fields",
        "_history",
        "_raw",
        "_stages",
        "head",
        "items",
        "keep",
        "model",
        "previous",
        "store",
        "stream",
    )
    protocol: ClientProtocol = "responses"
    judged: tuple[str, ...] = ("model", "input", "instructions")
    translates = True

    def __init__(self, raw: bytes) -> None:
        try:
            request, raw = decode(_request, raw)
        except UNREADABLE as error:
            raise bad_body(error) from None
        self._raw = raw
        self._fields = fields_of(raw)
        self.model, self.stream = request.model, bool(request.stream)
        self.store, self.previous = request.store, request.previous_response_id
        self.keep = False
        self.items: list[Any] = items_of(self._fields)
        self.head = Head("0" * 32, 0, self.model)
        self._history: Sequence[Item] = ()
        self._chat: Translated | None = None
        self._stages: list[ResponseStage] = []

    @property
    def needs_model(self) -> str:
        return ""

    @property
    def raw(self) -> bytes:
        return self._raw

    @property
    def history(self) -> Sequence[Item]:
        """The items of the conversation that the request goes on from."""
        return self._history

    def says(self, name: str) -> bool:
        """Whether the request has a field of that name with something in it."""
        raw = self._fields.get(name)
        return raw is not None and bytes(raw) != b"null"

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What has no effect where its answer is told as a chat's on the way."""
        return self._translated().losses

    @property
    def references(self) -> tuple[str, ...]:
        """The ids of items that the request names and does not hold."""
        return tuple(
            item["id"]
            for item in self.items
            if isinstance(item, dict) and _refers(item) and isinstance(item.get("id"), str)
        )

    def remember(self, history: Sequence[Item], found: Mapping[str, Item]) -> None:
        """Put ``history`` before the request; ``found`` are the items it refers to, by id."""
        self._history = history
        self.items = [
            found.get(item["id"], item)
            if isinstance(item, dict) and _refers(item) and isinstance(item.get("id"), str)
            else item
            for item in self.items
        ]

    def begin(self, number: str, created: int, *, keep: bool) -> None:
        """Give the response its number and time (Unix seconds); ``keep``: it will be stored."""
        self.keep = keep
        self.head = Head(number, created, self.model, self._translated().echo)

    @property
    def response(self) -> dict[str, Any] | None:
        """What the client was told, once it was told all of it."""
        return next((s.response for s in self._stages if s.response is not None), None)

    def _translated(self) -> Translated:
        if self._chat is None:
            self._chat = translated(self._fields, self.items, self._history, keep=self.keep)
        return self._chat

    def prompt(self, headers: Mapping[str, str]) -> Prompt:
        """As the chat's, with the metadata, which no model is told."""
        chat = self._translated().chat
        told = self._fields.get("metadata")
        if told is not None:
            chat = {**chat, "metadata": told}
        return ChatBody(encode(chat)).prompt(headers)

    def edit(self) -> ChatEdit:
        return ChatEdit(encode(self._translated().chat))

    def renamed(self, model: str) -> bytes:
        edit = self.edit()
        edit.set("model", model)
        return edit.encode()

    def plain(self, edit: Edit) -> tuple[bytes, tuple[Loss, ...]]:
        return edit.encode(), self.losses

    def client_stage(self) -> ResponseStage:
        stage = ResponseStage(self.head)
        self._stages.append(stage)
        return stage

    def canned(self, message: str, created: int, number: int) -> bytes | None:
        chat = {"model": self.model, "messages": []}
        said = ChatBody(encode(chat)).canned(message, created, number)
        return self.told(msgspec.json.decode(said))

    def told(self, completion: dict[str, Any]) -> bytes:
        stage = self.client_stage()
        if not self.stream:
            return stage.whole(200, encode(completion))
        chat = told(completion, stream=True, usage=True)
        return stage.feed(chat) + stage.finish()

    @staticmethod
    def broken(error: RequestError, request_id: str) -> bytes:
        """As the API's own event, with the ``error`` that its clients raise."""
        detail = {
            "message": str(error),
            "type": error.kind,
            "param": error.param,
            "code": error.code,
        }
        said = {
            "type": "error",
            "code": error.code,
            "message": str(error),
            "param": error.param,
            "error": detail,
        }
        return b"event: error\ndata: " + encode(said) + b"\n\n"


def _refers(item: dict[str, Any]) -> bool:
    """OpenAI's own SDK leaves the type of a reference out."""
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "id" in item and "role" not in item)
