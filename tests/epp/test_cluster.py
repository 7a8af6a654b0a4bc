"""A picker of a cluster's pool: its pods, objectives and rewrites, and rights it does not have."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.kube.fake import FakeApi
from tests.kube.fake import serving as api_serving
from wayside.epp.options import Options
from wayside.epp.serve import Epp
from wayside.kube.inference import GROUP, OBJECTIVES, OLD_OBJECTIVES, POOLS, REWRITES
from wayside.kube.pace import Pace
from wayside.translate.endpoint_picker_config import DEFAULT, read
from wayside.vocab.inference import PoolSpec
from wayside.vocab.resource import PODS

from . import proto
from .rig import channel, destination, exchange

pytest.importorskip("grpc")

POOL_PATH, PODS_PATH = POOLS[GROUP].path("ns"), PODS.path("ns")
POOL = {"selector": {"matchLabels": {"app": "x"}}, "targetPorts": [{"number": 8000}]}
BODY = b'{"model":"m","prompt":"x"}'


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with api_serving() as found:
        yield found


async def put_pod(api: FakeApi, name: str, ip: str, *, ready: bool = True) -> None:
    status = "True" if ready else "False"
    await api.put(
        PODS_PATH,
        name,
        metadata={"labels": {"app": "x"}},
        status={"podIP": ip, "conditions": [{"type": "Ready", "status": status}]},
    )


@asynccontextmanager
async def picking(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> AsyncIterator[Epp]:
    access = api.client().access
    monkeypatch.setattr("wayside.epp.sources.find_access", lambda kubeconfig: access)
    given: dict[str, Any] = {"pool": ("p", "ns", GROUP)} | more
    options = Options(
        config=read(DEFAULT), host="127.0.0.1", grpc_port=0, health_port=0, metrics_port=0,
        drain_s=0.2, **given,
    )  # fmt: skip
    epp = Epp(options, lambda *a, **k: None)
    await epp.start()
    try:
        yield epp
    finally:
        await epp.stop()


async def health(epp: Epp) -> bytes:
    async with channel(epp, port=epp.health.port) as found:
        asked = b"\x0a\x13inference-extension"
        answer = await found.unary_unary("/grpc.health.v1.Health/Check")(asked)
    assert isinstance(answer, bytes)
    return answer


async def ask(epp: Epp, body: bytes = BODY, **headers: str) -> list[Any]:
    pairs = {":path": "/", **{k.replace("_", "-"): v for k, v in headers.items()}}
    said = [proto.request_headers(pairs), proto.request_body(body)]
    return await exchange(epp, said, replies=2)


async def test_pods_come_and_go(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async with picking(api, monkeypatch) as epp:
        assert await health(epp) == b"\x08\x02", "the pool is not known yet"
        await api.put(POOL_PATH, "p", spec=POOL, apiVersion=f"{GROUP}/v1")
        await put_pod(api, "a", "10.0.0.1")
        await put_pod(api, "b", "10.0.0.2", ready=False)
        await until(lambda: len(epp.store.roster) == 1)
        await until(lambda: epp._ready())
        assert await health(epp) == b"\x08\x01"
        assert destination(await ask(epp)) == "10.0.0.1:8000"
        await put_pod(api, "b", "10.0.0.2")
        await until(lambda: len(epp.store.roster) == 2)
        await api.remove(PODS_PATH, "a")
        await until(lambda: len(epp.store.roster) == 1)
        assert destination(await ask(epp)) == "10.0.0.2:8000"
        assert [e.name for e in epp.store.roster.endpoints] == ["ns/b-rank-0"]


async def test_missing_crds_and_rights_do_not_keep_it_from_serving(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed's Role reads pools, objectives and pods, and nothing of llm-d.ai."""
    for resource in (OBJECTIVES, OLD_OBJECTIVES, REWRITES):
        api.refusals[resource.path("ns"), "list"] = (403, "Forbidden", {})
    await api.put(POOL_PATH, "p", spec=POOL, apiVersion=f"{GROUP}/v1")
    await put_pod(api, "a", "10.0.0.1")
    async with picking(api, monkeypatch) as epp:
        await until(lambda: epp._ready())
        assert destination(await ask(epp)) == "10.0.0.1:8000"


async def test_objectives_and_rewrites_of_the_cluster_count(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = {"name": "p", "group": GROUP}
    await api.put(POOL_PATH, "p", spec=POOL, apiVersion=f"{GROUP}/v1")
    await put_pod(api, "a", "10.0.0.1")
    await api.put(OBJECTIVES.path("ns"), "low", spec={"priority": -3, "poolRef": ref})
    rule = {"matches": [{"model": {"value": "m"}}], "targets": [{"modelRewrite": "other"}]}
    await api.put(REWRITES.path("ns"), "r", spec={"poolRef": ref, "rules": [rule]})
    async with picking(api, monkeypatch) as epp:
        await until(lambda: epp._ready() and len(epp.store.roster) == 1)
        await until(lambda: epp.store.priority("low") == -3 and bool(epp.store.rewrites()))
        replies = await ask(epp)
        sent = replies[1].request_body.response.body.streamed.body
        assert sent == b'{"model":"other","prompt":"x"}'
        # Nothing is read of these pods, so the pool counts as full (stale is full).
        (refused,) = await ask(epp, x_llm_d_inference_objective="low")
        assert refused.immediate.status.code == 429


async def test_pods_by_label_without_any_pool(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = PoolSpec(name="s", namespace="ns", group=GROUP, selector=(("app", "x"),), ports=(1, 2))
    await put_pod(api, "a", "10.0.0.1")
    async with picking(api, monkeypatch, pool=None, selected=spec) as epp:
        await until(lambda: len(epp.store.roster) == 2)
        assert {e.host_port for e in epp.store.roster.endpoints} == {"10.0.0.1:1", "10.0.0.1:2"}


async def test_an_api_server_that_is_away_leaves_what_is_known(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.put(POOL_PATH, "p", spec=POOL, apiVersion=f"{GROUP}/v1")
    await put_pod(api, "a", "10.0.0.1")
    async with picking(api, monkeypatch) as epp:
        await until(lambda: epp._ready())
        api.cut()
        assert destination(await ask(epp)) == "10.0.0.1:8000"
        assert await health(epp) == b"\x08\x01"


async def test_a_large_pool_that_changes_all_the_time_leaves_time_for_requests(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.put(POOL_PATH, "p", spec=POOL, apiVersion=f"{GROUP}/v1")
    await put_pod(api, "a", "10.0.0.1")
    async with picking(api, monkeypatch) as epp:
        await until(lambda: len(epp.store.roster) == 1)
        seat, taken = epp.store.seat, []

        def slow(seats: Any) -> None:
            seats = list(seats)
            taken.append(len(seats))
            time.sleep(0.02)
            seat(seats)

        epp.store.seat = slow  # type: ignore[method-assign]
        began = time.monotonic()
        for i in range(60):
            await put_pod(api, "a", f"10.0.1.{i}")
            await asyncio.sleep(0.01)
        spent = time.monotonic() - began
        assert 1 <= len(taken) <= 2 + spent / 0.2
        await until(lambda: epp.store.roster.endpoints[0].host_port == "10.0.1.59:8000")


async def test_a_pool_that_is_deleted_and_made_anew(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.put(POOL_PATH, "p", spec=POOL, apiVersion=f"{GROUP}/v1")
    await put_pod(api, "a", "10.0.0.1")
    async with picking(api, monkeypatch) as epp:
        await until(lambda: len(epp.store.roster) == 1)
        await api.remove(POOL_PATH, "p")
        await until(lambda: not len(epp.store.roster))
        assert await health(epp) == b"\x08\x02"
        (refused,) = await ask(epp)
        assert refused.immediate.status.code == 503
        other = {**POOL, "targetPorts": [{"number": 9000}, {"number": 9001}]}
        await api.put(POOL_PATH, "p", spec=other, apiVersion=f"{GROUP}/v1")
        await until(lambda: len(epp.store.roster) == 2)
        assert await health(epp) == b"\x08\x01"
        assert destination(await ask(epp)) in ("10.0.0.1:9000", "10.0.0.1:9001")


async def test_pods_that_flap_lose_no_request(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.put(POOL_PATH, "p", spec=POOL, apiVersion=f"{GROUP}/v1")
    for i in range(3):
        await put_pod(api, f"p{i}", f"10.0.0.{i}")
    async with picking(api, monkeypatch) as epp:
        await until(lambda: len(epp.store.roster) == 3)

        async def flap() -> None:
            for n in range(40):
                await put_pod(api, f"p{n % 2}", f"10.0.0.{n % 2}", ready=bool(n & 2))
                await asyncio.sleep(0.02)

        flapping = asyncio.create_task(flap())
        while not flapping.done():
            assert destination(await ask(epp)).startswith("10.0.0.")
        await flapping
        await until(lambda: {e.in_flight for e in epp.store.roster.endpoints} == {0})


async def test_an_api_server_that_comes_late_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Health says no meanwhile, requests are answered, and nothing ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nobody = FakeApi(url=f"http://127.0.0.1:{port}")
    monkeypatch.setattr("wayside.kube.pool.Pace", lambda: Pace(first_s=0.01, longest_s=0.05))
    monkeypatch.setattr("wayside.kube.watch.Pace", lambda: Pace(first_s=0.01, longest_s=0.05))
    async with picking(nobody, monkeypatch) as epp:
        for _ in range(5):
            assert await health(epp) == b"\x08\x02"
            (refused,) = await ask(epp)
            assert refused.immediate.status.code == 503
            await asyncio.sleep(0.05)
        broken = asyncio.create_task(epp.until_broken())
        async with api_serving(port=port) as api:
            await api.put(POOL_PATH, "p", spec=POOL, apiVersion=f"{GROUP}/v1")
            await put_pod(api, "a", "10.0.0.1")
            await until(lambda: epp._ready() and len(epp.store.roster) == 1)
            assert await health(epp) == b"\x08\x01"
        for _ in range(5):  # and when it is gone again, what is known goes on
            assert destination(await ask(epp)) == "10.0.0.1:8000"
            assert await health(epp) == b"\x08\x01"
            await asyncio.sleep(0.05)
        assert not broken.done()
        broken.cancel()
