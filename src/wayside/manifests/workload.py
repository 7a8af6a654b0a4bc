"""Pods and what they need around them: containers, probes, volumes, accounts, Services.

Everything is said so that it holds in a namespace that enforces the Pod Security Standard
``restricted``; :func:`pod_security` and :func:`container_security` are that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from wayside.manifests.meta import child, selector

Object = dict[str, Any]
USER: Final = 1000
"""As whom our containers run, where the cluster does not choose."""


# --- what a container may do -------------------------------------------------------------------


def pod_security(*, openshift: bool) -> Object:
    """A pod's security context. On OpenShift the namespace's range of UIDs is used, so none is
    said."""
    own: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if not openshift:
        own |= {"runAsUser": USER, "fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"}
    return own


def container_security(*, openshift: bool) -> Object:
    """A container's security context: it writes nothing but volumes."""
    own: Object = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
    }
    if not openshift:
        own["runAsUser"] = USER
    return own


# --- containers --------------------------------------------------------------------------------


def ports(named: Mapping[str, int]) -> list[Object]:
    """A container's ports by name."""
    return [
        {"name": name, "containerPort": port, "protocol": "TCP"} for name, port in named.items()
    ]


def env(own: Mapping[str, str], theirs: Sequence[Mapping[str, Any]]) -> list[Object]:
    """Environment variables: ours, unless the user has one of that name, then the user's in their
    order, as they may refer to earlier ones. Of a name that is there twice, the last counts."""
    last = {str(one.get("name")): i for i, one in enumerate(theirs)}
    kept = [dict(one) for i, one in enumerate(theirs) if last[str(one.get("name"))] == i]
    return [{"name": k, "value": v} for k, v in own.items() if k not in last] + kept


def http_probe(path: str, port: int, *, tls: bool = False) -> Object:
    """The handler of a probe that asks for a page."""
    scheme = {"scheme": "HTTPS"} if tls else {}
    return {"httpGet": {"path": path, "port": port, **scheme}}


def tcp_probe(port: int) -> Object:
    """The handler of a probe that opens a connection."""
    return {"tcpSocket": {"port": port}}


def probe(
    handler: Mapping[str, Any], *, delay: int = 0, period: int, timeout: int, failures: int
) -> Object:
    """A probe, in seconds. A delay of none is left out."""
    when = {"periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": failures}
    return {**handler, **({"initialDelaySeconds": delay} if delay else {}), **when}


# --- objects -----------------------------------------------------------------------------------


def spread(labels: Mapping[str, str]) -> list[Object]:
    """Pods had rather be on different nodes, in different zones; where that cannot be, they start
    all the same."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(labels)},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def deployment(
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    pod: Mapping[str, Any],
    *,
    replicas: int | None,
    recreate: bool = False,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """A Deployment of ``pod`` (its spec). ``replicas``: ``None`` leaves them to an autoscaler.
    ``recreate``: old pods are gone before new ones start; otherwise none goes before its
    successor is ready. ``annotations`` are the pods'."""
    strategy: Object = {"type": "Recreate"}
    if not recreate:
        strategy = {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        }
    metadata: Object = {"labels": dict(labels)}
    if annotations:
        metadata["annotations"] = dict(annotations)
    fields: Object = {
        "selector": {"matchLabels": selector(labels)},
        "strategy": strategy,
        "revisionHistoryLimit": 10,
        "template": {"metadata": metadata, "spec": dict(pod)},
    }
    if replicas is not None:
        fields["replicas"] = replicas
    return child("apps/v1", "Deployment", name, namespace, labels, spec=fields)


def service(
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    ports: Sequence[tuple[str, int, int, str]],
    *,
    type: str = "ClusterIP",
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """A Service in front of the pods with these labels. Ports are name, port, the pod's port, and
    the protocol that is spoken (``appProtocol``, which meshes and gateways go by)."""
    fields = {
        "type": type,
        "selector": selector(labels),
        "ports": [
            {
                "name": port_name,
                "port": port,
                "targetPort": target,
                "protocol": "TCP",
                "appProtocol": spoken,
            }
            for port_name, port, target, spoken in ports
        ],
    }
    return child("v1", "Service", name, namespace, labels, annotations=annotations, spec=fields)


def service_account(
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """As whom pods run. A token is mounted where a pod asks for it, and nowhere else."""
    return child(
        "v1",
        "ServiceAccount",
        name,
        namespace,
        labels,
        annotations=annotations,
        automountServiceAccountToken=False,
    )


def config_map(
    name: str, namespace: str, labels: Mapping[str, str], data: Mapping[str, str]
) -> Object:
    """Files that are no secrets."""
    return child("v1", "ConfigMap", name, namespace, labels, data=dict(data))
