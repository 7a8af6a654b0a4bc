"""Servers' metrics read in rounds, from servers that die, hang and come back."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections import Counter

import pytest

from tests.fleet.pages import PageServer, ok, page_servers, until
from wayside.fleet import scrape
from wayside.fleet.replica import Secure
from wayside.fleet.scrape import Scraper, Target
from wayside.fleet.vitals import read
from wayside.settings.address import parse_address
from wayside.settings.fleet import ScrapeSettings
from wayside.sim import SimModel, serve_sim
from wayside.vocab.endpoint import NEVER, UNKNOWN, Endpoint, Vitals


def page(waiting: float, running: float = 0, kv: float = 0, started: float = 1.0) -> str:
    return (
        f"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {started}\n"
        f"# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting {waiting}\n"
        f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running {running}\n"
        f"# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc {kv}\n"
    )


def target(server: PageServer, path: str = "/metrics") -> Target:
    endpoint = Endpoint(f"s{server.port}", f"127.0.0.1:{server.port}")
    return Target(endpoint, parse_address(server.url), path)


class Scraping:
    """A scraper of one group with a clock that only the test moves, beside the real one."""

    def __init__(self, targets: list[Target], **settings: object) -> None:
        self.targets, self.errors, self.rounds = targets, Counter[str](), 0
        self.restarted: list[Endpoint] = []
        self.ahead = 0.0
        self.settings = ScrapeSettings.model_validate(
            {"interval_s": 0.05, "timeout_s": 0.5, **settings}
        )
        self.scraper = Scraper(
            lambda: [self.targets],
            lambda: self.settings,
            refreshed=self._refreshed,
            restarted=self.restarted.append,
            failed=lambda reason: self.errors.update([reason]),
            clock=lambda: asyncio.get_running_loop().time() + self.ahead,
        )

    def _refreshed(self) -> None:
        self.rounds += 1

    async def __aenter__(self) -> Scraping:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.scraper.close()


async def test_every_server_is_read_once_a_round_over_one_connection() -> None:
    async with page_servers(page(1), page(2, 3, 0.5)) as servers:
        async with Scraping([target(s) for s in servers]) as some:
            for _ in range(3):
                await some.scraper.round()
        assert [t.endpoint.vitals.waiting for t in some.targets] == [1, 2]
        assert (some.targets[1].endpoint.vitals.running, some.targets[1].endpoint.vitals.kv) == (
            3,
            0.5,
        )
        assert some.rounds == 3, "told once a round"
        assert [(len(s.asked), s.connections) for s in servers] == [(3, 1), (3, 1)]
        assert set(some.scraper.ages()) == set(), "closed"


async def test_the_pages_of_simulated_servers_are_understood() -> None:
    """A3-13: what is gone by is what the servers say."""
    async with serve_sim([SimModel("small", ttft_s=5, max_running=1)]) as (sim,):
        endpoint = Endpoint("sim", "")
        async with Scraping([Target(endpoint, parse_address(sim.url))]) as some:
            body = b'{"model":"small","messages":[{"role":"user","content":"hello"}]}'
            writers = []
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", sim.port)
                writer.write(
                    b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n"
                    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
                    % len(body)
                    + body
                )
                writers.append(writer)
            await sim.until(lambda stats: stats.waiting == 2)
            await some.scraper.round()
            for writer in writers:
                writer.close()
        assert (endpoint.vitals.running, endpoint.vitals.waiting) == (1, 2)
        assert endpoint.vitals.blocks > 0
        assert endpoint.vitals.block_size > 0


async def test_a_server_that_hangs_holds_up_nobody_and_is_told_as_the_median() -> None:
    async with page_servers(page(4), page(6), page(8), "") as servers:
        servers[3].answer = lambda path, head: None
        async with Scraping([target(s) for s in servers]) as some:
            began = asyncio.get_running_loop().time()
            for _ in range(4):
                await some.scraper.round()
            assert asyncio.get_running_loop().time() - began < 0.45, "an interval each, at most"
            assert len(servers[3].asked) == 1, "asked once, and waited for"
            hung = some.targets[3].endpoint.vitals
            assert (hung.waiting, hung.at) == (6, NEVER), "neither the best nor the worst"
            assert [len(s.asked) for s in servers[:3]] == [4, 4, 4]
            await until(lambda: some.errors["timeout"])
        assert some.errors == {"timeout": 1}


async def test_a_dead_server_is_stale_after_its_time_and_known_again_when_it_is_back() -> None:
    async with page_servers(page(0), page(10), page(20)) as servers:
        async with Scraping([target(s) for s in servers], stale_after_s=2) as some:
            await some.scraper.round()
            idle = some.targets[0].endpoint
            assert idle.vitals.waiting == 0
            await servers[0].down()
            await some.scraper.round()
            assert (idle.vitals.waiting, some.errors["connect"]) == (0, 1), "one miss is no matter"
            some.ahead += 2.5
            await some.scraper.round()
            assert (idle.vitals.waiting, idle.vitals.at) == (15, NEVER), "not the emptiest"
            assert some.scraper.ages()[idle] > 2.5
            await servers[0].up()
            some.ahead += 1.1
            await some.scraper.round()
            assert idle.vitals.waiting == 0
            assert idle.vitals.at != NEVER


async def test_nobody_is_known_while_nobody_answers() -> None:
    async with page_servers("") as (server,):
        server.answer = lambda path, head: ok("", "500 Internal Server Error")
        async with Scraping([target(server)]) as some:
            await some.scraper.round()
            assert some.targets[0].endpoint.vitals == UNKNOWN
            assert (some.errors, some.rounds) == ({"status": 1}, 0), "nothing new to tell"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ok(page(1) + "x" * 5000 + "\n"), "size"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * 5000, "size"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "http"),
        (ok("<html>it works</html>\n"), "content"),
        (ok("", "404 Not Found"), "status"),
        (ok("", "302 Found"), "status"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nvllm:num_requests_waiting 1\n", "timeout"),
    ],
)
async def test_bad_pages_are_counted_by_what_is_wrong(answer: bytes, reason: str) -> None:
    async with page_servers("") as (server,):
        server.answer = lambda path, head: answer
        async with Scraping([target(server)], max_bytes=4096, timeout_s=0.1) as some:
            await some.scraper.round()
            await until(lambda: some.errors)
        assert some.errors == {reason: 1}
        assert some.targets[0].endpoint.vitals == UNKNOWN


async def test_a_server_of_two_models_is_read_once_for_both() -> None:
    async with page_servers(page(5)) as (server,):
        one, two = target(server), target(server)
        async with Scraping([one, two]) as some:
            await some.scraper.round()
        assert one.endpoint.vitals.waiting == two.endpoint.vitals.waiting == 5
        assert server.asked == ["/metrics"]


async def test_a_new_process_is_told_of_once() -> None:
    async with page_servers(page(0, started=100)) as (server,):
        async with Scraping([target(server)]) as some:
            await some.scraper.round()
            assert some.restarted == []
            server.body = page(0, started=200.5)
            await some.scraper.round()
            await some.scraper.round()
            server.body = page(0, started=100)  # several processes behind one port take turns
            await some.scraper.round()
        assert some.restarted == [some.targets[0].endpoint]


async def test_what_others_know_of_a_server_stays() -> None:
    async with page_servers(page(3)) as (server,):
        async with Scraping([target(server)]) as some:
            endpoint = some.targets[0].endpoint
            endpoint.vitals = Vitals(gpu=0.5, gpu_memory=0.9, gpu_at=1, loras=frozenset({"sql"}))
            await some.scraper.round()
            assert endpoint.vitals == Vitals(
                at=endpoint.vitals.at, waiting=3, gpu=0.5, gpu_memory=0.9, gpu_at=1,
                loras=frozenset({"sql"}),
            )  # fmt: skip
            await server.down()
            some.ahead += 60
            await some.scraper.round()
            assert (endpoint.vitals.gpu, endpoint.vitals.waiting) == (0.5, 0)


async def test_servers_come_and_go_between_rounds() -> None:
    async with page_servers(page(1), page(2)) as servers:
        first, second = (target(s) for s in servers)
        async with Scraping([first]) as some:
            await some.scraper.round()
            some.targets = [second]
            await some.scraper.round()
            assert set(some.scraper.ages()) == {second.endpoint}
            assert first.endpoint.vitals == UNKNOWN, "what is not read on is not known"
            assert second.endpoint.vitals.waiting == 2


async def test_no_more_are_read_at_once_than_may_be() -> None:
    async with page_servers(*[page(i) for i in range(12)]) as servers:
        async with Scraping([target(s) for s in servers], concurrency=1) as some:
            await some.scraper.round()
            await until(lambda: all(t.endpoint.vitals.at != NEVER for t in some.targets))


async def test_a_loop_of_its_own_reads_until_it_is_cancelled() -> None:
    async with page_servers(page(1)) as (server,):
        async with Scraping([target(server)], interval_s=0.01) as some:
            task = asyncio.create_task(some.scraper.run())
            await until(lambda: some.rounds >= 5)
            server.body = page(9)
            await until(lambda: some.targets[0].endpoint.vitals.waiting == 9)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


def chunked(size: int, count: int, extension: bytes = b"") -> bytes:
    chunk = b"%x%s\r\n%s\r\n" % (size, extension, b"x" * size)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk * count + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (chunked(1, 100_000), "size"),
        (chunked(1, 1, b";" + b"a" * 6_000_000), "size"),
        (chunked(128, 10_000), "content"),
    ],
)
async def test_a_page_in_crumbs_is_too_large_whatever_it_comes_to(
    answer: bytes, reason: str
) -> None:
    async with page_servers("") as (server,):
        server.answer = lambda path, head: answer
        async with Scraping([target(server)], timeout_s=10) as some:
            await some.scraper.round()
            await until(lambda: some.errors)
        assert some.errors == {reason: 1}


async def test_a_page_that_is_dear_to_understand_is_seldom_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = 0.0

    def dear(page: bytes, at: float) -> object:
        nonlocal cpu
        cpu += 0.1
        return read(page, at)

    monkeypatch.setattr(scrape, "read", dear)
    monkeypatch.setattr(scrape, "thread_time", lambda: cpu)
    async with page_servers(page(1)) as (server,):
        async with Scraping([target(server)]) as some:
            for _ in range(3):
                await some.scraper.round()
            assert len(server.asked) == 1
            some.ahead += 2.1
            await some.scraper.round()
            assert len(server.asked) == 2
            server.body = "nothing\n"
            some.ahead += 2.1
            await some.scraper.round()
            some.ahead += 1.5
            await some.scraper.round()
            assert len(server.asked) == 3, "nor one that is dear and says nothing"


async def test_many_servers_that_hang_hold_up_only_each_other() -> None:
    async with page_servers(*[page(i) for i in range(8)]) as servers:
        for hung in servers[:6]:
            hung.answer = lambda path, head: None
        well = servers[6:]
        async with Scraping([target(s) for s in servers], concurrency=2, timeout_s=0.2) as some:
            while not all(s.asked for s in servers):  # at first, nobody knows who hangs
                await some.scraper.round()
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            before = [len(s.asked) for s in well]
            for _ in range(4):
                some.ahead += 2  # all that failed are due again, every time
                await some.scraper.round()
            assert [len(s.asked) - b for s, b in zip(well, before, strict=True)] == [4, 4]


async def test_a_renewed_ca_file_is_gone_by() -> None:
    async with page_servers(page(1)) as (server,):
        one = target(server)
        old, new = (Secure(ssl.create_default_context(), "host") for _ in range(2))
        async with Scraping([one._replace(secure=old)]) as some:
            await some.scraper.round()
            some.targets = [one._replace(secure=new)]
            some.scraper._follow([some.targets])
            (kept,) = some.scraper._servers.values()
            assert kept.pages._secure is new


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: %d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n",
    ],
)
async def test_a_server_of_old_that_closes_each_time_and_has_an_ipv6_address(head: bytes) -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        body = page(7).encode()
        writer.write((head % len(body) if b"%d" in head else head) + body)
        await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(serve, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = server.sockets[0].getsockname()[1]
    one = Target(Endpoint("six", f"[::1]:{port}"), parse_address(f"http://[::1]:{port}"))
    async with Scraping([one], timeout_s=10.0) as some:
        for _ in range(3):
            await some.scraper.round()
            some.ahead += 1
        assert one.endpoint.vitals.waiting == 7 and asked == 3 and not some.errors
    server.close()


async def test_what_is_packed_is_no_page_and_nothing_is_unpacked() -> None:
    packed = gzip.compress(page(1).encode() + b"#" * 50_000_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    async with page_servers("") as (server,):
        server.answer = lambda path, asked: head + packed
        async with Scraping([target(server)]) as some:
            await some.scraper.round()
            await until(lambda: some.errors)
        assert some.errors == {"content": 1}
