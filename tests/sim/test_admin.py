"""Pages beside generation: who it is, sleep, load, metrics in other names, GPUs."""

import json
import re

import pytest

from wayside.sim import GpuExporter, SimModel, SimServer, serve_gpus, serve_sim

from .conftest import chat
from .test_engine import ask

ME = ("x-inference-pod", "x-inference-namespace", "x-inference-port", "x-worker-id")


async def get(http, sim, path):
    async with http.get(f"{sim.url}{path}") as response:
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/chat/completions", chat(), 200),
        ("POST", "/v1/chat/completions", chat(stream=True), 200),
        ("POST", "/v1/chat/completions", chat(model="x"), 404),
        ("POST", "/v1/chat/completions", [], 400),
        ("GET", "/v1/models", None, 200),
        ("GET", "/nothing", None, 404),
        ("GET", "/health", None, 200),
        ("GET", "/metrics", None, 200),
        ("GET", "/_sim/stats", None, 200),
        ("POST", "/sleep", None, 200),
    ],
)
async def test_every_answer_says_which_server_it_is_from(http, method, path, body, status):
    mine = SimServer((SimModel("small"),), pod="pod-7", namespace="llm")
    async with serve_sim([mine, SimServer((SimModel("small"),), replica=3)]) as [named, plain]:
        async with http.request(method, f"{named.url}{path}", json=body) as response:
            assert response.status == status
            found = [response.headers.getall(name) for name in ME]
            assert found == [["pod-7"], ["llm"], [str(named.port)], ["pod-7"]]
        async with http.request(method, f"{plain.url}{path}", json=body) as response:
            found = [response.headers[name] for name in ME]
            assert found == ["sim-3", "default", str(plain.port), "sim-3"]


async def test_a_request_that_cannot_be_read_is_refused_by_name_too(exchange):
    async with serve_sim(["small"]) as [sim]:
        page = await exchange(sim, b"garbage\r\n\r\n")
    assert page.startswith(b"HTTP/1.1 400") and b"x-inference-pod: sim-0\r\n" in page


async def test_a_cloud_tells_nothing_of_pods(http):
    cloud = SimServer((SimModel("m"),), provider="openai")
    async with serve_sim([cloud]) as [sim], http.get(f"{sim.url}/v1/models") as response:
        assert not any(name in response.headers for name in ME)


async def test_asleep_it_generates_nothing_until_it_is_woken(http):
    async with serve_sim(["small"]) as [sim]:
        prompt = "The same long question. " * 20
        assert await ask(http, sim, content=prompt) == 200
        assert await get(http, sim, "/is_sleeping") == (200, '{"is_sleeping": false}')
        async with http.post(f"{sim.url}/sleep?level=1") as response:
            assert response.status == 200
        assert await get(http, sim, "/is_sleeping") == (200, '{"is_sleeping": true}')
        assert await ask(http, sim) == 503
        assert (await get(http, sim, "/health"))[0] == 200
        assert (await get(http, sim, "/v1/models"))[0] == 200
        async with http.post(f"{sim.url}/wake_up") as response:
            assert response.status == 200
        async with http.post(f"{sim.url}/v1/chat/completions", json=chat(prompt)) as response:
            usage = (await response.json())["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0, "the cache was lost"
        async with http.post(f"{sim.url}/sleep?level=3") as response:
            assert response.status == 400
        async with http.get(f"{sim.url}/sleep") as response:
            assert response.status == 405


async def test_load_is_what_runs_and_waits(http):
    async with serve_sim([SimModel("small", ttft_s=30, max_running=1)]) as [sim]:
        assert await get(http, sim, "/load") == (200, '{"server_load": 0}')
        asks = [ask(http, sim) for _ in range(3)]
        await sim.until(lambda stats: (stats.running, stats.waiting) == (1, 2))
        assert await get(http, sim, "/load") == (200, '{"server_load": 3}')
        _, told = await get(http, sim, "/get_load")
        want = {"dp_rank": 0, "num_reqs": 3, "num_waiting_reqs": 2, "num_tokens": 16}
        assert json.loads(told) == [want], "as SGLang's router reads it"
        assert sim.stats.requests == 3, "probes are not requests"
        for task in asks:
            task.cancel()
        await sim.until(lambda stats: stats.cancelled == 3)


async def test_only_what_is_under_v1_wants_the_key(http):
    async with serve_sim([SimServer((SimModel("small"),), api_keys=("k",))]) as [sim]:
        async with http.post(f"{sim.url}/tokenize", json={"prompt": "a"}) as response:
            assert response.status == 200
        async with http.post(f"{sim.url}/v1/load_lora_adapter", json={}) as response:
            assert response.status == 401


async def test_a_cloud_has_none_of_these_pages(http):
    cloud = SimServer((SimModel("m"),), provider="openai", api_keys=("k",))
    async with serve_sim([cloud]) as [sim]:
        for path in ("/metrics", "/gpu_metrics", "/version", "/load", "/is_sleeping"):
            assert (await get(http, sim, path))[0] == 404
        async with http.post(f"{sim.url}/sleep") as response:
            assert response.status == 404


NAMES = {
    "vllm": {
        "queued": 'vllm:num_requests_waiting{engine="0",model_name="small"}',
        "running": 'vllm:num_requests_running{engine="0",model_name="small"}',
        "usage": 'vllm:kv_cache_usage_perc{engine="0",model_name="small"}',
    },
    "vllm_v0": {
        "queued": 'vllm:num_requests_waiting{model_name="small"}',
        "running": 'vllm:num_requests_running{model_name="small"}',
        "usage": 'vllm:gpu_cache_usage_perc{model_name="small"}',
        "hits": 'vllm:gpu_prefix_cache_hits_total{model_name="small"}',
        "rate": 'vllm:gpu_prefix_cache_hit_rate{model_name="small"}',
    },
    "sglang": {
        "queued": 'sglang:num_queue_reqs{model_name="small"}',
        "running": 'sglang:num_running_reqs{model_name="small"}',
        "usage": 'sglang:token_usage{model_name="small"}',
        "rate": 'sglang:cache_hit_rate{model_name="small"}',
    },
    "trtllm": {
        "queued": 'trtllm_num_requests_waiting{model_name="small"}',
        "running": 'trtllm_num_requests_running{model_name="small"}',
        "usage": 'trtllm_kv_cache_utilization{model_name="small"}',
        "rate": 'trtllm_kv_cache_hit_rate{model_name="small"}',
    },
}
CONFIG = {
    "vllm": {"vllm:cache_config_info": ('block_size="16"', 'num_gpu_blocks="64"')},
    "vllm_v0": {"vllm:cache_config_info": ('block_size="16"', 'num_gpu_blocks="64"')},
    "sglang": {"sglang:cache_config_info": ('page_size="16"', 'num_pages="64"')},
    "trtllm": {
        "trtllm_kv_cache_tokens_per_block": ("16.0",),
        "trtllm_kv_cache_max_blocks": ("64.0",),
    },
}


@pytest.mark.parametrize("dialect", NAMES)
async def test_metrics_speak_in_the_names_of_each_kind_of_server(http, dialect):
    model = SimModel("small", itl_s=30, max_running=2, kv_blocks=64)
    async with serve_sim([SimServer((model,), metrics=dialect)]) as [sim]:
        prompt = "a" * 256
        assert await ask(http, sim, content=prompt, max_tokens=1) == 200
        asks = [ask(http, sim, content=prompt) for _ in range(3)]
        await sim.until(lambda stats: (stats.running, stats.waiting) == (2, 1))
        _, page = await get(http, sim, "/metrics")
        for task in asks:
            task.cancel()
        await sim.until(lambda stats: stats.cancelled == 3)
    values = dict(re.findall(r"^([^#]\S*) (\S+)$", page, re.MULTILINE))
    want = {"queued": 1, "running": 2, "usage": 6 / 64, "hits": 96, "rate": 96 / 192}
    assert {key: float(values[name]) for key, name in NAMES[dialect].items()} == {
        key: want[key] for key in NAMES[dialect]
    }
    for name, parts in CONFIG[dialect].items():
        [line] = [line for line in page.splitlines() if line.startswith(f"{name}{{")]
        assert all(part in line for part in parts)
    own = {"vllm": "vllm:", "vllm_v0": "vllm:", "sglang": "sglang:", "trtllm": "trtllm_"}[dialect]
    assert all(name.startswith(own) for name in values)
    if dialect == "vllm_v0":
        assert "kv_cache_usage_perc" not in page


GPU = re.compile(
    r'^(\w+)\{gpu="(\d+)",UUID="(GPU-[^"]+)",.*namespace="([^"]*)",pod="([^"]*)"\} (\S+)$'
)


def gpus(page):
    """(pod, metric) to value, the GPU's number and its UUID."""
    rows = [match.groups() for line in page.splitlines() if (match := GPU.match(line))]
    return {
        (pod, name): (float(value), number, uuid) for name, number, uuid, _, pod, value in rows
    }


async def test_the_gpu_moves_with_the_load(http):
    model = SimModel("small", itl_s=30, max_running=4, kv_blocks=16)
    async with serve_sim([SimServer((model,), gpu_memory_mib=1000)]) as [sim]:

        async def read():
            page = gpus((await get(http, sim, "/gpu_metrics"))[1])
            return [
                page["sim-0", f"DCGM_FI_DEV_{name}"][0]
                for name in ("GPU_UTIL", "FB_USED", "FB_FREE")
            ]

        assert await read() == [0, 200, 800]
        asks = [ask(http, sim, content="a" * 256) for _ in range(2)]
        await sim.until(lambda stats: stats.running == 2)
        busy, used, free = await read()
        assert busy == 50 and used > 200 and used + free == 1000
        for task in asks:
            task.cancel()
        await sim.until(lambda stats: stats.cancelled == 2)
        async with http.post(f"{sim.url}/sleep"):
            pass
        assert await read() == [0, 20, 980]


async def test_one_page_has_the_gpus_of_all_servers(http):
    servers = [SimServer((SimModel("small", ttft_s=30),), replica=i) for i in range(3)]
    async with serve_sim(servers) as sims, serve_gpus(sims, GpuExporter(port=0)) as url:
        task = ask(http, sims[1])
        await sims[1].until(lambda stats: stats.running == 1)
        async with http.get(url) as response:
            page = gpus(await response.text())
        async with http.get(url.replace("/metrics", "/x")) as response:
            assert response.status == 404
        task.cancel()
        await sims[1].until(lambda stats: stats.cancelled == 1)
    busy = [page[f"sim-{i}", "DCGM_FI_DEV_GPU_UTIL"] for i in range(3)]
    assert [value for value, _, _ in busy] == [0, 1, 0]
    assert [number for _, number, _ in busy] == ["0", "1", "2"]
    assert len({uuid for _, _, uuid in busy}) == 3
