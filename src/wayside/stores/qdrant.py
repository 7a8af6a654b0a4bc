"""Qdrant, over its REST API: ``/collections/{name}/points`` (version 1.10 and later)."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Annotated, Any

from pydantic import Field

from wayside.catalog import catalog
from wayside.net.http import Client, RemoteSettings
from wayside.settings import Capability
from wayside.stores.base import Store, Tools, place
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import Contents, Index, Passage, Search, Unindex

_PART, _KEPT, _UNTIL = "wayside_part", "wayside_kept_at", "wayside_until"
_OURS = (_PART, _KEPT, _UNTIL)


class QdrantSettings(RemoteSettings):
    """Example: ``{base_url: "http://qdrant:6333", collection_prefix: "vsr_vs_"}``"""

    collection_prefix: Annotated[str, Field(max_length=100)] = ""
    """Put before the names of collections."""
    text_field: Annotated[str, Field(min_length=1, max_length=100)] = "content"
    """The payload field that holds a passage's text."""
    vector_name: str = ""
    """The vector's name in collections that have several."""
    create: bool = True
    """Make a collection that is not there when the first passage comes."""


@catalog.register("store", "qdrant", settings=QdrantSettings, stability="alpha")
class QdrantStore(Store):
    """A Qdrant server: finds passages by meaning, and takes them in."""

    capabilities: frozenset[Capability] = frozenset({"search", "index"})

    def __init__(self, rule: QdrantSettings, tools: Tools) -> None:
        self._rule = rule
        self._client = Client(rule, tools, "store")
        self._made: dict[str, asyncio.Lock | None] = {}
        self.clock = time.time

    async def search(self, question: Search) -> tuple[Passage, ...]:
        if question.vector is None:
            raise AskFailed("qdrant finds by vectors; set embeds: true")
        collection, part = place(question.space)
        asked: dict[str, Any] = {
            "query": question.vector,
            "limit": question.most,
            "score_threshold": question.threshold,
            "with_payload": True,
            "filter": self._filter(part),
        }
        if self._rule.vector_name:
            asked["using"] = self._rule.vector_name
        found = await self._ask(f"{self._path(collection)}/points/query", asked)
        return tuple(self._passage(p, float(p["score"])) for p in _points(found, "points"))

    async def contents(self, question: Contents) -> tuple[Passage, ...]:
        collection, part = place(question.space)
        asked = {
            "limit": question.offset + question.limit,
            "with_payload": True,
            "filter": self._filter(part),
            "order_by": {"key": _KEPT, "direction": "desc"},
        }
        found = _points(
            await self._ask(f"{self._path(collection)}/points/scroll", asked), "points"
        )
        return tuple(self._passage(p, 0.0) for p in found[question.offset :])

    async def index(self, question: Index) -> None:
        collection, part = place(question.space)
        await self._ready(collection, len(question.vector))
        now = self.clock()
        payload = {**question.metadata, self._rule.text_field: question.text, "key": question.key}
        payload |= {_PART: part, _KEPT: now}
        if question.ttl_s is not None:
            payload[_UNTIL] = now + question.ttl_s
        vector: Any = question.vector
        if self._rule.vector_name:
            vector = {self._rule.vector_name: vector}
        point = {"id": _id(question.space, question.key), "vector": vector, "payload": payload}
        path = f"{self._path(collection)}/points?wait=true"
        await self._client.ask(path, {"points": [point]}, method="PUT")
        if question.most is not None:
            await self._keep(question.space, question.most)

    async def unindex(self, question: Unindex) -> int:
        collection, part = place(question.space)
        counted = await self._ask(
            f"{self._path(collection)}/points/count",
            {"filter": self._filter(part, question.key, expired=True), "exact": True},
        )
        asked = {"filter": self._filter(part, question.key, expired=True)}
        await self._ask(f"{self._path(collection)}/points/delete?wait=true", asked)
        count = counted.get("count") if isinstance(counted, dict) else 0
        return count if isinstance(count, int) else 0

    def close(self) -> None:
        self._client.close()

    async def _keep(self, space: str, most: int) -> None:
        """Let the oldest go: those beyond the newest ``most``, a hundred at a time."""
        old = await self.contents(Contents("", space, 100, most))
        for passage in old:
            await self.unindex(Unindex("", space, passage.key))

    async def _ready(self, collection: str, size: int) -> None:
        """Make the collection, once, where the settings say so."""
        if collection in self._made and self._made[collection] is None:
            return
        lock = self._made.setdefault(collection, asyncio.Lock())
        if lock is None:
            return
        async with lock:
            if self._made[collection] is not None and self._rule.create:
                vectors: Any = {"size": size, "distance": "Cosine"}
                if self._rule.vector_name:
                    vectors = {self._rule.vector_name: vectors}
                path = self._path(collection)
                made = await self._client.post(
                    path, {"vectors": vectors}, accepted=(200, 400, 409), method="PUT"
                )
                if made.status == 200:
                    for field, kind in ((_PART, "keyword"), (_KEPT, "float"), ("key", "keyword")):
                        schema = {"field_name": field, "field_schema": kind}
                        await self._client.ask(f"{path}/index?wait=true", schema, method="PUT")
            self._made[collection] = None

    def _filter(self, part: str, key: str = "", *, expired: bool = False) -> dict[str, Any]:
        must: list[Any] = []
        if part:
            must.append({"key": _PART, "match": {"value": part}})
        if key:
            must.append({"key": "key", "match": {"value": key}})
        gone = [] if expired else [{"key": _UNTIL, "range": {"lte": self.clock()}}]
        return {"must": must, "must_not": gone}

    def _passage(self, point: dict[str, Any], score: float) -> Passage:
        payload = point.get("payload") or {}
        text = payload.get(self._rule.text_field)
        rest = {
            k: v for k, v in payload.items() if k not in (*_OURS, self._rule.text_field, "key")
        }
        key = str(payload.get("key") or point.get("id", ""))
        return Passage(key, text if isinstance(text, str) else "", score, rest)

    def _path(self, collection: str) -> str:
        return f"/collections/{name(self._rule.collection_prefix + collection)}"

    async def _ask(self, path: str, body: Any) -> Any:
        found = await self._client.ask(path, body)
        return found.get("result") if isinstance(found, dict) else None


def name(collection: str) -> str:
    """A collection's name as it may stand in a path; :class:`AskFailed` for any other."""
    allowed = all(c.isalnum() or c in "_-." for c in collection)
    if not collection or collection.startswith(".") or not allowed:
        raise AskFailed(f"{collection[:100]!r} is no name of a collection: letters, digits, _ - .")
    return collection


def _id(space: str, key: str) -> str:
    """Points have numbers or UUIDs for ids; ours are made of space and key (RFC 9562, 5.5)."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{space}\n{key}"))


def _points(result: Any, field: str) -> list[dict[str, Any]]:
    found = result.get(field) if isinstance(result, dict) else None
    if not isinstance(found, list) or not all(isinstance(p, dict) for p in found):
        raise AskFailed("qdrant answered with something that is no list of points")
    return found
