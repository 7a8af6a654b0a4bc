"""What an InferenceGateway runs on: a Deployment of our router, its Service, and its rights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wayside.manifests.meta import child, selector
from wayside.manifests.production_stack import config_map, labels
from wayside.manifests.production_stack_servers import SECRETS_AT, Store
from wayside.manifests.production_stack_settings import PORT
from wayside.manifests.production_stack_specs import InferenceGatewaySpec

APP = "inference-gateway"
IMAGE = "ghcr.io/vllm-project/semantic-router/extproc:latest"
"""The gateway's image where neither the spec nor the controller's `IMAGE` says another one."""
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
        {"apiGroups": [group], "resources": [plural], "verbs": ["get", "list", "watch"]}
        for group, plural in _READS
    ]
    rbac = "rbac.authorization.k8s.io/v1"
    return [
        child("v1", "ServiceAccount", name, namespace, its),
        child(rbac, "Role", name, namespace, its, rules=rules),
        child(rbac, "RoleBinding", name, namespace, its, roleRef=role, subjects=[subject]),
        config_map(f"{name}-config", namespace, its, {CONFIG: text}),
        child("v1", "Service", name, namespace, its, spec=_service(its)),
        child(
            "apps/v1", "Deployment", name, namespace, its,
            spec=_deployment(name, its, spec, image, stores),
        ),
    ]  # fmt: skip


def _service(its: Mapping[str, str]) -> dict[str, Any]:
    port = {"name": "http", "port": PORT, "protocol": "TCP", "targetPort": "http"}
    return {"type": "ClusterIP", "selector": selector(its), "ports": [port]}


def _deployment(
    name: str,
    its: Mapping[str, str],
    spec: InferenceGatewaySpec,
    image: str,
    stores: Sequence[Store],
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "selector": {"matchLabels": selector(its)},
        "template": {"metadata": {"labels": dict(its)}, "spec": _pod(name, spec, image, stores)},
    }
    if spec.replicas is not None:
        found["replicas"] = spec.replicas
    return found


def _pod(
    name: str, spec: InferenceGatewaySpec, image: str, stores: Sequence[Store]
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
        # Longer than limits.drain_s, so that requests under way end.
        "terminationGracePeriodSeconds": 45,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
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
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "startupProbe": _probe("/health", 2, 60),
        "livenessProbe": _probe("/health", 20, 3),
        "readinessProbe": _probe("/ready", 5, 3),
        "resources": {
            "requests": {"cpu": "250m", "memory": "512Mi"},
            "limits": {"memory": "2Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _probe(path: str, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _secrets(stores: Sequence[Store]) -> list[dict[str, Any]]:
    """Each store's password as a file, from the Secret itself: it passes through nobody."""
    found = {}
    for store in stores:
        if store.secret is not None:
            name, key = store.secret
            item = {"key": key, "path": f"{store.name}/{key}"}
            found[store.name] = {"secret": {"name": name, "items": [item]}}
    return [found[name] for name in sorted(found)]
