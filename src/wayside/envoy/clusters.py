"""The servers that the generated Envoy knows: those of each model, and the router itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from wayside.envoy.resilience import (
    breakers,
    health_check_at,
    health_checks,
    no_breakers,
    outliers,
    with_names,
)
from wayside.envoy.tls import Source
from wayside.envoy.words import TYPE, Node, is_ip, protocol, seconds, tcp, typed
from wayside.settings import EndpointSettings, ModelSettings, RouterSettings
from wayside.vocab.headers import DESTINATION
from wayside.vocab.roles import decodes

EXTPROC: Final = "wayside_extproc"
"""The cluster of the router's ext_proc server."""
ROUTER_API: Final = "wayside_api"
"""The cluster of what else the router serves: lists, health, the classification API."""
CA_FILE: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where Envoy's own image (and Debian, Ubuntu, Alpine) has the system's certificates."""


def cluster_name(model: str) -> str:
    """The cluster that serves ``model``."""
    return f"model/{model}"


def served(settings: RouterSettings) -> dict[str, ModelSettings]:
    """The models that some server answers for, by name."""
    models = {name: with_names(model) for name, model in settings.models.items()}
    return {name: model for name, model in models.items() if _answering(model)}


@dataclass(frozen=True, slots=True)
class Trusted:
    """How https servers are verified."""

    ca_file: str = CA_FILE
    """Where their model names no file."""
    followed: str = ""
    """A folder whose files are read again when it is replaced; empty where none is followed."""
    source: Source | None = None
    """Where Envoy finds :func:`authorities`, each by its path."""

    def follows(self, path: str | None) -> bool:
        """Whether a file is one of those."""
        return bool(self.followed and path and path.startswith(f"{self.followed}/"))


def model_clusters(
    settings: RouterSettings, models: Mapping[str, ModelSettings], trusted: Trusted = Trusted()
) -> list[Node]:
    """A cluster for each of ``models``."""
    return [_cluster(name, model, settings, trusted) for name, model in models.items()]


def authorities(models: Mapping[str, ModelSettings], trusted: Trusted) -> list[Node]:
    """The files with certificates of authorities that are followed, as Envoy's secrets."""
    files = {model.tls.ca_file for model in models.values()}
    return [
        {
            "@type": TYPE + "extensions.transport_sockets.tls.v3.Secret",
            "name": path,
            "validation_context": {
                "trusted_ca": {"filename": path},
                "watched_directory": {"path": trusted.followed},
            },
        }
        for path in sorted(path for path in files if path and trusted.follows(path))
    ]


def extproc_cluster(where: Iterable[Node], tls: Node | None = None) -> Node:
    """The router, at any of these addresses; ``tls`` is the transport socket to it."""
    flow = {
        "initial_stream_window_size": 1 << 20,
        "initial_connection_window_size": 64 << 20,
    }
    return {
        **_own(EXTPROC, where),
        "lb_policy": "LEAST_REQUEST",
        "typed_extension_protocol_options": protocol({"http2_protocol_options": flow}),
        **({} if tls is None else {"transport_socket": tls}),
    }


def router_api_cluster(where: Node) -> Node:
    """What the router serves beside ext_proc."""
    return _own(ROUTER_API, [where])


def _own(name: str, where: Iterable[Node]) -> Node:
    places = list(where)
    endpoints = [{"endpoint": {"address": address}} for address in places]
    found: Node = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "circuit_breakers": no_breakers(),
    }
    hosts = [place["socket_address"]["address"] for place in places if "socket_address" in place]
    if not all(is_ip(host) for host in hosts):
        found |= {"type": "STRICT_DNS", "dns_lookup_family": "ALL"}
    return found


def _answering(model: ModelSettings) -> list[EndpointSettings]:
    """Those of its servers that requests are sent to, and not only prompts."""
    apart = model.disaggregation
    return [
        endpoint
        for endpoint in model.endpoints
        if endpoint.weight > 0 and (apart is None or decodes(endpoint.labels, apart.label))
    ]


def _cluster(name: str, model: ModelSettings, settings: RouterSettings, trusted: Trusted) -> Node:
    endpoints = _answering(model)
    heaviest = max(endpoint.weight for endpoint in endpoints)
    by_name = any(not endpoint.address.is_ip for endpoint in endpoints)
    found: Node = {
        "name": cluster_name(name),
        "type": "STRICT_DNS" if by_name else "STATIC",
        "connect_timeout": seconds(model.timeouts.connect_s),
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {
            "cluster_name": cluster_name(name),
            "endpoints": [
                {
                    **({"priority": level} if level else {}),
                    "lb_endpoints": [_endpoint(e, model, heaviest) for e in some],
                }
                for level, some in enumerate(by_standing(endpoints))
            ],
        },
        "circuit_breakers": breakers(model),
        "typed_extension_protocol_options": protocol({"http_protocol_options": {}}),
    }
    if by_name:
        # A name that does not resolve yet must not keep the other models from being served.
        found |= {"dns_lookup_family": "ALL", "wait_for_warm_on_init": False}
    several = len(endpoints) > 1 or model.discover is not None
    if several and (model.picking or model.disaggregation or settings.picking):
        del found["lb_policy"]
        found["load_balancing_policy"] = _as_told()
    if several:
        found["outlier_detection"] = outliers(model, len(endpoints))
    found |= health_checks(model)
    found |= _transport(endpoints, model, trusted)
    return found


def by_standing(endpoints: Sequence[EndpointSettings]) -> list[list[EndpointSettings]]:
    """Those that take requests, and those that do while none of them can."""
    first = [endpoint for endpoint in endpoints if not endpoint.standby]
    return [some for some in (first, [e for e in endpoints if e.standby]) if some]


def _as_told() -> Node:
    """The server that our header names, else the less loaded of two."""
    otherwise = typed(
        "envoy.load_balancing_policies.least_request",
        "extensions.load_balancing_policies.least_request.v3.LeastRequest",
    )
    told = typed(
        "envoy.load_balancing_policies.override_host",
        "extensions.load_balancing_policies.override_host.v3.OverrideHost",
        override_host_sources=[{"header": DESTINATION}],
        fallback_policy={"policies": [{"typed_extension_config": otherwise}]},
    )
    return {"policies": [{"typed_extension_config": told}]}


def _endpoint(endpoint: EndpointSettings, model: ModelSettings, heaviest: float) -> Node:
    address = endpoint.address
    found: Node = {
        "endpoint": {
            "address": tcp(address.host, address.port),
            "hostname": address.authority,  # becomes the Host header
            **health_check_at(endpoint, model),
        },
        "load_balancing_weight": max(1, round(1000 * endpoint.weight / heaviest)),
    }
    key = _transport_key(endpoint, model)
    found["metadata"] = {"filter_metadata": {"envoy.transport_socket_match": {"to": key}}}
    return found


def _transport_key(endpoint: EndpointSettings, model: ModelSettings) -> str:
    address = endpoint.address
    if address.scheme != "https":
        return "plain"
    return f"tls:{model.tls.server_name or address.host}"


def _transport(
    endpoints: Sequence[EndpointSettings], model: ModelSettings, trusted: Trusted
) -> Node:
    """TLS by the name each endpoint must prove; endpoints of one model may differ."""
    keys = dict.fromkeys(_transport_key(endpoint, model) for endpoint in endpoints)
    if list(keys) == ["plain"]:
        return {}
    matches = [
        {"name": key, "match": {"to": key}, "transport_socket": _socket(key, model, trusted)}
        for key in keys
    ]
    return {"transport_socket_matches": matches}


def _socket(key: str, model: ModelSettings, trusted: Trusted) -> Node:
    if key == "plain":
        return typed(
            "envoy.transport_sockets.raw_buffer",
            "extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        )
    name = key.removeprefix("tls:")
    by_ip = is_ip(name)
    san = {"san_type": "IP_ADDRESS" if by_ip else "DNS", "matcher": {"exact": name}}
    context: Node = {
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "alpn_protocols": ["http/1.1"],
            **_verified(san, model.tls.ca_file, trusted),
        }
    }
    if not by_ip:  # RFC 6066 allows no addresses in SNI
        context["sni"] = name
    return typed(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        **context,
    )


def _verified(san: Node, path: str | None, trusted: Trusted) -> Node:
    named = {"match_typed_subject_alt_names": [san]}
    if path and trusted.source is not None and trusted.follows(path):
        source = {"name": path, "sds_config": trusted.source(path)}
        return {
            "combined_validation_context": {
                "default_validation_context": named,
                "validation_context_sds_secret_config": source,
            }
        }
    file = {"filename": path or trusted.ca_file}
    return {"validation_context": {"trusted_ca": file, **named}}
