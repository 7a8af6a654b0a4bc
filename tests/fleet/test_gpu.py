"""GPUs of servers, from the page of a DCGM exporter (A3-05, A3-16, A3-21)."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fleet.pages import PageServer, ok, page_servers
from wayside.fleet import Replica, Resolver, gpu_poll
from wayside.fleet.gpu import Gpu, Load, join, read_gpus
from wayside.fleet.gpu_poll import GpuPoller, page_of
from wayside.settings.address import Address, parse_address
from wayside.settings.fleet import GpuMetricsSettings
from wayside.vocab.endpoint import Vitals

BY = GpuMetricsSettings().by


def gpu(util: float | str, used: float = 10, free: float = 30, **labels: str) -> str:
    said = {"gpu": "0", "UUID": f"GPU-{labels}", "Hostname": "node-1", **labels}
    inside = ",".join(f'{name}="{value}"' for name, value in said.items())
    return (
        f"DCGM_FI_DEV_GPU_UTIL{{{inside}}} {util}\n"
        f"DCGM_FI_DEV_FB_USED{{{inside}}} {used}\nDCGM_FI_DEV_FB_FREE{{{inside}}} {free}\n"
    )


def replica(url: str, name: str = "", **more: object) -> Replica:
    address = parse_address(url)
    return Replica(name or address.netloc, address, **more)  # type: ignore[arg-type]


# A page


def test_utilisation_and_memory_are_shares() -> None:
    (found,) = read_gpus(gpu(45, used=60, free=20, pod="vllm-0").encode())
    assert (found.busy, found.memory, found.labels["pod"]) == (0.45, 0.75, "vllm-0")


def test_a_partition_of_a_gpu_is_told_by_its_engine() -> None:
    page = 'DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="0",GPU_I_ID="3",pod="a"} 0.6\n'
    (found,) = read_gpus(page.encode())
    assert (found.busy, found.memory) == (0.6, None)


@pytest.mark.parametrize("bad", ["NaN", "-1", "101", "18446744073709551615", "+Inf", "?", ""])
def test_bad_figures_are_none(bad: str) -> None:
    """A3-21: a GPU that DCGM cannot read is told with a blank value, 2^64 - 1 for example."""
    assert all(found.busy is None for found in read_gpus(gpu(bad).encode()))


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_no_page_is_too_strange(page: bytes) -> None:
    for found in read_gpus(page + b"\n" + gpu(5).encode()):
        assert found.busy is None or 0 <= found.busy <= 1
        assert found.memory is None or 0 <= found.memory <= 1


# Whose it is


@pytest.mark.parametrize(
    ("labels", "theirs"),
    [
        pytest.param({"pod": "vllm-0"}, "http://vllm-0:8000", id="pod is its host"),
        pytest.param({"exported_pod": "vllm-0"}, "http://vllm-0:8000", id="as Prometheus renames"),
        pytest.param({"instance": "10.0.0.7:9400"}, "http://10.0.0.7:8000", id="exporter's port"),
        pytest.param({"instance": "[fd00::7]:9400"}, "http://[fd00::7]:8000", id="IPv6"),
        pytest.param({"Hostname": "10.0.0.7"}, "http://10.0.0.7:8000", id="host"),
    ],
)
def test_a_gpu_is_its_servers_by_label_and_address(labels: dict[str, str], theirs: str) -> None:
    server, other = replica(theirs), replica("http://10.9.9.9:8000")
    gpus = read_gpus(gpu(80, **labels).encode())
    assert join(gpus, [server, other], BY) == {server: Load(0.8, 0.25)}


def test_an_endpoint_may_say_by_its_own_label_who_it_is() -> None:
    server = replica("http://10.0.0.7:8000", labels={"pod": "llama-7f9c"})
    gpus = read_gpus((gpu(20, pod="llama-7f9c") + gpu(90, pod="other")).encode())
    assert join(gpus, [server], BY) == {server: Load(0.2, 0.25)}


def test_the_first_label_that_fits_decides_and_several_gpus_are_averaged() -> None:
    one, two = (
        replica(f"http://10.0.0.{i}:80", f"pod-{i}", labels={"Hostname": "node-1"}) for i in (1, 2)
    )
    page = gpu(20, pod="pod-1", gpu="0") + gpu(60, pod="pod-1", gpu="1")
    assert join(read_gpus(page.encode()), [one, two], BY) == {one: Load(0.4, 0.25)}
    of_the_node = join(read_gpus(gpu(30).encode()), [one, two], BY)
    assert of_the_node == {one: Load(0.3, 0.25), two: Load(0.3, 0.25)}, "a node's, of both"
    assert join(read_gpus(page.encode()), [one, two], ["rack"]) == {}


# Asking


class Polling:
    def __init__(self, replicas: list[Replica], url: str | None, **settings: object) -> None:
        self.errors, self.ahead, self.rounds = Counter[str](), 0.0, 0
        self.settings = GpuMetricsSettings.model_validate({"timeout_s": 0.1, **settings})
        self.poller = GpuPoller(
            lambda: replicas,
            lambda: self.settings,
            lambda: url,
            secured=lambda host: pytest.fail(f"no TLS to {host} was asked for"),
            refreshed=self._refreshed,
            failed=lambda reason: self.errors.update([reason]),
            resolver=Resolver(lookup=_two_nodes),
            clock=lambda: asyncio.get_running_loop().time() + self.ahead,
        )

    def _refreshed(self) -> None:
        self.rounds += 1

    async def round(self) -> None:
        await self.poller.round()

    async def __aenter__(self) -> Polling:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.poller.close()


async def _two_nodes(host: str, port: int) -> list[str]:
    return ["127.0.0.1", "127.0.0.2"]


async def test_gpus_of_servers_are_known_until_they_are_stale() -> None:
    """A3-05, A3-21: polled, with a timeout; bad data and silence end in not knowing."""
    server = replica("http://10.0.0.7:8000", "vllm-0")
    server.vitals = Vitals(at=1, waiting=5)
    async with page_servers(gpu(35, pod="vllm-0")) as (exporter,):
        async with Polling([server], exporter.url, stale_after_s=10) as polling:
            await polling.round()
            assert exporter.asked == ["/metrics"]
            assert (server.vitals.gpu, server.vitals.gpu_memory) == (0.35, 0.25)
            assert server.vitals.waiting == 5, "what the server says itself stays"
            exporter.answer = lambda path, head: None
            polling.ahead += 9
            await polling.round()
            assert (server.vitals.gpu, polling.errors) == (0.35, {"timeout": 1})
            exporter.answer = lambda path, head: ok("DCGM_FI_DEV_GPU_UTIL{pod= 3\n}{\x00\n")
            polling.ahead += 2
            await polling.round()
        assert server.vitals == Vitals(at=1, waiting=5), "gone by its own load again"
        assert polling.rounds == 2, "one reading, one end"


async def test_without_an_exporter_nothing_is_asked_and_nothing_known() -> None:
    """A3-16."""
    server = replica("http://10.0.0.7:8000")
    async with Polling([server], None) as polling:
        await polling.round()
    assert (server.vitals, polling.errors, polling.rounds) == (Vitals(), {}, 0)


async def test_an_endpoints_own_page_is_about_its_gpus() -> None:
    async with page_servers(gpu(70, gpu="0") + gpu(90, gpu="1"), gpu(10, pod="b")) as (
        own,
        shared,
    ):
        a = replica("http://10.0.0.1:80", "a", gpu_metrics=own.url + "/gpus")
        b = replica("http://10.0.0.2:80", "b")
        async with Polling([a, b], shared.url) as polling:
            await polling.round()
        assert own.asked == ["/gpus"]
        assert a.vitals.gpu == pytest.approx(0.8)
        assert b.vitals.gpu == 0.1


async def test_every_address_of_an_exporters_name_is_asked() -> None:
    async with page_servers(gpu(10, pod="a")) as (exporter,):
        a = replica("http://10.0.0.1:80", "a")
        async with Polling([a], f"http://dcgm-exporter:{exporter.port}/metrics") as polling:
            await polling.round()
        assert a.vitals.gpu == 0.1
        assert polling.errors == {"connect": 1}, "nobody is at the second"


async def test_pages_of_many_exporters_are_read_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 256 nodes all at once would hold requests up for a tenth of a second."""
    turn, turns = 0, []

    def reading(page: bytes) -> list[Gpu]:
        turns.append(turn)
        return read_gpus(page)

    async def ticking() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def lookup(host: str, port: int) -> list[str]:
        return [f"127.0.0.{i + 1}" for i in range(100)]

    monkeypatch.setattr(gpu_poll, "read_gpus", reading)
    exporter = PageServer(gpu(10, pod="a"))
    server = await asyncio.start_server(exporter._serve, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    a = replica("http://10.0.0.1:80", "a")
    async with Polling([a], f"http://dcgm-exporter:{port}/metrics", timeout_s=5) as polling:
        polling.poller._resolver = Resolver(lookup=lookup)
        task = asyncio.create_task(ticking())
        await polling.round()
        task.cancel()
    server.close()
    await exporter.down()
    assert a.vitals.gpu == pytest.approx(0.1)
    assert (len(turns), polling.errors) == (100, {})
    assert max(Counter(turns).values()) <= 2, "not all in one turn of the event loop"


def test_a_url_without_a_path_means_metrics() -> None:
    assert page_of("http://dcgm:9400") == (Address("http", "dcgm", 9400), "/metrics")
    assert page_of("dcgm:9400/x") == (Address("http", "dcgm", 9400), "/x")
    with pytest.raises(ValueError, match="scheme"):
        page_of("ftp://dcgm")
