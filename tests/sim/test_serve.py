"""Many models and replicas live in one process, and can go down and come back."""

import asyncio

import aiohttp
import pytest

from wayside.sim import SimModel, SimServer, SimSettings, parse_settings, run, serve_sim

from .conftest import chat


async def test_each_replica_has_its_own_address_queue_and_counters(http):
    replicas = [SimServer((SimModel("small"),), replica=i) for i in range(3)]
    async with serve_sim([*replicas, "large"]) as sims:
        assert len({sim.port for sim in sims}) == 4
        async with http.post(f"{sims[1].url}/v1/chat/completions", json=chat()) as response:
            assert response.headers["x-sim-replica"] == "1"
            assert response.headers["x-sim-model"] == "small"
        assert [sim.stats.requests for sim in sims] == [0, 1, 0, 0]


async def test_one_address_may_serve_several_models_each_with_its_queue(http):
    both = SimServer((SimModel("small"), SimModel("large", answer="Large.")))
    async with serve_sim([both]) as [sim]:
        body = chat(model="large")
        async with http.post(f"{sim.url}/v1/chat/completions", json=body) as response:
            assert (await response.json())["choices"][0]["message"]["content"] == "Large."
        async with http.get(f"{sim.url}/metrics") as response:
            page = await response.text()
    assert 'prompt_tokens_total{engine="0",model_name="small"} 0.0' in page
    assert 'prompt_tokens_total{engine="0",model_name="large"} 2.0' in page


async def test_down_drops_connections_and_up_returns_to_the_same_address(http):
    async with serve_sim([SimModel("small", ttft_s=30)]) as [sim]:
        url = f"{sim.url}/v1/chat/completions"

        async def post():
            async with http.post(url, json=chat()) as response:
                return response.status

        asking = asyncio.ensure_future(post())
        await sim.until(lambda stats: stats.running == 1)
        await sim.down()
        with pytest.raises(aiohttp.ClientError):
            await asking
        with pytest.raises(aiohttp.ClientConnectorError):
            await post()
        assert (sim.stats.running, sim.stats.cancelled) == (0, 1)
        await sim.up()
        async with http.get(f"{sim.url}/health") as response:
            assert response.status == 200


async def test_run_serves_until_cancelled(http):
    started = asyncio.get_running_loop().create_future()
    settings = SimSettings((SimServer((SimModel("small"),)),))
    running = asyncio.ensure_future(run(settings, started=started.set_result))
    [sim] = await started
    async with http.get(f"{sim.url}/health") as response:
        assert response.status == 200
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.get(f"{sim.url}/health")


def test_settings_come_from_a_plain_document():
    settings = parse_settings(
        {
            "servers": [
                {
                    "models": [{"name": "small", "aliases": ["tiny"], "ttft_s": 0.1}],
                    "port": 9001,
                    "faults": {"status": {"rate": 0.1, "code": 503}, "slow": {"rate": 0.5}},
                }
            ]
        }
    )
    [server] = settings.servers
    assert server.models == (SimModel("small", aliases=("tiny",), ttft_s=0.1),)
    assert server.faults.status.code == 503 and server.faults.slow.factor == 10


@pytest.mark.parametrize(
    "server",
    [
        {"models": []},
        {"models": [{"name": "a", "colour": "red"}]},
        {"models": [{"name": "a"}], "faults": {"status": {"rate": 2}}},
        {"models": [{"name": "a"}], "faults": {"explode": {"rate": 1}}},
        {"models": [{"name": "a"}], "provider": "acme"},
    ],
)
def test_settings_reject_what_they_do_not_know(server):
    with pytest.raises(ValueError, match=r"servers\.0"):
        parse_settings({"servers": [server]})
