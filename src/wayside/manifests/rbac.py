"""What our controllers may do in a cluster: no more than the kinds they look after need.

Rights are computed from what each kind declares (its own resource, what it owns, what it reads),
so that a kind cannot be added without them, nor keep them when it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from wayside.manifests.install import Install, Object
from wayside.manifests.meta import NAME
from wayside.vocab.resource import (
    CRDS,
    ENDPOINT_SLICES,
    EVENTS,
    KSERVE_LLMS,
    LEASES,
    PODS,
    SECRETS,
    SERVICES,
    Resource,
)

if TYPE_CHECKING:
    from wayside.resources import Kind

API = "rbac.authorization.k8s.io"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
INFERENCE_POOLS = Resource("inference.networking.k8s.io", "v1", "inferencepools")
FOLLOW = frozenset({"list", "watch"})
"""Caches list and watch; they ask for no single object."""
READ = FOLLOW | {"get"}
MAKE = frozenset({"create", "patch", "delete"})
"""Server-side apply is ``patch``, and ``create`` where nothing is there yet."""

Rights = dict[tuple[str, str], set[str]]
"""Verbs by group and resource (``semanticrouters/status``)."""


def rights(install: Install, kinds: Iterable[Kind]) -> Rights:
    """What looking after those of ``kinds`` that are the controller's takes, in all namespaces.

    Raises ``ValueError`` for a kind that wants Secrets: whoever may read or write them everywhere
    is an administrator of everything. A pod is told the name of its Secret instead.
    """
    found: Rights = {}

    def need(resource: Resource, verbs: Iterable[str], sub: str = "") -> None:
        if (resource.group, resource.plural) == (SECRETS.group, SECRETS.plural):
            raise ValueError("no kind may own or read Secrets: name them in the pod instead")
        name = f"{resource.plural}/{sub}" if sub else resource.plural
        found.setdefault((resource.group, name), set()).update(verbs)

    for kind in (k for k in kinds if k.program == install.program):
        need(kind.resource, READ)
        need(kind.resource, {"patch"}, "status")
        if kind.finalizer:
            need(kind.resource, {"patch"})
        if kind.owns:
            # An owner that blocks its deletion, where OwnerReferencesPermissionEnforcement is on
            # (OpenShift): it is asked for when a child is written, and never by a request.
            need(kind.resource, {"update"}, "finalizers")
        for child in kind.owns:
            need(child, READ | MAKE - ({"delete"} if child in kind.spares else set()))
        for read in kind.reads:
            need(read, FOLLOW)
    need(EVENTS, {"get", "create", "patch"})
    need(CRDS, FOLLOW)  # a kind that is installed later is seen at once
    return found


def rules(rights: Rights) -> list[Object]:
    """As few rules as say the same, in a fixed order: one for all resources of a group that have
    the same verbs."""
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), verbs in sorted(rights.items()):
        ordered = tuple(v for v in VERBS if v in verbs)
        together.setdefault((group, ordered), []).append(resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}
        for (group, verbs), resources in together.items()
    ]


def router_rules(kinds: Iterable[Kind]) -> list[Object]:
    """What a router may see of its own namespace, where it takes models, rules or servers from
    the cluster (``registry``, ``fleet``); it tells the statuses of the kinds that it follows."""
    found: Rights = {
        (r.group, r.plural): set(FOLLOW)
        for r in (PODS, SERVICES, ENDPOINT_SLICES, INFERENCE_POOLS, KSERVE_LLMS)
    }
    for kind in (k for k in kinds if k.program == "router"):
        found[kind.resource.group, kind.resource.plural] = set(READ)
        found[kind.resource.group, f"{kind.resource.plural}/status"] = {"patch"}
    return rules(found)


def leader_rules(lease: str) -> list[Object]:
    """To stand for one Lease. Whoever creates an object has no name to be allowed yet."""
    leases = {"apiGroups": [LEASES.group], "resources": [LEASES.plural]}
    return [
        {**leases, "verbs": ["create"]},
        {**leases, "resourceNames": [lease], "verbs": ["get", "update"]},
    ]


def account(install: Install) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": install.head(install.manager),
    }


def manager_role(install: Install, kinds: Iterable[Kind]) -> Object:
    name = f"{install.app}-manager-role"
    return _role(install.head(name, cluster=True), rules(rights(install, kinds)))


def leader_role(install: Install) -> Object:
    return _role(install.head(f"{install.app}-leader-election-role"), leader_rules(install.lease))


def router_role(kinds: Iterable[Kind]) -> Object:
    """To be bound, in a namespace, to the ServiceAccount of a router there."""
    metadata = {"name": "semantic-router-registry-role", "labels": {NAME: "semantic-router"}}
    return _role(metadata, router_rules(kinds))


def binding(install: Install, role: Object) -> Object:
    """The controller's ServiceAccount may do what ``role`` says, where that says it."""
    cluster = role["kind"] == "ClusterRole"
    name = str(role["metadata"]["name"]).removesuffix("role") + "rolebinding"
    who = {"kind": "ServiceAccount", "name": install.manager, "namespace": install.namespace}
    return {
        "apiVersion": f"{API}/v1",
        "kind": f"{role['kind']}Binding",
        "metadata": install.head(name, cluster=cluster),
        "roleRef": {"apiGroup": API, "kind": role["kind"], "name": role["metadata"]["name"]},
        "subjects": [who],
    }


def people_roles(install: Install, kind: Kind) -> Sequence[Object]:
    """For people: whoever may edit (or view) a namespace may do so with these objects, too."""
    singular = kind.kind.lower()
    group, plural = kind.resource.group, kind.resource.plural
    status = {"apiGroups": [group], "resources": [f"{plural}/status"], "verbs": ["get"]}

    def role(what: str, verbs: list[str], *of: str) -> Object:
        labels = {f"{API}/aggregate-to-{other}": "true" for other in of}
        metadata = install.head(f"{install.app}-{singular}-{what}-role", labels, cluster=True)
        return _role(
            metadata, [{"apiGroups": [group], "resources": [plural], "verbs": verbs}, status]
        )

    return role("editor", [*VERBS], "admin", "edit"), role("viewer", [*VERBS[:3]], "view")


def _role(metadata: Object, rules: list[Object]) -> Object:
    kind = "Role" if "namespace" in metadata else "ClusterRole"
    return {"apiVersion": f"{API}/v1", "kind": kind, "metadata": metadata, "rules": rules}
