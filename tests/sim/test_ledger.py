"""The tokens each answer took, as the simulator's own books have them."""

import asyncio

import aiohttp
import pytest

from wayside.sim import Sim, SimModel, serve_sim

ANSWER = "one two three four five six seven eight"
BODY = {"model": "m", "messages": [{"role": "user", "content": "count"}]}


async def post(sim: Sim, body: object, name: str = "r", **headers: str) -> bytes:
    async with (
        aiohttp.ClientSession() as http,
        http.post(
            f"{sim.url}/v1/chat/completions",
            json=body,
            headers={"x-request-id": name, **headers},
        ) as response,
    ):
        return await response.read()


@pytest.mark.asyncio
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_entered_with_its_id_and_its_tokens(stream: bool) -> None:
    async with serve_sim([SimModel("m", answer=ANSWER)]) as (sim,):
        body = {**BODY, "stream": stream, "n": 2}
        await post(sim, body, "one")
        (took,) = sim.took
        assert (took.request_id, took.model, took.ending) == ("one", "m", "stop")
        assert took.completion == took.told == 2 * -(-len(ANSWER) // 4)
        await post(sim, body, "two")
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{sim.url}/_sim/usage") as response:
                said = await response.json()
            assert [a["request_id"] for a in said["answers"]] == ["one", "two"]
            assert said["completion"] == 2 * took.completion and said["prompt"] == 2 * took.prompt
            async with http.delete(f"{sim.url}/_sim/usage") as response:
                assert (await response.json())["answers"] == []
        assert sim.took == ()


@pytest.mark.asyncio
@pytest.mark.parametrize("after", [0, 1, 4])
async def test_of_a_stream_that_is_cut_only_what_was_written_was_told(after: int) -> None:
    async with serve_sim([SimModel("m", answer=ANSWER)]) as (sim,):
        with pytest.raises(aiohttp.ClientError):
            await post(sim, {**BODY, "stream": True}, **{"x-sim-fault": f"reset-after={after}"})
        (took,) = sim.took
        assert took.ending == "abort"
        assert took.told == max(after - 1, 0), "the first event says the role"


@pytest.mark.asyncio
async def test_a_client_that_leaves_has_an_entry_too() -> None:
    async with serve_sim([SimModel("m", answer_tokens=400, itl_s=0.02)]) as (sim,):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await post(sim, {**BODY, "stream": True})
        await sim.until(lambda stats: stats.cancelled == 1)
        (took,) = sim.took
        assert took.ending == "abort" and 0 < took.told <= took.completion < 400


@pytest.mark.asyncio
async def test_a_refused_request_took_nothing() -> None:
    async with serve_sim([SimModel("m")]) as (sim,):
        await post(sim, BODY, **{"x-sim-fault": "status=503"})
        await post(sim, {**BODY, "model": "other"})
        assert sim.took == ()
