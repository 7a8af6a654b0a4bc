"""Route, Ingress, NetworkPolicy and ServiceMonitor."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster import CRDS, Kubectl
from tests.resources.worlds import FakeWorld
from wayside.kube.client import Client
from wayside.resources import Object
from wayside.resources.semantic_router.exposure import (
    exposure,
    ingress,
    network_policy,
    on_openshift,
    route,
    runs_as_on_openshift,
    service_monitor,
)
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.vocab.resource import INGRESSES, ROUTES, SERVICE_MONITORS


def spec(**fields: Any) -> SemanticRouterSpec:
    return SemanticRouterSpec.model_validate(fields)


def routes(tls: dict[str, Any] | None = None, **fields: Any) -> SemanticRouterSpec:
    wish = {"enabled": True, **fields, **({"tls": tls} if tls else {})}
    served = {"tls": {"enabled": (tls or {}).get("termination", "edge") != "edge"}}
    return spec(openshift={"routes": wish}, service=served)


def found(*ingresses: dict[str, Any]) -> Object:
    return {"metadata": {"name": "r", "namespace": "ns"}, "status": {"ingress": list(ingresses)}}


def admitted(host: str, status: str = "True", reason: str = "") -> dict[str, Any]:
    said = {"type": "Admitted", "status": status, "reason": reason, "message": "said so"}
    return {"host": host, "routerName": "default", "conditions": [said]}


# --- OpenShift


@pytest.mark.parametrize(
    ("state", "is_openshift"),
    [
        ("synced", True),
        ("absent", False),
        ("forbidden", None),
        ("unreachable", None),
        ("starting", None),
    ],
)
def test_only_a_cluster_that_has_routes_is_openshift(
    state: Any, is_openshift: bool | None
) -> None:
    """A1-61: what cannot be seen is not taken for OpenShift."""
    assert on_openshift(FakeWorld(states={ROUTES: state})) is is_openshift


@pytest.mark.parametrize(
    ("state", "context", "leaves_the_uid"),
    [
        ("synced", {"runAsNonRoot": True, "runAsUser": 1000}, True),
        ("absent", {"runAsNonRoot": True}, False),
        ("unreachable", {"runAsNonRoot": True}, True),
        ("unreachable", {"runAsNonRoot": True, "runAsUser": 1000}, False),
        ("unreachable", None, False),
    ],
)
def test_a_silent_api_server_replaces_no_pods(
    state: Any, context: dict[str, Any] | None, leaves_the_uid: bool
) -> None:
    """A1-61, A1-62: while it is not known what the cluster is, pods stay as they are."""
    there = (
        None if context is None else {"spec": {"template": {"spec": {"securityContext": context}}}}
    )
    world = FakeWorld(states={ROUTES: state})
    assert runs_as_on_openshift(world, there) is leaves_the_uid


@pytest.mark.parametrize(
    ("tls", "state", "said"),
    [
        ({"enabled": True}, "absent", True),
        ({"enabled": True}, "synced", False),
        ({"enabled": True, "secretName": "mine"}, "absent", False),
        ({}, "absent", False),
    ],
)
def test_a_certificate_that_nobody_makes_is_asked_for(
    tls: dict[str, Any], state: Any, said: bool
) -> None:
    """A1-55: on OpenShift the service CA makes it."""
    seen = exposure(spec(service={"tls": tls}), "r", "ns", FakeWorld(states={ROUTES: state}))
    assert any("Secret ns/r-tls" in note for note in seen.notes) is said


def test_no_route_where_none_is_wished_for() -> None:
    """A1-60: what is there is pruned, and the status says nothing of it."""
    world = FakeWorld(at={ROUTES: [found(admitted("old.example.com"))]})
    state = route(spec(), "r", "ns", world)
    assert (state.route, state.features, state.host) == (None, None, "")
    assert (state.condition.status, state.condition.reason) == ("True", "Disabled")


def test_a_route_leads_to_port_api_with_tls_at_the_edge() -> None:
    """A1-53, A1-54, A1-56: no host where none is wished for, and Redirect by default."""
    state = route(routes(), "r", "ns", FakeWorld())
    assert state.route is not None
    assert state.route["apiVersion"] == "route.openshift.io/v1"
    assert state.route["spec"] == {
        "to": {"kind": "Service", "name": "r", "weight": 100},
        "port": {"targetPort": "api"},
        "tls": {"termination": "edge", "insecureEdgeTerminationPolicy": "Redirect"},
    }
    assert state.condition.status == "Unknown"
    assert state.features == {"routesEnabled": True}


@pytest.mark.parametrize("termination", ["edge", "passthrough", "reencrypt"])
@pytest.mark.parametrize("policy", ["Redirect", "None"])
def test_tls_ends_where_it_is_wished(termination: str, policy: str) -> None:
    """A1-55, A1-56."""
    tls = {"termination": termination, "insecureEdgeTerminationPolicy": policy}
    state = route(routes(tls, hostname="a.example.com"), "r", "ns", FakeWorld())
    assert state.route is not None
    assert state.route["spec"]["tls"] == tls
    assert state.route["spec"]["host"] == "a.example.com"


def test_reencrypt_verifies_with_the_ca_that_is_given() -> None:
    """A1-55."""
    tls = {"termination": "reencrypt", "destinationCACertificate": "PEM"}
    state = route(routes(tls), "r", "ns", FakeWorld())
    assert state.route is not None
    assert state.route["spec"]["tls"]["destinationCACertificate"] == "PEM"


@pytest.mark.parametrize("termination", ["passthrough", "reencrypt"])
def test_tls_to_a_router_that_speaks_none_is_refused(termination: str) -> None:
    """A1-55: with the field that is lacking."""
    wish = spec(openshift={"routes": {"enabled": True, "tls": {"termination": termination}}})
    state = route(wish, "r", "ns", FakeWorld())
    assert state.route is None
    assert (state.condition.status, state.condition.reason) == ("False", "BackendTLSRequired")
    assert "spec.service.tls.enabled" in state.condition.message


def test_the_host_is_told_when_it_is_there_and_when_it_changes() -> None:
    """A1-54, A1-57, A1-58."""
    world = FakeWorld(at={ROUTES: [found(admitted("one.example.com"))]})
    state = route(routes(), "r", "ns", world)
    assert state.features == {"routesEnabled": True, "routeHostname": "one.example.com"}
    assert (state.condition.status, state.condition.reason) == ("True", "Admitted")
    assert state.condition.event_reason == "RouteAdmitted"
    world.put(ROUTES, found(admitted("two.example.com")))
    state = route(routes(), "r", "ns", world)
    assert state.features == {"routesEnabled": True, "routeHostname": "two.example.com"}


@pytest.mark.parametrize(
    ("ingresses", "status", "reason", "said"),
    [
        ([admitted("a.b", "False", "HostAlreadyClaimed")], "False", "Rejected", "AlreadyClaimed"),
        ([admitted("a.b", "False", "X"), admitted("a.b")], "True", "Admitted", "a.b"),
        ([{"host": "a.b"}], "True", "Admitted", "a.b"),
        ([], "Unknown", "Pending", "ns/r"),
    ],
)
def test_a_routers_word_is_the_condition(
    ingresses: list[dict[str, Any]], status: str, reason: str, said: str
) -> None:
    """A1-53."""
    world = FakeWorld(at={ROUTES: [found(*ingresses)]})
    condition = route(routes(), "r", "ns", world).condition
    assert (condition.status, condition.reason) == (status, reason)
    assert said in condition.message


@pytest.mark.parametrize(
    ("state", "status", "reason"),
    [
        ("absent", "False", "NotOpenShift"),
        ("forbidden", "Unknown", "Forbidden"),
        ("unreachable", "Unknown", "Unreachable"),
    ],
)
def test_a_route_elsewhere_than_on_openshift_is_a_condition(
    state: Any, status: str, reason: str
) -> None:
    """A1-59, A1-61: and no object that could not be written."""
    seen = route(routes(), "r", "ns", FakeWorld(states={ROUTES: state}))
    assert (seen.route, seen.features) == (None, None)
    assert (seen.condition.status, seen.condition.reason) == (status, reason)


def test_a_route_stays_while_the_api_server_is_away() -> None:
    """A1-61: what was seen before counts."""
    world = FakeWorld(at={ROUTES: [found(admitted("a.b"))]}, states={ROUTES: "unreachable"})
    assert route(routes(), "r", "ns", world).route is not None


@pytest.mark.shared
@pytest.mark.parametrize("termination", ["edge", "passthrough", "reencrypt"])
async def test_openshifts_own_crd_takes_the_route(
    kubectl: Kubectl, admin: Client, namespace: str, termination: str
) -> None:
    """A1-14, A1-53, A1-55: Route as OpenShift publishes it, under strict validation; its routers'
    word read back."""
    crd = CRDS / "routes.crd.yaml"
    if not crd.exists():
        pytest.skip(f"{crd} is not here")
    kubectl("apply", "--server-side", "-f", str(crd))
    kubectl("wait", "--for=condition=Established", "crd/routes.route.openshift.io")
    wish = routes({"termination": termination}, hostname="a.example.com")
    made = route(wish, "r", namespace, FakeWorld()).route
    assert made is not None
    kubectl.apply(made)
    said = admitted("a.example.com")
    patch = json.dumps({"status": {"ingress": [said]}})
    kubectl(
        "-n", namespace, "patch", "route", "r", "--subresource=status", "--type=merge", "-p", patch
    )
    world = FakeWorld(at={ROUTES: [await admin.get(ROUTES, "r", namespace)]})
    assert route(wish, "r", namespace, world).host == "a.example.com"


# --- Ingress


HOSTS = [{"host": "a.example.com", "paths": [{"path": "/v1", "pathType": "Prefix"}]}]


def test_an_ingress_is_as_it_is_wished() -> None:
    """A1-94: hosts, paths of all three types, ports, TLS, class and annotations."""
    wish = spec(
        service={"api": {"port": 9000}},
        ingress={
            "enabled": True,
            "className": "nginx",
            "annotations": {"a/b": "c"},
            "hosts": [
                {
                    "host": "a.example.com",
                    "paths": [
                        {"path": "/v1", "pathType": "ImplementationSpecific"},
                        {"path": "/m", "pathType": "Exact", "servicePort": 9190},
                        {"path": "/", "pathType": "Prefix"},
                    ],
                }
            ],
            "tls": [{"secretName": "cert", "hosts": ["a.example.com"]}, {"hosts": ["b.c"]}],
        },
    )
    made, problems = ingress(wish, "r", "ns")
    assert problems == ()
    assert made is not None
    assert made["metadata"]["annotations"] == {"a/b": "c"}
    assert made["spec"]["ingressClassName"] == "nginx"
    assert made["spec"]["tls"] == [
        {"hosts": ["a.example.com"], "secretName": "cert"},
        {"hosts": ["b.c"]},
    ]
    (rule,) = made["spec"]["rules"]
    assert rule["host"] == "a.example.com"
    assert [
        (one["path"], one["pathType"], one["backend"]["service"]["port"]["number"])
        for one in rule["http"]["paths"]
    ] == [("/v1", "ImplementationSpecific", 9000), ("/m", "Exact", 9190), ("/", "Prefix", 9000)]


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({}, "ingress.hosts must be specified when ingress is enabled"),
        ({"hosts": [{"paths": [{}]}]}, "ingress.hosts[0].host cannot be empty"),
        ({"hosts": [{"host": "a.b"}]}, "ingress.hosts[0].paths must have at least one path"),
        (
            {"hosts": [{"host": "a.b", "paths": [{"servicePort": 81}]}]},
            "ingress.hosts[0].paths[0].servicePort: the Service has no port 81; "
            "it has 8080, 8801, 9190, 50051",
        ),
    ],
)
def test_an_ingress_that_could_not_work_is_refused(wish: dict[str, Any], problem: str) -> None:
    """A1-94: with the messages of the operator's validation."""
    seen = exposure(spec(ingress={"enabled": True, **wish}), "r", "ns", FakeWorld())
    assert seen.children == ()
    assert seen.problems == (problem,)


def test_an_ingress_is_served_when_it_has_an_address() -> None:
    """A1-94."""
    wish = spec(ingress={"enabled": True, "hosts": HOSTS})
    world = FakeWorld()
    assert not exposure(wish, "r", "ns", world).served
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    world.put(INGRESSES, {"metadata": {"name": "r", "namespace": "ns"}, "status": status})
    seen = exposure(wish, "r", "ns", world)
    assert (seen.served, seen.hosts) == (True, ("a.example.com",))


# --- NetworkPolicy


def test_a_policy_opens_the_ports_that_are_served_and_no_other() -> None:
    """A1-43: the pods' ports, not the Service's."""
    wish = spec(
        networkPolicy={"enabled": True},
        service={"api": {"targetPort": 9001}, "metrics": {"targetPort": 9191}},
    )
    made = network_policy(wish, "r", "ns")
    assert made is not None
    assert made["spec"] == {
        "podSelector": {
            "matchLabels": {
                "app.kubernetes.io/name": "semantic-router",
                "app.kubernetes.io/instance": "r",
            }
        },
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [{"protocol": "TCP", "port": port} for port in (8801, 9001, 50051)]},
            {"ports": [{"protocol": "TCP", "port": 9191}]},
        ],
    }


def test_a_policy_names_who_may_come_and_where_pods_may_go() -> None:
    clients = {"namespaceSelector": {"matchLabels": {"team": "ai"}}}
    prometheus = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    wish = spec(
        gateway={"existingRef": {"name": "g", "namespace": "n"}},
        networkPolicy={
            "enabled": True,
            "from": [clients],
            "metricsFrom": [prometheus],
            "egress": [{"to": [{"podSelector": {}}]}],
        },
    )
    made = network_policy(wish, "r", "ns")
    assert made is not None
    served, metrics = made["spec"]["ingress"]
    assert (served["from"], metrics["from"]) == ([clients], [prometheus])
    assert [one["port"] for one in served["ports"]] == [8080]
    assert made["spec"]["policyTypes"] == ["Ingress", "Egress"]
    dns, wished = made["spec"]["egress"]
    assert {one["port"] for one in dns["ports"]} == {53}
    assert wished == {"to": [{"podSelector": {}}]}


def test_no_policy_and_no_monitor_unless_asked_for() -> None:
    assert exposure(spec(), "r", "ns", FakeWorld()).children == ()


# --- ServiceMonitor


def test_a_monitor_finds_the_metrics_port_by_our_labels() -> None:
    """A1-43."""
    wish = spec(serviceMonitor={"enabled": True, "labels": {"release": "p"}, "interval": "15s"})
    made, note = service_monitor(wish, "r", "ns", FakeWorld())
    assert note == ""
    assert made is not None
    assert made["metadata"]["labels"]["release"] == "p"
    assert made["spec"] == {
        "selector": {
            "matchLabels": {
                "app.kubernetes.io/name": "semantic-router",
                "app.kubernetes.io/instance": "r",
            }
        },
        "endpoints": [{"port": "metrics", "path": "/metrics", "interval": "15s"}],
    }


@pytest.mark.parametrize(
    ("metrics", "states", "said"),
    [
        (True, {SERVICE_MONITORS: "absent"}, "Prometheus operator"),
        (False, {}, "service.metrics.enabled is false"),
    ],
)
def test_a_monitor_that_cannot_be_is_told(metrics: bool, states: Any, said: str) -> None:
    """A1-43: and made when the Prometheus operator comes."""
    wish = spec(serviceMonitor={"enabled": True}, service={"metrics": {"enabled": metrics}})
    seen = exposure(wish, "r", "ns", FakeWorld(states=states))
    assert seen.children == ()
    assert said in seen.notes[0]


def test_kubernetes_takes_the_ingress_and_the_policy(kubectl: Kubectl, namespace: str) -> None:
    """A1-94: under kubectl's strict validation."""
    wish = spec(
        ingress={"enabled": True, "hosts": HOSTS, "tls": [{"secretName": "c", "hosts": ["a.b"]}]},
        networkPolicy={"enabled": True, "egress": []},
    )
    children = exposure(wish, "r", namespace, FakeWorld()).children
    assert [one["kind"] for one in children] == ["Ingress", "NetworkPolicy"]
    kubectl.apply(*children)
