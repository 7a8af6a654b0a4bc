"""Passages for retrieval, from the management listener to the prompt."""

from __future__ import annotations

import json
from typing import Any

from tests.gateway.api_rig import Api, listening
from wayside.vocab.outcome import Forward, Request

CONFIG = """
models: {small: {endpoints: [http://127.0.0.1:1]}}
routing:
  decisions:
    - {name: all, models: [small], plugins: {rag: {collection: handbook, top_k: 1}}}
"""
TRAIN = {"key": "1", "text": "Business travel is paid by train.", "metadata": {"source": "trips"}}
LUNCH = {"key": "2", "text": "The canteen serves lunch from noon."}


async def sent(api: Api, question: str) -> str:
    body = {"model": "auto", "messages": [{"role": "user", "content": question}]}
    outcome: Any = api.app.runtime.handle(
        Request("POST", "/v1/chat/completions", {}, json.dumps(body).encode())
    )
    outcome = outcome if isinstance(outcome, Forward) else await outcome
    assert isinstance(outcome, Forward)
    text: str = json.loads(outcome.body)["messages"][0]["content"]
    return text


async def test_what_is_taken_in_is_told_to_the_model() -> None:
    async with listening(None, CONFIG) as api:
        body = {"collection": "handbook", "passages": [TRAIN, LUNCH]}
        status, found = await api.post("/api/v1/passages", body)
        assert status == 200 and found["indexed"] == 2
        said = await sent(api, "How is travel for business paid?")
        assert "[1] trips\nBusiness travel is paid by train." in said and "canteen" not in said
        _, shown = await api.get("/api/v1/passages?collection=handbook")
        assert [p["key"] for p in shown["passages"]] == ["2", "1"]
        path = "/api/v1/passages?collection=handbook&key=1"
        async with api.session.delete(api.url + path) as gone:
            assert (await gone.json())["deleted"] == 1
        assert "canteen" in await sent(api, "How is travel for business paid?")


async def test_what_is_asked_wrongly() -> None:
    async with listening(None, CONFIG) as api:
        for collection in ("memory", "memory/3f2a", "a/b"):
            body = {"collection": collection, "passages": [TRAIN]}
            status, found = await api.post("/api/v1/passages", body)
            assert status == 400 and "/v1/memory" in found["error"]["message"]
        status, _ = await api.post("/api/v1/passages", {"passages": []})
        assert status == 400
        for wrong in ({"store": "nowhere"}, {"engine": "nobody"}):
            status, found = await api.post("/api/v1/passages", {**wrong, "passages": [TRAIN]})
            assert status == 503 and found["error"]["code"] == "VECTOR_STORE_UNAVAILABLE"
