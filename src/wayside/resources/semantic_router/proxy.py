"""The Envoy beside the router, in standalone mode: its container, and the ConfigMap it follows."""

from __future__ import annotations

from typing import Any, Final

from wayside.catalog import catalog
from wayside.envoy import pod as envoy
from wayside.envoy.tls import Certificate
from wayside.manifests import workload
from wayside.manifests.meta import labels
from wayside.resources import Object, World
from wayside.resources.semantic_router.service import Ports
from wayside.settings import RouterSettings
from wayside.settings.calls import CallLimits
from wayside.translate.semantic_router_cache import SECRETS_DIR

IMAGE: Final = "docker.io/envoyproxy/envoy:v1.36.4"
"""The oldest Envoy that has run what is generated here (its tests run a newer one, too)."""
IMAGE_SETTING: Final = "ENVOY_IMAGE"
"""The operator's setting that names another, such as one of a mirror, by digest."""
CONTAINER: Final = "envoy-proxy"
VOLUME: Final = "envoy-config-volume"
TLS_VOLUME: Final = "serving-certificate"
TLS_FOLDER: Final = "/etc/wayside/tls"
CA_VOLUME: Final = "backend-authorities"
DRAIN_S: Final = 5
"""Until everybody has heard that the pod goes; new requests are taken as long."""


def where(ports: Ports) -> envoy.Ports:
    """The pod's ports, in Envoy's words."""
    assert ports.grpc is not None, "there is no Envoy without ext_proc"
    clients = (ports.api,) if ports.alias is None else (ports.api, ports.alias)
    return envoy.Ports(
        clients=clients,
        address=ports.address,
        extproc=ports.grpc,
        router_api=ports.router_api,
        admin=ports.admin,
    )


def files(settings: RouterSettings, ports: Ports, *, tls: bool) -> dict[str, str]:
    """Envoy's files, as its ConfigMap has them."""
    certificate = Certificate(TLS_FOLDER) if tls else None
    return envoy.files(
        patient(settings),
        where(ports),
        certificate=certificate,
        followed=SECRETS_DIR,
    )


def patient(settings: RouterSettings) -> RouterSettings:
    """The settings with an Envoy that waits for the router as long as a decision that asks
    several models may take."""
    longest = 0.0
    for routing in (settings.routing, *settings.recipes.values()):
        for decision in routing.decisions:
            name, given = decision.selector
            kind = catalog.get("selector", name)
            if kind is not None and issubclass(kind.settings, CallLimits):
                own = kind.settings.model_validate(given).timeout_s
                longest = max(longest, min(own, settings.multi_call.timeout_s))
    if not longest or longest + 1 <= settings.extproc.message_timeout_s:
        return settings
    extproc = settings.extproc.model_copy(update={"message_timeout_s": longest + 1})
    return settings.model_copy(update={"extproc": extproc})


def config_map(name: str, namespace: str, files: dict[str, str]) -> Object:
    """``<name>-envoy-config``."""
    own = labels("semantic-router", name, "semantic-router-operator")
    return workload.config_map(f"{name}-envoy-config", namespace, own, files)


def container(
    settings: RouterSettings,
    ports: Ports,
    world: World,
    *,
    tls: bool,
    trusts: list[Object],
    openshift: bool,
) -> Object:
    """The container. ``trusts``: mounts with the CAs of backends."""
    leaves = ["bash", "-c", leave(ports.admin, settings.limits.drain_s)]
    named = {"envoy-http": ports.api}
    if ports.alias is not None:
        named["envoy-alias"] = ports.alias
    mounts: list[dict[str, Any]] = [
        {"name": VOLUME, "mountPath": envoy.FOLDER, "readOnly": True},
        *trusts,
    ]
    if tls:
        mounts.append({"name": TLS_VOLUME, "mountPath": TLS_FOLDER, "readOnly": True})
    alive = workload.tcp_probe(ports.api)
    ready = workload.http_probe("/ready", ports.api, tls=tls)
    return {
        "name": CONTAINER,
        "image": world.setting(IMAGE_SETTING) or IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": [
            "envoy",
            "-c",
            f"{envoy.FOLDER}/{envoy.BOOTSTRAP}",
            "--concurrency",
            str(settings.envoy.concurrency),
            "--log-level",
            "warning",
            "--disable-hot-restart",
        ],
        "ports": workload.ports(named),
        # No CPU limit: a throttled proxy is late for every request at once.
        "resources": {
            "requests": {"cpu": "250m", "memory": "256Mi"},
            "limits": {"memory": "1Gi"},
        },
        "volumeMounts": mounts,
        "startupProbe": workload.probe(alive, period=1, timeout=5, failures=60),
        "livenessProbe": workload.probe(alive, period=30, timeout=10, failures=3),
        # Through Envoy to the router: whoever is sent here is answered.
        "readinessProbe": workload.probe(ready, period=5, timeout=5, failures=3),
        "lifecycle": {"preStop": {"exec": {"command": leaves}}},
        "securityContext": workload.container_security(openshift=openshift),
    }


def leave(admin: int, drain_s: float) -> str:
    """What Envoy's container does before it is ended: Envoy itself would drop at once what is
    under way. First everybody hears that the pod goes, then connections are told to end, then
    requests get their time. With nothing but bash, which Envoy's image has."""
    idle = "http.wayside.downstream_rq_active"
    return f"""\
ask() {{
  exec 3<>/dev/tcp/127.0.0.1/{admin} || exit 0
  printf '%s %s HTTP/1.1\\r\\nhost: pod\\r\\nconnection: close\\r\\n\\r\\n' "$1" "$2" >&3
  cat <&3
}}
sleep {DRAIN_S}
ask POST /healthcheck/fail
ask POST '/drain_listeners?graceful&skip_exit'
for i in $(seq {max(1, round(drain_s))}); do
  ask GET '/stats?filter=^{idle}$' | grep -q '{idle}: 0' && exit 0
  sleep 1
done
"""
