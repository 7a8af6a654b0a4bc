"""The router inside of MaaS's own gateway: its Envoy asks the router about each request before
Kuadrant's policies see it, so that they hold for the model that was chosen.

Order of the gateway's filters, for requests::

    vsr-select    the router: authenticates, chooses among the caller's models, changes the body
    vsr-model     x-gateway-model-name says which, whatever the client said
    wasm          Kuadrant: AuthPolicy, RateLimitPolicy, TokenRateLimitPolicy
    router        the HTTPRoute for that model

One stream to the router tells it of both the request and the answer, which comes to it last, after
Kuadrant has counted its tokens. MaaS itself uses two ext_proc filters, before and after the wasm;
a second one would be another stream, perhaps to another replica, that knows nothing of the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from wayside.deploy import Object
from wayside.deploy.intent import Intent
from wayside.deploy.parts.maas import gateway_namespace, gateway_of
from wayside.deploy.parts.maas_entry import STRIPPED
from wayside.deploy.parts.meta import labels, object_
from wayside.envoy.listener import ext_proc_filter
from wayside.envoy.words import typed
from wayside.manifests.network import http_route
from wayside.settings import RouterSettings
from wayside.vocab.headers import GATEWAY_MODEL, SELECTED_MODEL

NAME: Final = "vsr-select"
ROUTE: Final = "vsr-route"
AUTH: Final = "vsr-auth-policy"
SELECT: Final = "envoy.filters.http.ext_proc.vsr-select"
MODEL: Final = "envoy.filters.http.header_mutation.vsr-model"
PRIORITY: Final = 5
"""After Kuadrant's EnvoyFilter (0), whose filter is the anchor, and before the payload processing
of MaaS (10)."""
_PER_ROUTE: Final = "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute"


def cluster(intent: Intent) -> str:
    """What Istio calls the router's Service."""
    return f"outbound|50051||{intent.name}.{intent.namespace}.svc.cluster.local"


def select(settings: RouterSettings, where: str) -> Object:
    """The ext_proc filter. Without the router nothing is routed: fail closed."""
    made = ext_proc_filter(settings, where, body_mode="FULL_DUPLEX_STREAMED")
    made["name"] = SELECT
    # What guards and accounting need of answers is sent at once: with FULL_DUPLEX_STREAMED, Envoy
    # lets nobody change the modes of a request.
    made["typed_config"]["processing_mode"] |= {
        "response_body_mode": "FULL_DUPLEX_STREAMED",
        "response_trailer_mode": "SEND",
    }
    return made


def model() -> Object:
    """The filter that tells the policies after it which model was chosen."""
    header = {"key": GATEWAY_MODEL, "value": f"%REQ({SELECTED_MODEL})%"}
    append = {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return typed(
        MODEL,
        "extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"request_mutations": [{"remove": GATEWAY_MODEL}, {"append": append}]},
    )


def envoy_filter(
    intent: Intent, settings: RouterSettings, *, route: str, rules: int, priority: int = PRIORITY
) -> Object:
    """The EnvoyFilter. Kuadrant's filter is found under either of its names: as a WasmPlugin
    (upstream), or as Envoy's own wasm filter (Red Hat Connectivity Link 1.4); a gateway has one of
    them. ``route``: ``namespace/name`` of MaaS's HTTPRoute for its API, whose ``rules`` the router
    is not asked about."""
    where, gateway = gateway_namespace(intent), gateway_of(intent).name
    patches: list[Object] = []
    for anchor in (
        f"extensions.istio.io/wasmplugin/{where}.kuadrant-{gateway}",
        "envoy.filters.http.wasm",
    ):
        # Each is put directly before the anchor, so the first one comes first.
        patches += [_before(anchor, made) for made in (select(settings, cluster(intent)), model())]
    namespace, _, name = route.partition("/")
    patches += [_off(f"{namespace}.{name}.{i}") for i in range(rules)]
    spec = {
        "priority": priority,
        "workloadSelector": {
            "labels": {"gateway.networking.k8s.io/gateway-name": gateway},
        },
        "configPatches": patches,
    }
    return object_(
        intent, "networking.istio.io/v1alpha3", "EnvoyFilter", NAME, namespace=where, spec=spec
    )


def _before(anchor: str, value: Object) -> Object:
    manager = "envoy.filters.network.http_connection_manager"
    inside = {"filter": {"name": manager, "subFilter": {"name": anchor}}}
    return {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "GATEWAY", "listener": {"filterChain": inside}},
        "patch": {"operation": "INSERT_BEFORE", "value": value},
    }


def _off(route: str) -> Object:
    off = {SELECT: {"@type": _PER_ROUTE, "disabled": True}}
    return {
        "applyTo": "HTTP_ROUTE",
        "match": {
            "context": "GATEWAY",
            "routeConfiguration": {"vhost": {"route": {"name": route}}},
        },
        "patch": {"operation": "MERGE", "value": {"typed_per_filter_config": off}},
    }


def clear_text(intent: Intent) -> Object:
    """The gateway speaks to the router's port in clear text: it has no sidecar."""
    spec = {
        "host": f"{intent.name}.{intent.namespace}.svc.cluster.local",
        "trafficPolicy": {"tls": {"mode": "DISABLE"}},
    }
    return object_(
        intent,
        "networking.istio.io/v1",
        "DestinationRule",
        NAME,
        namespace=gateway_namespace(intent),
        spec=spec,
    )


def routes(
    intent: Intent,
    backends: Mapping[str, tuple[str, int]],
    *,
    host: str,
    paths: tuple[str, ...],
) -> Iterator[Object]:
    """A route for each model, by the name that the router chose; ``backends`` are Services and
    ports. What is not the router's choice leads nowhere. An HTTPRoute has sixteen rules at most,
    so many models have several."""
    rules = [
        {
            "matches": [
                {
                    "path": {"type": "PathPrefix", "value": path},
                    "headers": [{"type": "Exact", "name": SELECTED_MODEL, "value": name}],
                }
                for path in paths
            ],
            "filters": [
                {
                    "type": "RequestHeaderModifier",
                    "requestHeaderModifier": {"remove": [*STRIPPED]},
                }
            ],
            "backendRefs": [{"name": service, "port": port}],
        }
        for name, (service, port) in backends.items()
    ]
    for i in range(0, len(rules), 16):
        yield http_route(
            ROUTE if i == 0 else f"{ROUTE}-{i // 16 + 1}",
            intent.namespace,
            labels(intent),
            gateway=gateway_of(intent).name,
            gateway_namespace=gateway_namespace(intent),
            section=gateway_of(intent).section,
            hostnames=(host,),
            rules=rules[i : i + 16],
        )
