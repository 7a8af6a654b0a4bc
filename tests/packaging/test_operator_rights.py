"""The operator, run as its shipped ServiceAccount under its shipped Roles (A1-104)."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import wayside.resources
from tests.cluster import Kubectl, serving
from tests.packaging.rights import DEPLOY, Recorder, Right, grant, granted, of_rules
from tests.packaging.standins import loose
from wayside.catalog import discover
from wayside.kube.client import Client
from wayside.kube.errors import NotFound
from wayside.kube.kubeconfig import find_access
from wayside.manifests.install import OPERATOR, ROUTER_CONTROLLER
from wayside.resources import kinds
from wayside.resources.semantic_router import SEMANTIC_ROUTERS
from wayside.vocab.resource import (
    AUTOSCALERS,
    CLAIMS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    HTTP_ROUTES,
    INGRESSES,
    LEASES,
    NETWORK_POLICIES,
    ROLES,
    ROUTES,
    SERVICE_ACCOUNTS,
    SERVICE_MONITORS,
    SERVICES,
    Resource,
)

discover(wayside.resources)
SPACE = "rights"
STANDINS = [
    loose("gateway.networking.k8s.io", "v1", "Gateway"),
    loose("gateway.networking.k8s.io", "v1", "HTTPRoute"),
    loose("gateway.networking.k8s.io", "v1beta1", "ReferenceGrant"),
    loose("route.openshift.io", "v1", "Route"),
    loose("monitoring.coreos.com", "v1", "ServiceMonitor"),
    loose("serving.kserve.io", "v1beta1", "InferenceService"),
    loose("serving.kserve.io", "v1alpha1", "LLMInferenceService"),
    loose("gateway.envoyproxy.io", "v1alpha1", "Backend"),
]
AROUND: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "fast"},
        "provisioner": "example.com/fast",
    },
    {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "gw", "namespace": SPACE},
        "spec": {"listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "vllm", "namespace": SPACE},
        "spec": {"ports": [{"name": "http", "port": 8000}], "selector": {"app": "vllm"}},
    },
]
BACKEND = {"type": "service", "service": {"name": "vllm", "port": 8000}}
EVERYTHING: dict[str, Any] = {
    "vllmEndpoints": [
        {"name": "a", "model": "a", "backend": BACKEND},
        {
            "name": "b",
            "model": "b",
            "backend": {"type": "kserve", "inferenceServiceName": "not-there"},
        },
    ],
    "gateway": {"existingRef": {"name": "gw", "namespace": SPACE}},
    "openshift": {"routes": {"enabled": True}},
    "persistence": {
        "enabled": True,
        "storageClassName": "fast",
        "accessMode": "ReadWriteMany",
        "size": "1Gi",
    },
    "autoscaling": {"enabled": True, "minReplicas": 2},
    "ingress": {"enabled": True, "hosts": [{"host": "r.example.com", "paths": [{"path": "/"}]}]},
    "networkPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": True},
}
OFF = {
    "gateway": None,
    "openshift": None,
    "persistence": {"enabled": False, "storageClassName": None},
    "autoscaling": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
    "ingress": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "serviceMonitor": {"enabled": False},
    "serviceAccount": {"create": False, "name": "default"},
    "vllmEndpoints": [{"name": "a", "model": "a", "backend": BACKEND}],
}
GO = (
    AUTOSCALERS,
    DISRUPTION_BUDGETS,
    HTTP_ROUTES,
    INGRESSES,
    NETWORK_POLICIES,
    ROUTES,
    SERVICE_ACCOUNTS,
    SERVICE_MONITORS,
)
"""Children that go when nothing asks for them any more."""


(CHILDREN,) = (k.owns for k in kinds("operator") if k.kind == "SemanticRouter")
UNUSED: dict[Right, str] = {
    Right("update", "vllm.ai", "semanticrouters/finalizers"): (
        "asked for by OpenShift's admission when a child with an owner is written"
    ),
    **{
        Right("delete", resource.group, resource.plural): (
            "every router has one; taken away only when a router is renamed, which cannot be"
        )
        for resource in (DEPLOYMENTS, SERVICES)
    },
    **{
        Right("get", resource.group, resource.plural): (
            "read again only when a write has met somebody else's"
        )
        for resource in (SEMANTIC_ROUTERS, *CHILDREN)
    },
    Right("get", "", "events"): "when an Event is told again",
    Right("patch", "", "events"): "when an Event is told again",
    Right("update", LEASES.group, LEASES.plural): "when the Lease is renewed",
}
"""Rights of which this does not make use, and who does."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    with serving(tmp_path_factory.mktemp("rights")) as server:
        kubectl = Kubectl(server.kubeconfig)
        kubectl("apply", "-f", f"{DEPLOY}/operator/config/crd/bases/")
        kubectl.apply(*STANDINS)
        kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
        kubectl.apply(*AROUND)
        grant(kubectl, OPERATOR)
        yield kubectl


@asynccontextmanager
async def running(recorder: Recorder, log: Path, *words: str, **env: str) -> AsyncIterator[None]:
    """One of our controllers, as its Deployment starts it but for the ports."""
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "wayside", *words, f"--kubeconfig={recorder.kubeconfig}"),
            stdout=file,
            stderr=file,
            env={**os.environ, **env},
        )
        try:
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def operator(recorder: Recorder, log: Path) -> AbstractAsyncContextManager[None]:
    options = [
        "--leader-elect",
        f"--leader-election-namespace={OPERATOR.namespace}",
        "--metrics-bind-address=0",
        "--health-probe-bind-address=0",
    ]
    return running(recorder, log, "operator", *options)


async def until(what: Callable[[], Awaitable[bool]], why: str, log: Path) -> None:
    for _ in range(300):
        if await what():
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"{why}: did not come\n{log.read_text()[-3000:]}")


async def there(client: Client, resource: Resource, name: str = "r") -> bool:
    try:
        await client.get(resource, name, SPACE)
    except NotFound:
        return False
    return True


@pytest.mark.slow
async def test_a1_104_the_shipped_rights_are_enough_and_no_more(
    cluster: Kubectl, tmp_path: Path
) -> None:
    """A1-104: a router with everything is made, changed, mended and deleted; no request of the
    operator is refused, and no right that it has is one it does not use."""
    log = tmp_path / "log"
    admin = Client(find_access(str(cluster.kubeconfig)))
    body = {
        "apiVersion": "vllm.ai/v1alpha1",
        "kind": "SemanticRouter",
        "metadata": {"name": "r"},
        "spec": EVERYTHING,
    }
    async with Recorder(cluster.kubeconfig, OPERATOR) as recorder:
        async with operator(recorder, log):
            await admin.create(SEMANTIC_ROUTERS, body, SPACE)
            for resource in (*GO, DEPLOYMENTS, SERVICES):
                await until(lambda r=resource: there(admin, r), f"{resource}", log)
            await until(lambda: there(admin, CLAIMS, "r-models"), "the claim", log)

            await admin.delete(DEPLOYMENTS, "r", SPACE)
            await until(lambda: there(admin, DEPLOYMENTS), "the Deployment again", log)

            await admin.merge(SEMANTIC_ROUTERS, "r", {"spec": OFF}, SPACE)
            for resource in GO:

                async def gone(resource: Resource = resource) -> bool:
                    return not await there(admin, resource)

                await until(gone, f"no {resource} any more", log)

            # Back at a gateway there is no Envoy, nor its configuration.
            await until(lambda: there(admin, CONFIG_MAPS, "r-envoy-config"), "Envoy", log)
            back = {"spec": {"gateway": EVERYTHING["gateway"]}}
            await admin.merge(SEMANTIC_ROUTERS, "r", back, SPACE)

            async def no_envoy() -> bool:
                return not await there(admin, CONFIG_MAPS, "r-envoy-config")

            await until(no_envoy, "no Envoy any more", log)

            await admin.delete(SEMANTIC_ROUTERS, "r", SPACE)

            async def no_router() -> bool:
                return not await there(admin, SEMANTIC_ROUTERS)

            await until(no_router, "no router any more", log)

            for _ in range(100):  # Events, and watches that begin a moment later
                if granted(OPERATOR) - recorder.used <= UNUSED.keys():
                    break
                await asyncio.sleep(0.1)
    admin.close()
    assert not recorder.refused, recorder.refused
    may = granted(OPERATOR)
    assert recorder.used <= may
    assert may - recorder.used <= UNUSED.keys()


async def test_a1_104_a3_17_to_20_the_router_controller_under_its_rights(
    cluster: Kubectl, tmp_path: Path
) -> None:
    """A1-104, A3-17, A3-18, A3-19, A3-20: told by the variables of its Deployment, it looks after
    the samples, and no request is refused."""
    config, log = DEPLOY / "router-controller" / "config", tmp_path / "log"
    for folder in ("crd/bases", "rbac"):
        await asyncio.to_thread(cluster, "apply", "-f", f"{config / folder}/")
    mine = kinds("router-controller")
    names = [f"crd/{k.resource.plural}.{k.resource.group}" for k in mine]
    await asyncio.to_thread(cluster, "wait", "--for=condition=Established", *names)
    env = {
        "KUBERNETES_NAMESPACE": "",
        "METRICS_ADDR": "0",
        "HEALTH_PROBE_ADDR": "0",
        "LEADER_ELECTION_ENABLED": "true",
        "GPU_METRICS_ENDPOINT": "",
        "POD_NAMESPACE": ROUTER_CONTROLLER.namespace,
    }
    admin = Client(find_access(str(cluster.kubeconfig)))
    async with Recorder(cluster.kubeconfig, ROUTER_CONTROLLER) as recorder:
        async with running(recorder, log, "router-controller", **env):
            await asyncio.to_thread(cluster, "-n", SPACE, "apply", "-f", f"{config / 'samples'}/")

            async def told() -> bool:
                found = [o for k in mine for o in (await admin.list(k.resource, SPACE))[0]]
                return len(found) >= len(mine) and all(
                    o.get("status", {}).get("conditions") for o in found
                )

            await until(told, "conditions of every sample", log)

            async def used() -> bool:
                left = granted(ROUTER_CONTROLLER) - recorder.used
                return {r for r in left if r.verb in ("list", "watch")} == set()

            await until(used, "a watch of everything that may be watched", log)
            assert await admin.get(LEASES, ROUTER_CONTROLLER.lease, ROUTER_CONTROLLER.namespace)

            async def granting() -> bool:
                return bool((await admin.list(ROLES, SPACE))[0])

            await until(granting, "a Role that it made", log)
            roles, _ = await admin.list(ROLES, SPACE)
    admin.close()
    # A cluster lets nobody grant what they do not have; the tests' server does not look.
    assert all(of_rules(r["rules"]) <= granted(ROUTER_CONTROLLER) for r in roles)
    assert not recorder.refused, recorder.refused
    assert recorder.used <= granted(ROUTER_CONTROLLER)
