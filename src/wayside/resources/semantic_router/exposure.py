"""How the router's Service is reached from elsewhere, and who may: Route, Ingress, NetworkPolicy
and ServiceMonitor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from wayside.manifests.meta import child, labels, selector
from wayside.manifests.network import from_ports, openshift_route
from wayside.resources import Condition, Object, World
from wayside.resources.semantic_router.exposure_spec import RouteTls
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.vocab.objects import section, sections, text
from wayside.vocab.resource import INGRESSES, ROUTES, SERVICE_MONITORS

ENVOY_ALIAS: Final = 8801
"""The second port to Envoy in standalone mode, of the Service and of the pods."""


# --- OpenShift ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RouteState:
    """OpenShift's Route to us, and how it fares."""

    condition: Condition
    """RouteReady."""
    route: Object | None = None
    """The Route that shall be."""
    features: Mapping[str, Any] | None = None
    """``status.openshiftFeatures``; ``None`` takes it away."""
    host: str = ""
    """Under which OpenShift's routers take requests for us; empty until they do."""


def on_openshift(world: World) -> bool | None:
    """Whether the cluster is OpenShift: it has the API of Routes. ``None`` where that is not
    known, because we may not look or nobody answers. Not known is never taken for yes."""
    match world.state(ROUTES):
        case "synced":
            return True
        case "absent":
            return False
    return None


def runs_as_on_openshift(world: World, deployment: Object | None) -> bool:
    """Whether pods shall leave their UID to the cluster, as OpenShift wants. Where it is not known
    for a while what the cluster is, they stay as they are: a silence of its API server must not
    replace every router's pods, least of all by some that OpenShift would refuse."""
    known = on_openshift(world)
    if known is not None or deployment is None:
        return known is True
    pod = section(deployment, "spec", "template", "spec", "securityContext")
    return "runAsNonRoot" in pod and "runAsUser" not in pod


def route(spec: SemanticRouterSpec, name: str, namespace: str, world: World) -> RouteState:
    """The Route, where ``spec.openshift.routes`` wants one and the cluster can have it."""
    wish = spec.openshift.routes
    if not wish.enabled:
        return RouteState(_ready("True", "Disabled", "spec.openshift.routes is not enabled."))
    platform, state = on_openshift(world), world.state(ROUTES)
    if platform is False:
        return RouteState(
            _ready(
                "False",
                "NotOpenShift",
                "spec.openshift.routes is enabled, and this cluster has no Routes "
                "(route.openshift.io/v1). Use spec.ingress or spec.gateway here, or set "
                "spec.openshift.routes.enabled to false.",
                "Warning",
            )
        )
    found = world.get(ROUTES, name, namespace)
    if platform is None and found is None:
        return RouteState(_unknown(state))
    refusal = _lacks_backend_tls(spec)
    if refusal is not None:
        return RouteState(refusal)
    made = openshift_route(
        name,
        namespace,
        _labels(name),
        service=name,
        port="api",
        tls=_tls(wish.tls),
        host=wish.hostname,
    )
    return _admitted(made, found)


def _unknown(state: str) -> Condition:
    why = {
        "forbidden": "the operator's Role lacks get, list and watch on routes.route.openshift.io",
        "starting": "its API has not been asked yet",
    }.get(state, "its API does not answer")
    return _ready(
        "Unknown",
        "Forbidden" if state == "forbidden" else "Unreachable",
        f"Whether this cluster is OpenShift is not known: {why}. Until it is, it is taken for "
        "plain Kubernetes, and no Route is made.",
        "Warning" if state == "forbidden" else "",
    )


def _lacks_backend_tls(spec: SemanticRouterSpec) -> Condition | None:
    termination = spec.openshift.routes.tls.termination
    if termination == "edge" or spec.service.tls.enabled:
        return None
    return _ready(
        "False",
        "BackendTLSRequired",
        f"spec.openshift.routes.tls.termination is {termination}, for which the router itself "
        "has to speak TLS: set spec.service.tls.enabled (OpenShift makes the certificate where "
        "spec.service.tls.secretName names none), or use termination edge.",
        "Warning",
    )


def _tls(wish: RouteTls) -> dict[str, str]:
    tls: dict[str, str] = {
        "termination": wish.termination,
        "insecureEdgeTerminationPolicy": wish.insecure_edge_termination_policy,
    }
    if wish.destination_ca_certificate:
        tls["destinationCACertificate"] = wish.destination_ca_certificate
    return tls


def _admitted(made: Object, found: Object | None) -> RouteState:
    name = f"{made['metadata']['namespace']}/{made['metadata']['name']}"
    admitted, refused = _admissions(found)
    features: dict[str, Any] = {"routesEnabled": True}
    if admitted:
        features["routeHostname"] = admitted
        condition = _ready(
            "True",
            "Admitted",
            f"Route {name} is admitted as {admitted}.",
            "Normal",
            "RouteAdmitted",
        )
    elif refused:
        condition = _ready(
            "False",
            "Rejected",
            f"Route {name} is not admitted: {refused}",
            "Warning",
        )
    else:
        condition = _ready(
            "Unknown", "Pending", f"No router of OpenShift has looked at Route {name} yet."
        )
    return RouteState(condition, made, features, admitted)


def _admissions(found: Object | None) -> tuple[str, str]:
    """The host under which some router admits the Route, and why others do not. A router that
    has given no condition has taken it: that is how old ones tell."""
    refused = ""
    for ingress in sections(section(found, "status").get("ingress")):
        said = {text(c.get("type")): c for c in sections(ingress.get("conditions"))}
        verdict = said.get("Admitted", {})
        host = text(ingress.get("host"))
        if host and verdict.get("status", "True") == "True":
            return host, ""
        refused = refused or (
            f"router {text(ingress.get('routerName'), '?')}: "
            f"{text(verdict.get('reason'), 'no reason')}: {text(verdict.get('message'))}"
        )
    return "", refused


def _ready(
    status: Literal["True", "False", "Unknown"],
    reason: str,
    message: str,
    event: Literal["", "Normal", "Warning"] = "",
    event_reason: str = "",
) -> Condition:
    return Condition("RouteReady", status, reason, message, event, event_reason)


# --- plain Kubernetes --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exposure:
    """The objects besides the Route, and what in the spec could not work."""

    children: tuple[Object, ...] = ()
    problems: tuple[str, ...] = ()
    """Each with the path of its field. What they speak of is left out."""
    notes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    """Of the Ingress."""
    served: bool = False
    """Whether whoever serves Ingresses has given ours an address."""


def exposure(spec: SemanticRouterSpec, name: str, namespace: str, world: World) -> Exposure:
    """Ingress, NetworkPolicy and ServiceMonitor, each where the spec wants it."""
    made, problems = ingress(spec, name, namespace)
    monitor, note = service_monitor(spec, name, namespace, world)
    notes = (note, certificate_note(spec, name, namespace, world))
    several = (made, network_policy(spec, name, namespace), monitor)
    found = world.get(INGRESSES, name, namespace) if made is not None else None
    return Exposure(
        children=tuple(one for one in several if one is not None),
        problems=problems,
        notes=tuple(one for one in notes if one),
        hosts=tuple(one.host for one in spec.ingress.hosts) if made is not None else (),
        served=bool(sections(section(found, "status", "loadBalancer").get("ingress"))),
    )


def certificate_note(spec: SemanticRouterSpec, name: str, namespace: str, world: World) -> str:
    """That somebody has to make the certificate, where nobody does by himself."""
    wish = spec.service.tls
    if not wish.enabled or wish.secret_name or on_openshift(world) is True:
        return ""
    return (
        f"service.tls.secretName names no Secret, and this cluster is not known to make one as "
        f"OpenShift does: pods wait for Secret {namespace}/{name}-tls of type kubernetes.io/tls"
    )


def ingress(
    spec: SemanticRouterSpec, name: str, namespace: str
) -> tuple[Object | None, tuple[str, ...]]:
    """The Ingress, and why there is none though one is wished for."""
    wish = spec.ingress
    if not wish.enabled:
        return None, ()
    ports = service_ports(spec)
    problems, rules = [], []
    if not wish.hosts:
        problems.append("ingress.hosts must be specified when ingress is enabled")
    for i, host in enumerate(wish.hosts):
        paths = []
        for j, path in enumerate(host.paths):
            port = path.service_port or spec.service.api.port
            if port not in ports:
                problems.append(
                    f"ingress.hosts[{i}].paths[{j}].servicePort: the Service has no port {port}; "
                    f"it has {', '.join(map(str, sorted(ports)))}"
                )
            paths.append(
                {
                    "path": path.path,
                    "pathType": path.path_type,
                    "backend": {"service": {"name": name, "port": {"number": port}}},
                }
            )
        if not host.host:
            problems.append(f"ingress.hosts[{i}].host cannot be empty")
        if not paths:
            problems.append(f"ingress.hosts[{i}].paths must have at least one path")
        rules.append({"host": host.host, "http": {"paths": paths}})
    if problems:
        return None, tuple(problems)
    fields: dict[str, Any] = {"rules": rules}
    if wish.class_name:
        fields["ingressClassName"] = wish.class_name
    if wish.tls:
        fields["tls"] = [
            {
                "hosts": list(one.hosts),
                **({"secretName": one.secret_name} if one.secret_name else {}),
            }
            for one in wish.tls
        ]
    return child(
        "networking.k8s.io/v1",
        "Ingress",
        name,
        namespace,
        _labels(name),
        annotations=wish.annotations,
        spec=fields,
    ), ()


def service_ports(spec: SemanticRouterSpec) -> set[int]:
    """The ports that the router's Service has."""
    service = spec.service
    ports = {service.api.port}
    if service.metrics.enabled:
        ports.add(service.metrics.port)
    if standalone(spec):
        ports |= {service.grpc.port, ENVOY_ALIAS}
    return ports


def standalone(spec: SemanticRouterSpec) -> bool:
    """Whether an Envoy runs beside the router."""
    return spec.gateway is None


def network_policy(spec: SemanticRouterSpec, name: str, namespace: str) -> Object | None:
    """The NetworkPolicy: nothing comes in but to the ports that the pods serve. What goes out is
    free unless ``spec.networkPolicy.egress`` says otherwise, for backends may be anywhere."""
    wish, service = spec.network_policy, spec.service
    if not wish.enabled:
        return None
    ports = {service.api.target_port}
    if standalone(spec):
        ports.add(service.grpc.target_port)
        if service.metrics.target_port != ENVOY_ALIAS:
            ports.add(ENVOY_ALIAS)
    rules = [from_ports(sorted(ports), wish.from_)]
    if service.metrics.enabled:
        rules.append(from_ports([service.metrics.target_port], wish.metrics_from))
    own = _labels(name)
    fields: dict[str, Any] = {
        "podSelector": {"matchLabels": selector(own)},
        "policyTypes": ["Ingress"],
        "ingress": rules,
    }
    if wish.egress is not None:
        fields["policyTypes"] = ["Ingress", "Egress"]
        fields["egress"] = [
            {"ports": [{"protocol": p, "port": 53} for p in ("UDP", "TCP")]},
            *wish.egress,
        ]
    return child("networking.k8s.io/v1", "NetworkPolicy", name, namespace, own, spec=fields)


def service_monitor(
    spec: SemanticRouterSpec, name: str, namespace: str, world: World
) -> tuple[Object | None, str]:
    """The ServiceMonitor of the Prometheus operator, and why there is none though one is wished
    for. It is for those who ask: with it, somebody else's Prometheus begins to scrape us."""
    wish, metrics = spec.service_monitor, spec.service.metrics
    if not wish.enabled:
        return None, ""
    if not metrics.enabled:
        return None, "serviceMonitor is enabled, and service.metrics.enabled is false"
    if world.state(SERVICE_MONITORS) == "absent":
        return None, (
            "serviceMonitor is enabled, and the cluster has no ServiceMonitors "
            "(monitoring.coreos.com/v1): it is made when the Prometheus operator is installed"
        )
    own = _labels(name)
    endpoint = {"port": "metrics", "path": "/metrics", "interval": wish.interval}
    made = child(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        name,
        namespace,
        {**wish.labels, **own},
        spec={"selector": {"matchLabels": selector(own)}, "endpoints": [endpoint]},
    )
    return made, ""


def _labels(name: str) -> dict[str, str]:
    return labels("semantic-router", name, "semantic-router-operator")
