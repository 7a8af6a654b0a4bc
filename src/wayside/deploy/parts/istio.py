"""Istio's gateway in front of the router: what makes it ask, and where it sends what is chosen.

The gateway's Envoy asks the router about every request (EnvoyFilter). The router takes away
``x-selected-model`` and sets it itself, Envoy looks at its routes anew, and one HTTPRoute for each
model matches that header. Nobody gets past the router: without an answer from it, clients get 503.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from wayside.deploy import Object
from wayside.deploy.intent import GatewayIntent, Intent
from wayside.deploy.parts.meta import object_, service_of
from wayside.manifests.network import GATEWAY_API
from wayside.vocab.headers import SELECTED_MODEL
from wayside.vocab.resource import Resource

NETWORKING: Final = "networking.istio.io/v1"
FILTERS: Final = "networking.istio.io/v1alpha3"
"""EnvoyFilter has no newer version."""
INFERENCE: Final = "inference.networking.k8s.io"
GATEWAY_NAME: Final = "gateway.networking.k8s.io/gateway-name"
"""Istio's label on the pods of a Gateway."""
GRPC: Final = 50051
REQUEST_TIMEOUT: Final = "300s"
FILTER: Final = "envoy.filters.http.ext_proc.semantic-router"
"""Not the name that Istio gives its own filter for InferencePools: Envoy keeps what routes say of
a filter by name. Under one name, a client that sent ``x-selected-model`` would match a route that
switches the router off, or has Envoy ask the picker in its place."""
ENVOY_FILTERS = Resource("networking.istio.io", "v1alpha3", "envoyfilters")
DESTINATION_RULES = Resource("networking.istio.io", "v1", "destinationrules")
SERVICE_ENTRIES = Resource("networking.istio.io", "v1", "serviceentries")
GATEWAY_CLASSES = Resource(GATEWAY_API, "v1", "gatewayclasses", namespaced=False)


def gateway_of(intent: Intent) -> tuple[GatewayIntent, str]:
    """The Gateway and its namespace; targets refuse an intent without one."""
    assert intent.gateway is not None
    return intent.gateway, intent.gateway.namespace or intent.namespace


def router_host(intent: Intent) -> str:
    """The router's Service, by its whole name."""
    return f"{intent.name}.{intent.namespace}.svc.cluster.local"


def gateway(intent: Intent) -> Object:
    """The Gateway, of which Istio makes the Deployment and Service ``<name>-<class>``."""
    wish, namespace = gateway_of(intent)
    listener: Object = {
        "name": wish.section or "http",
        "port": 80,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    if wish.host:
        listener["hostname"] = wish.host
    spec = {"gatewayClassName": wish.class_, "listeners": [listener]}
    return object_(
        intent, f"{GATEWAY_API}/v1", "Gateway", wish.name, namespace=namespace, spec=spec
    )


def envoy_filter(intent: Intent) -> Object:
    """Ask the router first, about requests of this Gateway and of no other proxy. Without the
    router nobody takes ``x-selected-model`` away, and a client could choose any backend: it fails
    closed, as 503."""
    wish, namespace = gateway_of(intent)
    config = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        # Lets the router ask for the answers that guards and accounting need.
        "allow_mode_override": True,
        # Longer than any decision takes that asks models itself.
        "message_timeout": "300s",
        "max_message_timeout": "300s",
        "processing_mode": {
            "request_header_mode": "SEND",
            "response_header_mode": "SEND",
            "request_body_mode": "BUFFERED",
            "response_body_mode": "NONE",
            "request_trailer_mode": "SKIP",
            "response_trailer_mode": "SKIP",
        },
        "grpc_service": {
            "envoy_grpc": {"cluster_name": f"outbound|{GRPC}||{router_host(intent)}"}
        },
    }
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {
            "context": "GATEWAY",
            "listener": {
                "filterChain": {
                    "filter": {"name": "envoy.filters.network.http_connection_manager"}
                }
            },
        },
        "patch": {
            "operation": "INSERT_FIRST",
            "value": {"name": FILTER, "typed_config": config},
        },
    }
    spec = {
        "workloadSelector": {"labels": {GATEWAY_NAME: wish.name}},
        "configPatches": [patch],
    }
    return object_(intent, FILTERS, "EnvoyFilter", intent.name, namespace=namespace, spec=spec)


def router_rule(intent: Intent, tls: Literal["none", "mutual"]) -> Object:
    """How the gateway connects to the router: in clear text inside the mesh, or with the mesh's
    own certificates where the router's pods have a sidecar."""
    mode = "DISABLE" if tls == "none" else "ISTIO_MUTUAL"
    return destination_rule(intent, intent.name, router_host(intent), {"mode": mode})


def destination_rule(
    intent: Intent, name: str, host: str, tls: Mapping[str, Any], component: str = ""
) -> Object:
    """A DestinationRule in the Gateway's namespace, which is where its proxy looks."""
    spec = {"host": host, "trafficPolicy": {"tls": dict(tls)}}
    return object_(
        intent,
        NETWORKING,
        "DestinationRule",
        name,
        namespace=gateway_of(intent)[1],
        component=component,
        spec=spec,
    )


def route(
    intent: Intent,
    name: str,
    model: str,
    backend: Mapping[str, Any],
    *,
    namespace: str,
    host: str = "",
    component: str = "",
) -> Object:
    """The HTTPRoute of one model: it matches what the router chose. ``host`` is written into the
    request, where the backend wants its own name there."""
    wish, where = gateway_of(intent)
    parent = {"group": GATEWAY_API, "kind": "Gateway", "name": wish.name}
    if where != namespace:
        parent["namespace"] = where
    if wish.section:
        parent["sectionName"] = wish.section
    header = {"type": "Exact", "name": SELECTED_MODEL, "value": model}
    rule: Object = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}, "headers": [header]}]
    }
    if host:
        rule["filters"] = [{"type": "URLRewrite", "urlRewrite": {"hostname": host}}]
    rule["backendRefs"] = [dict(backend)]
    rule["timeouts"] = {"request": REQUEST_TIMEOUT}
    spec: Object = {"parentRefs": [parent], "rules": [rule]}
    if wish.host:
        spec["hostnames"] = [wish.host]
    return object_(
        intent,
        f"{GATEWAY_API}/v1",
        "HTTPRoute",
        name,
        namespace=namespace,
        component=component,
        spec=spec,
    )


def local_route(intent: Intent, model: str, name: str, pool: str = "") -> Object:
    """The HTTPRoute of a model in this cluster: to its Service, or to its ``pool``, whose picker
    says which of its servers takes a request. It lies beside what it leads to, so that no other
    namespace has to grant anything."""
    service = service_of(intent, model)
    backend: Object = {"name": service.name, "port": service.port}
    if pool:
        backend = {"group": INFERENCE, "kind": "InferencePool", "name": pool}
    where = service.namespace or intent.namespace
    return route(intent, name, model, backend, namespace=where, component=service.name)


def gateway_pods(intent: Intent) -> Object:
    """The Gateway's pods, as a NetworkPolicy names them."""
    wish, namespace = gateway_of(intent)
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {GATEWAY_NAME: wish.name}},
    }
