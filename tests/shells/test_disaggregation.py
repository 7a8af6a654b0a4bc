"""Prompts read by one server, answers written by another, in both shells (A3-12's second half)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from tests.running import SHELLS, Running, chat, running

PARAMS = {"do_remote_prefill": True, "remote_engine_id": "e1", "remote_block_ids": [1, 2]}


class Server:
    """Writes down what it is asked; ``status`` may be set."""

    def __init__(self, name: str) -> None:
        self.name, self.status, self.asked = name, 200, []
        self.headers: list[Any] = []
        self.hangs = False
        self.params: Any = dict(PARAMS)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        self.headers.append(request.headers)
        if self.hangs:
            await asyncio.sleep(30)
        if self.status != 200:
            return web.json_response({"error": {"message": "no"}}, status=self.status)
        said = {
            "id": "c",
            "object": "chat.completion",
            "model": body["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": self.name}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
        }
        if (body.get("kv_transfer_params") or {}).get("do_remote_decode"):
            said["kv_transfer_params"] = self.params
        return web.json_response(said)

    @property
    def last(self) -> dict[str, Any]:
        return self.asked[-1]


@contextlib.asynccontextmanager
async def served(server: Server) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


class Stage:
    def __init__(self, router: Running, prefill: list[Server], decode: Server) -> None:
        self.router, self.prefill, self.decode = router, prefill, decode

    def reset(self, **settings: Any) -> None:
        for server in (*self.prefill, self.decode):
            server.status, server.hangs, server.params = 200, False, dict(PARAMS)
            server.asked.clear()
            server.headers.clear()
        fleet = self.router.app.fleet
        models = {}
        for name, pool in fleet.pools.items():
            assert pool.settings.disaggregation is not None
            apart = self.router.app.settings.models[name].disaggregation
            assert apart is not None
            apart = apart.model_copy(update=settings)
            models[name] = self.router.app.settings.models[name].model_copy(
                update={"disaggregation": apart}
            )
        fleet.replace(models)
        for pool in fleet.pools.values():
            for replica in pool.everybody:
                replica.completed()
            assert pool.prefill is not None
            pool.refresh()
            pool._review_at = pool.prefill._review_at = 0.0

    async def ask(self, **more: Any) -> Any:
        return await self.router.ask(chat("Why is the sky blue?", "m", **more))

    @property
    def read(self) -> list[dict[str, Any]]:
        return [body for server in self.prefill for body in server.asked]

    def decided(self, what: str) -> float:
        text = self.router.app.telemetry.metrics.text().decode()
        wanted = f'wayside_disaggregation_total{{decision="{what}",model="m"}}'
        return next(
            (float(line.rpartition(" ")[2]) for line in text.splitlines() if wanted in line), 0.0
        )


@pytest_asyncio.fixture(scope="module", params=SHELLS, loop_scope="module")
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    prefill, decode = [Server("p1"), Server("p2")], Server("d")
    async with served(prefill[0]) as p1, served(prefill[1]) as p2, served(decode) as d:
        role = "llm-d.ai/role"
        endpoints = [
            {"url": p1, "labels": {role: "prefill"}},
            {"url": p2, "labels": {role: "prefill"}},
            {"url": d, "labels": {role: "decode"}},
        ]
        model = {"endpoints": endpoints, "disaggregation": {"timeout_s": 1.0}}
        async with running(request.param, {"models": {"m": model}}) as router:
            yield Stage(router, prefill, decode)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_two_steps(stage: Stage) -> None:
    stage.reset()
    before = stage.decided("remote")
    more = {
        "max_completion_tokens": 50,
        "stream_options": {"include_usage": True},
        "stream": False,
    }
    answer = await stage.ask(**more, user="u")
    assert answer.status == 200 and answer.json["choices"][0]["message"]["content"] == "d"
    (first,) = stage.read
    assert first["max_tokens"] == 1 and first["stream"] is False and first["user"] == "u"
    assert "max_completion_tokens" not in first and "stream_options" not in first
    assert first["kv_transfer_params"]["do_remote_decode"] is True
    assert first["kv_transfer_params"]["remote_block_ids"] is None
    params = stage.decode.last["kv_transfer_params"]
    assert params == {**PARAMS, "remote_host": "127.0.0.1"}
    assert stage.decode.last["max_completion_tokens"] == 50
    assert stage.decided("remote") == before + 1


async def test_another_prefill_server_takes_over(stage: Stage) -> None:
    stage.reset()
    for broken in stage.prefill:
        stage.reset()
        broken.status = 503
        for _ in range(4):
            assert (await stage.ask()).status == 200
            assert stage.decode.last["kv_transfer_params"]["do_remote_prefill"] is True


@pytest.mark.parametrize("how", ["error", "hangs", "silent"])
async def test_without_any_the_decode_server_reads_the_prompt_itself(
    stage: Stage, how: str
) -> None:
    stage.reset(timeout_s=0.2)
    for server in stage.prefill:
        server.status = 500 if how == "error" else 200
        server.hangs = how == "hangs"
        server.params = None
    answer = await stage.ask()
    assert answer.status == 200 and "kv_transfer_params" not in stage.decode.last
    assert stage.decided("decode_failed") >= 1


async def test_or_the_request_is_refused_where_the_settings_say_so(stage: Stage) -> None:
    stage.reset(without="refuse")
    for server in stage.prefill:
        server.status = 500
    answer = await stage.ask()
    assert answer.status == 503 and not stage.decode.asked
    assert all(pool.in_flight == 0 for pool in stage.router.app.fleet.pools.values())


async def test_short_prompts_are_not_worth_it(stage: Stage) -> None:
    stage.reset(min_tokens=10_000)
    assert (await stage.ask()).status == 200
    assert not stage.read and "kv_transfer_params" not in stage.decode.last
    assert stage.decided("decode_short") >= 1


async def test_a_sidecar_is_told_where(stage: Stage) -> None:
    stage.reset(how="header")
    assert (await stage.ask()).status == 200
    assert not stage.read
    named = stage.decode.headers[-1]["x-prefiller-host-port"]
    prefill = stage.router.app.fleet.pools["m"].prefill
    assert prefill is not None and named in {r.host_port for r in prefill.replicas}


async def test_a_client_that_did_it_itself_is_left_alone(stage: Stage) -> None:
    stage.reset()
    mine = {"do_remote_prefill": True, "remote_block_ids": [7]}
    assert (await stage.ask(kv_transfer_params=mine)).status == 200
    assert not stage.read and stage.decode.last["kv_transfer_params"] == mine


async def test_prefill_servers_never_answer(stage: Stage) -> None:
    stage.reset()
    answers = [(await stage.ask()).json["choices"][0]["message"]["content"] for _ in range(6)]
    assert answers == ["d"] * 6


async def test_clients_do_not_name_a_prefill_server(stage: Stage) -> None:
    stage.reset(min_tokens=10_000)
    names = ("x-prefiller-host-port", "x-prefiller-url", "x-data-parallel-host-port")
    await stage.router.ask(chat("hi", "m"), dict.fromkeys(names, "10.0.0.1:22"))
    assert not any(name in stage.decode.headers[-1] for name in names)
