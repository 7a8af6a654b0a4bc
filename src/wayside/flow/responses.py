"""What OpenAI's Responses API has beside its requests: responses that are kept, and asked for.

A response is kept when all of it was told, after every guard, and before the client reads its
end: a client that goes on at once finds it. It belongs to the caller who asked, and for everybody
else it does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from wayside.dialects import encode
from wayside.dialects.openai_responses import PATH, ResponsesBody
from wayside.dialects.openai_responses_answer import PREFIXES, number_of
from wayside.flow import report
from wayside.flow.kept_responses import NOTHING_KEPT, Item, Keeping, Kept, Shelf, too_long
from wayside.vocab.ask import Flow, Now, Unguessable, ask
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import (
    Ended,
    Fallback,
    Forward,
    Outcome,
    Record,
    Reply,
    Request,
    Taken,
    Tap,
)

__all__ = ["NOTHING_KEPT", "Keeping", "create", "lookup"]

Routed = Callable[[], Outcome | Flow[Outcome]]
MAX_PAGE = 100
"""Items of one page, as at OpenAI."""
_NOT_KEPT = ("content_filter",)
"""Why a response was cut short that nobody should go on from."""


def create(
    keeping: Keeping, request: Request, body: ResponsesBody, routed: Routed
) -> Flow[Outcome]:
    """Answer a request: ``routed`` sends it where it goes, as every other request."""
    shelf = keeping.shelf(request.headers, request.caller)
    if keeping.store is None:
        _check_stateless(body)
    history: list[Item] = []
    found: dict[str, Item] = {}
    if body.references:
        found = yield from _referred(shelf, body)
    if body.previous is not None:
        room = keeping.max_bytes - len(request.body)
        for kept in (yield from shelf.conversation(body.previous, room)):
            history += kept.input
            history += kept.response["output"]
    body.remember(history, found)
    number = yield from ask(Unguessable())
    now = yield from ask(Now())
    keep = keeping.store is not None and body.store is not False
    if keep and len(request.body) > keeping.max_bytes:
        raise too_long(f"more than {keeping.max_bytes} bytes")
    body.begin(number, int(now), keep=keep)
    outcome = routed()
    if not isinstance(outcome, Forward | Reply):
        outcome = yield from outcome
    if not keep:
        return outcome
    if isinstance(outcome, Reply):
        kept_now = _to_keep(body)
        if kept_now is not None:
            yield from shelf.put(kept_now)
        return outcome
    return _keeping(outcome, shelf, body)


def _keeping(forward: Forward, shelf: Shelf, body: ResponsesBody) -> Forward:
    """``forward``, and whatever follows when its model does not answer, with a tap that keeps."""
    tap, fallback = forward.tap, forward.fallback
    return msgspec.structs.replace(
        forward,
        tap=None if tap is None else KeepingTap(tap, shelf, body),
        fallback=None if fallback is None else KeepingFallback(fallback, shelf, body),
    )


class KeepingFallback:
    """The models that may answer instead; what they say is kept, too."""

    __slots__ = ("_body", "_fallback", "_shelf", "minds_length")

    def __init__(self, fallback: Fallback, shelf: Shelf, body: ResponsesBody) -> None:
        self._fallback, self._shelf, self._body = fallback, shelf, body
        self.minds_length = fallback.minds_length

    def __call__(self, reason: str) -> Forward | None:
        following = self._fallback(reason)
        return None if following is None else _keeping(following, self._shelf, self._body)


class KeepingTap:
    """Keeps a response just before its end goes to the client."""

    __slots__ = ("_body", "_kept", "_shelf", "_tap")

    def __init__(self, tap: Tap, shelf: Shelf, body: ResponsesBody) -> None:
        self._tap, self._shelf, self._body = tap, shelf, body
        self._kept = False

    @property
    def warnings(self) -> dict[str, None]:
        return self._tap.warnings

    @property
    def reason(self) -> str:
        return self._tap.reason

    @property
    def detail(self) -> str:
        return self._tap.detail

    @property
    def content_type(self) -> str:
        return self._tap.content_type

    def begin(self, status: int, content_type: str) -> Taken:
        return self._tap.begin(status, content_type)

    def feed(self, chunk: bytes) -> Flow[bytes]:
        said = yield from self._tap.feed(chunk)
        yield from self._keep()
        return said

    def finish(self) -> Flow[Ended]:
        ended = yield from self._tap.finish()
        yield from self._keep()
        return ended

    def settle(self) -> Flow[None] | None:
        return self._tap.settle()

    def _keep(self) -> Flow[None]:
        if self._kept or self._tap.reason:
            return
        kept = _to_keep(self._body)
        if kept is not None:
            self._kept = True
            yield from self._shelf.put(kept)


def _to_keep(body: ResponsesBody) -> Kept | None:
    """The response with its request, once it was told, and if it can be gone on from."""
    said = body.response
    if said is None or said["status"] not in ("completed", "incomplete"):
        return None
    if (said["incomplete_details"] or {}).get("reason") in _NOT_KEPT:
        return None
    items = [_with_id(item, body.head.item_id, at) for at, item in enumerate(body.items)]
    return Kept(said, items, body.previous)


def _with_id(item: Item, id_of: Callable[..., str], at: int) -> Item:
    """An item as it is listed: with its type and an id, contents as parts."""
    kind = item.get("type") or "message"
    whole = {"type": kind, **item}
    if not isinstance(item.get("id"), str):
        whole["id"] = id_of(kind if kind in PREFIXES else "item", at, given=True)
    if kind == "message":
        whole.setdefault("status", "completed")
        if isinstance(item.get("content"), str):
            part = "output_text" if item.get("role") == "assistant" else "input_text"
            whole["content"] = [{"type": part, "text": item["content"]}]
    return whole


def _referred(shelf: Shelf, body: ResponsesBody) -> Flow[dict[str, Item]]:
    """The items that a request refers to, from the responses they belong to."""
    owners = {f"resp_{number}" for id in body.references if (number := number_of(id))}
    if len(owners) > shelf.keeping.max_turns:
        raise too_long(f"items of more than {shelf.keeping.max_turns} responses")
    items: dict[str, Item] = {}
    for owner in sorted(owners):
        kept: Kept | None = yield from shelf.get(owner)
        if kept is not None:
            items.update((item["id"], item) for item in [*kept.input, *kept.response["output"]])
    return {id: items[id] for id in body.references if id in items}


def _check_stateless(body: ResponsesBody) -> None:
    why = "this router keeps no responses (responses.enabled)"
    if body.store:
        raise _unsupported("store", why)
    if body.previous is not None:
        raise _unsupported("previous_response_id", why)
    if body.references:
        raise _unsupported("input", f"it refers to stored items, and {why}")


# What was kept, asked for


def lookup(keeping: Keeping, request: Request, path: str) -> Flow[Outcome]:
    """``GET`` and ``DELETE /v1/responses/{id}``, and ``GET`` of its ``input_items``."""
    id, _, rest = path.removeprefix(f"{PATH}/").partition("/")
    id = unquote(id)
    query = parse_qs(request.path.partition("?")[2])
    shelf = keeping.shelf(request.headers, request.caller)
    if rest == "" and request.method == "DELETE":
        if not (yield from shelf.delete(id)):
            raise _not_found(id)
        return _local({"id": id, "object": "response", "deleted": True})
    if rest == "cancel" and request.method == "POST":
        raise RequestError(
            "Only responses made in the background can be cancelled, and this router makes none.",
            code="unsupported_endpoint",
        )
    ours = number_of(id) is not None
    if rest not in ("", "input_items") or (not ours and request.method == "POST"):
        raise _unknown(request, path)  # /v1/responses/compact, say
    if not ours:
        raise _not_found(id)
    if request.method not in ("GET", "HEAD"):
        wanted = "GET, HEAD" if rest else "GET, HEAD, DELETE"
        raise RequestError(
            f"{path[:256]} takes {wanted}, not {request.method[:16]}.",
            status=405,
            code="method_not_allowed",
            headers=(("allow", wanted),),
        )
    if query.get("stream", ["false"])[-1] == "true":
        raise _unsupported("stream", "a response that was kept is told whole")
    kept: Kept | None = yield from shelf.get(id)
    if kept is None:
        raise _not_found(id)
    if not rest:
        return _local(kept.response)
    items: list[Item] = []
    if kept.previous is not None:
        for earlier in (yield from shelf.conversation(kept.previous, keeping.max_bytes)):
            items += earlier.input
            items += earlier.response["output"]
    return _local(_page([*items, *kept.input], query))


def _page(items: list[Item], query: Mapping[str, list[str]]) -> dict[str, Any]:
    """One page of items, the newest first unless ``order`` says otherwise."""
    order = query.get("order", ["desc"])[-1]
    if order not in ("asc", "desc"):
        raise _invalid("order", "'asc' or 'desc' is expected")
    said = query.get("limit", ["20"])[-1]
    limit = int(said) if said.isascii() and said.isdigit() and len(said) < 5 else 0
    if not 1 <= limit <= MAX_PAGE:
        raise _invalid("limit", f"a whole number from 1 to {MAX_PAGE} is expected")
    if order == "desc":
        items = items[::-1]
    after = query.get("after", [""])[-1]
    if after:
        ids = [item["id"] for item in items]
        if after not in ids:
            raise _invalid("after", "this response has no such item")
        items = items[ids.index(after) + 1 :]
    page = items[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > limit,
    }


def _local(said: dict[str, Any]) -> Reply:
    return Reply(
        status=200, body=encode(said), report=report.LOCAL, record=Record(path="responses")
    )


def _invalid(param: str, why: str) -> RequestError:
    return RequestError(f"Invalid value for '{param}': {why}.", param=param, code="invalid_value")


def _unsupported(param: str, why: str) -> RequestError:
    return RequestError(
        f"'{param}' is not supported here: {why}.", param=param, code="unsupported_parameter"
    )


def _not_found(id: str) -> RequestError:
    return RequestError(
        f"Response with id '{id[:256]}' not found.", status=404, param="id", code="not_found"
    )


def _unknown(request: Request, path: str) -> RequestError:
    return RequestError(
        f"Unknown request URL: {request.method[:16]} {path[:256]}.",
        status=404,
        code="unknown_url",
    )
