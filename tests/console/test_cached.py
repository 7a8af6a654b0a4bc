"""The response cache, as the console shows it."""

from __future__ import annotations

import inspect
import json
from typing import Any

from tests.console.data_rig import CONFIG, Gaps, Rig, console
from wayside.stores import Store
from wayside.stores.base import LOOKED_AT
from wayside.vocab.stores import Recall, Remember

CACHED = CONFIG.replace(
    "models: [coder]}", "models: [coder], plugins: {response_cache: {mode: exact}}}", 1
)


async def ask(rig: Rig, question: Any) -> Any:
    found = rig.app.stores.answerers()[type(question)](question)
    return await found if inspect.isawaitable(found) else found


async def remember(rig: Rig, key: str, question: str, answer: str, **more: Any) -> None:
    body = {"choices": [{"message": {"role": "assistant", "content": answer}}]}
    partition = more.get("partition", "-/default/hurry/coder/digest")
    raw = json.dumps(body).encode()
    await ask(rig, Remember("memory", partition, key, raw, more.get("ttl_s", 60), question))


async def test_stores_with_their_hits_and_misses() -> None:
    async with console(CACHED) as rig:
        await remember(rig, "a", "Is it urgent?", "Very.")
        await ask(rig, Recall("memory", "-/default/hurry/coder/digest", "a"))
        await ask(rig, Recall("memory", "-/default/hurry/coder/digest", "b"))
        status, told = await rig.get("/cache")
        assert status == 200
        (store,) = told["stores"]
        assert (store["name"], store["kind"], store["entries"]) == ("memory", "memory", 1)
        assert (store["hits"], store["misses"], store["lists"]) == (1, 1, True)
        assert store["bytes"] > 100 and store["error"] == ""


async def test_without_the_plugin_there_is_no_cache() -> None:
    async with console() as rig:
        assert (await rig.get("/cache"))[1] == {"stores": []}
        status, told = await rig.get("/cache/entries")
        assert status == 404 and told["error"]["code"] == "NO_CACHE"


async def test_entries_are_searched_and_let_go_of() -> None:
    async with console(CACHED) as rig:
        await remember(rig, "a", "Is it urgent?", "Very much so.")
        await remember(rig, "b", "An odd one \ud800", "Größe", ttl_s=5)
        status, told = await rig.get("/cache/entries?store=memory")
        assert status == 200 and told["looked_at"] == 2 and told["more"] is False
        second, first = told["entries"]
        assert (first["text"], first["answer"]) == ("Is it urgent?", "Very much so.")
        assert (first["decision"], first["model"]) == ("hurry", "coder")
        assert 50 < first["expires_s"] <= 60 and first["age_s"] < 10 and first["bytes"] > 100
        assert second["expires_s"] <= 5 and second["text"].startswith("An odd one")
        for search, found in (("URGENT", 1), ("very MUCH", 1), ("nothing", 0), ("odd", 1)):
            status, told = await rig.get(f"/cache/entries?search={search}")
            assert len(told["entries"]) == found, search
        status, told = await rig.get("/cache/entries?limit=1")
        assert len(told["entries"]) == 1 and told["more"] is True
        assert await rig.delete(f"/cache/entries/{first['id']}?store=memory") == (
            200,
            {"deleted": True},
        )
        assert (await rig.delete(f"/cache/entries/{first['id']}"))[0] == 404
        assert (await rig.delete("/cache/entries/no-such-thing"))[0] == 404
        assert (await rig.get("/cache"))[1]["stores"][0]["entries"] == 1
        assert (await rig.get("/cache/entries?limit=9999"))[0] == 400
        status, told = await rig.get("/cache/entries?store=memori")
        assert status == 400 and "did you mean 'memory'" in told["error"]["message"]


async def test_a_store_that_cannot_list_says_so() -> None:
    away = CACHED.replace("{mode: exact}", "{mode: exact, store: shared}").replace(
        "routing:", 'stores: {shared: {redis: {url: "redis://127.0.0.1:1/0"}}}\nrouting:'
    )
    async with console(away) as rig:
        (store,) = (await rig.get("/cache"))[1]["stores"]
        assert store["entries"] == 0 and store["error"] and store["lists"] is True
        assert (await rig.get("/cache/entries"))[0] == 503
        rig.app.stores._made["shared"] = Store()
        status, told = await rig.get("/cache/entries")
        assert status == 501 and "does not list" in told["error"]["message"]


async def test_trying_and_invalidating_are_those_of_the_management_api() -> None:
    async with console(CACHED) as rig:
        await remember(rig, "a", "Is it urgent?", "Very.")
        body = {"first": {"text": "urgent: who?"}, "second": {"text": "urgent: who?"}}
        status, told = await rig.post("/cache/test", body)
        assert status == 200 and told["shared"] is True
        change = {"selector": {"decision": "hurry"}, "dry_run": False}
        status, told = await rig.post("/cache/invalidate", change)
        assert status == 200 and told["answers"] == 1


async def test_looking_through_a_large_cache_holds_up_nobody() -> None:
    async with console(CACHED) as rig:
        for n in range(LOOKED_AT + 100):
            await remember(rig, str(n), "why?", "because " * 500)
        async with Gaps() as gaps:
            status, told = await rig.get("/cache/entries?search=nowhere")
        assert status == 200 and told["looked_at"] == LOOKED_AT and told["more"] is True
        print(f"longest {gaps.worst * 1e3:.1f} ms")
        assert gaps.worst < 0.1
