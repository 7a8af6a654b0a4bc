"""Behind somebody's Gateway, or behind an Envoy of our own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster import CRDS, Kubectl
from tests.resources.worlds import FakeWorld
from wayside.kube.client import Client
from wayside.resources import Object
from wayside.resources.semantic_router.gateway import GatewayState, gateway
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.vocab.resource import GATEWAYS, HTTP_ROUTES, NAMESPACES

BEHIND = {"gateway": {"existingRef": {"name": "ingress", "namespace": "istio-system"}}}
OWN = {"name": "r", "namespace": "apps"}


def spec(**fields: Any) -> SemanticRouterSpec:
    return SemanticRouterSpec.model_validate({**BEHIND, **fields})


def a_gateway(source: str = "All", **status: Any) -> Object:
    listener = {
        "name": "http",
        "port": 80,
        "protocol": "HTTP",
        "hostname": "*.example.com",
        "allowedRoutes": {"namespaces": {"from": source}},
    }
    return {
        "metadata": {"name": "ingress", "namespace": "istio-system"},
        "spec": {"gatewayClassName": "istio", "listeners": [listener]},
        "status": status,
    }


def verdict(kind: str, status: str, reason: str = "Because", seen: int = 1) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "so it is",
        "observedGeneration": seen,
    }


TAKEN = verdict("Accepted", "True")


def a_route(*conditions: dict[str, Any], generation: int = 1, **reference: str) -> Object:
    parent = {"name": "ingress", "namespace": "istio-system", **reference}
    return {
        "metadata": {**OWN, "generation": generation},
        "status": {
            "parents": [
                {"parentRef": parent, "controllerName": "c", "conditions": list(conditions)}
            ]
        },
    }


def seen(
    wish: SemanticRouterSpec, gateways: list[Object], routes: list[Object] | None = None
) -> GatewayState:
    namespaces = [{"metadata": {"name": "apps", "labels": {"team": "ai"}}}]
    world = FakeWorld(at={GATEWAYS: gateways, HTTP_ROUTES: routes or [], NAMESPACES: namespaces})
    return gateway(wish, "r", "apps", world)


def test_without_a_gateway_the_router_stands_alone() -> None:
    """A1-36, A1-47."""
    state = gateway(SemanticRouterSpec(), "r", "apps", FakeWorld())
    assert (state.mode, state.route) == ("standalone", None)
    assert (state.condition.status, state.condition.reason) == ("True", "Standalone")


def test_the_route_leads_every_path_to_the_service() -> None:
    """A1-44, A1-45: Appendix B1, and the other paths that clients of models use."""
    state = seen(spec(), [a_gateway()])
    assert state.mode == "gateway-integration"
    route = state.route
    assert route is not None
    assert route["metadata"] == {
        **OWN,
        "labels": {
            "app.kubernetes.io/name": "semantic-router",
            "app.kubernetes.io/instance": "r",
            "app.kubernetes.io/managed-by": "semantic-router-operator",
        },
    }
    assert route["spec"]["parentRefs"] == [
        {
            "group": "gateway.networking.k8s.io",
            "kind": "Gateway",
            "name": "ingress",
            "namespace": "istio-system",
        }
    ]
    rules = {one["matches"][0]["path"]["value"]: one for one in route["spec"]["rules"]}
    assert list(rules) == [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/messages",
        "/v1/models",
        "/api/v1/classify",
        "/health",
    ]
    assert rules["/v1/chat/completions"] == {
        "matches": [{"path": {"type": "PathPrefix", "value": "/v1/chat/completions"}}],
        "filters": [
            {
                "type": "RequestHeaderModifier",
                "requestHeaderModifier": {
                    "remove": [
                        "x-selected-model",
                        "x-vsr-destination-endpoint",
                        "x-gateway-model-name",
                        "x-maas-model-executed",
                    ]
                },
            }
        ],
        "backendRefs": [{"name": "r", "port": 8080}],
        "timeouts": {"request": "60s", "backendRequest": "60s"},
    }
    assert rules["/api/v1/classify"] == {
        "matches": [{"path": {"type": "PathPrefix", "value": "/api/v1/classify"}}],
        "backendRefs": [{"name": "r", "port": 8080}],
        "timeouts": {"request": "30s", "backendRequest": "30s"},
    }
    assert rules["/health"] == {
        "matches": [{"path": {"type": "Exact", "value": "/health"}}],
        "backendRefs": [{"name": "r", "port": 8080}],
        "timeouts": {"request": "5s", "backendRequest": "5s"},
    }


def test_port_hosts_listener_and_timeouts_are_the_users() -> None:
    """A1-45."""
    wish = SemanticRouterSpec.model_validate(
        {
            "service": {"api": {"port": 9000}},
            "gateway": {
                "existingRef": {"name": "g", "namespace": "n", "sectionName": "https"},
                "hostnames": ["ai.example.com"],
                "timeouts": {"request": "10m"},
            },
        }
    )
    route = seen(wish, []).route
    assert route is not None
    assert route["spec"]["parentRefs"][0]["sectionName"] == "https"
    assert route["spec"]["hostnames"] == ["ai.example.com"]
    chat = route["spec"]["rules"][0]
    assert chat["backendRefs"] == [{"name": "r", "port": 9000}]
    assert chat["timeouts"] == {"request": "10m", "backendRequest": "10m"}


def test_a_route_that_was_taken_is_ready() -> None:
    """A1-45, A1-51: whatever class the Gateway is of."""
    state = seen(
        spec(),
        [a_gateway()],
        [a_route(verdict("Accepted", "True"), verdict("ResolvedRefs", "True"))],
    )
    assert (state.condition.status, state.condition.reason) == ("True", "RouteAccepted")
    assert state.condition.event_reason == "HTTPRouteAccepted"
    assert state.accepted
    assert state.hosts == ("*.example.com",)


def test_a_missing_gateway_is_told_and_the_route_waits_for_it() -> None:
    """A1-49: no crash, a Warning, and it recovers when the Gateway comes."""
    world = FakeWorld()
    state = gateway(spec(), "r", "apps", world)
    assert (state.condition.status, state.condition.reason) == ("False", "GatewayNotFound")
    assert "istio-system/ingress not found" in state.condition.message
    assert "spec.gateway.existingRef" in state.condition.message
    assert state.condition.event == "Warning"
    assert state.mode == "gateway-integration"
    assert state.route is not None
    assert ("get", GATEWAYS, "istio-system", "ingress") in world.looks
    world.put(GATEWAYS, a_gateway())
    assert gateway(spec(), "r", "apps", world).condition.reason == "RoutePending"


@pytest.mark.parametrize(
    ("gateways", "routes", "status", "reason", "said"),
    [
        ([a_gateway("Same")], [], "False", "NotAllowedByListeners", "istio-system only"),
        ([a_gateway("All")], [], "Unknown", "RoutePending", "has not said yet"),
        (
            [a_gateway("Same")],
            [a_route(verdict("Accepted", "False", "NotAllowedByListeners"))],
            "False",
            "NotAllowedByListeners",
            "so it is; listener http: it takes routes",
        ),
        (
            [a_gateway()],
            [
                a_route(
                    verdict("Accepted", "True"),
                    verdict("ResolvedRefs", "False", "RefNotPermitted"),
                )
            ],
            "False",
            "RefNotPermitted",
            "so it is",
        ),
        (
            [a_gateway()],
            [a_route(verdict("Accepted", "False", "NoMatchingListenerHostname"))],
            "False",
            "RouteRejected",
            "NoMatchingListenerHostname: so it is",
        ),
        (
            [a_gateway("Same")],
            [a_route(verdict("Accepted", "True"))],
            "True",
            "RouteAccepted",
            "takes HTTPRoute apps/r",
        ),
        (
            [a_gateway()],
            [a_route(verdict("Accepted", "False", seen=1), generation=2)],
            "Unknown",
            "RoutePending",
            "",
        ),
        (
            [a_gateway()],
            [a_route(verdict("Accepted", "True"), namespace="elsewhere")],
            "Unknown",
            "RoutePending",
            "",
        ),
        (
            [a_gateway(conditions=[verdict("Programmed", "False", "AddressNotAssigned")])],
            [a_route(verdict("Accepted", "True"))],
            "False",
            "GatewayNotProgrammed",
            "AddressNotAssigned",
        ),
        (
            [{"metadata": {"name": "ingress", "namespace": "istio-system"}}],
            [],
            "False",
            "NotAllowedByListeners",
            "it has no listener",
        ),
    ],
)
def test_what_is_in_the_way_is_told(
    gateways: list[Object], routes: list[Object], status: str, reason: str, said: str
) -> None:
    """A1-45, A1-49: the controller's word where there is one, else what the listeners say."""
    condition = seen(spec(), gateways, routes).condition
    assert (condition.status, condition.reason) == (status, reason)
    assert said in condition.message
    assert (condition.event == "Warning") is (status == "False")


@pytest.mark.parametrize("kind", [GATEWAYS, HTTP_ROUTES])
def test_without_gateway_api_nothing_is_tried(kind: Any) -> None:
    """A1-49: no error loop; GatewayReady says what to install."""
    state = gateway(spec(), "r", "apps", FakeWorld(states={kind: "absent"}))
    assert state.condition.reason == "ApiMissing"
    assert state.route is None
    assert state.mode == "gateway-integration"


@pytest.mark.parametrize(
    ("how", "reason"),
    [("forbidden", "Forbidden"), ("unreachable", "Unreachable"), ("starting", "Unreachable")],
)
def test_a_gateway_that_cannot_be_seen_is_not_called_missing(how: Any, reason: str) -> None:
    """A1-49: and the route that is there stays."""
    world = FakeWorld(states={GATEWAYS: how})
    state = gateway(spec(), "r", "apps", world)
    assert (state.condition.status, state.condition.reason) == ("Unknown", reason)
    assert state.route is not None
    world.put(HTTP_ROUTES, a_route(verdict("Accepted", "True")))
    assert gateway(spec(), "r", "apps", world).condition.reason == "RouteAccepted"


@pytest.mark.shared
@pytest.mark.parametrize("gateway_class", ["istio", "eg"])
async def test_upstreams_own_crds_take_the_route(
    kubectl: Kubectl, admin: Client, namespace: str, gateway_class: str
) -> None:
    """A1-45, A1-51: HTTPRoute and Gateway as Gateway API publishes them, under strict validation,
    and read back when the Gateway's controller (Istio's or Envoy's) has spoken."""
    for plural in ("gateways", "httproutes"):
        crd = CRDS / f"gateway.networking.k8s.io_{plural}.yaml"
        if not crd.exists():
            pytest.skip(f"{crd} is not here")
        kubectl("apply", "--server-side", "-f", str(crd))
        kubectl("wait", "--for=condition=Established", f"crd/{plural}.gateway.networking.k8s.io")
    wish = SemanticRouterSpec.model_validate(
        {"gateway": {"existingRef": {"name": "ingress", "namespace": namespace}}}
    )
    made = a_gateway("Same")
    made["metadata"] = {"name": "ingress", "namespace": namespace}
    made["spec"]["gatewayClassName"] = gateway_class
    kubectl.apply({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", **made})
    route = gateway(wish, "r", namespace, FakeWorld()).route
    assert route is not None
    kubectl.apply(route)
    world = FakeWorld(
        at={
            GATEWAYS: [await admin.get(GATEWAYS, "ingress", namespace)],
            HTTP_ROUTES: [await admin.get(HTTP_ROUTES, "r", namespace)],
        }
    )
    assert gateway(wish, "r", namespace, world).condition.reason == "RoutePending"
    said = verdict("Accepted", "True") | {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    parent = {
        "parentRef": route["spec"]["parentRefs"][0],
        "controllerName": f"{gateway_class}.io/controller",
        "conditions": [said],
    }
    patch = json.dumps({"status": {"parents": [parent]}})
    where = ("-n", namespace, "patch", "httproute", "r", "--subresource=status")
    kubectl(*where, "--type=merge", "-p", patch)
    world.put(HTTP_ROUTES, await admin.get(HTTP_ROUTES, "r", namespace))
    state = gateway(wish, "r", namespace, world)
    assert (state.condition.reason, state.hosts) == ("RouteAccepted", ("*.example.com",))
