"""A prompt is read on one server and answered on another."""

import asyncio

import pytest

from wayside.sim import SimModel, SimServer, serve_sim

from .conftest import chat
from .test_engine import metrics, of

PROMPT = "A long prompt that is dear to read. " * 40  # 1440 characters, 360 tokens
REMOTE = dict.fromkeys(("remote_engine_id", "remote_block_ids", "remote_host", "remote_port"))
FIRST_HALF = {"do_remote_decode": True, "do_remote_prefill": False, **REMOTE}
PATH = "/v1/chat/completions"


def pair(*, sidecar=False, prefill_s_per_token=0.001, **model):
    timed = SimModel("small", prefill_s_per_token=prefill_s_per_token, **model)
    return [
        SimServer((timed,), role="prefill"),
        SimServer((timed,), replica=1, role="decode", sidecar=sidecar),
    ]


async def post(http, sim, body, **headers):
    url = f"{sim.url}{body.pop('path', PATH)}"
    async with http.post(url, json=body, headers=headers) as response:
        assert response.status == 200
        return await response.json()


async def first_half(http, sim, **more):
    body = chat(PROMPT, max_tokens=1, kv_transfer_params=FIRST_HALF, **more)
    return await post(http, sim, body)


@pytest.mark.parametrize("path", [PATH, "/v1/completions"])
async def test_the_second_half_skips_the_prefill_and_pays_the_transfer(http, path):
    servers = pair(prefill_s_per_token=0.003, kv_transfer_s_per_token=0.0001)
    async with serve_sim(servers) as [prefill, decode]:
        body = chat(PROMPT) if path == PATH else {"model": "small", "prompt": PROMPT}
        body["path"] = path
        clock = asyncio.get_running_loop().time
        half = await post(
            http, prefill, {**body, "max_tokens": 1, "kv_transfer_params": FIRST_HALF}
        )
        params = half["kv_transfer_params"]
        assert params["do_remote_prefill"] is True and params["do_remote_decode"] is False
        assert (params["remote_host"], params["remote_port"]) == ("127.0.0.1", prefill.port)
        assert len(params["remote_block_ids"]) == 23, "361 tokens in blocks of 16"
        assert half["usage"]["completion_tokens"] == 1
        began = clock()
        whole = await post(http, decode, {**body, "kv_transfer_params": params})
        assert 0.036 <= clock() - began < 1, "a prefill is 1.08 s"
        assert "kv_transfer_params" not in whole
        assert prefill.transfers.offered == 1
        assert (decode.transfers.fetched, decode.transfers.missed) == (1, 0)
        assert decode.transfers.fetched_tokens == 360
        page = await metrics(http, prefill)
        assert page[of("kv_cache_usage_perc")] == 0, "the blocks were given back"


async def test_blocks_on_offer_are_held_until_they_are_fetched_or_time_is_up(http):
    servers = pair(kv_blocks=100, kv_offer_s=0.15)
    async with serve_sim(servers) as [prefill, decode]:
        params = (await first_half(http, prefill))["kv_transfer_params"]
        assert (await metrics(http, prefill))[of("kv_cache_usage_perc")] == pytest.approx(0.23)
        deadline = asyncio.get_running_loop().time() + 5
        while (await metrics(http, prefill))[of("kv_cache_usage_perc")]:
            assert asyncio.get_running_loop().time() < deadline
        await post(http, decode, chat(PROMPT, kv_transfer_params=params))
        assert (decode.transfers.fetched, decode.transfers.missed) == (0, 1)


@pytest.mark.parametrize("why", ["twice", "restarted", "gone", "unknown", "nowhere"])
async def test_blocks_that_nobody_holds_are_read_again_and_that_is_counted(http, why):
    async with serve_sim(pair()) as [prefill, decode]:
        params = (await first_half(http, prefill))["kv_transfer_params"]
        match why:
            case "twice":
                await post(http, decode, chat(PROMPT, kv_transfer_params=params))
                assert decode.transfers.missed == 0
                decode.replica.engines["small"].kv.clear()
            case "restarted":
                await prefill.down()
                await prefill.up()
            case "gone":
                await prefill.down()
            case "unknown":
                params = {**params, "remote_block_ids": [1, 2, 3]}
            case "nowhere":
                params = {**params, "remote_host": None}
        clock = asyncio.get_running_loop().time
        began = clock()
        await post(http, decode, chat(PROMPT, kv_transfer_params=params))
        assert clock() - began >= 0.35, "the prefill was paid here"
        assert decode.transfers.missed == 1


async def test_roles_keep_to_their_half(http):
    async with serve_sim(pair()) as [prefill, decode]:
        assert "kv_transfer_params" not in await first_half(http, decode)
        assert decode.transfers.offered == 0
        params = (await first_half(http, prefill))["kv_transfer_params"]
        await post(http, prefill, chat(PROMPT, kv_transfer_params=params))
        assert (prefill.transfers.fetched, prefill.transfers.missed) == (0, 1)


async def test_an_answer_that_ended_by_itself_is_none_to_go_on_from(http):
    async with serve_sim(["small"]) as [sim]:
        body = chat(PROMPT, max_tokens=500, kv_transfer_params=FIRST_HALF)
        assert "kv_transfer_params" not in await post(http, sim, body)


async def test_a_sidecar_does_both_halves(http):
    async with serve_sim(pair(sidecar=True)) as [prefill, decode]:
        where = {"x-prefiller-host-port": f"127.0.0.1:{prefill.port}", "x-request-id": "r1"}
        body = chat(PROMPT, stream=True, stream_options={"include_usage": True}, min_tokens=3)
        body["max_completion_tokens"] = 30
        async with http.post(f"{decode.url}{PATH}", json=body, headers=where) as response:
            page = await response.text()
        assert page.endswith("data: [DONE]\n\n") and page.count('"content": "') == 30
        assert decode.transfers.sent_to_prefill == decode.transfers.fetched == 1
        assert prefill.transfers.offered == 1
        [sent] = prefill.requests
        assert sent.header("x-request-id") == "r1"
        assert b'"max_tokens": 1' in sent.body and b'"stream": false' in sent.body
        assert prefill.took[0].completion == 1 and decode.took[0].completion == 30
        async with http.get(f"{decode.url}/_sim/stats") as response:
            said = await response.json()
        assert said["role"] == "decode"
        assert said["transfers"] == {
            "offered": 0,
            "fetched": 1,
            "fetched_tokens": 360,
            "missed": 0,
            "sent_to_prefill": 1,
            "prefill_failed": 0,
        }


@pytest.mark.parametrize("why", ["gone", "refuses", "nonsense"])
async def test_a_sidecar_without_its_prefiller_reads_the_prompt_here(http, why):
    async with serve_sim(pair(sidecar=True)) as [prefill, decode]:
        where = f"127.0.0.1:{prefill.port}"
        if why == "gone":
            await prefill.down()
        elif why == "refuses":
            async with http.post(f"{prefill.url}/sleep"):
                pass
        else:
            where = "not a host"
        clock = asyncio.get_running_loop().time
        began = clock()
        done = await post(http, decode, chat(PROMPT), **{"x-prefiller-host-port": where})
        assert clock() - began >= 0.35
        assert done["usage"]["completion_tokens"] == 40
        assert decode.transfers.prefill_failed == 1
        assert decode.transfers.sent_to_prefill == decode.transfers.fetched == 0


async def test_without_a_sidecar_the_header_means_nothing(http):
    async with serve_sim(pair()) as [prefill, decode]:
        header = {"x-prefiller-host-port": f"127.0.0.1:{prefill.port}"}
        await post(http, decode, chat(PROMPT), **header)
        assert prefill.stats.requests == 0 and decode.transfers.prefill_failed == 0


async def test_a_client_that_leaves_during_the_transfer_gives_its_slot_back(http):
    async with serve_sim(pair()) as [prefill, decode]:
        params = (await first_half(http, prefill))["kv_transfer_params"]
        prefill.hang()
        asking = asyncio.ensure_future(post(http, decode, chat(PROMPT, kv_transfer_params=params)))
        await decode.until(lambda stats: stats.running == 1)
        asking.cancel()
        stats = await decode.until(lambda stats: stats.cancelled == 1)
        assert stats.running == 0
        assert (await metrics(http, decode))[of("kv_cache_usage_perc")] == 0


async def test_transfer_parameters_are_an_object(http):
    async with (
        serve_sim(["small"]) as [sim],
        http.post(f"{sim.url}{PATH}", json=chat(kv_transfer_params=[1])) as response,
    ):
        assert response.status == 400


def test_a_prefill_server_has_no_sidecar():
    with pytest.raises(ValueError, match="sidecar"):
        SimServer((SimModel("a"),), role="prefill", sidecar=True)
