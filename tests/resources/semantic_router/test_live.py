"""A SemanticRouter's ways in, storage and scaling, kept by the operator on a genuine API server.

A server of its own: Gateway API and OpenShift's Routes come while the operator runs. Nobody plays
the Deployment's controller here; pods are in ``tests/kubelet``.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster import CRDS, ApiServer, Kubectl, serving, unpacked
from tests.kube.collector import collecting
from wayside.kube.client import Client
from wayside.kube.errors import NotFound
from wayside.kube.kubeconfig import find_access
from wayside.kube.pace import Pace
from wayside.manifests.crd import crd
from wayside.operator.program import Options, Program
from wayside.resources import Object, kinds
from wayside.resources.semantic_router import SEMANTIC_ROUTERS
from wayside.vocab.resource import (
    AUTOSCALERS,
    CLAIMS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    EVENTS,
    GATEWAYS,
    HTTP_ROUTES,
    NAMESPACES,
    ROUTES,
    SERVICES,
    STORAGE_CLASSES,
    Resource,
)

FAST = Pace(first_s=0.05, longest_s=0.3, refused_first_s=0.2, refused_longest_s=0.5, steady_s=0.2)
LLAMA = {
    "name": "llama",
    "model": "llama3-8b",
    "backend": {"type": "service", "service": {"name": "vllm", "port": 8000}},
}
ROUTER = {
    "apiVersion": "vllm.ai/v1alpha1",
    "kind": "SemanticRouter",
    "metadata": {"name": "r"},
    "spec": {"vllmEndpoints": [LLAMA]},
}
DEFAULT = {
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "example.com/disk",
}
KIND_OF_CLASS = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass"}


@dataclass
class Cluster:
    """One namespace with a router, as its owner sees it."""

    admin: Client
    namespace: str

    async def get(self, resource: Resource, name: str = "r") -> Object | None:
        try:
            return await self.admin.get(resource, name, self.namespace)
        except NotFound:
            return None

    async def change(self, **spec: Any) -> None:
        patch = {"spec": spec}
        await self.admin.merge(SEMANTIC_ROUTERS, "r", patch, self.namespace, manager="kubectl")

    async def said(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        found = await self.get(SEMANTIC_ROUTERS) or {}
        for one in found.get("status", {}).get("conditions", ()):
            if one["type"] == kind:
                return one["status"], one["reason"]
        return "", ""

    async def status(self, field: str) -> Any:
        found = await self.get(SEMANTIC_ROUTERS) or {}
        return found.get("status", {}).get(field)

    async def until(self, what: Callable[[], Awaitable[Any]]) -> Any:
        ends = asyncio.get_running_loop().time() + 40
        while not (found := await what()):
            assert asyncio.get_running_loop().time() < ends, "not within 40 s"
            await asyncio.sleep(0.03)
        return found

    async def until_said(self, kind: str, status: str, reason: str) -> None:
        async def done() -> bool:
            return await self.said(kind) == (status, reason)

        await self.until(done)

    async def until_there(self, resource: Resource, name: str = "r") -> Object:
        found: Object = await self.until(lambda: self.get(resource, name))
        return found

    async def until_gone(self, resource: Resource, name: str = "r") -> None:
        async def gone() -> bool:
            return await self.get(resource, name) is None

        await self.until(gone)

    async def events(self) -> set[tuple[str, str]]:
        found, _ = await self.admin.list(EVENTS, self.namespace)
        return {(one["type"], one["reason"]) for one in found}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    unpacked()
    with serving(tmp_path_factory.mktemp("live")) as one:
        yield one


@pytest.fixture
async def namespaced(server: ApiServer) -> AsyncIterator[Cluster]:
    """A namespace with one backend and one router."""
    admin = Client(find_access(str(server.kubeconfig)))
    (kind,) = (kind for kind in kinds("operator") if kind.resource == SEMANTIC_ROUTERS)
    kubectl = Kubectl(server.kubeconfig)
    kubectl.apply(crd(kind))
    kubectl("wait", "--for=condition=Established", "crd/semanticrouters.vllm.ai")
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    await admin.create(NAMESPACES, {"metadata": {"name": namespace}})
    service = {"metadata": {"name": "vllm"}, "spec": {"ports": [{"port": 8000}]}}
    await admin.create(SERVICES, service, namespace)
    await admin.create(SEMANTIC_ROUTERS, ROUTER, namespace)
    async with collecting(admin, namespace):
        yield Cluster(admin, namespace)
    admin.close()


@pytest.fixture
async def cluster(server: ApiServer, namespaced: Cluster) -> AsyncIterator[Cluster]:
    """The same with the operator."""
    async with operating(server, namespaced.namespace):
        await namespaced.until_there(DEPLOYMENTS)
        yield namespaced


@asynccontextmanager
async def operating(server: ApiServer, namespace: str) -> AsyncIterator[None]:
    """The operator, for as long as the block lasts."""
    (kind,) = (kind for kind in kinds("operator") if kind.resource == SEMANTIC_ROUTERS)
    options = Options(
        access=find_access(str(server.kubeconfig)),
        manager="semantic-router-operator",
        lease="operator",
        lease_namespace=namespace,
        namespace=namespace,
        pace=FAST,
        install="",
    )
    program = Program(options, [kind], lambda *_, **__: None)
    task = asyncio.create_task(program.run())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_storage_and_scaling(cluster: Cluster) -> None:
    """A1-65, A1-66, A1-69, A1-71, A1-72, A1-74, A1-78: a class that comes later, an autoscaler
    that comes and goes, a claim that is kept and taken up again."""
    # No default class: no claim, and a router all the same.
    await cluster.until_said("StorageReady", "False", "NoDefaultStorageClass")
    deployment = await cluster.until_there(DEPLOYMENTS)
    assert {"emptyDir": {}, "name": "models-volume"} in _volumes(deployment)
    await cluster.until_said("Degraded", "True", "StorageNotReady")

    # It comes: the claim is made and mounted, with nobody touching the router.
    await cluster.admin.create(STORAGE_CLASSES, DEFAULT)
    claim = await cluster.until_there(CLAIMS, "r-models")
    assert claim["spec"]["storageClassName"] == "standard"
    assert claim["metadata"]["ownerReferences"][0]["name"] == "r"

    async def mounted() -> bool:
        return any("persistentVolumeClaim" in v for v in _volumes(await cluster.get(DEPLOYMENTS)))

    await cluster.until(mounted)

    # Three pods, then an autoscaler: no pod is lost on the way, and its word counts.
    await cluster.change(replicas=3)
    await cluster.until_there(DISRUPTION_BUDGETS)
    await cluster.change(autoscaling={"enabled": True, "minReplicas": 2, "maxReplicas": 9})
    await cluster.until_there(AUTOSCALERS)
    assert (await cluster.until_there(DEPLOYMENTS))["spec"]["replicas"] == 3
    await cluster.admin.merge(
        DEPLOYMENTS, "r", {"spec": {"replicas": 7}}, cluster.namespace, manager="autoscaler"
    )
    await cluster.change(podAnnotations={"looked": "again"})

    async def annotated() -> Object | None:
        found = await cluster.get(DEPLOYMENTS) or {}
        notes = found["spec"]["template"]["metadata"]["annotations"]
        return found if notes.get("looked") == "again" else None

    assert (await cluster.until(annotated))["spec"]["replicas"] == 7
    await cluster.change(autoscaling=None, replicas=1)
    await cluster.until_gone(AUTOSCALERS)
    await cluster.until_gone(DISRUPTION_BUDGETS)

    # What cannot be is told, and changes nothing.
    await cluster.change(persistence={"size": "1Gi", "retainOnDelete": True})
    await cluster.until_said("StorageReady", "False", "ShrinkRefused")

    async def unowned() -> bool:
        found = await cluster.get(CLAIMS, "r-models") or {"metadata": {}}
        return "ownerReferences" not in found["metadata"]

    await cluster.until(unowned)

    # The claim outlives the router, and its namesake takes it up.
    await cluster.admin.delete(SEMANTIC_ROUTERS, "r", cluster.namespace)
    await cluster.until_gone(SEMANTIC_ROUTERS)
    await cluster.until_gone(DEPLOYMENTS)
    kept = await cluster.get(CLAIMS, "r-models")
    assert kept is not None
    assert kept["metadata"]["uid"] == claim["metadata"]["uid"]
    again = await cluster.admin.create(SEMANTIC_ROUTERS, ROUTER, cluster.namespace)

    async def taken_up() -> bool:
        found = await cluster.get(CLAIMS, "r-models") or {}
        owners = found["metadata"].get("ownerReferences", [{}])
        return bool(owners[0].get("uid") == again["metadata"]["uid"])

    await cluster.until(taken_up)

    async def told() -> bool:
        wanted = {("Warning", "StorageClassNotFound"), ("Normal", "PVCRetained")}
        return wanted <= await cluster.events()

    await cluster.until(told)


def _volumes(deployment: Object | None) -> list[Object]:
    volumes: list[Object] = (deployment or {})["spec"]["template"]["spec"]["volumes"]
    return volumes


@pytest.mark.shared
async def test_the_ways_in_come_and_go(server: ApiServer, cluster: Cluster) -> None:
    """A1-44..A1-47, A1-49, A1-52..A1-54, A1-57..A1-61: APIs and Gateways that are not there yet,
    and both modes, back and forth."""
    if not CRDS.exists():
        pytest.skip(f"{CRDS} is not here")
    kubectl = Kubectl(server.kubeconfig)
    await cluster.until_said("GatewayReady", "True", "Standalone")
    assert await cluster.status("gatewayMode") == "standalone"

    # Behind a Gateway, in a cluster that has no such thing.
    reference = {"name": "g", "namespace": cluster.namespace}
    await cluster.change(gateway={"existingRef": reference})
    await cluster.until_said("GatewayReady", "False", "ApiMissing")
    assert await cluster.status("gatewayMode") == "gateway-integration"
    await cluster.until_gone(CONFIG_MAPS, "r-envoy-config")
    for plural in ("gateways", "httproutes"):
        crd_file = CRDS / f"gateway.networking.k8s.io_{plural}.yaml"
        kubectl("apply", "--server-side", "-f", str(crd_file))
    await cluster.until_said("GatewayReady", "False", "GatewayNotFound")
    route = await cluster.until_there(HTTP_ROUTES)
    assert route["metadata"]["ownerReferences"][0]["controller"] is True
    managers = {one["manager"] for one in route["metadata"]["managedFields"]}
    assert managers == {"semantic-router-operator"}

    # The Gateway comes, closed; is opened; and its controller takes the route.
    wanted = {"from": "Selector", "selector": {"matchLabels": {"team": "ai"}}}
    closed = {
        "name": "h",
        "port": 80,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": wanted},
    }
    spec = {"gatewayClassName": "eg", "listeners": [closed]}
    gateway = {
        "apiVersion": GATEWAYS.api_version,
        "kind": "Gateway",
        "metadata": {"name": "g"},
        "spec": spec,
    }
    await cluster.admin.create(GATEWAYS, gateway, cluster.namespace)
    await cluster.until_said("GatewayReady", "False", "NotAllowedByListeners")
    labels = {"metadata": {"labels": {"team": "ai"}}}
    await cluster.admin.merge(NAMESPACES, cluster.namespace, labels, manager="kubectl")
    await cluster.until_said("GatewayReady", "Unknown", "RoutePending")
    verdicts = [_verdict(kind) for kind in ("Accepted", "ResolvedRefs")]
    parent = {"parentRef": reference, "controllerName": "x.io/eg", "conditions": verdicts}
    await _says(cluster, HTTP_ROUTES, {"parents": [parent]})
    await cluster.until_said("GatewayReady", "True", "RouteAccepted")
    assert (await cluster.status("route"))["accepted"] is True

    # And back: the route goes, Envoy comes.
    await cluster.change(gateway=None)
    await cluster.until_gone(HTTP_ROUTES)
    await cluster.until_there(CONFIG_MAPS, "r-envoy-config")
    await cluster.until_said("GatewayReady", "True", "Standalone")

    # A Route where there is no OpenShift; which it becomes; whose router has a host for it.
    await cluster.change(openshift={"routes": {"enabled": True}})
    await cluster.until_said("RouteReady", "False", "NotOpenShift")
    kubectl("apply", "--server-side", "-f", str(CRDS / "routes.crd.yaml"))
    made = await cluster.until_there(ROUTES)
    assert "host" not in made["spec"]
    for host in ("one.example.com", "two.example.com"):
        admitted = {"host": host, "routerName": "default", "conditions": [_verdict("Admitted")]}
        await _says(cluster, ROUTES, {"ingress": [admitted]})
        features = {"routesEnabled": True, "routeHostname": host}

        async def told(features: Object = features) -> bool:
            return bool(await cluster.status("openshiftFeatures") == features)

        await cluster.until(told)
    await cluster.change(openshift=None)
    await cluster.until_gone(ROUTES)
    await cluster.until_said("RouteReady", "True", "Disabled")
    assert await cluster.status("openshiftFeatures") is None


def _verdict(kind: str) -> Object:
    return {
        "type": kind,
        "status": "True",
        "reason": "Because",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


async def _says(cluster: Cluster, resource: Resource, status: Object) -> None:
    """What somebody else's controller writes."""
    patch = {"status": status}
    await cluster.admin.merge(
        resource, "r", patch, cluster.namespace, manager="theirs", sub="status"
    )


@pytest.mark.parametrize("wish", [{"retainOnDelete": True}, {"existingClaim": "r-models"}])
async def test_a_claim_is_let_go_of_at_the_last_moment(
    server: ApiServer, namespaced: Cluster, wish: dict[str, Any]
) -> None:
    """A1-67, A1-69, A1-86: who asks for the claim to be kept and deletes the router in one breath,
    while no operator runs, has it kept; and naming our claim as one's own takes it from nobody."""
    cluster = namespaced
    await cluster.admin.apply(STORAGE_CLASSES, {**KIND_OF_CLASS, **DEFAULT}, force=True)
    async with operating(server, cluster.namespace):
        before = await cluster.until_there(CLAIMS, "r-models")
        assert before["metadata"]["ownerReferences"]
        await cluster.until_there(DEPLOYMENTS)
    await cluster.change(persistence=wish)
    await cluster.admin.delete(SEMANTIC_ROUTERS, "r", cluster.namespace)
    async with operating(server, cluster.namespace):
        await cluster.until_gone(SEMANTIC_ROUTERS)
        await cluster.until_gone(DEPLOYMENTS)  # what is owned is collected
    after = await cluster.get(CLAIMS, "r-models")
    assert after is not None and not after["metadata"].get("deletionTimestamp")
    assert "ownerReferences" not in after["metadata"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_our_claim_named_as_ones_own_is_not_pruned(
    server: ApiServer, namespaced: Cluster
) -> None:
    """A1-67: ``existingClaim: r-models``, of a router that made it, lets go of it."""
    cluster = namespaced
    await cluster.admin.apply(STORAGE_CLASSES, {**KIND_OF_CLASS, **DEFAULT}, force=True)
    async with operating(server, cluster.namespace):
        before = await cluster.until_there(CLAIMS, "r-models")
        await cluster.change(persistence={"existingClaim": "r-models"})

        async def unowned() -> Any:
            found = await cluster.get(CLAIMS, "r-models")
            assert found is not None and not found["metadata"].get("deletionTimestamp")
            return "ownerReferences" not in found["metadata"] and found

        after = await cluster.until(unowned)
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert {"persistentVolumeClaim": {"claimName": "r-models"}}.items() <= {
            k: v for volume in _volumes(await cluster.get(DEPLOYMENTS)) for k, v in volume.items()
        }.items()
