"""A model's servers in a genuine cluster: as a Service, as pods, as a pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from wayside.kube.client import Client
from wayside.kube.inference import POOLS
from wayside.kube.pace import Pace
from wayside.kube.servers import Clusters
from wayside.settings.fleet import KubernetesSettings
from wayside.settings.model import EndpointSettings
from wayside.vocab.resource import ENDPOINT_SLICES, PODS, SERVICES

from .genuine import account, allow, crd, install, set_ready, start


class Told:
    """What a source told and warned of last."""

    def __init__(self) -> None:
        self.urls: list[str] | None = None
        self.endpoints: Sequence[EndpointSettings] = ()
        self.warning = ""

    def tell(self, endpoints: Sequence[EndpointSettings]) -> None:
        self.urls, self.endpoints = [e.url for e in endpoints], endpoints

    def warn(self, what: str) -> None:
        self.warning = what

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.02)


@asynccontextmanager
async def following(
    kubeconfig: Path, namespace: str, token: str = "", **settings: Any
) -> AsyncIterator[Told]:
    clusters = Clusters(environ={"KUBECONFIG": str(kubeconfig)}, pace=Pace(refused_first_s=0.1))
    if token:
        text = kubeconfig.read_text().replace("token: admin", f"token: {token}")
        assert token in text
        other = kubeconfig.with_name(f"as-{namespace}")
        other.write_text(text)
        settings["kubeconfig"] = str(other)
    told = Told()
    source = clusters.source(KubernetesSettings(namespace=namespace, **settings))
    task = asyncio.create_task(source.follow(told.tell, told.warn))
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        clusters.close()


async def service(admin: Client, namespace: str, name: str, *ports: dict[str, Any]) -> None:
    body = {"metadata": {"name": name}, "spec": {"selector": {"app": "x"}, "ports": list(ports)}}
    await admin.create(SERVICES, body, namespace)


async def endpoints(
    admin: Client, namespace: str, of: str, port: str, number: int, **ready: bool
) -> None:
    """An EndpointSlice as its controller writes it; names are pods, ``a1`` at 10.0.0.1."""
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{of}-1", "labels": {"kubernetes.io/service-name": of}},
        "addressType": "IPv4",
        "ports": [{"name": port, "port": number}],
        "endpoints": [
            {
                "addresses": [f"10.0.0.{pod[1:]}"],
                "conditions": {"ready": is_ready},
                "targetRef": {"kind": "Pod", "name": pod},
            }
            for pod, is_ready in ready.items()
        ],
    }
    await admin.apply(ENDPOINT_SLICES, body, namespace, force=True)


async def test_a_service_is_its_ready_endpoints(
    kubeconfig: Path, admin: Client, namespace: str
) -> None:
    async with following(kubeconfig, namespace, service="llama", port="http") as told:
        await told.until(lambda: "llama is not there" in told.warning)
        assert told.urls is None
        await service(admin, namespace, "llama", {"name": "http", "port": 80, "targetPort": 8000})
        await endpoints(admin, namespace, "llama", "http", 8000, a1=True, a2=False, a3=True)
        await told.until(lambda: told.urls == ["http://10.0.0.1:8000", "http://10.0.0.3:8000"])
        assert [e.name for e in told.endpoints] == ["a1", "a3"]
        assert told.warning == ""
        await endpoints(admin, namespace, "llama", "http", 8000, a2=True)
        await told.until(lambda: told.urls == ["http://10.0.0.2:8000"])
        await endpoints(admin, namespace, "llama", "http", 8000, a2=False)
        await told.until(lambda: told.urls == [])  # the cluster says so: it is believed
        await admin.delete(SERVICES, "llama", namespace)
        await told.until(lambda: "is not there" in told.warning)


async def test_which_port_of_a_service_has_to_be_clear(
    kubeconfig: Path, admin: Client, namespace: str
) -> None:
    await service(admin, namespace, "s", {"name": "a", "port": 1}, {"name": "b", "port": 2})
    async with following(kubeconfig, namespace, service="s") as told:
        await told.until(lambda: "several ports (a:1, b:2)" in told.warning)
    async with following(kubeconfig, namespace, service="s", port=3) as told:
        await told.until(lambda: "no port 3 (a:1, b:2)" in told.warning)
    await endpoints(admin, namespace, "s", "b", 9000, a1=True)
    async with following(kubeconfig, namespace, service="s", port=2, scheme="https") as told:
        await told.until(lambda: told.urls == ["https://10.0.0.1:9000"])


async def test_pods_are_followed_by_label(kubeconfig: Path, admin: Client, namespace: str) -> None:
    async with following(kubeconfig, namespace, pods="app=x", port=8100, path="/v1") as told:
        await told.until(lambda: told.urls == [])
        await start(admin, namespace, "one", "10.1.0.1")
        await start(admin, namespace, "two", "fd00::2")
        await start(admin, namespace, "other", "10.1.0.3", labels={"app": "y"})
        await told.until(
            lambda: told.urls == ["http://10.1.0.1:8100/v1", "http://[fd00::2]:8100/v1"]
        )
        assert told.endpoints[0].labels == {"app": "x"}
        await set_ready(admin, namespace, "one", False)
        await told.until(lambda: told.urls == ["http://[fd00::2]:8100/v1"])
        await admin.delete(PODS, "two", namespace)
        await told.until(lambda: told.urls == [])


async def test_a_pool_is_its_pods_on_its_ports(
    kubeconfig: Path, admin: Client, namespace: str
) -> None:
    resource = POOLS["inference.networking.k8s.io"]
    definition = crd(resource, "InferencePool")
    approved = {"api-approved.kubernetes.io": "unapproved, a stand-in"}
    definition["metadata"]["annotations"] = approved
    await install(admin, definition)
    async with following(kubeconfig, namespace, pool="llm") as told:
        await told.until(lambda: "llm is not there" in told.warning)
        await start(admin, namespace, "one", "10.1.0.1")
        spec = {
            "selector": {"matchLabels": {"app": "x"}},
            "targetPorts": [{"number": 8000}, {"number": 8001}],
        }
        body = {
            "apiVersion": resource.api_version,
            "kind": "InferencePool",
            "metadata": {"name": "llm"},
            "spec": spec,
        }
        await admin.create(resource, body, namespace)
        await told.until(lambda: told.urls == ["http://10.1.0.1:8000", "http://10.1.0.1:8001"])


async def test_a_missing_right_is_said_and_changes_nothing(
    kubeconfig: Path, admin: Client, namespace: str
) -> None:
    token = account(namespace, "router")
    async with following(kubeconfig, namespace, token, pods="app=x") as told:
        await told.until(lambda: "403" in told.warning)
        assert told.urls is None
        await start(admin, namespace, "one", "10.1.0.1")
        watch = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
        await allow(admin, namespace, "router", [watch])
        await told.until(lambda: told.urls == ["http://10.1.0.1:8000"])


async def test_no_cluster_is_a_warning_not_an_end() -> None:
    told = Told()
    clusters = Clusters(environ={})
    source = clusters.source(KubernetesSettings(service="s"))
    task = asyncio.create_task(source.follow(told.tell, told.warn))
    await told.until(lambda: "found no Kubernetes cluster" in told.warning)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
