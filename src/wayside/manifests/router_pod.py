"""The pod of a router: its ports, what its containers are told, and the Envoy beside it.

What the operator and the deploy tool share. A new configuration reaches running pods: it is
mounted as a folder that the router and Envoy follow. Only what they read at their start needs new
pods; :func:`at_start` is a digest of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import wayside.selection
from wayside.catalog import catalog, discover
from wayside.envoy import pod as envoy
from wayside.envoy.pod import BOOTSTRAP
from wayside.envoy.tls import Certificate
from wayside.manifests import workload
from wayside.manifests.meta import digest
from wayside.settings import RouterSettings
from wayside.settings.calls import CallLimits

discover(wayside.selection)

Object = dict[str, Any]

CONTAINER: Final = "semantic-router"
ENVOY_CONTAINER: Final = "envoy-proxy"
ENVOY_IMAGE: Final = "docker.io/envoyproxy/envoy:v1.36.4"
"""The oldest Envoy that has run what is generated here (its tests run a newer one, too)."""
ENVOY_VOLUME: Final = "envoy-config-volume"
TLS_VOLUME: Final = "serving-certificate"
TLS_FOLDER: Final = "/etc/wayside/tls"
DRAIN_S: Final = 5
"""Until everybody has heard that the pod goes; new requests are taken as long."""
LINGER_S: Final = 5
"""How long a pod that goes takes new requests: until everybody has heard of it."""
MARGIN_S: Final = 10
"""What is left of a pod's grace when requests have had theirs."""
RESTART: Final = "wayside.vllm.ai/read-at-start"
"""The pods' annotation: a digest of what they read once."""
FIXED: Final = (
    *("listen", "management", "limits", "log", "tracing", "extproc", "envoy", "batches"),
    "registry",
)
"""Settings that the router reads at its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where everything in the pod listens."""

    address: str
    """What is not on loopback is on this: ``0.0.0.0``, or ``::`` where pods have IPv6 addresses,
    which is so where the API server has one for them."""
    api: int
    """For clients, on every address: Envoy, or the router behind a Gateway."""
    alias: int | None
    """For clients, too; ``None`` where there is no Envoy, or the port is another one's."""
    grpc: int | None
    """The router, for Envoys: the one in the pod and others. ``None`` without ext_proc."""
    metrics: int
    """The router, for Prometheus and probes."""
    management: int
    """The router's whole management API, on loopback."""
    router_api: int
    """What clients may see of it, on loopback, for the Envoy in the pod."""
    admin: int
    """Envoy's admin page, on loopback."""


def command(ports: Ports, config: str) -> list[str]:
    """What the router is started with: ``config`` is its file. It serves ext_proc where there is
    a port for that, and HTTP itself otherwise."""
    own = ["--config", config]
    own += ["--management-address", "127.0.0.1", "--management-port", str(ports.management)]
    host = f"[{ports.address}]" if ":" in ports.address else ports.address
    own += ["--metrics-address", f"{host}:{ports.metrics}"]
    if ports.grpc is None:
        where = ["--address", ports.address, "--port", str(ports.api)]
        return ["wayside", "serve", *own, *where, "--with-api", "--linger", str(LINGER_S)]
    where = ["--listen", f"{host}:{ports.grpc}"]
    where += ["--api-address", f"127.0.0.1:{ports.router_api}"]
    return ["wayside", "extproc", *own, *where, "--outlive", f"127.0.0.1:{ports.admin}"]


def probes(ports: Ports) -> dict[str, Object]:
    """The router's three. Alive is whoever answers, and not only whoever has a socket; ready is
    who takes requests."""
    started = workload.tcp_probe(ports.api if ports.grpc is None else ports.grpc)
    alive = workload.http_probe("/health", ports.metrics)
    ready = workload.http_probe("/ready", ports.metrics)
    return {
        "startupProbe": workload.probe(started, period=10, timeout=5, failures=360),
        "livenessProbe": workload.probe(alive, delay=30, period=30, timeout=10, failures=5),
        "readinessProbe": workload.probe(ready, period=5, timeout=5, failures=3),
    }


def at_start(settings: RouterSettings, envoy: Mapping[str, str] | None) -> str:
    """A digest of what a pod reads once: settings that the router cannot change while it runs, and
    Envoy's bootstrap."""
    dumped = settings.model_dump(mode="json", include=set(FIXED), exclude_unset=True)
    return digest([dumped, (envoy or {}).get(BOOTSTRAP, "")])[:32]


def asks_the_cluster(settings: RouterSettings) -> bool:
    """Whether the router itself watches something of the cluster: only then has it a token."""
    kubernetes = settings.maas is not None and settings.maas.kubernetes is not None
    return (
        kubernetes
        or bool(settings.registry)
        or any(
            (model.discover is not None and model.discover.kubernetes is not None)
            or (model.credential is not None and model.credential.secret is not None)
            for model in settings.models.values()
        )
    )


# --- the Envoy beside it -----------------------------------------------------------------------


def envoy_ports(ports: Ports) -> envoy.Ports:
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


def envoy_files(
    settings: RouterSettings, ports: Ports, *, tls: bool, followed: str
) -> dict[str, str]:
    """Envoy's files, as its ConfigMap has them. ``followed``: the folder with certificates of
    backends' authorities."""
    certificate = Certificate(TLS_FOLDER) if tls else None
    return envoy.files(
        patient(settings),
        envoy_ports(ports),
        certificate=certificate,
        followed=followed,
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


def envoy_container(
    settings: RouterSettings,
    ports: Ports,
    *,
    image: str,
    tls: bool,
    trusts: Sequence[Mapping[str, Any]],
    openshift: bool,
) -> Object:
    """The container. ``trusts``: mounts with the CAs of backends."""
    leaves = ["bash", "-c", leave(ports.admin, settings.limits.drain_s)]
    named = {"envoy-http": ports.api}
    if ports.alias is not None:
        named["envoy-alias"] = ports.alias
    mounts: list[dict[str, Any]] = [
        {"name": ENVOY_VOLUME, "mountPath": envoy.FOLDER, "readOnly": True},
        *map(dict, trusts),
    ]
    if tls:
        mounts.append({"name": TLS_VOLUME, "mountPath": TLS_FOLDER, "readOnly": True})
    alive = workload.tcp_probe(ports.api)
    ready = workload.http_probe("/ready", ports.api, tls=tls)
    return {
        "name": ENVOY_CONTAINER,
        "image": image,
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
