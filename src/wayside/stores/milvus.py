"""Milvus, over its REST API version 2: ``/v2/vectordb/entities/search`` and its like."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from wayside.catalog import catalog
from wayside.dialects import encode
from wayside.net.http import Client, RemoteSettings
from wayside.settings import Capability
from wayside.stores.base import Store, Tools, place
from wayside.stores.qdrant import name
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import Contents, Index, Passage, Search, Unindex

_PART, _KEPT, _UNTIL = "wayside_part", "wayside_kept_at", "wayside_until"
_NEVER = 1e15
"""Unix seconds of what is kept for ever; every row has the field, so that it can be compared."""


class MilvusSettings(RemoteSettings):
    """Example: ``{base_url: "http://milvus:19530", text_field: content}``"""

    database: Annotated[str, Field(max_length=255)] = ""
    """The server's default where absent."""
    text_field: Annotated[str, Field(min_length=1, max_length=100)] = "content"
    """The field that holds a passage's text."""
    vector_field: Annotated[str, Field(min_length=1, max_length=100)] = "embedding"
    """The field that holds its vector."""
    metadata_fields: tuple[str, ...] = ()
    """Further fields to be told with a passage, of collections that somebody else fills."""
    filter: Annotated[str, Field(max_length=4096)] = ""
    """A Milvus expression that every passage found must satisfy: `locale == "es"`."""
    create: bool = True
    """Make a collection that is not there when the first passage comes."""


@catalog.register("store", "milvus", settings=MilvusSettings, stability="alpha")
class MilvusStore(Store):
    """A Milvus server: finds passages by meaning, and takes them in."""

    capabilities: frozenset[Capability] = frozenset({"search", "index"})

    def __init__(self, rule: MilvusSettings, tools: Tools) -> None:
        self._rule = rule
        self._client = Client(rule, tools, "store")
        self._made: set[str] = set()
        self._making = asyncio.Lock()
        self.clock = time.time

    async def search(self, question: Search) -> tuple[Passage, ...]:
        if question.vector is None:
            raise AskFailed("milvus finds by vectors; set embeds: true")
        collection, part = place(question.space)
        asked = {
            "collectionName": name(collection),
            "data": [question.vector],
            "annsField": self._rule.vector_field,
            "limit": question.most,
            "outputFields": self._fields(part),
            "searchParams": {"metricType": "COSINE"},
            "filter": self._filter(part),
        }
        found = await self._rows("/v2/vectordb/entities/search", asked)
        scored = [(float(row.get("distance", 0.0)), row) for row in found]
        best = sorted(scored, key=lambda pair: -pair[0])
        return tuple(
            self._passage(row, score) for score, row in best if score >= question.threshold
        )

    async def contents(self, question: Contents) -> tuple[Passage, ...]:
        collection, part = place(question.space)
        asked = {
            "collectionName": name(collection),
            "filter": self._filter(part) or f"{_KEPT} > 0",
            "outputFields": self._fields(part),
            "limit": 16_384,  # the most that one query gives (Milvus: limit plus offset)
        }
        found = await self._rows("/v2/vectordb/entities/query", asked)
        found.sort(key=lambda row: -float(row.get(_KEPT, 0.0)))
        page = found[question.offset : question.offset + question.limit]
        return tuple(self._passage(row, 0.0) for row in page)

    async def index(self, question: Index) -> None:
        collection, part = place(question.space)
        await self._ready(name(collection), len(question.vector))
        now = self.clock()
        row = {
            "id": _key(part, question.key),
            self._rule.vector_field: question.vector,
            self._rule.text_field: question.text,
            "metadata": question.metadata,
            _PART: part,
            _KEPT: now,
            _UNTIL: _NEVER if question.ttl_s is None else now + question.ttl_s,
        }
        asked = {"collectionName": collection, "data": [row]}
        await self._ask("/v2/vectordb/entities/upsert", asked)
        if question.most is not None:
            old = await self.contents(Contents("", question.space, 100, question.most))
            for passage in old:
                await self.unindex(Unindex("", question.space, passage.key))

    async def unindex(self, question: Unindex) -> int:
        collection, part = place(question.space)
        clauses = [f"{_PART} == {_text(part)}"]
        if question.key:
            clauses.append(f"id == {_text(_key(part, question.key))}")
        said = {"collectionName": name(collection), "filter": " and ".join(clauses)}
        found = await self._rows(
            "/v2/vectordb/entities/query", {**said, "outputFields": ["id"], "limit": 16_384}
        )
        await self._ask("/v2/vectordb/entities/delete", said)
        return len(found)

    def close(self) -> None:
        self._client.close()

    async def _ready(self, collection: str, size: int) -> None:
        """Make the collection, once, where the settings say so."""
        if collection in self._made or not self._rule.create:
            return
        async with self._making:
            if collection in self._made:
                return
            known = await self._ask("/v2/vectordb/collections/has", {"collectionName": collection})
            if not (isinstance(known, Mapping) and known.get("has")):
                asked = {"collectionName": collection, **self._schema(size)}
                await self._ask("/v2/vectordb/collections/create", asked)
            self._made.add(collection)

    def _schema(self, size: int) -> dict[str, Any]:
        def field(label: str, kind: str, **params: Any) -> dict[str, Any]:
            made: dict[str, Any] = {"fieldName": label, "dataType": kind}
            return {**made, "elementTypeParams": params} if params else made

        vector = self._rule.vector_field
        fields = [
            {**field("id", "VarChar", max_length=128), "isPrimary": True},
            field(vector, "FloatVector", dim=size),
            field(self._rule.text_field, "VarChar", max_length=65_535),
            field("metadata", "JSON"),
            field(_PART, "VarChar", max_length=128),
            field(_KEPT, "Double"),
            field(_UNTIL, "Double"),
        ]
        index = {"fieldName": vector, "metricType": "COSINE", "indexName": vector,
                 "params": {"index_type": "AUTOINDEX"}}  # fmt: skip
        return {"schema": {"autoId": False, "fields": fields}, "indexParams": [index]}

    def _fields(self, part: str) -> list[str]:
        """Our own collections have our own fields; others those that the settings name."""
        ours = ["id", "metadata", _KEPT] if part else list(self._rule.metadata_fields)
        return list(dict.fromkeys([self._rule.text_field, *ours]))

    def _filter(self, part: str) -> str:
        clauses = [f"({self._rule.filter})"] if self._rule.filter else []
        if part:
            clauses += [f"{_PART} == {_text(part)}", f"{_UNTIL} > {self.clock()!r}"]
        return " and ".join(clauses)

    def _passage(self, row: dict[str, Any], score: float) -> Passage:
        text = row.get(self._rule.text_field)
        metadata = row.get("metadata")
        rest = {k: row[k] for k in self._rule.metadata_fields if k in row}
        if isinstance(metadata, dict):
            rest = {**metadata, **rest}
        key = str(row.get("id", "")).rpartition("/")[2]
        return Passage(key, text if isinstance(text, str) else "", score, rest)

    async def _rows(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        found = await self._ask(path, body)
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise AskFailed("milvus answered with something that is no list of rows")
        return found

    async def _ask(self, path: str, body: dict[str, Any]) -> Any:
        """The ``data`` of an answer. Milvus says that something failed in a 200, by a code."""
        if self._rule.database:
            body = {"dbName": self._rule.database, **body}
        found = await self._client.ask(path, body)
        code = found.get("code") if isinstance(found, dict) else None
        if code not in (0, 200):
            why = str(found.get("message", ""))[:200] if isinstance(found, dict) else ""
            raise AskFailed(f"milvus answered code {code}: {why}")
        return found.get("data")


def _key(part: str, key: str) -> str:
    return f"{part}/{key}" if part else key


def _text(value: str) -> str:
    """A string of Milvus's expressions: JSON's escapes are among those it reads."""
    return encode(value).decode()
