"""Models' servers that speak OpenAI's Responses API.

Conversations live here, not there: a server is sent the whole of one and told to keep nothing
(``store: false``), whichever model answered before.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wayside.dialects import Edit, encode
from wayside.dialects.openai_responses import PATH, ResponsesBody
from wayside.dialects.openai_responses_answer import number_of
from wayside.dialects.openai_responses_from_chat import from_chat
from wayside.dialects.openai_responses_items import Item
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
    server knows none of them.
    """
    losses: list[Loss] = []
    given = [*body.history, *body.items]
    items = _known_there(given, losses)
    if body.store is False and model == body.model and body.previous is None and items == given:
        return None, ()
    edit = Edit(body.raw)
    edit.set("model", model)
    edit.set("store", False)
    if body.previous is not None or items != given:
        edit.set("input", items)
        edit.drop("previous_response_id")
    return edit.encode(), tuple(losses)


def _known_there(items: list[Any], losses: list[Loss]) -> list[Any]:
    found: list[Any] = []
    for at, item in enumerate(items):
        number = item.get("id") if isinstance(item, dict) else None
        if not isinstance(number, str) or number_of(number) is None:
            found.append(item)
        elif item.get("type") == "reasoning":
            losses.append(Loss("info", "reasoning_not_sent", f"input[{at}]"))
        else:
            found.append(_without_id(item))
    return found


def _without_id(item: Item) -> Item:
    return {key: value for key, value in item.items() if key != "id"}
