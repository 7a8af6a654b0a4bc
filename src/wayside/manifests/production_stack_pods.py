"""What an InferenceGateway runs on: a Deployment of our router, its Service, and its rights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wayside.manifests.meta import child
from wayside.manifests.production_stack import labels
from wayside.manifests.production_stack_servers import SECRETS_AT, Store
from wayside.manifests.production_stack_services import InferenceGatewaySpec
from wayside.manifests.production_stack_settings import PORT
from wayside.manifests.workload import (
    config_map,
    container_security,
    deployment,
    http_probe,
    pod_security,
    ports,
    probe,
    service,
    service_account,
    spread,
)

APP = "inference-gateway"
IMAGE = "ghcr.io/vllm-project/semantic-router/extproc:latest"
"""The gateway's image where neither the spec nor the controller's environment names another."""
IMAGE_SETTING = "ROUTER_IMAGE"
"""The variable of the controller's environment that does. Its manifest says the controller's own
image there, which has all of our programs."""
CONFIG = "config.yaml"
_CONFIG_AT = "/etc/wayside/config"
_READS = (("", "services"), ("discovery.k8s.io", "endpointslices"))
"""What the router follows by itself."""


def children(
    name: str,
    namespace: str,
    spec: InferenceGatewaySpec,
    text: str,
    *,
    image: str,
    stores: Sequence[Store],
) -> list[dict[str, Any]]:
    """Everything that is made for a gateway, in the order in which it is written."""
    its = labels(APP, name, "router")
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    rules = [
        {"apiGroups": [group], "resources": [plural], "verbs": ["list", "watch"]}
        for group, plural in _READS
    ]
    rbac = "rbac.authorization.k8s.io/v1"
    return [
        service_account(name, namespace, its),
        child(rbac, "Role", name, namespace, its, rules=rules),
        child(rbac, "RoleBinding", name, namespace, its, roleRef=role, subjects=[subject]),
        config_map(f"{name}-config", namespace, its, {CONFIG: text}),
        service(name, namespace, its, [("http", PORT, PORT, "http")]),
        deployment(
            name,
            namespace,
            its,
            _pod(name, its, spec, image, stores),
            replicas=spec.replicas,
        ),
    ]


def _pod(
    name: str,
    its: Mapping[str, str],
    spec: InferenceGatewaySpec,
    image: str,
    stores: Sequence[Store],
) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": f"{name}-config"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "config", "mountPath": _CONFIG_AT, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if sources := _secrets(stores):
        volumes.append({"name": "secrets", "projected": {"sources": sources}})
        mounts.append({"name": "secrets", "mountPath": SECRETS_AT, "readOnly": True})
    pod: dict[str, Any] = {
        "serviceAccountName": name,
        "automountServiceAccountToken": True,  # it follows Services by itself
        # Longer than limits.drain_s, so that requests under way end.
        "terminationGracePeriodSeconds": 45,
        # The image's user is a number, so none is said: OpenShift gives each namespace its own.
        "securityContext": pod_security(openshift=True),
        "topologySpreadConstraints": spread(its),
        "containers": [_container(image, mounts)],
        "volumes": volumes,
    }
    hint = spec.topology_hint
    if hint is not None:
        if hint.node_selector:
            pod["nodeSelector"] = dict(hint.node_selector)
        if hint.affinity:
            pod["affinity"] = hint.affinity
        if hint.tolerations:
            pod["tolerations"] = list(hint.tolerations)
    return pod


def _container(image: str, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": "router",
        "image": image,
        "command": ["wayside"],
        "args": ["serve", "--config", f"{_CONFIG_AT}/{CONFIG}"],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "ports": ports({"http": PORT}),
        "startupProbe": _probe("/health", 2, 60),
        "livenessProbe": _probe("/health", 20, 3),
        "readinessProbe": _probe("/ready", 5, 3),
        "resources": {
            "requests": {"cpu": "250m", "memory": "512Mi"},
            "limits": {"memory": "2Gi"},
        },
        "securityContext": container_security(openshift=True),
        "volumeMounts": mounts,
    }


def _probe(path: str, period: int, failures: int) -> dict[str, Any]:
    return probe(http_probe(path, PORT), period=period, timeout=5, failures=failures)


def _secrets(stores: Sequence[Store]) -> list[dict[str, Any]]:
    """Each store's password as a file, from the Secret itself: it passes through nobody."""
    found = {}
    for store in stores:
        if store.secret is not None:
            name, key = store.secret
            item = {"key": key, "path": f"{store.name}/{key}"}
            found[store.name] = {"secret": {"name": name, "items": [item]}}
    return [found[name] for name in sorted(found)]
