"""The router's own objects: its Deployment, what it reads, and what looks after its pods.

A target calls :func:`router` for all of them, or single functions for what it does otherwise.
Pods hold under the Pod Security Standard ``restricted`` and, with ``openshift``, under OpenShift's
``restricted-v2``, which chooses the user.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from wayside.deploy import Object
from wayside.deploy.intent import Intent, Resources
from wayside.deploy.parts.config import FILE, Configuration
from wayside.deploy.parts.meta import labels, object_, selector
from wayside.manifests import alerts, dashboards, mounted, router_pod, workload
from wayside.manifests.mounted import Mounted
from wayside.manifests.network import from_ports
from wayside.manifests.router_pod import Ports
from wayside.manifests.storage import claim

FOLDER: Final = "/app/config"
MODELS: Final = "/app/models"
CONFIG_HASH: Final = "wayside.vllm.ai/config-hash"
"""The pods' annotation where a new configuration shall mean new pods."""
_SECRETS: Final = "credentials"
CLIENTS: Final = 8801
"""Where clients connect, whatever serves them."""
BEHIND: Final = Ports(
    address="0.0.0.0",
    api=CLIENTS,
    alias=None,
    grpc=50051,
    metrics=9190,
    management=18080,
    router_api=18081,
    admin=19000,
)
"""Ports of a pod whose router serves ext_proc: to the Envoy in it, and to gateways."""
ALONE: Final = Ports(
    address="0.0.0.0",
    api=CLIENTS,
    alias=None,
    grpc=None,
    metrics=9190,
    management=18080,
    router_api=18081,
    admin=19000,
)
"""Ports of a pod whose router serves HTTP itself."""
SERVED: Final[Mapping[str, tuple[int, int, str]]] = {
    "http": (CLIENTS, CLIENTS, "http"),
    "envoy-http": (CLIENTS, CLIENTS, "http"),
    "api": (8080, CLIENTS, "http"),
    "grpc": (50051, 50051, "grpc"),
    "metrics": (9190, 9190, "http"),
}
"""Ports that a Service may have, by name: its number, the pod's, and what is spoken. ``api`` is
the classification API, by the port at which it has always been: clients are answered there, too.
"""


def config_map(intent: Intent, configuration: Configuration, *, name: str = "") -> Object:
    """``<deployment>-config``, or ``name``, with ``config.yaml``."""
    return workload.config_map(
        name or f"{intent.name}-config",
        intent.namespace,
        labels(intent),
        {FILE: configuration.text},
    )


def envoy_config_map(
    intent: Intent, configuration: Configuration, *, name: str = "", ports: Ports = BEHIND
) -> Object:
    """``<deployment>-envoy-config``, or ``name``, with the files that the Envoy in the pod
    follows."""
    files = _envoy_files(configuration, ports)
    return workload.config_map(
        name or f"{intent.name}-envoy-config", intent.namespace, labels(intent), files
    )


def _envoy_files(configuration: Configuration, ports: Ports) -> dict[str, str]:
    return router_pod.envoy_files(
        configuration.settings, ports, tls=False, followed=Mounted.FOLDER
    )


def deployment(
    intent: Intent,
    configuration: Configuration,
    *,
    name: str = "",
    envoy: bool,
    extproc: bool | None = None,
    openshift: bool = False,
    config_name: str = "",
    envoy_config_name: str = "",
    claim_name: str = "",
    restart: bool = False,
    account: str = "",
    annotations: Mapping[str, str] | None = None,
    args: Sequence[str] = (),
    env: Sequence[Mapping[str, Any]] = (),
    volumes: Sequence[Mapping[str, Any]] = (),
    mounts: Sequence[Mapping[str, Any]] = (),
) -> Object:
    """The Deployment ``name`` (the deployment's own name), containers ``semantic-router`` and,
    with ``envoy``, ``envoy-proxy``.

    ``extproc`` (as ``envoy`` unless said) has the router serve ext_proc rather than HTTP: without
    ``envoy``, to a gateway's Envoy. ``restart`` replaces the pods for a new configuration; without
    it they follow it, and are replaced only for what they read at their start. ``claim_name`` is
    the claim for models; a folder that goes with the pod otherwise. ``account`` is the
    ServiceAccount, the namespace's default unless said; it has a token in the pod only where the
    router asks the cluster something.
    """
    settings = configuration.settings
    ports = BEHIND if (envoy if extproc is None else extproc) else ALONE
    files = _envoy_files(configuration, ports) if envoy else None
    named = {"http": ports.api} if ports.grpc is None else {"grpc": ports.grpc}
    own_mounts: list[Object] = [
        {"name": "config-volume", "mountPath": FOLDER, "readOnly": True},
        {"name": "models-volume", "mountPath": MODELS},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    credentials = {"name": _SECRETS, "mountPath": Mounted.FOLDER, "readOnly": True}
    if configuration.secrets:
        own_mounts.append(credentials)
    command = router_pod.command(ports, f"{FOLDER}/{FILE}")
    if not envoy and "--outlive" in command:
        command = command[: command.index("--outlive")]  # nobody to outlive in this pod
    router: Object = {
        "name": router_pod.CONTAINER,
        "image": intent.router.image,
        "imagePullPolicy": "IfNotPresent",
        "workingDir": "/app",
        "command": command,
        **({"args": list(args)} if args else {}),
        "ports": workload.ports({**named, "metrics": ports.metrics}),
        "env": workload.env({"HOME": "/tmp", "WAYSIDE_MODELS": MODELS}, env),
        "resources": amounts(intent.router.resources),
        "volumeMounts": [*own_mounts, *map(dict, mounts)],
        "securityContext": workload.container_security(openshift=openshift),
        **router_pod.probes(ports),
    }
    containers = [router]
    config = config_name or f"{intent.name}-config"
    held: Object = (
        {"persistentVolumeClaim": {"claimName": claim_name}} if claim_name else {"emptyDir": {}}
    )
    own_volumes: list[Object] = [
        {"name": "config-volume", "configMap": {"name": config}},
        {"name": "models-volume", **held},
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
    ]
    if (used := mounted.volume(configuration.secrets, _SECRETS)) is not None:
        own_volumes.append(used)
    if files is not None:
        authorities = tuple(s for s in configuration.secrets if s.where.endswith(".ca"))
        trusts = []
        if (trusted := mounted.volume(authorities, "backend-authorities")) is not None:
            own_volumes.append(trusted)
            trusts.append({**credentials, "name": "backend-authorities"})
        containers.append(
            router_pod.envoy_container(
                settings,
                ports,
                image=router_pod.ENVOY_IMAGE,
                tls=False,
                trusts=trusts,
                openshift=openshift,
            )
        )
        source = {"name": envoy_config_name or f"{intent.name}-envoy-config"}
        own_volumes.append({"name": router_pod.ENVOY_VOLUME, "configMap": source})
    own = labels(intent)
    grace = router_pod.LINGER_S + settings.limits.drain_s + router_pod.MARGIN_S
    pod: Object = {
        **({"serviceAccountName": account} if account else {}),
        "automountServiceAccountToken": router_pod.asks_the_cluster(settings),
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": math.ceil(grace),
        "securityContext": workload.pod_security(openshift=openshift),
        "containers": containers,
        "volumes": [*own_volumes, *map(dict, volumes)],
        "topologySpreadConstraints": workload.spread(own),
    }
    notes = {
        **(annotations or {}),
        "kubectl.kubernetes.io/default-container": router_pod.CONTAINER,
        router_pod.RESTART: router_pod.at_start(settings, files),
        **({CONFIG_HASH: configuration.digest} if restart else {}),
    }
    return workload.deployment(
        name or intent.name,
        intent.namespace,
        own,
        pod,
        replicas=None if intent.router.autoscale else intent.router.replicas,
        # A claim that one node at a time may mount lets go of the old pod first.
        recreate=bool(claim_name) and intent.router.autoscale is None,
        annotations=notes,
    )


def amounts(wish: Resources) -> Object:
    """A container's ``resources``: memory is requested and the most it may take, CPU is only
    requested, GPUs are limits."""
    requests = {k: v for k, v in (("cpu", wish.cpu), ("memory", wish.memory)) if v}
    limits = {"memory": wish.memory} if wish.memory else {}
    if wish.gpus:
        limits["nvidia.com/gpu"] = str(wish.gpus)
    return {k: v for k, v in (("requests", requests), ("limits", limits)) if v}


def service(
    intent: Intent,
    *,
    name: str = "",
    ports: Sequence[str] = ("http", "metrics"),
    numbers: Mapping[str, int] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """A Service in front of the router's pods, with ports of :data:`SERVED` by name; ``numbers``
    are others for some of them."""
    listed = [
        (port, (numbers or {}).get(port, SERVED[port][0]), *SERVED[port][1:]) for port in ports
    ]
    return workload.service(
        name or intent.name, intent.namespace, labels(intent), listed, annotations=annotations
    )


def claims(intent: Intent, *, name: str = "") -> tuple[Object, ...]:
    """The claim for models, ``<deployment>-models`` unless named; none without
    ``router.storage``."""
    if intent.router.storage is None:
        return ()
    made = claim(
        name or f"{intent.name}-models",
        intent.namespace,
        labels(intent),
        size=intent.router.storage,
        access_mode="ReadWriteOnce",
        storage_class=intent.router.storage_class or None,
    )
    return (made,)


def autoscaler(intent: Intent, *, name: str = "") -> tuple[Object, ...]:
    """The HorizontalPodAutoscaler, where ``router.autoscale`` asks for one; the Deployment says no
    replicas then."""
    wish = intent.router.autoscale
    if wish is None:
        return ()
    metrics: list[Object] = []
    if wish.cpu is not None:
        target: Object = {"type": "Utilization", "averageUtilization": wish.cpu}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if wish.requests_per_second is not None:
        target = {"type": "AverageValue", "averageValue": str(wish.requests_per_second)}
        metric = {"name": "wayside_requests_per_second"}
        metrics.append({"type": "Pods", "pods": {"metric": metric, "target": target}})
    spec = {
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": name or intent.name,
        },
        "minReplicas": wish.min,
        "maxReplicas": wish.max,
        "metrics": metrics,
    }
    made = object_(
        intent, "autoscaling/v2", "HorizontalPodAutoscaler", name or intent.name, spec=spec
    )
    return (made,)


def disruption_budget(intent: Intent, *, name: str = "") -> tuple[Object, ...]:
    """The PodDisruptionBudget, where there are several pods to take turns: with one it could only
    keep its node from being drained."""
    if intent.router.autoscale is None and intent.router.replicas < 2:
        return ()
    spec = {"selector": {"matchLabels": selector(intent)}, "maxUnavailable": 1}
    made = object_(intent, "policy/v1", "PodDisruptionBudget", name or intent.name, spec=spec)
    return (made,)


def network_policy(
    intent: Intent,
    *,
    name: str = "",
    ports: Sequence[int] = (CLIENTS,),
    peers: Sequence[Mapping[str, Any]] = (),
    monitors: Sequence[Mapping[str, Any]] = (),
) -> tuple[Object, ...]:
    """Nothing comes in but to ``ports``, from ``peers`` (everybody, where there are none), and to
    the metrics, from ``monitors`` (the same); none without ``router.network_policy``."""
    if not intent.router.network_policy:
        return ()
    spec: Object = {
        "podSelector": {"matchLabels": selector(intent)},
        "policyTypes": ["Ingress"],
        "ingress": [from_ports(ports, peers), from_ports([BEHIND.metrics], monitors)],
    }
    made = object_(intent, "networking.k8s.io/v1", "NetworkPolicy", name or intent.name, spec=spec)
    return (made,)


def service_account(intent: Intent, *, name: str = "") -> Object:
    """As whom the router's pods run, without a token unless a pod asks for it."""
    return workload.service_account(name or intent.name, intent.namespace, labels(intent))


def monitoring(intent: Intent, *, name: str = "") -> tuple[Object, ...]:
    """The ServiceMonitor, rules for alerts and Grafana's dashboards, where ``monitoring`` asks for
    them."""
    if not intent.monitoring:
        return ()
    endpoint = {"port": "metrics", "path": "/metrics", "interval": "15s"}
    spec: Object = {"selector": {"matchLabels": selector(intent)}, "endpoints": [endpoint]}
    kept = name or intent.name
    monitor = object_(intent, "monitoring.coreos.com/v1", "ServiceMonitor", kept, spec=spec)
    spec = {"groups": alerts.groups(kept, intent.namespace)}
    rule = object_(intent, "monitoring.coreos.com/v1", "PrometheusRule", kept, spec=spec)
    shown = dashboards.config_maps(kept, intent.namespace, labels(intent))
    return monitor, rule, *shown
