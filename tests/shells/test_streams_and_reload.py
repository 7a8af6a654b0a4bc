"""What a client sees when a model server breaks off, when it goes itself, and across a reload."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from openai import AsyncOpenAI
from tests.running import SHELLS, Access, Running, chat, running

from wayside.cli.app import App
from wayside.cli.files import read
from wayside.cli.serve import over_http
from wayside.sim import SimModel, SimServer, serve_sim


def client(router: Running) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{router.url}/v1", api_key="unused", max_retries=0)


def one_model(url: str) -> dict[str, Any]:
    return {"models": {"small": {"endpoints": [url]}}, "routing": {"default_model": "small"}}


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_stream_that_breaks_off_is_an_error_never_a_tidy_end(shell: str) -> None:
    async with serve_sim([SimServer((SimModel("small", itl_s=0.002),))]) as (sim,):
        async with running(shell, one_model(sim.url)) as router, client(router) as ai:
            stream = await ai.chat.completions.create(
                model="auto",
                messages=[{"role": "user", "content": "hello"}],
                stream=True,
                extra_headers={"x-sim-fault": "reset-after=3"},
            )
            seen = 0
            with pytest.raises(Exception) as caught:
                async for _ in stream:
                    seen += 1
            assert seen >= 1, "what was sent before the break arrives"
            assert "StopAsyncIteration" not in type(caught.value).__name__


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_server_that_resets_before_answering_is_a_5xx(shell: str) -> None:
    async with serve_sim([SimServer((SimModel("small"),))]) as (sim,):
        async with running(shell, one_model(sim.url)) as router, client(router) as ai:
            with pytest.raises(openai.InternalServerError) as caught:
                await ai.chat.completions.create(
                    model="small",
                    messages=[{"role": "user", "content": "hello"}],
                    extra_headers={"x-sim-fault": "reset"},
                )
            assert caught.value.status_code in (502, 503)
            assert caught.value.response.headers["x-vsr-response-path"] == "error"


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_client_that_leaves_cancels_the_generation(shell: str) -> None:
    slow = SimModel("small", itl_s=0.05, answer_tokens=400)
    async with serve_sim([SimServer((slow,))]) as (sim,):
        async with running(shell, one_model(sim.url)) as router, client(router) as ai:
            stream = await ai.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "hello"}], stream=True
            )
            async for _ in stream:
                break
            await stream.close()
            await sim.until(lambda stats: stats.cancelled == 1 and stats.running == 0)


@pytest.mark.parametrize("shell", SHELLS)
async def test_an_upstreams_own_error_passes_through(shell: str) -> None:
    async with serve_sim([SimServer((SimModel("small"),))]) as (sim,):
        async with running(shell, one_model(sim.url)) as router:
            answer = await router.ask(chat("hi", "small"), {"x-sim-fault": "status=429"})
            assert answer.status == 429
            assert answer.headers["x-vsr-response-path"] == "upstream"


async def test_a_config_maps_symlink_swap_reroutes_and_a_bad_one_keeps_the_last(
    tmp_path: Path,
) -> None:
    """A0-26: updating the ConfigMap is enough. It is mounted as ..data -> ..<timestamp>/."""
    servers = [SimServer((SimModel(name),)) for name in ("first", "second")]
    async with serve_sim(servers) as sims:
        models = {s.settings.models[0].name: {"endpoints": [s.url]} for s in sims}

        def mount(version: str, text: str) -> None:
            folder = tmp_path / f"..{version}"
            folder.mkdir()
            (folder / "wayside.yaml").write_text(text)
            swap = tmp_path / "..data_tmp"
            swap.symlink_to(folder.name)
            swap.replace(tmp_path / "..data")

        def routed(default: str) -> str:
            document = {
                "listen": {"port": 0},
                "management": {"enabled": False},
                "models": models,
                "routing": {"default_model": default},
            }
            return yaml.safe_dump(document)

        mount("2026_1", routed("first"))
        path = tmp_path / "wayside.yaml"
        path.symlink_to("..data/wayside.yaml")
        app = App(read(path.read_bytes(), str(path), env={}), env={})
        app.telemetry.access = Access()
        watching = asyncio.create_task(app.watcher(interval_s=0.02).run())
        try:
            async with over_http(app) as url:
                router = Running(app, url, Access())
                assert (await router.ask(chat("hi"))).json["model"] == "first"

                mount("2026_2", routed("second"))
                await _until(lambda: app.state.generation == 2)
                assert (await router.ask(chat("hi"))).json["model"] == "second"

                mount("2026_3", "models: {oops")
                await _until(lambda: app.state.refused == 1)
                assert (await router.ask(chat("hi"))).json["model"] == "second"
                ready = await router.get("/ready")
                assert ready.status == 200
                assert "not valid YAML" in ready.json["config"]["error"]
                text = app.telemetry.metrics.text().decode()
                assert "wayside_config_last_reload_successful 0.0" in text

                mount("2026_4", routed("first"))
                await _until(lambda: app.state.generation == 3)
                assert (await router.get("/ready")).json["config"]["error"] is None
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


async def test_a_reload_loses_no_request_under_way(tmp_path: Path) -> None:
    slow = SimServer((SimModel("small", ttft_s=0.3),))
    async with serve_sim([slow]) as (sim,):
        document = one_model(sim.url)
        async with running("gateway", document) as router:
            asked = asyncio.create_task(router.ask(chat("hi")))
            await sim.until(lambda stats: stats.running == 1)
            other = {"models": {"other": {"endpoints": ["http://127.0.0.1:9"]}}}
            router.app.apply(json.dumps({**other, "routing": {"default_model": "other"}}).encode())
            answer = await asked
            assert answer.status == 200 and answer.json["model"] == "small"
            assert (await router.ask(chat("hi"))).status == 502


@pytest.mark.parametrize("shell", SHELLS)
async def test_models_that_come_and_go_are_followed(shell: str) -> None:
    servers = [SimServer((SimModel(name),)) for name in ("first", "second")]
    async with (
        serve_sim(servers) as (one, two),
        running(
            shell,
            one_model(one.url)
            | {"models": {"small": {"endpoints": [one.url], "upstream_name": "first"}}},
        ) as router,
    ):
        assert (await router.ask(chat("hi", "small"))).json["model"] == "first"
        document = {"models": {"new": {"endpoints": [two.url], "upstream_name": "second"}}}
        router.app.apply(json.dumps(document).encode())

        async def follows() -> bool:
            answer = await router.ask(chat("hi", "new"))
            return answer.status == 200 and answer.json["model"] == "second"

        for _ in range(200):
            if await follows():
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the new model never answered")
        assert (await router.ask(chat("hi", "small"))).status == 404


async def _until(holds: Any, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_bug_costs_one_request_and_is_told_once_in_our_own_log(shell: str) -> None:
    """Nor does the log repeat the prompt."""
    async with serve_sim([SimServer((SimModel("small"),))]) as (sim,):
        async with running(shell, one_model(sim.url)) as router:
            told: list[dict[str, Any]] = []
            router.app.log.write = lambda event, level, fields: told.append(  # type: ignore[method-assign]
                {"event": event, "level": level, **fields}
            )
            good, policy = router.app.runtime.policy, None
            router.app.runtime.policy = policy  # type: ignore[assignment]
            answer = await router.ask(chat("a secret prompt"))
            assert answer.status == 500 and answer.json["error"]["code"] == "internal_error"
            (line,) = [t for t in told if t["event"] == "request failed"]
            assert line["level"] == "error" and "Traceback" in line["traceback"]
            assert "a secret prompt" not in str(told)
            router.app.runtime.policy = good
            assert (await router.ask(chat("hi"))).status == 200
