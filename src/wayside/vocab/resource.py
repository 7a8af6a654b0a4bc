"""Kinds of objects, and where the API server keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind in one version. ``group`` is empty for the core API; ``plural`` is the last part of
    its path, and its name in Roles: ``inferencepools``."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    def __str__(self) -> str:
        return f"{self.plural}.{self.version}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """As objects say it: ``v1``, ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, sub: str = "") -> str:
        """Where objects of a namespace are, or of all (``None``); with ``name``, one of them, and
        with ``sub`` its subresource (``status``). Raises ``ValueError`` for names that are empty.
        """
        root = f"/apis/{self.group}" if self.group else "/api"
        parts = [root, self.version]
        if namespace is not None and self.namespaced:
            parts += ["namespaces", _part(namespace, "namespace")]
        elif name is not None and self.namespaced:
            raise ValueError(f"{self.plural} live in namespaces; say which one {name!r} is in")
        parts.append(self.plural)
        if name is not None:
            parts.append(_part(name, "name"))
        if sub:
            parts.append(sub)
        return "/".join(parts)


def _part(text: str, what: str) -> str:
    if not text or text in (".", ".."):
        raise ValueError(f"{text!r} is no {what}")
    return quote(text, safe="")


PODS = Resource("", "v1", "pods")
SERVICES = Resource("", "v1", "services")
CONFIG_MAPS = Resource("", "v1", "configmaps")
SECRETS = Resource("", "v1", "secrets")
EVENTS = Resource("", "v1", "events")
NAMESPACES = Resource("", "v1", "namespaces", namespaced=False)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")
CLAIMS = Resource("", "v1", "persistentvolumeclaims")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers")
DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets")
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings")
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", namespaced=False)
LEASES = Resource("coordination.k8s.io", "v1", "leases")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)

GATEWAYS = Resource("gateway.networking.k8s.io", "v1", "gateways")
HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes")
GRANTS = Resource("gateway.networking.k8s.io", "v1beta1", "referencegrants")
ROUTES = Resource("route.openshift.io", "v1", "routes")
SERVICE_MONITORS = Resource("monitoring.coreos.com", "v1", "servicemonitors")
KSERVE_SERVICES = Resource("serving.kserve.io", "v1beta1", "inferenceservices")
KSERVE_LLMS = Resource("serving.kserve.io", "v1alpha1", "llminferenceservices")

SEMANTIC_ROUTERS = Resource("vllm.ai", "v1alpha1", "semanticrouters")
INTELLIGENT_POOLS = Resource("vllm.ai", "v1alpha1", "intelligentpools")
INTELLIGENT_ROUTES = Resource("vllm.ai", "v1alpha1", "intelligentroutes")

_KINDS: dict[tuple[str, str], Resource] = {
    ("v1", "Pod"): PODS,
    ("v1", "Service"): SERVICES,
    ("v1", "ConfigMap"): CONFIG_MAPS,
    ("v1", "Secret"): SECRETS,
    ("v1", "Event"): EVENTS,
    ("v1", "Namespace"): NAMESPACES,
    ("v1", "ServiceAccount"): SERVICE_ACCOUNTS,
    ("v1", "PersistentVolumeClaim"): CLAIMS,
    ("apps/v1", "Deployment"): DEPLOYMENTS,
    ("autoscaling/v2", "HorizontalPodAutoscaler"): AUTOSCALERS,
    ("policy/v1", "PodDisruptionBudget"): DISRUPTION_BUDGETS,
    ("networking.k8s.io/v1", "Ingress"): INGRESSES,
    ("networking.k8s.io/v1", "NetworkPolicy"): NETWORK_POLICIES,
    ("rbac.authorization.k8s.io/v1", "Role"): ROLES,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): ROLE_BINDINGS,
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): HTTP_ROUTES,
    ("route.openshift.io/v1", "Route"): ROUTES,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): SERVICE_MONITORS,
}


def resource_of(found: Mapping[str, Any]) -> Resource:
    """Where an object that we make is kept, by its ``apiVersion`` and ``kind``. Raises
    ``KeyError`` for kinds that we never make."""
    return _KINDS[str(found.get("apiVersion")), str(found.get("kind"))]


def kind_of(resource: Resource) -> str:
    """The ``kind`` of what is kept there: ``ConfigMap``. Raises ``KeyError`` for kinds that we
    never make."""
    return {made: kind for (_, kind), made in _KINDS.items()}[resource]
