"""A picker of a pool on a genuine API server: who leads, and bad days of the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kube.conftest import SHARED, admin, binary, kubeconfig, namespace
from tests.kube.genuine import install, start
from wayside.epp.options import Options
from wayside.epp.serve import Epp
from wayside.extproc import wire
from wayside.kube.client import Client
from wayside.kube.inference import GROUP, POOLS
from wayside.kube.resource import LEASES
from wayside.translate.endpoint_picker_config import DEFAULT, read

from . import proto
from .rig import channel, destination, exchange

pytest.importorskip("grpc")
pytestmark = pytest.mark.shared
__all__ = ["admin", "binary", "kubeconfig", "namespace"]

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
