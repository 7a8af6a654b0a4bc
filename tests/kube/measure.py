"""What following many pods costs: ``python -m tests.kube.measure [PODS]``.

The pods have the size of real ones (about 9 KB of JSON, mostly ``managedFields`` and ``spec``) and
come from the fake API, in a process of its own so that only the client's time is counted.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import resource
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from wayside.kube.access import Access
from wayside.kube.client import Client
from wayside.kube.pods import read_pod
from wayside.kube.watch import Reflector
from wayside.settings.address import parse_address
from wayside.vocab.resource import PODS

from .fake import serving

PATH = PODS.path("ns")


def pod(i: int) -> dict[str, Any]:
    fields = {f"f:field{n}": {"f:value": {}, "f:name": {}} for n in range(60)}
    variables = [{"name": f"VARIABLE_{n}", "value": f"value-{n}" * 3} for n in range(40)]
    return {
        "metadata": {
            "uid": f"{i:032x}",
            "labels": {"app": "vllm", "model": "llama", "pod-template-hash": "abcdef"},
            "annotations": {"prometheus.io/scrape": "true"},
            "managedFields": [{"manager": m, "fieldsV1": fields} for m in ("a", "b")],
        },
        "spec": {"nodeName": "n", "containers": [{"name": "c", "env": variables}]},
        "status": {
            "podIP": f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}",
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def serve(pipe: Connection, count: int) -> None:
    async def main() -> None:
        async with serving() as api:
            for i in range(count):
                await api.put(PATH, f"p{i:05}", **pod(i))
            api.log.clear()
            pipe.send(api.url)
            await asyncio.to_thread(pipe.recv)
            for i in range(count):
                await api.put(PATH, f"p{i:05}", **pod(i + count))
                await asyncio.sleep(0)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(main())


async def follow(pipe: Connection, count: int, keep: Any) -> tuple[float, float, float]:
    """CPU seconds of a list, of as many events, and the memory kept (MB)."""
    client = Client(Access(server=parse_address(pipe.recv())))
    reflector = Reflector[Any](client, PODS, keep, namespace="ns")
    gc.collect()
    before, began = _memory(), time.process_time()
    task = asyncio.create_task(reflector.run())
    await reflector.synced.wait()
    listed = time.process_time() - began
    gc.collect()
    kept = _memory() - before
    while not reflector.watches:
        await asyncio.sleep(0.01)
    began = time.process_time()
    pipe.send("change them")
    while reflector.events < count and not task.done():
        await asyncio.sleep(0.05)
    followed = time.process_time() - began
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    client.close()
    pipe.send("done")
    return listed, followed, kept


def _memory() -> float:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for name, keep in (("read_pod", read_pod), ("the whole object", lambda found: found)):
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, count))
        server.start()
        listed, followed, kept = asyncio.run(follow(ours, count, keep))
        server.join()
        print(
            f"{count} pods, kept by {name}: list {listed * 1e3:.0f} ms CPU, "
            f"{count} events {followed * 1e3:.0f} ms CPU "
            f"({followed / count * 1e6:.0f} us each), {kept:.1f} MB more"
        )


if __name__ == "__main__":
    main()
