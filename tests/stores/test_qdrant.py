"""The Qdrant store against a server of our own that keeps points and reads Qdrant's filters.

No Qdrant could be had here; what is checked is that we speak the documented REST API (1.10 and
later) and that spaces never mix.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from wayside.settings import CredentialSettings
from wayside.stores.base import Tools
from wayside.stores.qdrant import QdrantSettings, QdrantStore
from wayside.vocab.errors import AskFailed
from wayside.vocab.outcome import Credential
from wayside.vocab.stores import Contents, Index, Search, Unindex


class Qdrant:
    """Collections of points; a filter's ``must`` and ``must_not`` of ``match`` and ``range``."""

    def __init__(self) -> None:
        self.collections: dict[str, dict[str, dict[str, Any]]] = {}
        self.made: list[tuple[str, Any]] = []
        self.keys: set[str] = set()
        self.url = ""

    async def __call__(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read() or b"{}")
        self.keys.add(request.headers.get("api-key", ""))
        _, _, name, *rest = request.path.split("/")
        what = "/".join(rest)
        if request.method == "PUT" and not what:
            if name in self.collections:
                return web.json_response({"status": {"error": "exists"}}, status=409)
            self.collections[name] = {}
            self.made.append((name, body))
            return web.json_response({"result": True})
        if name not in self.collections:
            return web.json_response({"status": {"error": "no collection"}}, status=404)
        points = self.collections[name]
        if what == "index":
            return web.json_response({"result": {"status": "completed"}})
        if what == "points":
            points.update({p["id"]: p for p in body["points"]})
            return web.json_response({"result": {"status": "completed"}})
        found = [p for p in points.values() if passes(p["payload"], body["filter"])]
        if what == "points/delete":
            for point in found:
                del points[point["id"]]
            return web.json_response({"result": {"status": "completed"}})
        if what == "points/count":
            return web.json_response({"result": {"count": len(found)}})
        if what == "points/scroll":
            key = body["order_by"]["key"]
            found.sort(key=lambda p: -p["payload"][key])
            return web.json_response({"result": {"points": found[: body["limit"]]}})
        assert what == "points/query", what
        for point in found:
            point["score"] = sum(
                a * b for a, b in zip(point["vector"], body["query"], strict=True)
            )
        best = sorted(found, key=lambda p: -p["score"])[: body["limit"]]
        best = [p for p in best if p["score"] >= body["score_threshold"]]
        return web.json_response({"result": {"points": best}})


def passes(payload: dict[str, Any], wanted: dict[str, Any]) -> bool:
    def holds(clause: dict[str, Any]) -> bool:
        value = payload.get(clause["key"])
        if "match" in clause:
            return bool(value == clause["match"]["value"])
        return value is not None and value <= clause["range"]["lte"]

    return all(map(holds, wanted["must"])) and not any(map(holds, wanted["must_not"]))


@asynccontextmanager
async def serving(handler: Any) -> AsyncIterator[str]:
    app = web.Application()

    async def answer(request: web.Request) -> web.Response:
        said: web.Response = await handler(request)
        return said

    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def store(server: Qdrant, **more: Any) -> AsyncIterator[QdrantStore]:
    def keys(settings: CredentialSettings, where: str) -> Credential:
        return Credential(settings.header, settings.prefix, "hush")

    async with serving(server) as url:
        rule = QdrantSettings.model_validate({"base_url": url, **more})
        made = QdrantStore(rule, Tools("q", keys))
        try:
            yield made
        finally:
            made.close()


async def test_passages_go_in_and_are_found_in_their_own_part() -> None:
    server = Qdrant()
    key = {"env": "QDRANT_KEY", "header": "api-key", "prefix": ""}
    async with store(server, collection_prefix="vsr_", credential=key) as found:
        await found.index(Index("q", "memory/ann", "1", "cats", (1.0, 0.0), {"source": "x"}))
        await found.index(Index("q", "memory/ann", "2", "dogs", (0.6, 0.8)))
        await found.index(Index("q", "memory/bob", "1", "secret", (1.0, 0.0)))
        best = await found.search(Search("q", "memory/ann", "", (1.0, 0.0), 5, 0.5))
        assert [(p.key, p.text) for p in best] == [("1", "cats"), ("2", "dogs")]
        assert best[0].metadata == {"source": "x"} and best[0].score == pytest.approx(1.0)
        assert [p.key for p in await found.contents(Contents("q", "memory/ann"))] == ["2", "1"]
        assert await found.unindex(Unindex("q", "memory/ann", "1")) == 1
        assert await found.unindex(Unindex("q", "memory/ann")) == 1
        assert len(await found.contents(Contents("q", "memory/bob"))) == 1
    (made,) = server.made
    assert made == ("vsr_memory", {"vectors": {"size": 2, "distance": "Cosine"}})
    assert server.keys == {"hush"}


async def test_time_and_number_bound_what_is_kept() -> None:
    server = Qdrant()
    async with store(server) as found:
        now = 100.0
        found.clock = lambda: now
        for i in range(4):
            now += 1
            await found.index(Index("q", "s/a", str(i), "t", (1.0, 0.0), ttl_s=50, most=2))
        assert [p.key for p in await found.contents(Contents("q", "s/a"))] == ["3", "2"]
        now += 100
        assert await found.search(Search("q", "s/a", "", (1.0, 0.0))) == ()


async def test_a_collection_of_others_is_searched_whole() -> None:
    server = Qdrant()
    payload = {"body": "Travel by train.", "title": "handbook"}
    server.collections["docs"] = {"7": {"id": "7", "vector": [1.0, 0.0], "payload": payload}}
    async with store(server, text_field="body", create=False) as found:
        (passage,) = await found.search(Search("q", "docs", "", (1.0, 0.0)))
        assert (passage.key, passage.text) == ("7", "Travel by train.")
        assert passage.metadata == {"title": "handbook"}


async def test_what_is_no_answer() -> None:
    async with store(Qdrant(), retries=0) as found:
        with pytest.raises(AskFailed, match="answered 404"):
            await found.search(Search("q", "nowhere", "", (1.0, 0.0)))
        with pytest.raises(AskFailed, match="no name of a collection"):
            await found.search(Search("q", "../x", "", (1.0, 0.0)))
        with pytest.raises(AskFailed, match="embeds: true"):
            await found.search(Search("q", "docs", "words"))
