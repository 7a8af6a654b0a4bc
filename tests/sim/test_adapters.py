"""LoRA adapters come and go, and only so many run at once."""

import asyncio

import pytest

from wayside.sim import SimModel, SimServer, serve_sim

from .test_engine import ask, metrics, of


async def lora_info(http, sim):
    """Labels and value of vLLM's `lora_requests_info`; None if there is none."""
    async with http.get(f"{sim.url}/metrics") as response:
        lines = (await response.text()).splitlines()
    found = [line for line in lines if line.startswith("vllm:lora_requests_info{")]
    if not found:
        return None
    [line] = found
    labels, _, value = line.removeprefix("vllm:lora_requests_info").rpartition(" ")
    pairs = (pair.partition("=") for pair in labels.strip("{}").split('",'))
    return {key: text.strip('"') for key, _, text in pairs}, float(value)


async def prefill_s(http, sim):
    """Seconds that all requests together took from their slot to their first token."""
    return (await metrics(http, sim))[of("request_prefill_time_seconds_sum", "base")]


async def post(http, sim, path, body):
    async with http.post(f"{sim.url}{path}", json=body) as response:
        return response.status, await response.text()


async def test_adapters_are_listed_below_their_model_and_answer_by_their_name(openai_for):
    async with serve_sim([SimModel("base", loras=("sql", "chat"))]) as [sim]:
        client = openai_for(sim)
        cards = {card.id: card for card in (await client.models.list()).data}
        assert list(cards) == ["base", "sql", "chat"]
        assert cards["base"].parent is None
        assert cards["sql"].parent == "base" and cards["sql"].owned_by == "vllm"
        done = await client.chat.completions.create(
            model="sql", messages=[{"role": "user", "content": "Hi"}]
        )
        assert done.model == "sql"
        assert (await client.models.retrieve("chat")).parent == "base"


async def test_an_adapter_is_loaded_and_unloaded_while_it_serves(http):
    async with serve_sim([SimModel("base", max_loras=2)]) as [sim]:
        load, unload = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
        sql = {"lora_name": "sql", "lora_path": "/adapters/sql"}
        assert await ask(http, sim, model="sql") == 404
        status, said = await post(http, sim, load, sql)
        assert (status, said) == (200, "Success: LoRA adapter 'sql' added successfully.")
        assert await ask(http, sim, model="sql") == 200
        async with http.get(f"{sim.url}/v1/models/sql") as response:
            card = await response.json()
        assert (card["root"], card["parent"]) == ("/adapters/sql", "base")
        status, said = await post(http, sim, load, sql)
        assert status == 400 and "already been loaded" in said
        assert (await post(http, sim, load, {"lora_name": "base", "lora_path": "/x"}))[0] == 400
        assert (await post(http, sim, load, {"lora_name": "x"}))[0] == 400
        assert (await post(http, sim, unload, {}))[0] == 400
        status, said = await post(http, sim, unload, {"lora_name": "sql"})
        assert (status, said) == (200, "Success: LoRA adapter 'sql' removed successfully.")
        assert (await post(http, sim, unload, {"lora_name": "sql"}))[0] == 404
        assert await ask(http, sim, model="sql") == 404


async def test_without_lora_nothing_is_loaded_and_nothing_is_told(http):
    async with serve_sim(["base"]) as [sim]:
        body = {"lora_name": "sql", "lora_path": "/adapters/sql"}
        status, said = await post(http, sim, "/v1/load_lora_adapter", body)
        assert status == 400 and "max_loras" in said
        assert await lora_info(http, sim) is None


async def test_only_so_many_run_and_those_behind_are_passed_over(http):
    model = SimModel("base", loras=("a", "b", "c"), max_loras=2, ttft_s=0.1)
    async with serve_sim([model]) as [sim]:
        ended = []
        asks = []
        for name in ("a", "b", "c", "a", "base"):
            asks.append(ask(http, sim, model=name))
            asks[-1].add_done_callback(lambda _, name=name: ended.append(name))
            await sim.until(lambda stats: stats.requests == len(asks))
        stats = await sim.until(lambda stats: stats.running == 4)
        assert stats.waiting == 1
        labels, stamp = await lora_info(http, sim)
        assert labels == {
            "max_lora": "2",
            "running_lora_adapters": "a,b",
            "waiting_lora_adapters": "c",
        }
        assert stamp > 1.7e9
        assert await asyncio.gather(*asks) == [200] * 5
        assert ended[-1] == "c"
        labels, later = await lora_info(http, sim)
        assert labels["running_lora_adapters"] == labels["waiting_lora_adapters"] == ""
        assert later > stamp


async def test_a_client_that_leaves_takes_its_adapter_along(http):
    model = SimModel("base", loras=("a", "b"), max_loras=1, ttft_s=30)
    async with serve_sim([model]) as [sim]:
        first, second = ask(http, sim, model="a"), None
        await sim.until(lambda stats: stats.running == 1)
        second = ask(http, sim, model="b")
        await sim.until(lambda stats: stats.waiting == 1)
        first.cancel()
        await sim.until(lambda stats: stats.cancelled == 1 and stats.running == 1)
        assert (await lora_info(http, sim))[0]["running_lora_adapters"] == "b"
        second.cancel()
        await sim.until(lambda stats: stats.cancelled == 2 and not stats.running)
        assert (await lora_info(http, sim))[0]["running_lora_adapters"] == ""


async def test_a_cold_adapter_costs_its_loading_and_a_warm_one_nothing(http):
    model = SimModel("base", loras=("a", "b"), max_loras=1, lora_load_s=0.1)
    async with serve_sim([model]) as [sim]:
        spent = []
        for name in ("a", "a", "b", "a", "base"):
            before = await prefill_s(http, sim)
            assert await ask(http, sim, model=name) == 200
            spent.append(await prefill_s(http, sim) - before)
        assert spent == pytest.approx([0.1, 0, 0.1, 0.1, 0], abs=0.02)
        async with http.get(f"{sim.url}/_sim/stats") as response:
            said = await response.json()
        assert said["models"]["base"]["adapters_on_gpu"] == ["a"]


async def test_an_adapter_loaded_by_hand_is_warm_if_there_is_room(http):
    model = SimModel("base", max_loras=1, lora_load_s=0.1)
    async with serve_sim([model]) as [sim]:
        clock = asyncio.get_running_loop().time
        began = clock()
        body = {"lora_name": "sql", "lora_path": "/adapters/sql"}
        assert (await post(http, sim, "/v1/load_lora_adapter", body))[0] == 200
        assert clock() - began >= 0.09, "the loading was waited for here"
        assert await ask(http, sim, model="sql") == 200
        assert await prefill_s(http, sim) < 0.02


async def test_a_restart_knows_only_the_adapters_of_its_settings(http):
    async with serve_sim([SimModel("base", loras=("a",), max_loras=2)]) as [sim]:
        body = {"lora_name": "sql", "lora_path": "/adapters/sql"}
        assert (await post(http, sim, "/v1/load_lora_adapter", body))[0] == 200
        await sim.down()
        await sim.up()
        assert await ask(http, sim, model="sql") == 404
        assert await ask(http, sim, model="a") == 200


def test_an_adapter_is_no_second_name_of_a_model():
    with pytest.raises(ValueError, match="twice"):
        SimServer((SimModel("a", loras=("a",)),))
