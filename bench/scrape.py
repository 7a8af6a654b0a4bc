"""How many model servers one core can read: microseconds per page, and per reading over a socket.

    .venv/bin/python bench/scrape.py [servers]

The page is as long as vLLM's: some 2,000 lines, 220 KB, nearly all of them histograms. Servers are
in a process of their own and do no more than write it, so what is measured is the reader.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
import timeit
from multiprocessing.connection import Connection
from typing import cast

import uvloop
from prometheus_client.parser import text_string_to_metric_families

from wayside.fleet.scrape import Scraper, Target
from wayside.fleet.vitals import read
from wayside.settings.address import Address
from wayside.settings.fleet import ScrapeSettings
from wayside.vocab.endpoint import Endpoint

NEWLINE = b"\n"
LABELS = 'engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"'


def page() -> bytes:
    lines: list[str] = []

    def family(name: str, kind: str, rows: list[str]) -> None:
        lines.extend([f"# HELP {name} What it is, in words.", f"# TYPE {name} {kind}", *rows])

    family("process_start_time_seconds", "gauge", ["process_start_time_seconds 1.7e+09"])
    family("vllm:num_requests_running", "gauge", [f"vllm:num_requests_running{{{LABELS}}} 3.0"])
    family("vllm:num_requests_waiting", "gauge", [f"vllm:num_requests_waiting{{{LABELS}}} 5.0"])
    for i in range(60):
        name = f"vllm:request_histogram_{i}_seconds"
        buckets = [f'{name}_bucket{{{LABELS},le="{bound}"}} 12.0' for bound in range(30)]
        family(name, "histogram", [*buckets, f"{name}_sum{{{LABELS}}} 1", f"{name}_count 1"])
    family("vllm:kv_cache_usage_perc", "gauge", [f"vllm:kv_cache_usage_perc{{{LABELS}}} 0.5"])
    more = ",".join(f'setting_{i}="some value"' for i in range(25))
    config = f'vllm:cache_config_info{{block_size="16",num_gpu_blocks="27000",{more}}} 1.0'
    family("vllm:cache_config_info", "gauge", [config])
    return ("\n".join(lines) + "\n").encode()


class Server(asyncio.Protocol):
    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.answer)


def serve(text: bytes, ports: Connection, count: int) -> None:
    async def main() -> None:
        Server.answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(text) + text
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Server, "127.0.0.1", 0) for _ in range(count)]
        ports.send([s.sockets[0].getsockname()[1] for s in servers])
        await asyncio.sleep(600)

    uvloop.run(main())


async def scrape(ports: list[int], rounds: int) -> float:
    """Seconds of this process's CPU per reading."""
    endpoints = [Endpoint(f"e{port}", f"127.0.0.1:{port}") for port in ports]
    targets = [
        Target(e, Address("http", "127.0.0.1", port))
        for e, port in zip(endpoints, ports, strict=True)
    ]
    settings = ScrapeSettings(interval_s=0.01, timeout_s=30)
    scraper = Scraper(lambda: [targets], lambda: settings, refreshed=lambda: None)
    await scraper.round()
    while any(e.vitals.waiting != 5 for e in endpoints):
        await scraper.round()
    began = time.process_time()
    for _ in range(rounds):
        await scraper.round()
        while any(server.busy for server in scraper._servers.values()):
            await asyncio.sleep(0.001)
    spent = time.process_time() - began
    scraper.close()
    return spent / rounds / len(ports)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    text = page()
    string = text.decode()

    def least(what: object, number: int) -> float:
        return min(timeit.repeat(what, number=number, repeat=5)) / number * 1e6  # type: ignore[arg-type]

    ours = least(lambda: read(text, 0.0), 100)
    theirs = least(lambda: list(text_string_to_metric_families(string)), 1)
    print(f"page of {len(text):,} bytes, {text.count(NEWLINE):,} lines")
    print(f"parse: {ours:.0f} µs; prometheus_client's parser: {theirs:.0f} µs")
    mine, other = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(text, other, count), daemon=True)
    process.start()
    ports = mine.recv()
    each = min(uvloop.run(scrape(ports, 20)) for _ in range(3))
    print(f"read {count} servers: {each * 1e6:.0f} µs of CPU each, socket and HTTP included")
    print(f"servers per core at 50 ms: {0.05 / each:.0f}; at 200 ms: {0.2 / each:.0f}")
    process.terminate()


if __name__ == "__main__":
    main()
