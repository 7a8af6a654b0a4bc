"""What production-stack's router has beside the models: engines, sleep, metrics, pins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.running import Answer, Running, chat, running
from wayside.gateway.engine_stats import read as engine_page
from wayside.sim import FaultRates, SimModel, SimServer, StatusRate, serve_sim
from wayside.translate import production_stack

ON = {"production_stack": {"enabled": True, "session_key": "x-user-id"}}


@contextlib.asynccontextmanager
async def router(count: int = 2, **settings: Any) -> AsyncIterator[tuple[Running, Any]]:
    """One model on ``count`` simulated servers, in turn."""
    servers = [SimServer((SimModel("m"),), replica=i) for i in range(count)]
    async with serve_sim(servers) as sims:
        document = {
            "models": {"m": {"endpoints": [sim.url for sim in sims], "aliases": ["alias"]}},
            "picking": "round_robin",
            **ON,
            **settings,
        }
        async with running("gateway", document) as found:
            yield found, sims


async def post(found: Running, path: str, body: Any = None, **headers: str) -> Answer:
    return await found.ask({} if body is None else body, headers, path)


async def engines(found: Running) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = (await found.get("/engines")).json
    return listed


async def gauge(found: Running, name: str) -> dict[str, float]:
    """A metric of ``/metrics`` by its labels."""
    text = (await found.get("/metrics")).body.decode()
    pattern = re.compile(rf"^{re.escape(name)}(?:\{{(.*)\}})? (\S+)$", re.MULTILINE)
    return {labels or "": float(value) for labels, value in pattern.findall(text)}


async def test_engines_are_listed_with_what_is_known_of_them() -> None:
    async with router() as (found, sims):
        listed = await engines(found)
        assert [e["url"] for e in listed] == [s.url.removesuffix("/v1") for s in sims]
        assert all(e["serving_models"] == ["m"] for e in listed)
        assert all(e["healthy"] and not e["asleep"] and e["in_flight"] == 0 for e in listed)
        assert len({e["engine_id"] for e in listed}) == 2
        assert [e["engine_id"] for e in await engines(found)] == [e["engine_id"] for e in listed]
        assert (await found.get("/version")).json.keys() == {"version"}


async def test_a_request_goes_to_the_engine_that_it_names() -> None:
    async with router(3) as (found, sims):
        listed = await engines(found)
        for _ in range(4):
            path = f"/v1/chat/completions?id={listed[1]['engine_id']}"
            assert (await post(found, path, chat("hi", "m"))).status == 200
        assert [len(sim.requests) for sim in sims] == [0, 4, 0]
        assert "id=" not in sims[1].requests[0].path
        lost = await post(found, "/v1/chat/completions?id=nobody", chat("hi", "m"))
        assert lost.status == 404
        assert lost.json["error"]["code"] == "engine_not_found"


async def test_a_sleeping_engine_takes_no_requests_until_it_is_woken() -> None:
    async with router() as (found, sims):
        first, second = await engines(found)
        slept = await post(found, f"/sleep?id={first['engine_id']}&level=2")
        assert slept.status == 200
        for _ in range(4):
            assert (await post(found, "/v1/chat/completions", chat("hi", "m"))).status == 200
        assert asked(sims[0]) == 0
        assert asked(sims[1]) == 4
        cards = {e["engine_id"]: e for e in await engines(found)}
        assert cards[first["engine_id"]]["asleep"]
        assert not cards[first["engine_id"]]["healthy"]
        said = await found.get(f"/is_sleeping?id={first['engine_id']}")
        assert said.json == {"is_sleeping": True}
        healthy = await gauge(found, "vllm:healthy_pods_total")
        assert sorted(healthy.values()) == [0, 1]

        # The last one sleeps as well: away for now, not unknown, and told when to come back.
        await post(found, f"/sleep?id={second['engine_id']}")
        away = await post(found, "/v1/chat/completions", chat("hi", "m"))
        assert away.status == 503
        assert int(away.headers["retry-after"]) >= 1

        assert (await post(found, f"/wake_up?id={first['engine_id']}")).status == 200
        assert (await post(found, "/v1/chat/completions", chat("hi", "m"))).status == 200
        assert asked(sims[0]) == 1


async def test_an_engine_that_only_reads_prompts_can_be_named_too() -> None:
    async with serve_sim([SimServer((SimModel("m"),), replica=i) for i in range(2)]) as sims:
        roles = zip(sims, ("prefill", "decode"), strict=True)
        endpoints = [{"url": s.url, "labels": {"llm-d.ai/role": role}} for s, role in roles]
        model = {"endpoints": endpoints, "disaggregation": {"how": "header"}}
        async with running("gateway", {"models": {"m": model}, **ON}) as found:
            for engine in await engines(found):
                assert (await post(found, f"/sleep?id={engine['engine_id']}")).status == 200
            assert [sim.requests[-1].path.partition("?")[0] for sim in sims] == ["/sleep"] * 2
            pool = found.app.fleet.pools["m"]
            assert [replica.asleep for replica in pool.everybody] == [True, True]


def asked(sim: Any) -> int:
    return sum(r.path.startswith("/v1/chat") for r in sim.requests)


async def test_an_engine_that_wakes_by_itself_is_noticed_when_it_says_so() -> None:
    async with router(1) as (found, sims):
        (engine,) = await engines(found)
        await post(found, f"/sleep?id={engine['engine_id']}")
        async with aiohttp.ClientSession() as session:
            root = sims[0].url.removesuffix("/v1")
            async with session.post(f"{root}/wake_up") as woken:
                assert woken.status == 200
        assert (await post(found, "/v1/chat/completions", chat("hi", "m"))).status == 503
        said = await found.get(f"/is_sleeping?id={engine['engine_id']}")
        assert said.json == {"is_sleeping": False}
        assert (await post(found, "/v1/chat/completions", chat("hi", "m"))).status == 200


@pytest.mark.parametrize("path", ["/sleep", "/sleep?id=", "/wake_up?level=1"])
async def test_sleep_wants_to_know_who(path: str) -> None:
    async with router(1) as (found, _):
        answer = await post(found, path)
        assert answer.status == 400
        assert answer.json["error"]["param"] == "id"
        assert (await found.get("/sleep?id=x")).status == 405


async def test_only_admins_put_engines_to_sleep_where_it_is_known_who_asks() -> None:
    settings = {
        "identity": {"trusted": True},
        "production_stack": {"enabled": True, "admin_groups": ["ops"]},
    }
    async with router(1, **settings) as (found, sims):
        ops = {"x-authz-user-groups": "dev, ops"}
        for path in ("/sleep?id=x", "/wake_up?id=x"):
            assert (await post(found, path)).status == 403
            assert (await post(found, path, **{"x-authz-user-groups": "dev"})).status == 403
            assert (await post(found, path, **ops)).status == 404
        assert (await found.get("/engines")).status == 403
        assert (await found.get("/health")).status == 200
        assert not sims[0].requests


async def test_nothing_of_it_is_there_unless_it_is_wanted() -> None:
    async with router(1, production_stack={}) as (found, sims):
        for path in ("/engines", "/version", "/metrics", "/is_sleeping?id=x"):
            assert (await found.get(path)).status == 404
        answer = await post(found, "/v1/chat/completions?id=x", chat("hi", "m"))
        assert answer.status == 200  # as before: the query goes on
        assert sims[0].requests[0].path.endswith("?id=x")


async def test_what_models_servers_do_beside_completions_is_passed_on() -> None:
    async with router(1) as (found, sims):
        answer = await post(found, "/tokenize", {"model": "alias", "prompt": "some words here"})
        assert answer.status == 200
        assert answer.json["count"] > 0
        request = sims[0].requests[0]
        assert request.path == "/tokenize"
        assert json.loads(request.body)["model"] == "m"
        lost = await post(found, "/v1/rerank", {"model": "no", "query": "a", "documents": []})
        assert lost.status == 404
        assert (await post(found, "/rerank", {"query": "a"})).status == 400
        assert (await post(found, "/v1/score", {"model": "auto"})).status == 400


async def test_what_guards_cannot_read_is_not_sent() -> None:
    settings = {
        "guard_recipe": "watch",
        "recipes": {"watch": {"decisions": [{"name": "all", "plugins": {"pii": {}}}]}},
    }
    async with router(1, **settings) as (found, sims):
        answer = await post(found, "/rerank", {"model": "m", "query": "a@b.com", "documents": []})
        assert answer.status == 400
        assert answer.json["error"]["code"] == "unsupported_endpoint"
        assert not sims[0].requests


async def test_the_metrics_that_dashboards_know() -> None:
    async with router() as (found, sims):
        urls = [s.url.removesuffix("/v1") for s in sims]
        for i in range(6):
            body = chat(f"hello {i}", "m", stream=i % 2 == 0, max_tokens=5)
            assert (await found.ask(body)).status == 200
        assert (await post(found, "/v1/chat/completions", chat("x", "nobody"))).status == 404
        by_server = {f'server="{url}"' for url in urls}
        by_model = {f'model="m",server="{url}"' for url in urls}

        assert await gauge(found, "vllm:num_incoming_requests_total") == {'model="m"': 6}
        running = await gauge(found, "vllm:num_requests_running")
        assert running == dict.fromkeys(by_server, 0)
        healthy = await gauge(found, "vllm:healthy_pods_total")
        assert healthy == dict.fromkeys(by_server, 1)
        tokens = await gauge(found, "vllm:output_tokens_total")
        assert set(map(flipped, tokens)) == by_model
        assert set(tokens.values()) == {15}
        assert sum((await gauge(found, "vllm:input_tokens_total")).values()) > 0
        qps = await gauge(found, "vllm:current_qps")
        assert qps == dict.fromkeys(by_server, pytest.approx(3 / 60))
        assert set((await gauge(found, "vllm:avg_decoding_length")).values()) == {5}
        assert all(v > 0 for v in (await gauge(found, "vllm:avg_latency")).values())
        assert all(v >= 0 for v in (await gauge(found, "vllm:avg_itl")).values())
        count = await gauge(found, "vllm:request_latency_seconds_count")
        assert sum(count.values()) == 6
        assert all('status="200"' in labels for labels in count)
        assert 0 <= (await gauge(found, "router_memory_usage_percent"))[""] <= 100
        assert 0 <= (await gauge(found, "router_disk_usage_percent"))[""] <= 100


def flipped(labels: str) -> str:
    return ",".join(sorted(labels.split(",")))


async def test_what_servers_say_is_shown_with_it() -> None:
    settings = {"production_stack": {"enabled": True, "engine_stats_s": 0.05}}
    async with router(1, **settings) as (found, _):
        for _ in range(2):
            await found.ask(chat("the same words " * 40, "m"))
        async with asyncio.timeout(5):
            while not any((await gauge(found, "vllm:gpu_prefix_cache_hits_total")).values()):
                await asyncio.sleep(0.02)
        (rate,) = (await gauge(found, "vllm:gpu_prefix_cache_hit_rate")).values()
        assert 0 < rate < 1
        assert list((await gauge(found, "vllm:num_requests_waiting")).values()) == [0]


@pytest.mark.parametrize("prefix", ["vllm:", "vllm:gpu_"])
def test_both_generations_of_names_are_read(prefix: str) -> None:
    page = (
        "# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting 3\n"
        f"# TYPE {prefix}prefix_cache_hits_total counter\n"
        f'{prefix}prefix_cache_hits_total{{e="0"}} '
        f'6\n{prefix}prefix_cache_hits_total{{e="1"}} 2\n'
        f"# TYPE {prefix}prefix_cache_queries_total counter\n"
        f"{prefix}prefix_cache_queries_total 10\n"
    )
    said = engine_page(page.encode())
    assert (said.waiting, said.hits, said.queries, said.swapped) == (3, 8, 10, None)


async def test_errors_are_counted_by_server() -> None:
    async with router(1) as (found, sims):
        await found.ask(chat("hi", "m"), {"x-sim-fault": "status=500"})
        errors = await gauge(found, "vllm:request_errors_total")
        assert [v for k, v in errors.items() if 'error_type="500"' in k] == [1]
        assert all(sims[0].url.removesuffix("/v1") in k for k in errors)


async def test_the_server_that_answered_counts_not_the_one_that_failed() -> None:
    async with router() as (found, sims):
        sims[0].faults = FaultRates(status=StatusRate(rate=1.0, code=503))
        for _ in range(4):
            assert (await found.ask(chat("hi", "m"))).status == 200
        tokens = await gauge(found, "vllm:output_tokens_total")
        assert [flipped(labels) for labels in tokens] == [
            f'model="m",server="{sims[1].url.removesuffix("/v1")}"'
        ]
        assert await gauge(found, "vllm:num_incoming_requests_total") == {'model="m"': 4}


async def test_servers_that_are_gone_leave_the_metrics() -> None:
    async with router() as (found, sims):
        for _ in range(4):
            await found.ask(chat("hi", "m"))
        app, gone = found.app, sims[1].url.removesuffix("/v1")
        assert gone in (await found.get("/metrics")).body.decode()
        models = {"m": {"endpoints": [sims[0].url]}}
        text = json.dumps({**ON, "listen": {"port": 0}, "models": models}).encode()
        app.apply(text)
        after = [
            line
            for line in (await found.get("/metrics")).body.decode().splitlines()
            if line.startswith("vllm:") and gone in line
        ]
        assert after == []
        assert (await gauge(found, "vllm:num_requests_running")).keys() == {
            f'server="{sims[0].url.removesuffix("/v1")}"'
        }


async def test_a_model_that_a_reload_took_away_is_away() -> None:
    async with router(1) as (found, sims):
        models = {"other": {"endpoints": [sims[0].url]}}
        found.app.apply(json.dumps({**ON, "models": models}).encode())
        for name in ("m", "alias"):
            answer = await found.ask(chat("hi", name))
            assert answer.status == 503, name
            assert answer.json["error"]["code"] == "model_unavailable"
            assert int(answer.headers["retry-after"]) > 0
        assert (await found.ask(chat("hi", "never"))).status == 404
        found.app.apply(json.dumps({"models": models}).encode())
        assert (await found.ask(chat("hi", "m"))).status == 404  # nobody expects it any more


async def test_the_line_in_the_log_names_session_server_and_time() -> None:
    async with router(1) as (found, sims):
        log = found.app.log
        answer = await found.ask(chat("hi", "m"), {"x-user-id": "ann smith"})
        log.flush()
        text = log._stream.getvalue()  # type: ignore[attr-defined]
        (line,) = [x for x in text.splitlines() if "Routing request" in x]
        event = json.loads(line)["event"]
        url = sims[0].url.removesuffix("/v1")
        assert re.fullmatch(
            rf"Routing request {answer.headers['x-request-id']} with session id ann_smith to "
            rf"{re.escape(url)} at \d+\.\d+, process time = \d+\.\d{{4}}",
            event,
        )


def test_what_is_not_ours_is_in_no_health() -> None:
    text = b'{"service_discovery": "static", "secret": "x", "static_backends": "http://a"}'
    assert production_stack.shown(text) == {
        "service_discovery": "static",
        "static_backends": "http://a",
    }
    assert production_stack.shown(b"models: {}") == {}
