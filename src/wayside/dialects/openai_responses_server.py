"""Models' servers that speak OpenAI's Responses API.

Conversations live here, not there: a server is sent the whole of one and told to keep nothing
(``store: false``), whichever model answered before.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wayside.dialects import Edit, check_once, encode
from wayside.dialects.openai_responses import PATH, ResponsesBody
from wayside.dialects.openai_responses_answer import number_of
from wayside.dialects.openai_responses_from_chat import from_chat
from wayside.dialects.openai_responses_items import Item, unsupported
from wayside.dialects.openai_responses_reader import Reader
from wayside.dialects.stage import Loss
from wayside.vocab.outcome import HeaderPairs

_decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


class ResponsesServer:
    """Models' servers that speak this API."""

    path = PATH
    headers: HeaderPairs = ()
    plain = True

    def request(self, chat: Edit) -> tuple[bytes, tuple[Loss, ...]]:
        said, losses = from_chat(_decoder.decode(chat.encode()))
        return encode(said), losses

    def stage(self, *, usage: bool, native: bool = False) -> Reader:
        return Reader(usage=usage)


def native(body: ResponsesBody, model: str) -> tuple[bytes | None, tuple[Loss, ...]]:
    """A client's own request as these servers take it, and what was lost; ``None`` where its
    bytes can go as they came.

    What it refers to is put into its ``input``, and ids of ours are taken out of items: the
    server knows none of them. Of earlier reasoning only what is encrypted goes along: its plain
    text is no part of the chat that guards read. Raises :class:`RequestError`.
    """
    for name in _HISTORIES:
        if body.says(name):
            raise unsupported(name, "send the conversation as input")
    losses: list[Loss] = []
    given = [*body.history, *body.items]
    items = _known_there(given, losses)
    if body.store is False and model == body.model and body.previous is None and items == given:
        check_once(body.raw, _ONCE)
        return None, ()
    edit = Edit(body.raw)
    edit.set("model", model)
    edit.set("store", False)
    if body.previous is not None or items != given:
        edit.set("input", items)
        edit.drop("previous_response_id")
    return edit.encode(), tuple(losses)


_ONCE = ("model", "input", "instructions", "previous_response_id", "conversation", "store")
"""What must not stand twice in bytes that go as they came."""
_HISTORIES = ("previous_input_messages", "previous_response_messages")
"""Fields of vLLM's that say what was said before, in a shape that is read nowhere here."""


def _known_there(items: list[Any], losses: list[Loss]) -> list[Any]:
    found: list[Any] = []
    for at, item in enumerate(items):
        number = item.get("id")
        ours = isinstance(number, str) and number_of(number) is not None
        if item.get("type") == "reasoning":
            if ours or not isinstance(item.get("encrypted_content"), str):
                losses.append(Loss("info", "reasoning_not_sent", f"input[{at}]"))
            else:
                sealed = {key: value for key, value in item.items() if key != "content"}
                found.append({**sealed, "summary": []})
        else:
            found.append(_without_id(item) if ours else item)
    return found


def _without_id(item: Item) -> Item:
    return {key: value for key, value in item.items() if key != "id"}
