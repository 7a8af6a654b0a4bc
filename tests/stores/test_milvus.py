"""The Milvus store against a server of our own that speaks a little of its REST API, version 2.

No Milvus could be had here; what is checked is that we send what its reference documents, and
that spaces never mix.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.stores.test_qdrant import serving
from wayside.stores.base import Tools
from wayside.stores.milvus import MilvusSettings, MilvusStore
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import Contents, Index, Search, Unindex

CLAUSE = re.compile(r'(\w+) (==|>) ("(?:[^"\\]|\\.)*"|[\d.e+]+)')


class Milvus:
    """Collections of rows; expressions are clauses of == and > joined by ``and``."""

    def __init__(self) -> None:
        self.collections: dict[str, dict[str, dict[str, Any]]] = {}
        self.schemas: dict[str, Any] = {}
        self.asked: list[tuple[str, Any]] = []

    async def __call__(self, request: web.Request) -> web.Response:
        body = await request.json()
        what = request.path.removeprefix("/v2/vectordb/")
        self.asked.append((what, body))
        name = body["collectionName"]
        if what == "collections/has":
            return said({"has": name in self.collections})
        if what == "collections/create":
            self.collections[name] = {}
            self.schemas[name] = body
            return said({})
        if name not in self.collections:
            return web.json_response({"code": 100, "message": "can't find collection"})
        rows = self.collections[name]
        if what == "entities/upsert":
            fields = {f["fieldName"] for f in self.schemas[name]["schema"]["fields"]}
            assert all(set(row) == fields for row in body["data"])
            rows.update({row["id"]: row for row in body["data"]})
            return said({"upsertCount": len(body["data"])})
        found = [row for row in rows.values() if holds(row, body.get("filter", ""))]
        if what == "entities/delete":
            for row in found:
                del rows[row["id"]]
            return said({})
        if what == "entities/query":
            return said([{k: row[k] for k in body["outputFields"]} for row in found])
        assert what == "entities/search", what
        (asked,), field = body["data"], body["annsField"]
        scored = [
            {
                **{k: row[k] for k in body["outputFields"] if k in row},
                "id": row["id"],
                "distance": sum(a * b for a, b in zip(row[field], asked, strict=True)),
            }
            for row in found
        ]
        return said(sorted(scored, key=lambda row: -row["distance"])[: body["limit"]])


def said(data: Any) -> web.Response:
    return web.json_response({"code": 0, "data": data})


def holds(row: dict[str, Any], expression: str) -> bool:
    left = expression
    for field, operator, raw in CLAUSE.findall(expression):
        left = left.replace(f"{field} {operator} {raw}", "", 1)
        value = json.loads(raw)
        if not (row[field] == value if operator == "==" else row[field] > value):
            return False
    assert not left.replace("and", "").strip(" ()"), left
    return True


@asynccontextmanager
async def store(server: Milvus, **more: Any) -> AsyncIterator[MilvusStore]:
    async with serving(server) as url:
        made = MilvusStore(MilvusSettings.model_validate({"base_url": url, **more}), Tools("m"))
        try:
            yield made
        finally:
            made.close()


async def test_passages_go_in_and_are_found_in_their_own_part() -> None:
    server = Milvus()
    async with store(server, database="d") as found:
        await found.index(Index("m", "memory/ann", "1", "cats", (1.0, 0.0), {"source": "x"}))
        await found.index(Index("m", "memory/ann", "2", "dogs", (0.6, 0.8)))
        await found.index(Index("m", "memory/bob", "1", "secret", (1.0, 0.0)))
        best = await found.search(Search("m", "memory/ann", "", (1.0, 0.0), 5, 0.5))
        assert [(p.key, p.text) for p in best] == [("1", "cats"), ("2", "dogs")]
        assert best[0].metadata == {"source": "x"} and best[0].score == pytest.approx(1.0)
        assert len(await found.search(Search("m", "memory/ann", "", (1.0, 0.0), 5, 0.7))) == 1
        assert [p.key for p in await found.contents(Contents("m", "memory/ann"))] == ["2", "1"]
        assert await found.unindex(Unindex("m", "memory/ann", "1")) == 1
        assert await found.unindex(Unindex("m", "memory/ann")) == 1
        assert len(await found.contents(Contents("m", "memory/bob"))) == 1
    assert all(body["dbName"] == "d" for _, body in server.asked)
    (vector,) = [
        f for f in server.schemas["memory"]["schema"]["fields"] if "Vector" in f["dataType"]
    ]
    assert vector["elementTypeParams"] == {"dim": 2}


async def test_time_and_number_bound_what_is_kept() -> None:
    async with store(Milvus()) as found:
        now = 100.0
        found.clock = lambda: now
        for i in range(4):
            now += 1
            await found.index(Index("m", "s/a", str(i), "t", (1.0, 0.0), ttl_s=50, most=2))
        assert [p.key for p in await found.contents(Contents("m", "s/a"))] == ["3", "2"]
        now += 100
        assert await found.search(Search("m", "s/a", "", (1.0, 0.0))) == ()


async def test_a_collection_of_others_with_a_filter() -> None:
    server = Milvus()
    row = {"id": "7", "embedding": [1.0, 0.0], "content": "Train.", "locale": "de", "title": "t"}
    server.collections["docs"] = {"7": row, "8": {**row, "id": "8", "locale": "es"}}
    more = {"metadata_fields": ["title"], "filter": 'locale == "de"'}
    async with store(server, **more) as found:
        (passage,) = await found.search(Search("m", "docs", "", (1.0, 0.0)))
        assert (passage.key, passage.text, passage.metadata) == ("7", "Train.", {"title": "t"})


async def test_a_name_cannot_leave_its_quotes() -> None:
    async with store(Milvus()) as found:
        part = 's/x" or wayside_until > 0 or id == "'
        await found.index(Index("m", "s/ann", "1", "secret", (1.0, 0.0)))
        assert await found.search(Search("m", part, "", (1.0, 0.0))) == ()


async def test_what_is_no_answer() -> None:
    async with store(Milvus()) as found:
        with pytest.raises(AskFailed, match="code 100"):
            await found.search(Search("m", "nowhere", "", (1.0, 0.0)))
        with pytest.raises(AskFailed, match="embeds: true"):
            await found.search(Search("m", "docs", "words"))
