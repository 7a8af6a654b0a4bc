"""The router's Deployment.

A new configuration reaches running pods: it is mounted as a folder, the router follows its file,
and Envoy those of :mod:`wayside.envoy.pod`. Pods are replaced only for what they read at their
start; the annotation :data:`RESTART` is a digest of that, and of nothing else.

There is no init container that makes folders: what the router writes is volumes, which the
kubelet makes. Nothing in a pod runs as root or can write to its image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wayside.manifests import router_pod, workload
from wayside.manifests.meta import labels
from wayside.manifests.router_pod import (
    CONTAINER,
    LINGER_S,
    MARGIN_S,
    RESTART,
    Ports,
    asks_the_cluster,
)
from wayside.resources import Object, World
from wayside.resources.semantic_router import proxy, secrets
from wayside.resources.semantic_router.secrets import SecretUse
from wayside.resources.semantic_router.service import tls_secret
from wayside.resources.semantic_router.spec import (
    ImageSpec,
    ProbeSpec,
    SemanticRouterSpec,
    ServiceAccountSpec,
)
from wayside.resources.semantic_router.storage import StorageState
from wayside.settings import RouterSettings

IMAGE_SETTING: Final = "ROUTER_IMAGE"
"""The operator's setting that names the image of routers whose ``spec.image`` names none."""
CONFIG_FOLDER: Final = "/app/config"
MODELS_FOLDER: Final = "/app/models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What a pod finds in its folders, and what of it is a secret."""

    settings: RouterSettings
    envoy: Mapping[str, str] | None = None
    """Envoy's files; ``None`` without Envoy."""
    uses: Sequence[SecretUse] = ()
    authorities: Sequence[SecretUse] = ()
    """Those of ``uses`` that verify backends: Envoy reads them, too."""


def deployment(
    spec: SemanticRouterSpec,
    name: str,
    namespace: str,
    world: World,
    *,
    ports: Ports,
    files: Files,
    storage: StorageState,
    replicas: int | None,
    openshift: bool,
) -> Object:
    """The Deployment."""
    own = labels("semantic-router", name, "semantic-router-operator")
    drain_s = files.settings.limits.drain_s
    tls = spec.service.tls.enabled
    containers = [_router(spec, world, ports=ports, files=files, openshift=openshift)]
    if files.envoy is not None:
        trusts = [] if not files.authorities else [{**secrets.mount(), "name": proxy.CA_VOLUME}]
        containers.append(
            proxy.container(
                files.settings, ports, world, tls=tls, trusts=trusts, openshift=openshift
            )
        )
    pod: Object = {
        "serviceAccountName": account(spec.service_account, name),
        "automountServiceAccountToken": asks_the_cluster(files.settings),
        "enableServiceLinks": False,  # one variable for each Service of the namespace otherwise
        "terminationGracePeriodSeconds": math.ceil(LINGER_S + drain_s + MARGIN_S),
        "securityContext": spec.pod_security_context
        if spec.pod_security_context is not None
        else workload.pod_security(openshift=openshift),
        "containers": containers,
        "volumes": _volumes(spec, name, files, storage),
        "topologySpreadConstraints": workload.spread(own),
        **_placed(spec),
    }
    return workload.deployment(
        name,
        namespace,
        own,
        pod,
        replicas=replicas,
        recreate=storage.recreate,
        annotations={
            **spec.pod_annotations,
            "kubectl.kubernetes.io/default-container": CONTAINER,
            RESTART: at_start(files),
        },
    )


def at_start(files: Files) -> str:
    """A digest of what a pod reads once."""
    return router_pod.at_start(files.settings, files.envoy)


def account(wish: ServiceAccountSpec, name: str) -> str:
    """As whom the pods run. Where none is made and none is named, the namespace's default: one
    that is not there would keep every pod from starting."""
    return wish.name or (name if wish.create else "default")


def service_account(spec: SemanticRouterSpec, name: str, namespace: str) -> Object | None:
    """The ServiceAccount, where it is to be made."""
    wish = spec.service_account
    if not wish.create:
        return None
    own = labels("semantic-router", name, "semantic-router-operator")
    return workload.service_account(account(wish, name), namespace, own, wish.annotations)


def image(spec: SemanticRouterSpec, world: World) -> str:
    """``[imageRegistry/]repository[:tag]``, or ``@sha256:...`` for a tag that is a digest."""
    wish = spec.image
    ours = world.setting(IMAGE_SETTING)
    # An API server writes both defaults beside whatever else ``image`` says.
    if ours and (wish.repository, wish.tag) == (ImageSpec().repository, ImageSpec().tag):
        return f"{wish.image_registry}/{ours}" if wish.image_registry else ours
    found = f"{wish.image_registry}/{wish.repository}" if wish.image_registry else wish.repository
    if not wish.tag:
        return found
    return f"{found}{'@' if wish.tag.startswith('sha256:') else ':'}{wish.tag}"


# --- the router's container --------------------------------------------------------------------


def command(ports: Ports) -> list[str]:
    """What the router is started with; ``spec.args`` come after it, so that an option which is
    there twice is theirs."""
    return router_pod.command(ports, f"{CONFIG_FOLDER}/config.yaml")


def _router(
    spec: SemanticRouterSpec, world: World, *, ports: Ports, files: Files, openshift: bool
) -> Object:
    named = {"api": ports.api} if ports.grpc is None else {"grpc": ports.grpc}
    mounts: list[dict[str, Any]] = [
        {"name": "config-volume", "mountPath": CONFIG_FOLDER, "readOnly": True},
        {"name": "models-volume", "mountPath": MODELS_FOLDER},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if files.uses:
        mounts.append(secrets.mount())
    made: Object = {
        "name": CONTAINER,
        "image": image(spec, world),
        "imagePullPolicy": spec.image.pull_policy,
        "workingDir": "/app",
        "command": command(ports),
        "ports": workload.ports({**named, "metrics": ports.metrics}),
        "env": workload.env({"HOME": "/tmp", "WAYSIDE_MODELS": MODELS_FOLDER}, spec.env),
        "resources": spec.resources or {"requests": {"cpu": "500m", "memory": "1Gi"}},
        "volumeMounts": mounts,
        "securityContext": spec.security_context
        if spec.security_context is not None
        else workload.container_security(openshift=openshift),
        **_probes(spec, ports),
    }
    if spec.args:
        made["args"] = list(spec.args)
    return made


def _probes(spec: SemanticRouterSpec, ports: Ports) -> Object:
    """All three, unless the spec wants one away."""
    own = router_pod.probes(ports)
    wishes = (spec.startup_probe, spec.liveness_probe, spec.readiness_probe)
    return {
        kind: _probe(wish, default)
        for (kind, default), wish in zip(own.items(), wishes, strict=True)
        if wish is None or wish.enabled
    }


_HANDLERS: Final = {
    "http_get": "httpGet",
    "tcp_socket": "tcpSocket",
    "grpc": "grpc",
    "exec": "exec",
}
_TIMES: Final = {
    "initial_delay_seconds": "initialDelaySeconds",
    "period_seconds": "periodSeconds",
    "timeout_seconds": "timeoutSeconds",
    "failure_threshold": "failureThreshold",
    "success_threshold": "successThreshold",
}


def _probe(wish: ProbeSpec | None, default: Object) -> Object:
    """The probe as it is wished for; what is not said of it is as ours."""
    if wish is None:
        return default
    handlers = {
        ours: handler
        for field, ours in _HANDLERS.items()
        if (handler := getattr(wish, field)) is not None
    }
    times = {
        ours: seconds
        for field, ours in _TIMES.items()
        if (seconds := getattr(wish, field)) is not None
    }
    kept = {k: v for k, v in default.items() if not (handlers and k in _HANDLERS.values())}
    return {**kept, **handlers, **times}


# --- the rest of the pod -----------------------------------------------------------------------


def _volumes(
    spec: SemanticRouterSpec, name: str, files: Files, storage: StorageState
) -> list[Object]:
    made: list[Object] = [
        {"name": "config-volume", "configMap": {"name": f"{name}-config"}},
        {"name": "models-volume", **storage.volume},
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
    ]
    if (used := secrets.volume(files.uses)) is not None:
        made.append(used)
    if files.envoy is not None:
        made.append({"name": proxy.VOLUME, "configMap": {"name": f"{name}-envoy-config"}})
        if (trusted := secrets.volume(files.authorities)) is not None:
            made.append({**trusted, "name": proxy.CA_VOLUME})
        if spec.service.tls.enabled:
            held = {"secretName": tls_secret(spec, name), "defaultMode": secrets.READABLE}
            made.append({"name": proxy.TLS_VOLUME, "secret": held})
    return made


def _placed(spec: SemanticRouterSpec) -> Object:
    """Where pods may run, and what their images are pulled with; left out where nothing is
    said."""
    said: dict[str, Any] = {
        "imagePullSecrets": _dicts(spec.image_pull_secrets),
        "nodeSelector": dict(spec.node_selector),
        "tolerations": _dicts(spec.tolerations),
        "affinity": spec.affinity,
    }
    return {key: value for key, value in said.items() if value}


def _dicts(several: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(one) for one in several]
