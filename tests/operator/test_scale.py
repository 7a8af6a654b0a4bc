"""Many SemanticRouters cost as much each as one (A1-106); ``bench/operators.py`` has times."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.kube.genuine import install
from wayside.manifests.crd import crd
from wayside.operator.program import Program
from wayside.resources import Object
from wayside.vocab.resource import ENDPOINT_SLICES, SERVICES

from .conftest import Cluster
from .test_real_kinds import MODEL, ROUTER, SERVICE, SLICE

COUNT = 60
CHILDREN = 5


async def test_requests_questions_and_memory_for_each_of_many(cluster: Cluster) -> None:
    """A1-106: each of 60 routers costs its five children, its finalizer and one status, at most
    three Events, and two or three questions; once all is there, looking again asks nothing at
    all, and what changes behind one router's Service is asked of that router alone."""
    [kind] = ROUTER.kinds()
    await install(cluster.admin, crd(kind))

    async def make(n: int) -> None:
        name = f"model-{n}"
        await cluster.admin.create(SERVICES, {**SERVICE, "metadata": {"name": name}}, ns)
        meta = {"name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}}
        await cluster.admin.create(ENDPOINT_SLICES, {**SLICE, "metadata": meta}, ns)
        backend = {"type": "service", "service": {"name": name, "port": 80}}
        spec = {**ROUTER.objects[0][2], "vllmEndpoints": [{**MODEL, "backend": backend}]}
        ours = {"apiVersion": kind.resource.api_version, "kind": kind.kind, "spec": spec}
        await cluster.admin.create(
            kind.resource, {**ours, "metadata": {"name": f"router-{n}"}}, ns
        )

    ns = cluster.namespace
    async with cluster.operating(
        [kind], manager=ROUTER.manager, access=cluster.admin.access, workers=8
    ) as program:
        await asyncio.gather(*(make(n) for n in range(COUNT)))

        async def all_told() -> bool:
            found, _ = await cluster.admin.list(kind.resource, ns)
            return all("observedGeneration" in f.get("status", {}) for f in found)

        await cluster.until(all_told)
        await idle(program)
        sent = requests(program)
        assert sent["PATCH"] == COUNT * (CHILDREN + 2), sent
        assert sent["POST"] <= 3 * COUNT and "DELETE" not in sent and "PUT" not in sent, sent
        assert asked(program) <= 3 * COUNT

        await ask_all(program)
        before = asked(program)
        assert before <= 4 * COUNT
        await ask_all(program)
        assert asked(program) == before, "nothing of what it looked at has changed"
        assert requests(program)["PATCH"] == sent["PATCH"]

        gone: Object = {"endpoints": [{"addresses": ["10.0.0.9"], "conditions": {"ready": False}}]}
        await cluster.admin.merge(ENDPOINT_SLICES, "model-7-x", gone, ns)

        async def told() -> bool:
            found = await cluster.get(kind.resource, "router-7")
            return found is not None and not found["status"]["backends"][0]["ready"]

        await cluster.until(told)
        await idle(program)
        assert asked(program) <= before + 2, "of the router that uses them, and of no other"

        held = [h for copy in program.cache.copies() for h in copy.store.values()]
        assert len(held) >= COUNT * (CHILDREN + 3)
        assert sum(len(h.packed) for h in held) < COUNT * 24_000, "bytes of objects in memory"


def requests(program: Program) -> dict[str, float]:
    """Of all methods but GET: kinds that are absent are looked for again and again."""
    sums: dict[str, float] = {}
    for (_, method), count in program.gauges.requests.values.items():
        if method != "GET":
            sums[method] = sums.get(method, 0) + count
    return sums


def asked(program: Program) -> float:
    return sum(program.gauges.asked.values.values())


async def ask_all(program: Program) -> None:
    """As if each object's time had come to be looked at again."""
    program._enqueue(list(program._by_uid.values()))
    await idle(program)


async def idle(program: Program) -> None:
    """Nothing waits and nothing has been sent for a while."""
    before: Any = None
    while before != (now := (requests(program), asked(program))):
        before = now
        await asyncio.sleep(0.15)
