"""A picker of a pool on a genuine API server: who leads, and bad days of the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import SHARED
from tests.kube.genuine import (
    BINDINGS,
    POOL_READ,
    account,
    allow,
    install,
    set_ready,
    start,
)
from wayside.epp.options import Options
from wayside.epp.serve import Epp
from wayside.extproc import wire
from wayside.kube.access import Token
from wayside.kube.client import Client
from wayside.kube.inference import GROUP, POOLS
from wayside.kube.pace import Pace
from wayside.translate.endpoint_picker_config import DEFAULT, read
from wayside.vocab.resource import LEASES, PODS

from . import proto
from .rig import channel, destination, exchange

pytest.importorskip("grpc")
pytestmark = pytest.mark.shared

POOL = {"selector": {"matchLabels": {"app": "x"}}, "targetPorts": [{"number": 8000}]}
CRD = SHARED / "data" / "crds" / "inference.networking.k8s.io_inferencepools.yaml"
BODY = b'{"model":"m","prompt":"x"}'
SERVING, NOT_SERVING, UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


async def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


async def make_pool(admin: Client, namespace: str, **spec: Any) -> None:
    await install(admin, yaml.safe_load(CRD.read_text()))
    await admin.create(
        POOLS[GROUP],
        {
            "apiVersion": POOLS[GROUP].api_version,
            "kind": "InferencePool",
            "metadata": {"name": "p"},
            "spec": {
                **POOL,
                "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
                **spec,
            },
        },
        namespace,
    )


@asynccontextmanager
async def picking(kubeconfig: Path, namespace: str, **more: Any) -> AsyncIterator[Epp]:
    options = Options(
        config=read(DEFAULT), host="127.0.0.1", grpc_port=0, health_port=0, metrics_port=0,
        pool=("p", namespace, GROUP), kubeconfig=str(kubeconfig), **{"drain_s": 0.2, **more},
    )  # fmt: skip
    epp = Epp(options, lambda *a, **k: None)
    await epp.start()
    try:
        yield epp
    finally:
        await epp.stop()


async def health(epp: Epp, service: str) -> bytes:
    async with channel(epp, port=epp.health.port) as found:
        answer = await found.unary_unary("/grpc.health.v1.Health/Check")(
            wire.field(1, service.encode())
        )
    assert isinstance(answer, bytes)
    return answer


async def ask(epp: Epp) -> str:
    said = [proto.request_headers({":path": "/"}), proto.request_body(BODY)]
    return destination(await exchange(epp, said, replies=2))


async def test_one_of_two_pickers_is_ready_and_both_serve(
    kubeconfig: Path, admin: Client, namespace: str
) -> None:
    await make_pool(admin, namespace)
    await start(admin, namespace, "a", "10.0.0.1")
    async with picking(kubeconfig, namespace, elects=True) as other:
        async with picking(kubeconfig, namespace, elects=True) as one:
            await until(lambda: one._leads() or other._leads())
            leader, follower = (one, other) if one._leads() else (other, one)
            for service in ("", "readiness", "inference-extension"):
                assert await health(leader, service) == SERVING
                assert await health(follower, service) == NOT_SERVING
            for each in (leader, follower):
                assert await health(each, "liveness") == SERVING
                assert await health(each, "anything") == UNKNOWN
            await until(lambda: follower._ready())
            assert await ask(follower) == "10.0.0.1:8000", "who was sent to it, is served"
            name = f"epp-{namespace}-p.gateway-api-inference-extension.sigs.k8s.io"
            status = f'leader_election_master_status{{name="{name}"}} '
            assert f"{status}1.0" in leader.registry.text().decode()
            assert f"{status}0.0" in follower.registry.text().decode()
            assert leader.elector is not None
            lease = await admin.get(LEASES, name, namespace)
            assert lease["spec"]["holderIdentity"] == leader.elector.identity
            async with channel(follower, port=follower.health.port) as found:
                call = found.unary_stream("/grpc.health.v1.Health/Watch")(wire.field(1, b""))
                assert await call.read() == NOT_SERVING
                await leader.stop()
                assert await asyncio.wait_for(call.read(), 10) == SERVING, "told, and soon"
                call.cancel()
            assert await health(follower, "inference-extension") == SERVING


async def test_nobody_leads_who_does_not_know_its_pool(
    kubeconfig: Path, admin: Client, namespace: str
) -> None:
    async with picking(kubeconfig, namespace, elects=True) as epp:
        await asyncio.sleep(1)
        assert not epp._leads()
        await make_pool(admin, namespace)
        await until(epp._leads)
        assert await health(epp, "inference-extension") == SERVING


async def test_rights_that_are_taken_away_leave_what_is_known(
    kubeconfig: Path, admin: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the Role of the manifests that it replaces; then without it; then with it again."""
    monkeypatch.setattr("wayside.kube.watch.Pace", lambda: Pace(watch_s=1, refused_first_s=0.1))
    await make_pool(admin, namespace)
    await start(admin, namespace, "a", "10.0.0.1")
    await allow(admin, namespace, "pod-read", POOL_READ)
    access = replace(admin.access, token=Token(account(namespace, "pod-read")))
    monkeypatch.setattr("wayside.epp.sources.find_access", lambda path: access)
    async with picking(kubeconfig, namespace) as epp:
        watch = epp._source.watch  # type: ignore[attr-defined]
        await until(lambda: epp._ready() and len(epp.store.roster) == 1)
        await admin.delete(BINDINGS, "pod-read", namespace)
        await until(lambda: watch.states["pods"] == "forbidden")
        assert await health(epp, "inference-extension") == SERVING
        assert await ask(epp) == "10.0.0.1:8000"
        await start(admin, namespace, "b", "10.0.0.2")
        await admin.create(
            BINDINGS,
            {
                "metadata": {"name": "pod-read"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pod-read",
                },
                "subjects": [
                    {"kind": "ServiceAccount", "name": "pod-read", "namespace": namespace}
                ],
            },
            namespace,
        )  # fmt: skip
        await until(lambda: len(epp.store.roster) == 2)


async def test_pods_that_flap_and_a_selector_that_changes_under_load(
    kubeconfig: Path, admin: Client, namespace: str
) -> None:
    await make_pool(admin, namespace)
    for i in range(4):
        await start(admin, namespace, f"p{i}", f"10.0.0.{i}")
        labels = {"tier": "new" if i > 1 else "old"}
        await admin.merge(PODS, f"p{i}", {"metadata": {"labels": labels}}, namespace)
    async with picking(kubeconfig, namespace) as epp:
        await until(lambda: len(epp.store.roster) == 4)
        seen: set[str] = set()
        stop = asyncio.Event()

        async def load() -> None:
            while not stop.is_set():
                seen.add(await ask(epp))

        async def flap() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                await set_ready(admin, namespace, "p0", bool(n % 2))
                await asyncio.sleep(0.1)

        tasks = [asyncio.create_task(load()), asyncio.create_task(flap())]
        for tier in ("new", "old", "new"):
            spec = {"selector": {"matchLabels": {"tier": tier}}}
            await admin.merge(POOLS[GROUP], "p", {"spec": spec}, namespace)
            wanted = {"10.0.0.2:8000", "10.0.0.3:8000"} if tier == "new" else {"10.0.0.1:8000"}
            await until(
                lambda wanted=wanted: (
                    wanted <= {e.host_port for e in epp.store.roster.endpoints}
                    and len(epp.store.roster) <= 2
                )
            )
        stop.set()
        await asyncio.gather(*tasks)  # none of them was refused
        assert seen >= {"10.0.0.2:8000", "10.0.0.3:8000"}
