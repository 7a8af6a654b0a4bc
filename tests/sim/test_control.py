"""A server is made slow, silent or dead while it runs, and comes back."""

import asyncio

import aiohttp
import pytest

from wayside.sim import SimModel, serve_sim

from .conftest import chat
from .test_engine import ask, metrics, of

CHAT = "/v1/chat/completions"


async def put(http, sim, page, body):
    async with http.put(f"{sim.url}/_sim/{page}", json=body) as response:
        return response.status, await response.json()


async def test_the_pace_is_set_while_it_runs(http):
    async with serve_sim([SimModel("small", ttft_s=0.02)]) as [sim]:
        name = of("request_prefill_time_seconds_sum")
        assert await put(http, sim, "pace", {"factor": 6}) == (200, {"factor": 6})
        assert await ask(http, sim) == 200
        slow = (await metrics(http, sim))[name]
        assert slow == pytest.approx(0.12, abs=0.01)
        sim.pace = 1
        assert await ask(http, sim) == 200
        assert (await metrics(http, sim))[name] - slow == pytest.approx(0.02, abs=0.01)
        assert sim.stats.faulted == 0, "slow is not broken"


@pytest.mark.parametrize("stream", [False, True])
async def test_hung_it_is_silent_to_all_and_then_goes_on(http, stream):
    async with serve_sim([SimModel("small", ttft_s=0.02, itl_s=0.01)]) as [sim]:

        async def health():
            async with http.get(f"{sim.url}/health") as response:
                return response.status

        running = ask(http, sim, stream=stream)
        await sim.until(lambda stats: stats.running == 1)
        assert (await put(http, sim, "life", {"state": "hung"}))[0] == 200
        probe, late = asyncio.ensure_future(health()), ask(http, sim, stream=stream)
        done, _ = await asyncio.wait([running, probe, late], timeout=0.6)
        assert not done
        async with http.get(f"{sim.url}/_sim/stats") as response:
            assert (await response.json())["hung"] is True
        await put(http, sim, "life", {"state": "up"})
        assert await asyncio.gather(running, probe, late) == [200] * 3


async def test_hung_for_a_while_it_comes_back_by_itself(http):
    async with serve_sim(["small"]) as [sim]:
        await put(http, sim, "life", {"state": "hung", "for_s": 0.1})
        began = asyncio.get_running_loop().time()
        assert await ask(http, sim) == 200
        assert asyncio.get_running_loop().time() - began >= 0.05


async def test_a_client_that_gives_up_on_a_hung_server_leaves_nothing_behind(http):
    async with serve_sim(["small"]) as [sim]:
        sim.hang()
        task = ask(http, sim)
        await asyncio.wait([task], timeout=0.1)
        task.cancel()
        await sim.until(lambda stats: stats.cancelled == 1)
        sim.revive()
        assert await ask(http, sim) == 200


async def test_down_it_drops_everybody_and_comes_back_empty(http):
    async with serve_sim([SimModel("small", ttft_s=0.2)]) as [sim]:
        prompt = "The same long question. " * 20
        assert await ask(http, sim, content=prompt) == 200
        running = ask(http, sim, content=prompt)
        await sim.until(lambda stats: stats.running == 1)
        answer = await put(http, sim, "life", {"state": "down", "for_s": 0.2})
        assert answer == (200, {"state": "down", "for_s": 0.2})
        with pytest.raises(aiohttp.ClientError):
            await running
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(f"{sim.url}/health")
        deadline = asyncio.get_running_loop().time() + 5
        while True:
            try:
                async with http.post(f"{sim.url}{CHAT}", json=chat(prompt)) as response:
                    usage = (await response.json())["usage"]
                    break
            except aiohttp.ClientConnectorError:
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.01)
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0


async def test_down_for_good_it_is_brought_up_by_hand(http):
    async with serve_sim(["small"]) as [sim]:
        await put(http, sim, "life", {"state": "down"})
        with pytest.raises(aiohttp.ClientError):
            while True:
                await ask(http, sim)
        await sim.up()
        assert await ask(http, sim) == 200


@pytest.mark.parametrize(
    ("page", "body"),
    [
        ("pace", {}),
        ("pace", {"factor": 0}),
        ("pace", {"factor": "fast"}),
        ("pace", {"factor": True}),
        ("life", {}),
        ("life", {"state": "dead"}),
        ("life", {"state": "hung", "for_s": -1}),
        ("nothing", {}),
    ],
)
async def test_a_switch_that_there_is_not_is_refused(http, page, body):
    async with serve_sim(["small"]) as [sim]:
        status, said = await put(http, sim, page, body)
        assert status == (404 if page == "nothing" else 400)
        assert said["error"]["message"]
        assert await ask(http, sim) == 200
