"""Playing a cluster's part on a genuine API server: kubelet, operator, administrator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from wayside.kube.access import Token
from wayside.kube.client import Client
from wayside.kube.errors import AlreadyExists, NotFound
from wayside.vocab.resource import CRDS, PODS, Resource

ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles")
BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings")
POOL_READ = [
    {
        "apiGroups": ["inference.networking.k8s.io", "inference.networking.x-k8s.io"],
        "resources": ["inferenceobjectives", "inferencepools"],
        "verbs": ["get", "watch", "list"],
    },
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch", "list"]},
]
"""What ``pod-read`` of the manifests this replaces allows: no rewrites, and no ``llm-d.ai``."""


def crd(resource: Resource, kind: str) -> dict[str, Any]:
    """A CRD that takes anything, for kinds whose own is not at hand."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": resource.plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": anything, "status": anything},
                        }
                    },
                }
            ],
        },
    }


async def install(admin: Client, definition: dict[str, Any]) -> None:
    """Create a CRD and wait until its objects can be listed."""
    try:
        await admin.create(CRDS, definition)
    except AlreadyExists:
        return
    spec = definition["spec"]
    of = Resource(spec["group"], spec["versions"][0]["name"], spec["names"]["plural"])
    async with asyncio.timeout(20):
        while True:
            try:
                await admin.list(of, "default")
                return
            except NotFound:
                await asyncio.sleep(0.05)


async def allow(admin: Client, namespace: str, name: str, rules: list[Any]) -> None:
    """Bind ``rules`` to the service account ``name``."""
    await admin.create(ROLES, {"metadata": {"name": name}, "rules": rules}, namespace)
    await admin.create(
        BINDINGS,
        {
            "metadata": {"name": name},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": name,
            },
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        },
        namespace,
    )


def account(namespace: str, name: str) -> str:
    """The token of a service account: this server takes names for tokens."""
    return f"system:serviceaccount:{namespace}:{name}"


@asynccontextmanager
async def signed_in(admin: Client, token: str | Token) -> AsyncIterator[Client]:
    """A client with another token."""
    shown = token if isinstance(token, Token) else Token(token)
    client = Client(replace(admin.access, token=shown))
    try:
        yield client
    finally:
        client.close()


async def start(
    admin: Client, namespace: str, name: str, ip: str = "", ready: bool = True, **meta: Any
) -> None:
    """Make a pod, and give it an address as a kubelet does."""
    await admin.create(
        PODS,
        {
            "metadata": {"name": name, "labels": {"app": "x"}, **meta},
            "spec": {"containers": [{"name": "vllm", "image": "vllm"}]},
        },
        namespace,
    )
    if ip:
        await set_ready(admin, namespace, name, ready, ip)


async def set_ready(
    admin: Client, namespace: str, name: str, ready: bool, ip: str | None = None
) -> None:
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status: dict[str, Any] = {"conditions": [condition]}
    if ip is not None:
        status |= {"podIP": ip, "phase": "Running"}
    await admin.merge(PODS, name, {"status": status}, namespace, sub="status")


@asynccontextmanager
async def running(*things: Any) -> AsyncIterator[None]:
    """Run each one's ``run()`` meanwhile; none may end by itself."""
    tasks = [asyncio.create_task(thing.run()) for thing in things]
    try:
        yield
        assert not [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
