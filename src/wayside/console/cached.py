"""The response cache: its stores, what they keep, and letting some of that go."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from wayside.console.inside import Inside, note
from wayside.console.shapes import CacheEntries, CacheEntry, CacheStore, CacheView
from wayside.console.told import told
from wayside.gateway.api import ApiError, Endpoint, scrubbed
from wayside.gateway.cache_api import ROOT, CacheApi
from wayside.stores.base import Entry, Held
from wayside.telemetry.metrics import Counter
from wayside.vocab.chat import completion_of, text_of
from wayside.vocab.errors import WaysideError

LIMIT: Final = 50
MOST: Final = 200
"""Entries of one answer."""
LONGEST: Final = 4_000
"""Characters of a question, and of an answer."""


class Cached:
    """Looks after the same stores as :class:`~wayside.gateway.cache_api.CacheApi`."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._api = CacheApi(inside.runtime, inside.stores)

    def endpoints(self) -> list[Endpoint]:
        there = {e.path.removeprefix(ROOT): e for e in self._api.endpoints()}
        which = (("store", "One store's name; the first that is in use when it is left out."),)
        away = (503, "The store does not answer.")
        return [
            Endpoint("GET", "/cache", self._get, "The stores that keep answers.",
                     answer=CacheView),
            Endpoint("GET", "/cache/entries", self._entries, "What one of them keeps.",
                     role="operator", answer=CacheEntries, refusals=(away,),
                     query=(*which, ("search", "Only with this text."),
                            ("limit", f"At most so many, up to {MOST}."))),
            Endpoint("DELETE", "/cache/entries/{id}", self._discard, "Let one answer go.",
                     role="operator", deed="forget an answer", query=which,
                     refusals=(away, (404, "It is not there."))),
            replace(there["/test"], path="/cache/test"),
            replace(there["/invalidate"], path="/cache/invalidate"),
        ]  # fmt: skip

    async def _get(self, _: HttpRequest) -> Response:
        asked = self._asked()
        rows: list[CacheStore] = []
        for name, store in self._api.caches().items():
            held, error = Held(0, 0), ""
            try:
                held = await store.held()
            except (OSError, WaysideError) as wrong:
                error = scrubbed(str(wrong))
            rows.append(
                {
                    "name": name,
                    "kind": self._inside.stores().kind_of(name),
                    "mode": store.standing().mode,
                    "entries": held.answers,
                    "bytes": held.bytes,
                    "hits": asked.get((name, "hit"), 0) + asked.get((name, "near"), 0),
                    "misses": asked.get((name, "miss"), 0),
                    "lists": store.lists,
                    "error": error,
                }
            )
        answer: CacheView = {"stores": rows}
        return told(answer)

    async def _entries(self, http: HttpRequest) -> Response:
        name = self._named(http)
        limit = _number(http.query_params.get("limit", ""))
        store = self._api.caches(name)[name]
        if not store.lists:
            kind = self._inside.stores().kind_of(name)
            said = f"{name}: a store of kind {kind} does not list what it keeps"
            raise ApiError(501, "CACHE_NOT_LISTED", said)
        try:
            shelf = await store.shelf(http.query_params.get("search", "")[:1000], limit)
        except (OSError, WaysideError) as error:
            raise ApiError(503, "CACHE_UNAVAILABLE", f"{name}: {error}") from None
        now = time.time()
        answer: CacheEntries = {
            "entries": [_told(entry, now) for entry in shelf.entries],
            "looked_at": shelf.looked_at,
            "more": shelf.more,
        }
        return told(answer)

    async def _discard(self, http: HttpRequest) -> Response:
        name = self._named(http)
        note(http, f"an answer of {name}")
        try:
            gone = await self._api.caches(name)[name].discard(http.path_params["id"])
        except (OSError, WaysideError) as error:
            raise ApiError(503, "CACHE_UNAVAILABLE", f"{name}: {error}") from None
        if not gone:
            raise ApiError(404, "ENTRY_NOT_FOUND", "no such answer; it may have ended")
        return told({"deleted": True})

    def _named(self, http: HttpRequest) -> str:
        name = http.query_params.get("store", "") or next(iter(self._api.caches()), "")
        if not name:
            said = "no decision keeps answers: none has the plugin response_cache"
            raise ApiError(404, "NO_CACHE", said)
        return name

    def _asked(self) -> dict[tuple[str, str], int]:
        """Look-ups since the start, by store and what became of them."""
        for metric in self._inside.telemetry.metrics.declared():
            if isinstance(metric, Counter) and metric.name == "wayside_cache_operations_total":
                return {
                    (store, status): int(count)
                    for (store, operation, status), count in metric.values.items()
                    if operation == "recall"
                }
        return {}


def _told(entry: Entry, now: float) -> CacheEntry:
    parts = [unquote(part) for part in entry.partition.split("/")]
    completion = completion_of(entry.body)
    answer = "" if completion is None else text_of(completion)
    return {
        "id": entry.id,
        "partition": entry.partition,
        "decision": parts[2] if len(parts) > 3 else "",
        "model": parts[3] if len(parts) > 3 else "",
        "text": entry.question[:LONGEST],
        "answer": answer[:LONGEST],
        "age_s": round(max(0.0, now - entry.kept_at), 3),
        "expires_s": None if entry.until is None else round(max(0.0, entry.until - now), 3),
        "bytes": entry.bytes,
    }


def _number(said: str) -> int:
    if not said:
        return LIMIT
    if not said.isascii() or not said.isdigit() or not 1 <= int(said[:9]) <= MOST:
        raise ApiError(400, "INVALID_INPUT", f"limit: is not a number from 1 to {MOST}")
    return int(said)
