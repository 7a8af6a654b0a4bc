"""Vector stores behind OpenAI's API, against a server that answers as its reference says."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from tests.stores.test_qdrant import serving
from wayside.stores.base import Tools
from wayside.stores.openai_search import OpenAISearchSettings, OpenAISearchStore
from wayside.vocab.errors import AskFailed
from wayside.vocab.stores import Index, Search

ANSWER = {
    "object": "vector_store.search_results.page",
    "data": [
        {
            "file_id": "file-1",
            "filename": "handbook.md",
            "score": 0.9,
            "attributes": {"region": "eu"},
            "content": [
                {"type": "text", "text": "By train."},
                {"type": "text", "text": "Always."},
            ],
        }
    ],
}


async def test_it_is_asked_by_text_and_answers_with_files() -> None:
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path, await request.json()))
        return web.json_response(ANSWER)

    async with serving(answer) as url:
        rule = OpenAISearchSettings(base_url=f"{url}/v1", filters={"type": "eq"})
        store = OpenAISearchStore(rule, Tools("o"))
        (found,) = await store.search(Search("o", "vs_1", "May I fly?", None, 3, 0.4))
        store.close()
    assert (found.key, found.text, found.score) == ("file-1", "By train.\nAlways.", 0.9)
    assert found.metadata == {"region": "eu", "source": "handbook.md"}
    ((path, body),) = asked
    assert path == "/v1/vector_stores/vs_1/search"
    assert body["query"] == "May I fly?" and body["max_num_results"] == 3
    assert body["ranking_options"] == {"score_threshold": 0.4} and body["filters"] == {
        "type": "eq"
    }


async def test_what_is_no_answer() -> None:
    async def nonsense(request: web.Request) -> web.Response:
        return web.json_response({"data": None})

    async with serving(nonsense) as url:
        store = OpenAISearchStore(OpenAISearchSettings(base_url=url), Tools("o"))
        with pytest.raises(AskFailed, match="no list of results"):
            await store.search(Search("o", "vs_1", "?"))
        with pytest.raises(AskFailed, match="no name of a collection"):
            await store.search(Search("o", "vs/../x", "?"))
        with pytest.raises(AskFailed, match="takes no passages"):
            store.index(Index("o", "vs_1", "1", "t", (1.0,)))
        store.close()
