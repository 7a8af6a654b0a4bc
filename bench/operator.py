"""Measure the controller runtime: many custom resources with children, on a genuine API server.

    python -m bench.operator 200 1000            each in a fresh server, two children an object
    python -m bench.operator --children 5 1000   the 1,000 objects with 5,000 children

Prints, for each: seconds until every object is ready from the first that is created, requests for
each object by kind (counted by the program, ``rest_client_requests_total``), CPU seconds of the
program's process, and its memory; then what a second pass over everything (a restart) costs. The
server and the driver share the machine; the figures of ``design/kubernetes.md`` were taken so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.cluster import serving
from tests.kube.genuine import install
from tests.operator.toy import MANAGER, TOYS, crd, toy, toy_kind

from wayside.kube.client import Client
from wayside.kube.kubeconfig import find_access
from wayside.operator.program import Options, Program

THEIRS = {
    200: "0.7-1.0 s, CPU 0.15 s, 44 MiB",
    1000: "3.06 s, CPU 0.75 s, 3.7 requests an object",
}
"""The prototype of ``design/kubernetes.md`` ("mini/aiohttp"): no events, no metrics, no status
beyond one condition."""


async def operate(kubeconfig: str) -> None:
    """The program, in a process of its own; tells of itself each time that it is asked to."""
    program = Program(
        Options(access=find_access(kubeconfig), manager=MANAGER, lease="bench"),
        [toy_kind()],
        lambda *_, **__: None,
    )
    running = asyncio.create_task(program.run())
    while not program.ready:
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        used = resource.getrusage(resource.RUSAGE_SELF)
        asked: dict[str, float] = {}
        for (_, method), count in program.gauges.requests.values.items():
            asked[method] = asked.get(method, 0) + count
        about = {
            "cpu_s": used.ru_utime + used.ru_stime,
            "rss_mib": _rss(),
            "requests": asked,
            "waiting": program._events._waiting.__len__(),
        }
        print(json.dumps(about), flush=True)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def _rss() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


class Operator:
    """That process."""

    async def start(self, kubeconfig: Path) -> dict[str, Any]:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.operator",
            "--operate",
            str(kubeconfig),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        await self._process.stdout.readline()
        return await self.about()

    async def about(self) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(b"\n")
        return dict(json.loads(await self._process.stdout.readline()))

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def measure(count: int, children: int) -> None:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        admin = Client(find_access(str(server.kubeconfig)))
        await install(admin, crd())
        operator = Operator()
        before = await operator.start(server.kubeconfig)
        more = {"more": children - 2}
        began = time.monotonic()
        free = asyncio.Semaphore(10)

        async def make(n: int) -> None:
            async with free:
                await admin.create(TOYS, toy(f"toy-{n}", value="a", **more), "default")

        await asyncio.gather(*(make(n) for n in range(count)))
        made_s = time.monotonic() - began
        while True:
            found, _ = await admin.list(TOYS, "default")
            if sum("observedGeneration" in f.get("status", {}) for f in found) == count:
                break
            await asyncio.sleep(0.1)
        took = time.monotonic() - began
        ready = await operator.about()
        while (about := await operator.about())["waiting"]:
            await asyncio.sleep(0.1)
        cpu = ready["cpu_s"] - before["cpu_s"]
        print(f"{count} objects, {children} children each (created in {made_s:.2f} s)")
        print(f"  ready after {took:.2f} s; CPU {cpu:.2f} s of {ready['cpu_s']:.2f} s with start")
        print(f"  memory {ready['rss_mib']:.0f} MiB, {before['rss_mib']:.0f} MiB before")
        each = {m: round(n / count, 2) for m, n in about["requests"].items()}
        events = about["requests"].get("POST", 0)
        total = sum(about["requests"].values())
        print(f"  requests an object: {each}, without Events {(total - events) / count:.2f}")
        await operator.stop()
        again = await operator.start(server.kubeconfig)
        await asyncio.sleep(3 + count / 500)
        after = await operator.about()
        cpu = after["cpu_s"] - again["cpu_s"]
        print(f"  restart: {after['requests']}, CPU {cpu:.2f} s, {after['rss_mib']:.0f} MiB")
        if count in THEIRS and children == 2:
            print(f"  design/kubernetes.md: {THEIRS[count]}")
        await operator.stop()
        admin.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("count", nargs="*", type=int, default=[200, 1000])
    parser.add_argument("--children", type=int, default=2)
    parser.add_argument("--operate", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.operate:
        import uvloop

        uvloop.run(operate(given.operate))
        return
    for count in given.count:
        asyncio.run(measure(count, given.children))


if __name__ == "__main__":
    main()
