"""What Anthropic's clients ask beside messages: how many tokens a request has, and which models
there are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec

from wayside.dialects import encode
from wayside.dialects.anthropic_messages import COUNT_PATH, VERSION, MessagesBody, estimate
from wayside.flow import report
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Record, Reply, Request

PAGE = 20
PAGE_MAX = 1000
"""Models on one page, unless and at most (Anthropic's API reference for ``GET /v1/models``)."""


def counted(body: MessagesBody) -> Reply:
    """Our own estimate of the input's tokens, for models whose servers count none."""
    number = estimate(body.chat)
    record = Record(requested=body.model, tokens=number, path="count_tokens")
    told = (*report.LOCAL, ("x-vsr-protocol-warnings", "info;estimated;input_tokens"))
    return Reply(status=200, body=encode({"input_tokens": number}), report=told, record=record)


def asks_as_anthropic(request: Request) -> bool:
    """Whether a request that both APIs have comes from a client of Anthropic's."""
    return VERSION in request.headers


def listed(listing: Mapping[str, bytes], request: Request, name: str) -> bytes | None:
    """One model as Anthropic's clients expect it, or without a name a page of them; ``None``
    where there is no such model."""
    if name:
        found = listing.get(name)
        return None if found is None else encode(_model(name, found))
    query = parse_qs(request.path.partition("?")[2])
    names = list(listing)
    limit = _limit(query)
    after, before = query.get("after_id", [""])[-1], query.get("before_id", [""])[-1]
    if after:
        names = names[_place(names, after, "after_id") + 1 :]
    elif before:
        names = names[: _place(names, before, "before_id")]
        page = names[-limit:]
        return _page(listing, page, more=len(names) > len(page))
    return _page(listing, names[:limit], more=len(names) > limit)


def _page(listing: Mapping[str, bytes], names: list[str], *, more: bool) -> bytes:
    return encode(
        {
            "data": [_model(name, listing[name]) for name in names],
            "has_more": more,
            "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None,
        }
    )


def _model(name: str, item: bytes) -> dict[str, Any]:
    known = msgspec.json.decode(item)
    created = datetime.fromtimestamp(known.get("created") or 0, UTC)
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": known.get("max_model_len"),
        "max_tokens": None,
    }


def _limit(query: dict[str, list[str]]) -> int:
    said = query.get("limit", [str(PAGE)])[-1]
    if not (said.isascii() and said.isdigit() and len(said) < 6 and 1 <= int(said) <= PAGE_MAX):
        raise RequestError(f"limit is a number from 1 to {PAGE_MAX}.", param="limit")
    return int(said)


def _place(names: list[str], name: str, param: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise RequestError(f"{param} names no model: {name[:256]!r}.", param=param) from None


__all__ = ["COUNT_PATH", "MessagesBody", "asks_as_anthropic", "counted", "listed"]
