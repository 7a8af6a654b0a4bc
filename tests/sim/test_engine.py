"""The queue behaves like vLLM's, and the metrics show it."""

import asyncio
import contextlib

import aiohttp
import pytest

from wayside.sim import SimModel, serve_sim

from .conftest import chat


async def metrics(http, sim):
    """Values on the metrics page, by name and the labels that matter."""
    async with http.get(f"{sim.url}/metrics") as response:
        lines = (await response.text()).splitlines()
    plain = (line.replace('engine="0",', "") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in plain)}


def of(name, model="small"):
    return f'vllm:{name}{{model_name="{model}"}}'


def ask(http, sim, **more):
    async def post():
        async with http.post(f"{sim.url}/v1/chat/completions", json=chat(**more)) as response:
            await response.read()
            return response.status

    return asyncio.ensure_future(post())


async def test_work_beyond_the_slots_waits_and_the_metrics_say_so(http):
    model = SimModel("small", ttft_s=0.05, itl_s=0.002, max_running=2, kv_blocks=32)
    async with serve_sim([model]) as [sim]:
        asks = [ask(http, sim, content=f"{i} " * 100) for i in range(5)]
        await sim.until(lambda stats: (stats.running, stats.waiting) == (2, 3))
        during = await metrics(http, sim)
        assert during[of("num_requests_running")] == 2
        assert during[of("num_requests_waiting")] == 3
        assert during[of("kv_cache_usage_perc")] == pytest.approx(2 * 4 / 32)
        assert during[of("gpu_cache_usage_perc")] == during[of("kv_cache_usage_perc")]
        assert await asyncio.gather(*asks) == [200] * 5
        after = await metrics(http, sim)
    assert after[of("num_requests_running")] == after[of("num_requests_waiting")] == 0
    assert after[of("kv_cache_usage_perc")] == 0
    assert after[of("prompt_tokens_total")] == 5 * 50
    assert after[of("generation_tokens_total")] == pytest.approx(5 * 40, abs=5)
    assert after['vllm:request_success_total{model_name="small",finished_reason="stop"}'] == 5
    for name in ("time_to_first_token", "e2e_request_latency", "request_queue_time"):
        assert after[of(f"{name}_seconds_count")] == 5
    assert after[of("time_to_first_token_seconds_sum")] > 5 * 0.05
    assert after['vllm:time_to_first_token_seconds_bucket{model_name="small",le="0.04"}'] == 0
    assert after['vllm:time_to_first_token_seconds_bucket{model_name="small",le="+Inf"}'] == 5
    assert after[of("time_per_output_token_seconds_count")] > 100
    [info] = [name for name in after if name.startswith("vllm:cache_config_info")]
    assert 'block_size="16"' in info and 'num_gpu_blocks="32"' in info


async def test_the_queue_is_first_come_first_served(http):
    async with serve_sim([SimModel("small", ttft_s=0.01, max_running=1)]) as [sim]:
        order = []
        asks = []
        for i in range(4):
            asks.append(ask(http, sim))
            asks[-1].add_done_callback(lambda _, i=i: order.append(i))
            await sim.until(lambda stats, i=i: stats.requests == i + 1)
        await asyncio.gather(*asks)
    assert order == [0, 1, 2, 3]


async def test_a_full_queue_turns_work_away(http):
    async with serve_sim([SimModel("small", ttft_s=0.1, max_running=1, max_waiting=1)]) as [sim]:
        asks = [ask(http, sim), ask(http, sim, stream=True)]
        await sim.until(lambda stats: stats.waiting == 1)
        assert await ask(http, sim, stream=True) == 503
        assert await asyncio.gather(*asks) == [200, 200]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_frees_its_slot_and_is_counted(http, stream):
    async with serve_sim([SimModel("small", ttft_s=0.02, itl_s=30, max_running=1)]) as [sim]:
        first = ask(http, sim, stream=stream)
        await sim.until(lambda stats: stats.running == 1)
        second = ask(http, sim, stream=stream)
        await sim.until(lambda stats: stats.waiting == 1)
        third = ask(http, sim, stream=stream, max_tokens=1)
        await sim.until(lambda stats: stats.waiting == 2)
        second.cancel()
        stats = await sim.until(lambda stats: stats.cancelled == 1)
        assert (stats.running, stats.waiting) == (1, 1)
        first.cancel()
        assert await third == 200
        stats = await sim.until(lambda stats: stats.cancelled == 2 and not stats.running)
        assert (stats.requests, stats.completed, stats.waiting) == (3, 1, 0)
        after = await metrics(http, sim)
        assert after['vllm:request_success_total{model_name="small",finished_reason="abort"}'] == 2
        for task in (first, second):
            with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
                await task


async def test_a_burst_of_leavers_leaves_no_slot_behind(http):
    async with serve_sim([SimModel("small", ttft_s=0.001, itl_s=0.0005, max_running=3)]) as [sim]:
        asks = [ask(http, sim) for _ in range(40)]
        await sim.until(lambda stats: stats.requests >= 20)
        for task in asks[::2]:
            task.cancel()
        done = await asyncio.gather(*asks, return_exceptions=True)
        assert set(done[1::2]) == {200}
        stats = await sim.until(lambda stats: not stats.running and not stats.waiting)
        assert stats.requests == stats.completed + stats.cancelled
        assert await ask(http, sim) == 200


async def test_a_prompt_read_before_is_cached_and_starts_sooner(http):
    model = SimModel("small", prefill_s_per_token=0.0002)
    prefix = "The same long preamble. " * 80
    async with serve_sim([model]) as [sim]:
        spent, cached = [], []
        for question in ("one", "two"):
            began = asyncio.get_running_loop().time()
            body = chat(prefix + question)
            async with http.post(f"{sim.url}/v1/chat/completions", json=body) as response:
                usage = (await response.json())["usage"]
            spent.append(asyncio.get_running_loop().time() - began)
            cached.append(usage["prompt_tokens_details"]["cached_tokens"])
        page = await metrics(http, sim)
    assert cached == [0, 480]
    assert spent[1] < spent[0] - 0.05
    assert page[of("prefix_cache_hits_total")] == 480
    assert page[of("prefix_cache_queries_total")] == 2 * 481


async def test_a_full_batch_is_slower_by_the_factor_given(http):
    model = SimModel("small", ttft_s=0.02, max_running=2, slowdown_at_full=4)
    async with serve_sim([model]) as [sim]:
        await asyncio.gather(ask(http, sim), ask(http, sim))
        page = await metrics(http, sim)
    assert page[of("time_to_first_token_seconds_sum")] == pytest.approx(0.02 + 0.08, abs=0.01)


async def test_tokens_are_counted_while_they_are_made(http):
    async with serve_sim([SimModel("small", itl_s=0.01, answer_tokens=100)]) as [sim]:
        url = f"{sim.url}/v1/chat/completions"
        async with http.post(url, json=chat(stream=True)) as response:
            for _ in range(12):
                await response.content.readline()
            made = (await metrics(http, sim))[of("generation_tokens_total")]
            assert 2 <= made < 50
