"""Ports of a router's pod, and the Service in front of it.

Whatever ``spec.service.*`` says goes all the way: Service, container, Envoy and command line. What
nobody outside the pod may reach (the whole management API, Envoy's admin page) is on loopback, at
ports that keep out of the way of those.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from wayside.manifests import workload
from wayside.manifests.meta import labels
from wayside.manifests.router_pod import Ports
from wayside.resources import Object, Probe, World
from wayside.resources.semantic_router.exposure import on_openshift
from wayside.resources.semantic_router.spec import SemanticRouterSpec

ALIAS: Final = 8801
"""Another port of the Service to the same Envoy, by which integrations know it."""
_LOOPBACK: Final = {"management": 18080, "router_api": 18081, "admin": 19000}
SERVING_CERTIFICATE: Final = "service.beta.openshift.io/serving-cert-secret-name"
API_SERVER: Final = "KUBERNETES_SERVICE_HOST"
"""What the kubelet tells every pod, the operator's, too."""
MOST_NAME: Final = 63
PERIOD_S: Final = 15.0
"""How often pods are asked which configuration they have."""


def ports(spec: SemanticRouterSpec, world: World) -> Ports:
    """The ports of the pod."""
    service, standalone = spec.service, spec.gateway is None
    said = {service.api.target_port, service.metrics.target_port, service.grpc.target_port}
    alias = ALIAS if standalone and ALIAS not in said else None
    taken = {*said, ALIAS}
    own: dict[str, int] = {}
    for name, port in _LOOPBACK.items():
        while port in taken:
            port += 1
        own[name] = port
        taken.add(port)
    return Ports(
        api=service.api.target_port,
        alias=alias,
        grpc=service.grpc.target_port if standalone else None,
        metrics=service.metrics.target_port,
        address="::" if ":" in world.setting(API_SERVER) else "0.0.0.0",
        **own,
    )


def unnameable(name: str) -> tuple[str, ...]:
    """Why no Service can have this name, where none can: names of custom resources may be longer
    than those of Services and values of labels, begin with a digit, and have dots."""
    if len(name) <= MOST_NAME and re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        return ()
    return (
        f"metadata.name: {name} is no name for a Service: at most {MOST_NAME} of a-z, 0-9 and -, "
        "a letter first, no dots; delete this SemanticRouter and give it another name",
    )


def problems(spec: SemanticRouterSpec) -> tuple[str, ...]:
    """What of ``spec.service`` could not work, each with its path."""
    service, found = spec.service, []
    targets = {"api": service.api.target_port, "metrics": service.metrics.target_port}
    wanted = {"api": service.api.port}
    if service.metrics.enabled:
        wanted["metrics"] = service.metrics.port
    if spec.gateway is None:
        targets["grpc"], wanted["grpc"] = service.grpc.target_port, service.grpc.port
    for what, chosen in (("targetPort", targets), ("port", wanted)):
        by_port: dict[int, str] = {}
        for name, port in chosen.items():
            other = by_port.setdefault(port, name)
            if other != name:
                found.append(
                    f"service.{name}.{what}: {port} is service.{other}.{what}, too; choose another"
                )
    if service.tls.enabled and spec.gateway is not None:
        found.append(
            "service.tls: TLS is served by the Envoy beside the router, which there is none of "
            "with spec.gateway; take one of them away"
        )
    return tuple(found)


def tls_secret(spec: SemanticRouterSpec, name: str) -> str:
    """The Secret with the certificate; empty without TLS."""
    tls = spec.service.tls
    return (tls.secret_name or f"{name}-tls") if tls.enabled else ""


def service(spec: SemanticRouterSpec, name: str, namespace: str, world: World) -> Object:
    """The Service."""
    wish, pod = spec.service, ports(spec, world)
    spoken = "https" if wish.tls.enabled else "http"
    listed: list[tuple[str, int, int, str]] = []
    if pod.grpc is not None:
        listed.append(("grpc", wish.grpc.port, pod.grpc, "grpc"))
    listed.append(("api", wish.api.port, pod.api, spoken))
    if wish.metrics.enabled:
        listed.append(("metrics", wish.metrics.port, pod.metrics, "http"))
    if spec.gateway is None and ALIAS not in [port for _, port, _, _ in listed]:
        listed.append(("envoy-http", ALIAS, pod.alias or pod.api, spoken))
    notes = dict(wish.annotations)
    if wish.tls.enabled and not wish.tls.secret_name and on_openshift(world) is not False:
        notes[SERVING_CERTIFICATE] = tls_secret(spec, name)
    return workload.service(
        name,
        namespace,
        labels("semantic-router", name, "semantic-router-operator"),
        listed,
        type=wish.type,
        annotations=notes,
    )


def observed(spec: SemanticRouterSpec, name: str, namespace: str, world: World) -> str:
    """The digest of the configuration that a pod has, as it said last; empty where none has said.

    The Service asks now one pod, now another. They answer the same when they have the same.
    """
    if not spec.service.metrics.enabled:
        return ""
    host = f"{name}.{namespace}.svc"
    url = f"http://{host}:{spec.service.metrics.port}/info/config"
    found = world.probe(Probe(url=url, period_s=PERIOD_S, keep_body=True))
    if found is None or not found.healthy:
        return ""
    try:
        said: Any = json.loads(found.body)
    except ValueError:
        return ""
    has = said.get("digest") if isinstance(said, Mapping) else None
    return has if isinstance(has, str) and len(has) <= 64 else ""
