"""Records of decisions, read on the management listener."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from tests.gateway.api_rig import Api, listening
from wayside.plugins.router_replay import SPACE
from wayside.vocab.ask import ask
from wayside.vocab.outcome import Forward, Request
from wayside.vocab.stores import Get, Put

CONFIG = """
models:
  small: {endpoints: [http://127.0.0.1:1], price: {prompt_per_1m: 2, completion_per_1m: 4}}
  big: {endpoints: [http://127.0.0.1:1]}
routing:
  default_model: small
  signals:
    keyword: {urgent: {keywords: [urgent]}}
  decisions:
    - name: hurry
      when: keyword:urgent
      models: [big]
      plugins: {router_replay: {max_records: 3}}
    - name: other
      models: [small]
      plugins: {router_replay: {max_records: 3, request_body: true}}
"""
COMPLETION = {
    "choices": [{"index": 0, "message": {"content": "Yes."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 500},
}


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    async with listening(None, CONFIG) as found:
        yield found


async def send(api: Api, said: str, number: int, session: str = "s") -> None:
    """One request through the runtime, and the answer of a model that says yes."""
    body = {"model": "auto", "messages": [{"role": "user", "content": said}]}
    headers = {"x-request-id": f"req_{number}", "x-session-id": session}
    request = Request("POST", "/v1/chat/completions", headers, json.dumps(body).encode())
    outcome: Any = api.app.runtime.handle(request)
    if not isinstance(outcome, Forward):
        outcome = await outcome
    assert isinstance(outcome, Forward) and outcome.tap is not None
    assert ("x-vsr-replay-id", f"replay_req_{number}") in outcome.report
    outcome.tap.begin(200, "application/json")
    await api.app.runtime.run(outcome.tap.feed(json.dumps(COMPLETION).encode()))
    await api.app.runtime.run(outcome.tap.finish())
    api.app.runtime.after(outcome.tap.settle())
    await api.app.runtime.settled()


async def test_records_newest_first_and_one_by_its_id(api: Api) -> None:
    await send(api, "an urgent thing", 1)
    await asyncio.sleep(0.002)
    await send(api, "hello", 2)
    status, found = await api.get("/v1/router_replay")
    assert status == 200 and [r["id"] for r in found["data"]] == ["replay_req_2", "replay_req_1"]
    assert "request_body" not in found["data"][0]
    status, one = await api.get("/v1/router_replay/replay_req_2")
    assert status == 200 and "hello" in one["request_body"]
    # 1000 tokens in at 2 and 500 out at 4 per million.
    assert (one["cost"], one["currency"]) == (0.004, "USD")
    status, found = await api.get("/v1/router_replay?decision=hurry&showDetails=true")
    assert [r["selected_model"] for r in found["data"]] == ["big"]
    assert (await api.get("/v1/router_replay?search=HELLO"))[1]["count"] == 1


async def test_sums_and_sessions(api: Api) -> None:
    await send(api, "hello", 1, "a")
    await send(api, "urgent", 2, "a")
    await send(api, "hello", 3, "b")
    _, sums = await api.get("/v1/router_replay/aggregate")
    assert sums["by_model"] == {"small": 2, "big": 1} and sums["prompt_tokens"] == 3000
    assert sums["cost"] == {"USD": 0.008}
    _, path = await api.get("/v1/router_replay/trajectory?session_id=a")
    assert path["models"] == ["small", "big"] and path["switches"] == 1


async def test_only_so_many_are_kept(api: Api) -> None:
    for number in range(6):
        await send(api, "hello", number)
    _, found = await api.get("/v1/router_replay?limit=100")
    assert {r["id"] for r in found["data"]} == {f"replay_req_{n}" for n in (3, 4, 5)}


async def test_what_is_asked_wrongly(api: Api) -> None:
    assert (await api.get("/v1/router_replay/nobody"))[1]["error"]["code"] == "REPLAY_NOT_FOUND"
    for path in ("?limit=0", "?limit=1000", "?offset=x", "/trajectory"):
        status, found = await api.get(f"/v1/router_replay{path}")
        assert status == 400 and found["error"]["code"] == "INVALID_INPUT"


async def test_records_are_kept_in_a_space_of_their_own(api: Api) -> None:
    await api.app.runtime.run(ask(Put("memory", "elsewhere", "req_9", b"{}")))
    assert await api.app.runtime.run(ask(Get("memory", SPACE, "req_9"))) is None
    assert (await api.get("/v1/router_replay/req_9"))[0] == 404
