"""How traffic comes to a Service: routes of the Gateway API and of OpenShift, Ingresses, and the
NetworkPolicy that keeps others out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wayside.manifests.meta import child

GATEWAY_API = "gateway.networking.k8s.io"


def rule(
    path: str,
    service: str,
    port: int,
    *,
    exact: bool = False,
    timeout: str = "",
    remove: Sequence[str] = (),
) -> dict[str, Any]:
    """A rule of an HTTPRoute that sends a path, or all below it, to a Service of its namespace.
    ``remove``: request headers that no client may send. ``timeout`` is one of Gateway API
    (``60s``; ``0s`` for none); left out where it is empty."""
    made: dict[str, Any] = {
        "matches": [{"path": {"type": "Exact" if exact else "PathPrefix", "value": path}}]
    }
    if remove:
        header = {"remove": list(remove)}
        made["filters"] = [{"type": "RequestHeaderModifier", "requestHeaderModifier": header}]
    made["backendRefs"] = [{"name": service, "port": port}]
    if timeout:
        made["timeouts"] = {"request": timeout, "backendRequest": timeout}
    return made


def http_route(
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    *,
    gateway: str,
    gateway_namespace: str,
    rules: Sequence[Mapping[str, Any]],
    section: str = "",
    hostnames: Sequence[str] = (),
) -> dict[str, Any]:
    """An HTTPRoute that hangs on one Gateway, or on one of its listeners (``section``)."""
    parent = {
        "group": GATEWAY_API,
        "kind": "Gateway",
        "name": gateway,
        "namespace": gateway_namespace,
    }
    if section:
        parent["sectionName"] = section
    spec: dict[str, Any] = {"parentRefs": [parent], "rules": list(rules)}
    if hostnames:
        spec["hostnames"] = list(hostnames)
    return child(f"{GATEWAY_API}/v1", "HTTPRoute", name, namespace, labels, spec=spec)


def openshift_route(
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    *,
    service: str,
    port: str,
    tls: Mapping[str, str],
    host: str = "",
) -> dict[str, Any]:
    """A Route of OpenShift to a Service's port, by the port's name. Without ``host`` the cluster
    makes one up."""
    spec: dict[str, Any] = {
        "to": {"kind": "Service", "name": service, "weight": 100},
        "port": {"targetPort": port},
        "tls": dict(tls),
    }
    if host:
        spec["host"] = host
    return child("route.openshift.io/v1", "Route", name, namespace, labels, spec=spec)


def from_ports(ports: Sequence[int], peers: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """An ingress rule of a NetworkPolicy: these TCP ports, for these peers; without peers, for
    everybody."""
    made: dict[str, Any] = {"ports": [{"protocol": "TCP", "port": port} for port in ports]}
    if peers:
        made["from"] = [dict(peer) for peer in peers]
    return made
