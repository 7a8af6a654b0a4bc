from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from wayside.cli.app import App
from wayside.cli.files import read
from wayside.gateway.listener import serve_management
from wayside.stores.base import Store
from wayside.telemetry import Log
from wayside.vocab.outcome import Forward, Request

CONFIG = """
models:
  small: {endpoints: ["http://127.0.0.1:1"]}
  big: {endpoints: ["http://127.0.0.1:2"]}
  other: {endpoints: ["http://127.0.0.1:3"]}
%s
routing:
  decisions:
    - {name: chat, models: [small, big], select: {elo: {explore: 0}}}
"""
KEY = {"authorization": "Bearer sk-anna"}


@dataclass
class Api:
    app: App
    url: str
    http: aiohttp.ClientSession
    keys: Any = field(default_factory=itertools.count)

    def routed(self, id: str, headers: Mapping[str, str] = KEY) -> str:
        """One request through the data plane, up to the model that would answer it."""
        body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]})
        request = Request(
            "POST", "/v1/chat/completions", {"x-request-id": id, **headers}, body.encode()
        )
        outcome = self.app.runtime.handle(request)
        assert isinstance(outcome, Forward)
        exchange = self.app.telemetry.begin(shell="gateway", request_id=id)
        exchange.routed(outcome.record)
        exchange.ended(status=200)
        return outcome.target.name

    async def tell(
        self, headers: Mapping[str, str] = KEY, key: str = "", **body: Any
    ) -> tuple[int, Any]:
        whole = {"replay_id": "req_1", "verdict": "good_fit", **body}
        known = {"idempotency-key": key or f"key-{next(self.keys)}", **headers}
        path = f"{self.url}/v1/router/outcomes"
        async with self.http.post(path, json=whole, headers=known) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(self.url + path) as answer:
            return answer.status, await answer.json()

    async def rating(self, model: str) -> float:
        _, found = await self.get("/v1/router/ratings")
        return float(found["overall"].get(model, {"rating": 1500})["rating"])


@contextlib.asynccontextmanager
async def serving(more: str = "", config: str = CONFIG) -> AsyncIterator[Api]:
    app = App(read((config % more).encode(), "c.yaml", env={}), env={}, log=Log(io.StringIO()))
    server = await serve_management(app.management.app(), "127.0.0.1", 0)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession() as http:
            yield Api(app, f"http://127.0.0.1:{port}", http)
    finally:
        await server.stop()


async def test_an_outcome_moves_the_rating_and_later_choices() -> None:
    async with serving() as api:
        while api.routed("req_1") != "small":  # equal ratings share the requests
            pass
        status, said = await api.tell(verdict="underpowered")
        assert (status, said["success"], said["recorded"], said["updated"]) == (
            200,
            True,
            True,
            True,
        )
        assert await api.rating("small") == 1484
        assert {api.routed(f"req_{i}") for i in range(2, 20)} == {"big"}


async def test_the_id_that_a_kept_record_has_is_as_good() -> None:
    async with serving() as api:
        api.routed("req_1")
        status, _ = await api.tell(replay_id="replay_req_1")
        assert status == 200


async def test_telling_again_with_the_same_key_counts_once() -> None:
    async with serving() as api:
        model = api.routed("req_1")
        first = await api.tell(key="same")
        again = await api.tell(key="same")
        assert first[1]["recorded"] and not again[1]["recorded"] and again[1]["duplicate"]
        assert await api.rating(model) == 1516


async def test_telling_it_many_times_at_once_counts_once() -> None:
    async with serving() as api:
        model = api.routed("req_1")
        told = await asyncio.gather(*[api.tell(key="same") for _ in range(8)])
        assert sum(said["recorded"] for _, said in told) == 1
        assert await api.rating(model) == 1516


async def test_a_key_that_came_with_something_else_is_refused() -> None:
    async with serving() as api:
        api.routed("req_1")
        await api.tell(key="same")
        status, said = await api.tell(key="same", verdict="failed")
        assert (status, said["error"]["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")


async def test_a_source_judges_a_request_once_whatever_its_keys() -> None:
    async with serving() as api:
        model = api.routed("req_1")
        await api.tell()
        status, said = await api.tell(verdict="underpowered")
        assert status == 200 and said["duplicate"] and not said["updated"]
        await api.tell(source="eval", verdict="good_fit")
        assert await api.rating(model) > 1516


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "é"])
async def test_without_a_key_nothing_is_taken(key: str) -> None:
    async with serving() as api:
        api.routed("req_1")
        path = f"{api.url}/v1/router/outcomes"
        headers = {"idempotency-key": key} if key else {}
        async with api.http.post(path, json={}, headers=headers) as answer:
            said = await answer.json()
        assert (answer.status, said["error"]["code"]) == (400, "MISSING_IDEMPOTENCY_KEY")


async def test_a_request_nobody_made_cannot_be_judged() -> None:
    async with serving() as api:
        status, said = await api.tell(replay_id="req_9")
        assert (status, said["error"]["code"]) == (404, "REPLAY_NOT_FOUND")


@pytest.mark.parametrize("source", ["user", "agent"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer sk-bert"}])
async def test_a_caller_judges_no_request_of_another(
    source: str, headers: Mapping[str, str]
) -> None:
    async with serving() as api:
        model = api.routed("req_1")
        status, said = await api.tell(headers, source=source)
        assert (status, said["error"]["code"]) == (403, "OUTCOME_OWNERSHIP_MISMATCH")
        assert "sk-" not in json.dumps(said)
        assert await api.rating(model) == 1500


@pytest.mark.parametrize("source", ["eval", "operator", "provider", "router"])
async def test_the_operators_own_sources_need_no_key(source: str) -> None:
    async with serving() as api:
        api.routed("req_1")
        status, _ = await api.tell({}, source=source)
        assert status == 200


async def test_a_trusted_user_is_known_by_name() -> None:
    async with serving("identity: {trusted: true}") as api:
        api.routed("req_1", {"x-authz-user-id": "anna"})
        assert (await api.tell({"x-authz-user-id": "bert"}))[0] == 403
        assert (await api.tell({"x-authz-user-id": "anna"}))[0] == 200


async def test_requests_without_any_key_are_anybodys() -> None:
    async with serving() as api:
        api.routed("req_1", {})
        assert (await api.tell({}))[0] == 200


async def test_two_candidates_are_compared() -> None:
    async with serving() as api:
        api.routed("req_1")
        status, said = await api.tell(
            source="eval", target_ref="small", compared_with="big", score=1.0
        )
        assert status == 200 and said["updated"]
        assert (await api.rating("small"), await api.rating("big")) == (1516, 1484)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"verdict": "fine"}, "verdict"),
        ({"score": 1.5}, "score"),
        ({"source": "me"}, "source"),
        ({"extra": 1}, "extra"),
        ({"target_ref": "smal"}, "did you mean 'small'"),
        ({"target_ref": "other"}, "target_ref"),
        ({"compared_with": "other"}, "compared_with"),
        ({"target_ref": "big", "compared_with": "big"}, "the same model"),
        ({"target": "route", "compared_with": "big"}, "only models"),
        ({"metadata": {"x": "y" * 5000}}, "metadata"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_the_reason(
    body: dict[str, Any], named: str
) -> None:
    async with serving() as api:
        api.routed("req_1")
        status, said = await api.tell(**body)
        assert (status, said["error"]["code"]) == (400, "INVALID_OUTCOME")
        assert named in said["error"]["message"].replace('"', "'")


async def test_what_is_said_of_other_things_is_kept_and_teaches_nothing() -> None:
    async with serving() as api:
        model = api.routed("req_1")
        status, said = await api.tell(target="route", target_ref="chat", reason="good choice")
        assert (status, said["recorded"], said["updated"]) == (200, True, False)
        assert await api.rating(model) == 1500
        _, listed = await api.get("/v1/router/outcomes?limit=5")
        (outcome,) = listed["outcomes"]
        assert (outcome["target"], outcome["reason"]) == ("route", "good choice")


@pytest.mark.parametrize("limit", ["0", "x", "1001", "-1", "9" * 40])
async def test_lists_are_bounded(limit: str) -> None:
    async with serving() as api:
        status, said = await api.get(f"/v1/router/outcomes?limit={limit}")
        assert (status, said["error"]["code"]) == (400, "INVALID_INPUT")


async def test_where_nothing_learns_outcomes_are_refused_with_the_fix() -> None:
    async with serving("learning: {enabled: false}") as api:
        api.routed("req_1")
        status, said = await api.tell()
        assert (status, said["error"]["code"]) == (409, "LEARNING_DISABLED")
        assert "learning.enabled" in said["error"]["message"]


SHARED = "learning: {store: memory}"


async def test_a_store_that_is_down_is_told_and_nothing_is_counted_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(SHARED) as api:
        model = api.routed("req_1")
        store: Store = api.app.stores.store("memory")

        def down(_: Any) -> None:
            raise OSError("gone")

        monkeypatch.setattr(store, "put", down)
        status, said = await api.tell(key="same")
        assert (status, said["error"]["code"]) == (503, "STORE_UNAVAILABLE")
        monkeypatch.undo()
        for _ in range(2):
            await api.tell(key="same")
        assert await api.rating(model) == 1516


async def test_ratings_survive_a_reload() -> None:
    async with serving() as api:
        model = api.routed("req_1")
        await api.tell()
        api.app.apply((CONFIG % "learning: {k_factor: 8}").encode())
        assert await api.rating(model) == 1516
        api.routed("req_2")
        _, told = await api.get("/v1/router/ratings")
        assert told["k_factor"] == 8 and told["enabled"]


async def test_how_models_are_doing_can_be_read() -> None:
    async with serving() as api:
        model = api.routed("req_1")
        _, told = await api.get("/v1/router/observed")
        assert set(told["models"]) == {"small", "big", "other"}
        assert told["models"][model]["samples"] == 1
        assert told["models"][model]["ttft_ms"] == {"p50": None, "p95": None}
