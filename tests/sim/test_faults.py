"""Faults strike as asked for by a request, or as often as the settings say."""

import asyncio
import random

import aiohttp
import pytest

from wayside.sim import (
    Fault,
    FaultRates,
    ResetRate,
    SimModel,
    SimServer,
    SlowRate,
    StallRate,
    StatusRate,
    serve_sim,
)
from wayside.sim.faults import Cut, parse_fault, roll_fault
from wayside.sim.refusal import Refusal

from .conftest import chat


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ("", Fault()),
        ("none", Fault()),
        ("status=503", Fault(status=503)),
        ("status=429; retry-after=2", Fault(status=429, retry_after_s=2)),
        ("reset", Fault(cut=Cut("reset"))),
        ("Reset = body", Fault(cut=Cut("reset", 1))),
        ("reset-after=3", Fault(cut=Cut("reset", 3))),
        ("close-after=0", Fault(cut=Cut("close", 0))),
        ("stall=2.5", Fault(stall_s=2.5)),
        ("stall=1, stall-after=2", Fault(stall_s=1, stall_after=2)),
        ("stall-after=2, stall=1", Fault(stall_s=1, stall_after=2)),
        ("slow=3", Fault(slow=3)),
    ],
)
def test_a_header_asks_for(header, fault):
    assert parse_fault(header) == fault


@pytest.mark.parametrize(
    "header", ["explode", "status", "status=200", "status=x", "reset=foot", "slow=-1", "stall=nan"]
)
def test_a_header_it_cannot_read_is_refused(header):
    with pytest.raises(Refusal) as refused:
        parse_fault(header)
    assert refused.value.status == 400


def test_rates_come_true_and_the_same_seed_gives_the_same_faults():
    rates = FaultRates(
        status=StatusRate(0.1, 503),
        reset=ResetRate(0.05, after=2),
        stall=StallRate(0.2, seconds=1),
        slow=SlowRate(0.3, factor=2),
    )

    def run():
        dice = random.Random(7)
        return [roll_fault(rates, dice) for _ in range(5000)]

    faults = run()
    assert faults == run()
    share = lambda true: sum(map(true, faults)) / len(faults)  # noqa: E731
    assert share(lambda f: f.status == 503) == pytest.approx(0.1, abs=0.02)
    assert share(lambda f: f.cut == Cut("reset", 2)) == pytest.approx(0.05, abs=0.02)
    assert share(lambda f: f.stall_s == 1) == pytest.approx(0.2, abs=0.03)
    assert share(lambda f: f.slow == 2) == pytest.approx(0.3, abs=0.03)


def post(http, sim, fault, **more):
    return http.post(
        f"{sim.url}/v1/chat/completions", json=chat(**more), headers={"x-sim-fault": fault}
    )


async def test_a_status(http):
    async with (
        serve_sim(["small"]) as [sim],
        post(http, sim, "status=429; retry-after=3") as response,
    ):
        assert response.status == 429
        assert response.headers["retry-after"] == "3"
        assert "Simulated" in (await response.json())["error"]["message"]
        assert sim.stats.faulted == 1 and sim.stats.statuses == {429: 1}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reset_before_the_head(stream):
    async with serve_sim(["small"]) as [sim]:
        reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-sim-fault: reset\r\n"
            b"content-length: 2\r\n\r\n{}"
        )
        with pytest.raises(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        stats = await sim.until(lambda stats: stats.faulted == 1)
        assert (stats.completed, stats.cancelled) == (0, 0)


async def test_a_reset_after_some_chunks_comes_after_exactly_those(http):
    async with serve_sim(["small"]) as [sim]:
        got = b""
        with pytest.raises(aiohttp.ClientError):
            async with post(http, sim, "reset-after=3", stream=True) as response:
                async for data in response.content.iter_any():
                    got += data
        assert got.count(b"data: ") == 3
        stats = await sim.until(lambda stats: not stats.running)
        assert (stats.faulted, stats.completed, stats.cancelled) == (1, 0, 0)
        async with http.get(f"{sim.url}/metrics") as response:
            assert 'finished_reason="abort"} 1.0' in await response.text()


@pytest.mark.parametrize("fault", ["reset=body", "close-after=1"])
async def test_a_whole_answer_is_cut_in_its_middle(http, fault):
    async with serve_sim(["small"]) as [sim]:
        with pytest.raises(aiohttp.ClientPayloadError):
            async with post(http, sim, fault) as response:
                assert response.status == 200
                await response.read()


async def test_a_close_leaves_the_stream_unfinished_without_a_reset(exchange):
    body = b'{"model": "small", "stream": true, "messages": [{"role": "user", "content": "x"}]}'
    async with serve_sim(["small"]) as [sim]:
        page = await exchange(
            sim,
            b"POST /v1/chat/completions HTTP/1.1\r\nx-sim-fault: close-after=2\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body),
        )
    assert page.count(b"data: ") == 2 and not page.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["stall=0.05", "stall=0.05; stall-after=2"])
async def test_a_stall_only_delays(http, stream, fault):
    async with serve_sim(["small"]) as [sim]:
        began = asyncio.get_running_loop().time()
        async with post(http, sim, fault, stream=stream) as response:
            await response.read()
        assert asyncio.get_running_loop().time() - began >= 0.045
        assert (sim.stats.faulted, sim.stats.completed) == (1, 1)


async def test_slow_stretches_the_answer(http):
    model = SimModel("small", ttft_s=0.01)
    async with serve_sim([model]) as [sim]:
        began = asyncio.get_running_loop().time()
        async with post(http, sim, "slow=8") as response:
            await response.read()
        assert asyncio.get_running_loop().time() - began >= 0.075


async def test_rates_strike_completions_only_and_the_header_none_escapes_them(http):
    faults = FaultRates(status=StatusRate(1.0, 502))
    async with serve_sim([SimServer((SimModel("small"),), faults=faults)]) as [sim]:
        url = f"{sim.url}/v1/chat/completions"
        async with http.post(url, json=chat()) as response:
            assert response.status == 502
        async with post(http, sim, "none") as response:
            assert response.status == 200
        async with http.get(f"{sim.url}/v1/models") as response:
            assert response.status == 200
        sim.faults = FaultRates()
        async with http.post(url, json=chat()) as response:
            assert response.status == 200
        rates = {"status": {"rate": 1, "code": 500}}
        async with http.put(f"{sim.url}/_sim/faults", json=rates) as response:
            assert response.status == 200
        async with http.post(url, json=chat()) as response:
            assert response.status == 500
        async with http.put(f"{sim.url}/_sim/faults", json={"status": {"rat": 1}}) as response:
            assert response.status == 400
