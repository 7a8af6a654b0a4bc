"""The whole view, inside a router that answers requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.fleet.pages import page_servers, until
from tests.fleet.test_gpu import gpu
from tests.running import SHELLS, Running, chat, running
from wayside.cli.app import App
from wayside.sim import Sim, SimModel, serve_sim


@contextlib.asynccontextmanager
async def viewed(
    document: dict[str, Any], shell: str = "gateway", env: dict[str, str] | None = None
) -> AsyncIterator[Running]:
    """A router whose housekeeping runs."""
    document = {
        "fleet": {"scrape": {"interval_s": 0.05}},
        "routing": {"default_model": "small"},
    } | document
    async with running(shell, document, env) as router:
        task = asyncio.create_task(router.app.housekeeping())
        try:
            yield router
        finally:
            task.cancel()
            await asyncio.wait([task])


def metrics(app: App) -> dict[tuple[str, ...], float]:
    found = {}
    for family in text_string_to_metric_families(app.telemetry.metrics.text().decode()):
        for sample in family.samples:
            said = sample.labels
            one, other = (
                said.get("model", said.get("source")),
                said.get("endpoint", said.get("reason")),
            )
            found[sample.name, str(one), str(other)] = sample.value
    return found


def name(sim: Any) -> str:
    return f"127.0.0.1:{sim.port}"


async def answered(router: Running, count: int) -> Counter[str]:
    """Which servers answer so many requests, one after the other."""
    found: Counter[str] = Counter()
    for _ in range(count):
        answer = await router.ask(chat("hello", model="small"))
        assert answer.status == 200, answer.body
        found[(await router.line(answer))["endpoint"]] += 1
    return found


async def busy(sim: Sim, requests: int) -> list[asyncio.Task[None]]:
    """Requests of somebody else's, which only the server's own metrics tell of."""

    async def ask() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(sim.url + "/v1/chat/completions", json=chat("x", model="small")) as r,
        ):
            await r.read()

    tasks = [asyncio.create_task(ask()) for _ in range(requests)]
    await sim.until(lambda stats: stats.waiting + stats.running >= requests)
    return tasks


async def test_requests_go_where_servers_say_that_nobody_waits() -> None:
    """A3-13: a queue that others filled is seen, and shown in the metrics."""
    models = [SimModel("small", ttft_s=20, max_running=1), SimModel("small")]
    async with serve_sim(models) as sims:
        document = {"models": {"small": {"endpoints": [s.url for s in sims], "picking": "queue"}}}
        async with viewed(document) as router:
            tasks = await busy(sims[0], 3)
            first, second = router.app.fleet.pools["small"].replicas
            await until(lambda: first.vitals.waiting == 2 and second.vitals.at > 0)
            assert await answered(router, 6) == {name(sims[1]): 6}
            shown = metrics(router.app)
            assert shown["wayside_endpoint_waiting", "small", name(sims[0])] == 2
            assert shown["wayside_endpoint_running", "small", name(sims[0])] == 1
            assert shown["wayside_endpoint_healthy", "small", name(sims[0])] == 1
            assert 0 <= shown["wayside_endpoint_kv_usage", "small", name(sims[0])] <= 1
            age = shown["wayside_endpoint_scrape_age_seconds", "small", name(sims[0])]
            assert 0 <= age < 2
            assert ("wayside_endpoint_gpu_utilization", "small", name(sims[0])) not in shown
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def test_nothing_is_asked_of_servers_that_nobody_goes_by() -> None:
    async with page_servers("") as (server,):
        document: dict[str, Any] = {"models": {"small": {"endpoints": [server.url]}}}
        async with viewed(document) as router:
            await asyncio.sleep(0.4)
            assert server.asked == []
            weighed = {"multi_factor": {"weights": {"queue": 1}}}
            decision = {"name": "any", "models": ["small"], "select": weighed}
            document["routing"] = {"default_model": "small", "decisions": [decision]}
            router.app.apply(yaml.safe_dump(document).encode())
            await until(lambda: "/metrics" in server.asked)


async def test_metrics_are_read_where_the_settings_say() -> None:
    page = "vllm:num_requests_waiting 7\n"
    async with page_servers("", page) as (api, other):
        model = {
            "endpoints": [api.url + "/llama/v1"],
            "picking": "queue",
            "metrics": {"path": "/prometheus/metrics"},
        }
        async with viewed({"models": {"small": model}}) as router:
            await until(lambda: api.asked)
            assert api.asked[0] == "/llama/prometheus/metrics", "beside the API"
            model["metrics"] = {"port": other.port, "path": "/metrics"}
            document = {"models": {"small": model}, "routing": {"default_model": "small"}}
            router.app.apply(yaml.safe_dump(document).encode())
            (replica,) = router.app.fleet.pools["small"].replicas
            await until(lambda: replica.vitals.waiting == 7)
            assert other.asked[0] == "/metrics"


async def test_gpu_load_is_gone_by_and_left_when_it_is_stale() -> None:
    """A3-05, A3-16, A3-21, A3-24: by the exporter of GPU_METRICS_ENDPOINT; without it, by the
    servers' own load."""
    async with (
        serve_sim([SimModel("small"), SimModel("small")]) as sims,
        page_servers("") as (exporter,),
    ):
        endpoints = [
            {"url": s.url, "name": s_name, "labels": {"pod": f"pod-{s_name}"}}
            for s, s_name in zip(sims, ("a", "b"), strict=True)
        ]
        exporter.body = gpu(95, pod="pod-a") + gpu(5, pod="pod-b")
        document = {
            "models": {"small": {"endpoints": endpoints, "picking": "gpu-load-aware"}},
            "fleet": {
                "scrape": {"interval_s": 0.05},
                "gpu_metrics": {"interval_s": 0.05, "stale_after_s": 0.5, "timeout_s": 0.2},
            },
        }
        env = {"GPU_METRICS_ENDPOINT": exporter.url}
        async with viewed(document, env=env) as router:
            a, b = router.app.fleet.pools["small"].replicas
            await until(lambda: a.vitals.gpu is not None and b.vitals.at > 0)
            assert await answered(router, 6) == {"b": 6}
            assert metrics(router.app)["wayside_endpoint_gpu_utilization", "small", "a"] == 0.95
            exporter.body = "what?\n"
            await until(lambda: a.vitals.gpu is None and b.vitals.gpu is None)
            assert set(await answered(router, 20)) == {"a", "b"}, "both are idle as they say"


async def test_without_an_exporter_it_is_said_once_that_there_is_none() -> None:
    """A3-16."""
    async with serve_sim([SimModel("small")]) as (sim,):
        document = {
            "models": {"small": {"endpoints": [sim.url], "picking": "gpu-load-aware"}},
            "fleet": {"gpu_metrics": {"interval_s": 0.05}},
        }
        async with viewed(document) as router:
            said: list[str] = []
            router.app.log.write = lambda event, level, fields: said.append(  # type: ignore[method-assign]
                f"{event} {fields.get('what', '')}"
            )
            await asyncio.sleep(0.3)
            assert [s for s in said if "goes by GPUs" in s] == [
                "fleet models.small.picking goes by GPUs, and nobody tells of them: it goes by "
                "the servers' own load. Set fleet.gpu_metrics, or GPU_METRICS_ENDPOINT"
            ]
            assert (await answered(router, 1)).total() == 1


async def test_health_checks_and_metrics_survive_a_server_that_dies_and_comes_back() -> None:
    async with serve_sim([SimModel("small"), SimModel("small")]) as sims:
        model = {
            "endpoints": [s.url for s in sims],
            "picking": "queue",
            "health_check": {"interval_s": 0.05, "failures": 1},
        }
        async with viewed({"models": {"small": model}}) as router:
            first, _ = router.app.fleet.pools["small"].replicas
            await until(lambda: first.vitals.at > 0)
            await sims[0].down()
            await until(lambda: first.down)
            assert await answered(router, 4) == {name(sims[1]): 4}
            assert metrics(router.app)["wayside_endpoint_healthy", "small", name(sims[0])] == 0
            errors = metrics(router.app)
            assert errors["wayside_scrape_errors_total", "health", "connect"] >= 1
            await until(
                lambda: metrics(router.app).get(
                    ("wayside_scrape_errors_total", "metrics", "connect"), 0
                )
            )
            await sims[0].up()
            await until(lambda: not first.down)
            found: Counter[str] = Counter()
            async with asyncio.timeout(10):
                while len(found) < 2:
                    found += await answered(router, 4)


async def test_servers_of_a_file_answer_and_a_swap_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"
    async with serve_sim([SimModel("small"), SimModel("small")]) as sims:
        path.write_text(json.dumps([sims[0].url]))
        async with viewed({"models": {"small": {"discover": {"file": str(path)}}}}) as router:
            pool = router.app.fleet.pools["small"]
            await until(lambda: pool.replicas)
            assert await answered(router, 2) == {name(sims[0]): 2}
            fresh = tmp_path / "new"
            fresh.write_text(json.dumps([{"url": sims[1].url}]))
            fresh.replace(path)
            await until(lambda: [r.address.port for r in pool.replicas] == [sims[1].port])
            assert await answered(router, 2) == {name(sims[1]): 2}


@pytest.mark.parametrize("shell", SHELLS)
async def test_servers_behind_a_name_answer_and_an_unwell_one_does_not(shell: str) -> None:
    """The name is 127.0.0.1 for everybody, so Envoy can look it up too."""
    async with serve_sim([SimModel("small"), SimModel("small")]) as sims:
        model = {
            "discover": {"dns": {"name": "localhost", "port": sims[0].port}},
            "endpoints": [sims[1].url],
            "health_check": {"interval_s": 0.1, "failures": 1},
        }
        sims[1].healthy = False
        async with viewed({"models": {"small": model}}, shell) as router:
            pool = router.app.fleet.pools["small"]
            await until(lambda: len(pool.replicas) >= 2 and pool.replicas[0].down)
            await asyncio.sleep(0.5)  # until Envoy has asked, too
            before = sims[1].stats.completed
            for _ in range(8):
                assert (await router.ask(chat("hi", model="small"))).status == 200
            assert sims[1].stats.completed == before
            assert sims[0].stats.completed >= 8


async def test_how_much_servers_can_keep_is_read_seldom() -> None:
    """A strategy that wants no more than capacities costs two servers' pages every two seconds."""
    async with serve_sim([SimModel("small", kv_blocks=77), SimModel("small")]) as sims:
        model = {"endpoints": [s.url for s in sims], "picking": "prefix_cache"}
        async with viewed({"models": {"small": model}}) as router:
            first, _ = router.app.fleet.pools["small"].replicas
            await until(lambda: first.vitals.at > 0)
            assert first.vitals.blocks == 77
            probes = sims[0].stats.probes
            await asyncio.sleep(1.0)
            assert sims[0].stats.probes <= probes + 1
