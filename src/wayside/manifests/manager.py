"""The pod that a controller runs in, its namespace, and the Service of its metrics."""

from __future__ import annotations

from wayside.manifests.install import METRICS_PORT, PROBE_PORT, Install, Object

RESTRICTED = "restricted"
"""The strictest of the Pod Security Standards; our pods keep it."""


def namespace(install: Install) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": install.head(
            install.namespace,
            {
                "pod-security.kubernetes.io/enforce": RESTRICTED,
                "pod-security.kubernetes.io/warn": RESTRICTED,
            },
            cluster=True,
        ),
    }


def deployment(install: Install, image: str) -> Object:
    """One replica. More may be added at any time: one of them leads, the others wait."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": install.head(install.manager, install.selector),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": install.selector},
            "template": {
                "metadata": {
                    "labels": {**install.labels, **install.selector},
                    "annotations": {"kubectl.kubernetes.io/default-container": "manager"},
                },
                "spec": {
                    "serviceAccountName": install.manager,
                    "terminationGracePeriodSeconds": 10,
                    # No runAsUser: OpenShift gives each namespace users of its own, and the
                    # image's user is a number, which runAsNonRoot can see not to be root's.
                    "securityContext": {
                        "runAsNonRoot": True,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container(install, image)],
                },
            },
        },
    }


def container(install: Install, image: str) -> Object:
    said = ((install.image_setting, image), *install.env)
    env = [{"name": name, "value": value} for name, value in said]
    return {
        "name": "manager",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["wayside"],
        "args": list(install.args),
        "env": env,
        "ports": [
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
            {"name": "health", "containerPort": PROBE_PORT, "protocol": "TCP"},
        ],
        "livenessProbe": _probe("/healthz", 15, 20),
        "readinessProbe": _probe("/readyz", 5, 10),
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "500m", "memory": "512Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def metrics_service(install: Install) -> Object:
    """Plain HTTP inside the cluster; what is counted there names no user and holds no secret."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": install.head(f"{install.manager}-metrics-service", install.selector),
        "spec": {
            "type": "ClusterIP",
            "selector": install.selector,
            "ports": [
                {
                    "name": "metrics",
                    "port": METRICS_PORT,
                    "targetPort": "metrics",
                    "protocol": "TCP",
                }
            ],
        },
    }


def _probe(path: str, delay_s: int, period_s: int) -> Object:
    return {
        "httpGet": {"path": path, "port": "health"},
        "initialDelaySeconds": delay_s,
        "periodSeconds": period_s,
    }
