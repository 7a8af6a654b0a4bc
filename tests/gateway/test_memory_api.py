"""Memories of one user at a time, read and forgotten by operators."""

from __future__ import annotations

from typing import Any

from tests.gateway.api_rig import Api, listening
from wayside.plugins.memory import space_of
from wayside.vocab.ask import ask
from wayside.vocab.stores import Index

CONFIG = """
identity: {trusted: true}
models: {small: {endpoints: [http://127.0.0.1:1]}}
routing:
  decisions:
    - {name: all, models: [small], plugins: {memory: {}}}
"""


async def gone(api: Api, path: str) -> tuple[int, Any]:
    async with api.session.delete(api.url + path) as answer:
        return answer.status, await answer.json()


async def test_one_user_at_a_time() -> None:
    async with listening(None, CONFIG) as api:
        for user, key in (("ann", "a"), ("ann", "b"), ("bob", "c")):
            made = Index("memory", space_of(user), key, f"{user} {key}", (1.0, 0.0), {"at": 1.0})
            await api.app.runtime.run(ask(made))
        _, found = await api.get("/v1/memory?user_id=ann")
        assert [m["id"] for m in found["memories"]] == ["b", "a"]
        assert (await api.get("/v1/memory/c?user_id=ann"))[0] == 404
        assert (await api.get("/v1/memory/c?user_id=bob"))[1]["text"] == "bob c"
        assert (await gone(api, "/v1/memory/c?user_id=ann"))[0] == 404
        assert (await gone(api, "/v1/memory/a?user_id=ann"))[1]["deleted"] == 1
        assert (await gone(api, "/v1/memory?user_id=ann"))[1]["deleted"] == 1
        assert (await api.get("/v1/memory?user_id=ann"))[1]["total"] == 0
        assert (await api.get("/v1/memory?user_id=bob"))[1]["total"] == 1
        made = Index("memory", space_of("bob", "acme"), "d", "acme's bob", (1.0, 0.0), {"at": 1.0})
        await api.app.runtime.run(ask(made))
        assert (await api.get("/v1/memory?user_id=bob"))[1]["total"] == 1
        of_acme = await api.get("/v1/memory?user_id=bob&tenant_id=acme")
        assert [m["id"] for m in of_acme[1]["memories"]] == ["d"]


async def test_what_is_asked_wrongly() -> None:
    async with listening(None, CONFIG) as api:
        assert (await api.get("/v1/memory"))[1]["error"]["code"] == "MISSING_USER_ID"
        assert (await api.get("/v1/memory?user_id=a&limit=x"))[0] == 400
    async with listening(None) as api:
        status, found = await api.get("/v1/memory?user_id=ann")
        assert status == 404 and found["error"]["code"] == "MEMORY_NOT_AVAILABLE"
