"""Measure the controller runtime: many custom resources with children, on a genuine API server.

    python -m bench.operators                     200 and 1,000 toys, then 1,000 SemanticRouters
    python -m bench.operators --real 1000         those: `wayside operator`, five children each
    python -m bench.operators --toys 200 1000 --children 5

Each in a fresh server. Prints, for each: seconds until every object is ready from the first that
is created; requests, passes and calls of ``desired`` for each object (counted by the program, on
its ``/metrics``); CPU seconds of the program's process (``/proc``), as a whole and for each write;
its memory; then what a restart over everything costs, and a minute's quarter of doing nothing.
The server and the driver share the machine; the figures of ``design/kubernetes.md`` were taken so.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession
from prometheus_client.parser import text_string_to_metric_families
from tests.cluster import serving
from tests.kube.genuine import install
from tests.operator.toy import MANAGER, TOYS, crd, toy, toy_kind

import wayside.resources
from wayside.catalog import discover
from wayside.kube.client import Client
from wayside.kube.kubeconfig import find_access
from wayside.manifests.crd import crd as crd_of
from wayside.operator.program import Options, Program
from wayside.resources import Object, kinds
from wayside.vocab.resource import ENDPOINT_SLICES, SERVICES, Resource

THEIRS = {
    200: "0.7-1.0 s, CPU 0.15 s, 44 MiB",
    1000: "3.06 s, CPU 0.75 s (0.20 ms a request), 3.7 requests an object; kopf 2.4 s, 4.6",
}
"""The prototype of ``design/kubernetes.md`` ("mini/aiohttp"), two children: no events, no metrics,
no look at whose fields are whose, no status beyond one condition."""
ROUTERS = Resource("vllm.ai", "v1alpha1", "semanticrouters")
TICKS = os.sysconf("SC_CLK_TCK")
IDLE_S = 15.0


@dataclass(frozen=True)
class About:
    """What a process has used and done so far."""

    cpu_s: float
    rss_mib: float
    requests: dict[str, float]
    events: float
    passes: float
    asked: float

    @property
    def writes(self) -> float:
        """Of children and status: neither Events nor what is read."""
        return self.requests.get("PATCH", 0) + self.requests.get("DELETE", 0)


class Operator:
    """The program, in a process of its own, with its metrics page on ``port``."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process, self._port = process, port
        self._session = ClientSession()

    @classmethod
    async def start(cls, command: list[str], port: int) -> Operator:
        process = await asyncio.create_subprocess_exec(*command)
        self = cls(process, port)
        while True:
            assert process.returncode is None, "the program ended"
            try:
                async with self._session.get(f"http://127.0.0.1:{port + 1}/readyz") as answer:
                    if answer.status == 200:
                        return self
            except ClientError:
                pass
            await asyncio.sleep(0.05)

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    async def about(self) -> About:
        """The CPU time is that before the page was asked for."""
        cpu, pages = self.cpu_s(), Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        async with self._session.get(f"http://127.0.0.1:{self._port}/metrics") as answer:
            page = await answer.text()
        sums: dict[tuple[str, str], float] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                key = (sample.name, sample.labels.get("method", ""))
                sums[key] = sums.get(key, 0) + sample.value
        return About(
            cpu,
            int(pages) * os.sysconf("SC_PAGE_SIZE") / (1 << 20),
            {m: v for (name, m), v in sums.items() if name == "rest_client_requests_total"},
            sums.get(("rest_client_requests_total", "POST"), 0),
            sums.get(("controller_runtime_reconcile_total", ""), 0),
            sums.get(("wayside_operator_desired_total", ""), 0),
        )

    async def settled(self) -> About:
        """When nothing has been sent for a second."""
        about = await self.about()
        while True:
            await asyncio.sleep(1)
            now = await self.about()
            if now.requests == about.requests:
                return about
            about = now

    async def stop(self) -> None:
        self._process.terminate()
        await self._process.wait()
        await self._session.close()


@dataclass(frozen=True)
class Case:
    """What is measured: the objects, and the command of the program that looks after them."""

    what: str
    resource: Resource
    make: Callable[[int], Object]
    before: Callable[[Client, int], Any]
    command: Callable[[str, int], list[str]]


def toys(children: int) -> Case:
    async def before(admin: Client, count: int) -> None:
        await install(admin, crd())

    return Case(
        f"toys with {children} children",
        TOYS,
        lambda n: toy(f"toy-{n}", value="a", more=children - 2),
        before,
        lambda config, port: [
            sys.executable,
            "-m",
            "bench.operators",
            "--operate",
            config,
            str(port),
        ],
    )


def routers() -> Case:
    async def before(admin: Client, count: int) -> None:
        discover(wayside.resources)
        for kind in kinds("operator"):
            await install(admin, crd_of(kind))
        await several(count, lambda n: admin.create(SERVICES, model(n), "default"))
        await several(count, lambda n: admin.create(ENDPOINT_SLICES, behind(n), "default"))

    wayside_program = str(Path(sys.executable).with_name("wayside"))
    profiled = os.environ.get("OPERATOR_PROGRAM", wayside_program).split()
    return Case(
        "SemanticRouters with 5 children, a Service of its own each",
        ROUTERS,
        router,
        before,
        lambda config, port: [
            *profiled,
            "operator",
            f"--kubeconfig={config}",
            f"--metrics-bind-address=127.0.0.1:{port}",
            f"--health-probe-bind-address=127.0.0.1:{port + 1}",
            "--log-level=warning",
        ],
    )


def model(n: int) -> Object:
    ports = [{"name": "http", "port": 8000, "targetPort": 8000}]
    return {"metadata": {"name": f"model-{n}"}, "spec": {"selector": {"app": "m"}, "ports": ports}}


def behind(n: int) -> Object:
    labels = {"kubernetes.io/service-name": f"model-{n}"}
    address = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
    return {
        "metadata": {"name": f"model-{n}-x", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}],
    }


def router(n: int) -> Object:
    """As the simple sample: a model, a rule, no volume."""
    service = {"name": f"model-{n}", "port": 8000}
    rules = [{"name": "tables", "operator": "OR", "keywords": ["SQL", "join"]}]
    return {
        "apiVersion": "vllm.ai/v1alpha1",
        "kind": "SemanticRouter",
        "metadata": {"name": f"router-{n}"},
        "spec": {
            "vllmEndpoints": [
                {
                    "name": "llama",
                    "model": "llama3-8b",
                    "reasoningFamily": "qwen3",
                    "backend": {"type": "service", "service": service},
                }
            ],
            "persistence": {"enabled": False},
            "config": {
                "keyword_rules": rules,
                "response_cache": {"similarity_threshold": "0.85"},
                "prompt_guard": {"enabled": True},
            },
        },
    }


async def several(count: int, make: Callable[[int], Any]) -> None:
    free = asyncio.Semaphore(10)

    async def one(n: int) -> None:
        async with free:
            await make(n)

    await asyncio.gather(*(one(n) for n in range(count)))


async def measure(case: Case, count: int) -> None:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        admin = Client(find_access(str(server.kubeconfig)), timeout_s=120)
        await case.before(admin, count)
        async with operating(case, server.kubeconfig) as operator:
            before = await operator.settled()
            began = time.monotonic()
            await several(count, lambda n: admin.create(case.resource, case.make(n), "default"))
            made_s = time.monotonic() - began
            while True:
                found, _ = await admin.list(case.resource, "default")
                if sum("observedGeneration" in f.get("status", {}) for f in found) == count:
                    break
                await asyncio.sleep(0.25)
            took = time.monotonic() - began
            after = await operator.settled()
            idle_from = operator.cpu_s()
            await asyncio.sleep(IDLE_S)
            idle = operator.cpu_s() - idle_from
        cpu = after.cpu_s - before.cpu_s
        asked = {m: (n - before.requests.get(m, 0)) / count for m, n in after.requests.items()}
        events = (after.events - before.events) / count
        said = ", ".join(f"{m} {n:.2f}" for m, n in sorted(asked.items()))
        total = sum(asked.values())
        print(f"{count} {case.what} (created in {made_s:.1f} s; load {os.getloadavg()[0]:.1f})")
        print(f"  ready after {took:.2f} s")
        print(f"  requests an object: {total:.2f} ({said}); without Events {total - events:.2f}")
        passes, calls = after.passes - before.passes, after.asked - before.asked
        print(f"  passes an object: {passes / count:.2f}; desired asked {calls / count:.2f} times")
        each = 1000 * cpu / (total * count)
        write = 1000 * cpu / max(1, after.writes - before.writes)
        print(f"  CPU {cpu:.2f} s: {each:.2f} ms a request, {write:.2f} ms a write")
        print(f"  memory {after.rss_mib:.0f} MiB, {before.rss_mib:.0f} MiB before the first")
        print(f"  then, in {IDLE_S:g} s of nothing: CPU {idle:.2f} s")
        async with operating(case, server.kubeconfig) as operator:
            again = await operator.settled()
            sent = ", ".join(f"{m} {n:.0f}" for m, n in sorted(again.requests.items()))
            print(f"  restart: {sent}; CPU {again.cpu_s:.2f} s, {again.rss_mib:.0f} MiB")
        if count in THEIRS:
            print(f"  design/kubernetes.md, toys with 2 children: {THEIRS[count]}")
        sys.stdout.flush()
        admin.close()


@asynccontextmanager
async def operating(case: Case, kubeconfig: Path) -> AsyncIterator[Operator]:
    port = _free_ports()
    operator = await Operator.start(case.command(str(kubeconfig), port), port)
    try:
        yield operator
    finally:
        await operator.stop()


def _free_ports() -> int:
    """The first of two that nobody has."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            try:
                other.bind(("127.0.0.1", port + 1))
                return port
            except (OSError, OverflowError):
                continue


async def operate(kubeconfig: str, port: int) -> None:
    """A program that looks after toys."""
    options = Options(
        access=find_access(kubeconfig),
        manager=MANAGER,
        lease="bench",
        metrics=("127.0.0.1", port),
        health=("127.0.0.1", port + 1),
    )
    await Program(options, [toy_kind()], lambda *_, **__: None).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--toys", nargs="*", type=int, default=[])
    parser.add_argument("--real", nargs="*", type=int, default=[])
    parser.add_argument("--children", type=int, default=2, help="of a toy")
    parser.add_argument("--operate", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.operate:
        import uvloop

        uvloop.run(operate(given.operate[0], int(given.operate[1])))
        return
    if not given.toys and not given.real:
        given.toys, given.real = [200, 1000], [1000]
    for count in given.toys:
        asyncio.run(measure(toys(given.children), count))
    for count in given.real:
        asyncio.run(measure(routers(), count))


if __name__ == "__main__":
    main()
