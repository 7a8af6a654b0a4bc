"""The Envoy that stands in front of the router, generated from the router's own settings.

A route per model on ``x-selected-model``, a cluster per model, and nothing else: no request is
ever proxied by its ``Host``, and what a client claims about routing is dropped at the door,
before any filter and whether or not the router answers.
"""

from __future__ import annotations

import json
import math
import ssl
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from wayside.extproc.envoy_resilience import (
    breakers,
    health_check_at,
    health_checks,
    no_breakers,
    outliers,
    route_action,
    seconds,
    with_names,
)
from wayside.extproc.replicas import HEADER
from wayside.runtime import prefill
from wayside.settings import EndpointSettings, ModelSettings, RouterSettings
from wayside.vocab.headers import CONTROLS, INTERNAL_NAMES, INTERNAL_PREFIXES, SELECTED_MODEL
from wayside.vocab.roles import decodes

BodyMode = Literal["BUFFERED", "FULL_DUPLEX_STREAMED"]
DEFAULT_BODY_MODE: Final[BodyMode] = "BUFFERED"
Node = dict[str, Any]

_TYPE: Final = "type.googleapis.com/envoy."
_HTTP: Final = _TYPE + "extensions.filters.http."
_CA_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Red Hat
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)
_ENVOY_HEADERS: Final = (
    "x-envoy-attempt-count",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-internal",
)


def bootstrap(
    settings: RouterSettings,
    *,
    extproc_socket: str | Sequence[str],
    run_dir: str | None = None,
    body_mode: BodyMode = DEFAULT_BODY_MODE,
) -> Node:
    """Envoy's bootstrap: as JSON it is a file for ``envoy -c``.

    ``extproc_socket`` is where the router listens: a path, or one for each worker. With
    ``run_dir``, the admin interface is a Unix socket in it unless ``envoy.admin_port`` is set.
    """
    sockets = [extproc_socket] if isinstance(extproc_socket, str) else list(extproc_socket)
    models = {name: with_names(model) for name, model in settings.models.items()}
    models = {name: model for name, model in models.items() if _served(model)}
    found: Node = {
        "node": {"id": "wayside", "cluster": "wayside"},
        "static_resources": {
            "listeners": [_listener(settings, models, body_mode)],
            "clusters": [
                _extproc_cluster(sockets),
                *(_cluster(name, model, settings) for name, model in models.items()),
            ],
        },
        "overload_manager": {
            "resource_monitors": [
                _typed(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "extensions.resource_monitors.downstream_connections.v3"
                    ".DownstreamConnectionsConfig",
                    max_active_downstream_connections=settings.limits.max_connections,
                )
            ]
        },
        "layered_runtime": {"layers": [{"name": "wayside", "static_layer": _RUNTIME}]},
    }
    if settings.envoy.admin_port:
        found["admin"] = {"address": _tcp("127.0.0.1", settings.envoy.admin_port)}
    elif run_dir is not None:
        path = str(Path(run_dir) / "admin.sock")
        found["admin"] = {"address": {"pipe": {"path": path, "mode": 0o600}}}
    return found


def bootstrap_yaml(
    settings: RouterSettings,
    *,
    extproc_socket: str | Sequence[str],
    run_dir: str | None = None,
    body_mode: BodyMode = DEFAULT_BODY_MODE,
) -> str:
    """:func:`bootstrap` for people to read, and for ``envoy -c``."""
    found = bootstrap(
        settings, extproc_socket=extproc_socket, run_dir=run_dir, body_mode=body_mode
    )
    return yaml.safe_dump(found, sort_keys=False, width=99)


# --- the listener ------------------------------------------------------------------------------


def _listener(
    settings: RouterSettings, models: Mapping[str, ModelSettings], body_mode: BodyMode
) -> Node:
    limits = settings.limits
    manager = _typed(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="wayside",
        use_remote_address=True,
        # The client's request id is kept, and one is made when there is none.
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        normalize_path=True,
        server_header_transformation="PASS_THROUGH",
        max_request_headers_kb=min(8192, max(1, math.ceil(limits.max_header_bytes / 1024))),
        request_headers_timeout=seconds(limits.header_timeout_s),
        request_timeout=seconds(limits.header_timeout_s + limits.body_timeout_s),
        common_http_protocol_options={"idle_timeout": seconds(limits.idle_timeout_s)},
        http2_protocol_options={
            "max_concurrent_streams": 256,
            "initial_stream_window_size": 1 << 20,
            "initial_connection_window_size": 4 << 20,
        },
        early_header_mutation_extensions=[_at_the_door()],
        local_reply_config=_local_replies(),
        route_config=_routes(settings, models),
        http_filters=[
            ext_proc_filter(settings, "wayside_extproc", body_mode=body_mode),
            _typed(
                "envoy.filters.http.router",
                "extensions.filters.http.router.v3.Router",
                suppress_envoy_headers=True,
            ),
        ],
    )
    return {
        "name": "wayside",
        "address": _tcp(settings.listen.address, settings.listen.port),
        "per_connection_buffer_limit_bytes": _buffer_limit(settings, body_mode),
        "filter_chains": [{"filters": [manager]}],
    }


def _buffer_limit(settings: RouterSettings, body_mode: BodyMode) -> int:
    # BUFFERED bodies wait in Envoy and may be as large as allowed; streamed ones never do, and
    # a slow reader of a response should not cost more than this.
    if body_mode != "BUFFERED":
        return 1 << 20
    # Where a prompt's cache is, is told in the body; what is too large as it came, we refuse.
    handed = prefill.longest_s(settings.models.values()) > 0
    return settings.limits.max_body_bytes + (_PARAMS if handed else 0)


_PARAMS: Final = 1 << 20


def ext_proc_filter(
    settings: RouterSettings, cluster: str, *, body_mode: BodyMode = DEFAULT_BODY_MODE
) -> Node:
    """The ext_proc HTTP filter alone, for an Envoy that somebody else configures."""
    mode = {
        "request_header_mode": "SEND",
        "response_header_mode": "SEND",
        "request_body_mode": body_mode,
        "response_body_mode": "NONE",
        # FULL_DUPLEX_STREAMED has to hear of trailers, as they may end the body.
        "request_trailer_mode": "SEND" if body_mode == "FULL_DUPLEX_STREAMED" else "SKIP",
        "response_trailer_mode": "SKIP",
    }
    # Which server an answer came from, where we said to whom to go: Envoy may have gone elsewhere.
    asked = {"response_attributes": ["upstream.address"]} if _picks(settings) else {}
    return _typed(
        "envoy.filters.http.ext_proc",
        "extensions.filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": cluster}, "timeout": "0s"},
        failure_mode_allow=settings.envoy.failure_mode == "open",
        status_on_error={"code": "ServiceUnavailable"},
        message_timeout=seconds(
            settings.extproc.message_timeout_s + prefill.longest_s(settings.models.values())
        ),
        processing_mode=mode,
        # Anything but host, :authority, :scheme, :method and x-envoy-*: those are Envoy's.
        allow_mode_override=True,  # an answer's body is asked for only where filters watch it
        mutation_rules={"allow_all_routing": False, "allow_envoy": False},
        **asked,
    )


def _picks(settings: RouterSettings) -> bool:
    models = settings.models.values()
    return bool(settings.picking) or any([m.picking or m.disaggregation for m in models])


def _at_the_door() -> Node:
    """Drops internal headers before any filter or route sees them; controls stay for us."""
    removed: list[Node] = [{"remove": name} for name in sorted(INTERNAL_NAMES - CONTROLS)]
    for prefix in INTERNAL_PREFIXES:
        kept = [name.removeprefix(prefix) for name in sorted(CONTROLS) if name.startswith(prefix)]
        # A prefix is cheaper than a pattern, and this looks at every header of every request.
        pattern = {"regex": prefix + _anything_but(kept)}
        matcher: Node = {"safe_regex": pattern} if kept else {"prefix": prefix}
        removed.append({"remove_on_match": {"key_matcher": matcher}})
    return _typed(
        "envoy.http.early_header_mutation.header_mutation",
        "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=removed,
    )


_RUNTIME: Final = {"re2.max_program_size.error_level": 4096}
"""Envoy would refuse the pattern of internal headers that no control matches (default: 100)."""


def _anything_but(words: Sequence[str]) -> str:
    """A pattern without look-ahead (RE2 has none) for every string but ``words``."""
    if not words:
        return ".*"
    if "" in words:
        rest = [word for word in words if word]
        return f"(?:{_anything_but_first(rest)})"
    return f"(?:|{_anything_but_first(words)})"


def _anything_but_first(words: Sequence[str]) -> str:
    firsts = sorted({word[0] for word in words})
    if not firsts:
        return ".+"
    others = "[^" + "".join(f"\\{letter}" if letter in "^-]\\" else letter for letter in firsts)
    parts = [others + "].*"]
    for letter in firsts:
        rests = [word[1:] for word in words if word[0] == letter]
        parts.append(letter + _anything_but(rests))
    return "|".join(parts)


def _local_replies() -> Node:
    """Envoy's own errors in the client's shape; the router's replies stay as they are."""
    ours = 'response.code_details.startsWith("wayside_")'
    theirs = f'!({ours}) && response.code_details != "direct_response"'
    message, code = "%LOCAL_REPLY_BODY%", "%RESPONSE_CODE_DETAILS%"
    openai = {"message": message, "type": "server_error", "param": None, "code": code}
    messages = {
        "type": "error",
        "error": {"type": "api_error", "message": f"{message} ({code})"},
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    return {
        "mappers": [
            _mapper(f'{theirs} && request.path.startsWith("/v1/messages")', messages),
            _mapper(theirs, {"error": openai}),
        ]
    }


def _mapper(when: str, body: Node) -> Node:
    told = _typed(
        "envoy.access_loggers.extension_filters.cel",
        "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression=when,
    )
    return {
        "filter": {"extension_filter": told},
        "headers_to_add": _headers(_ERROR_HEADERS),
        "body_format_override": {"json_format": body},
    }


_ERROR_HEADERS: Final = {"x-vsr-schema-version": "2", "x-vsr-response-path": "error"}


# --- routes ------------------------------------------------------------------------------------


def _routes(settings: RouterSettings, models: Mapping[str, ModelSettings]) -> Node:
    routes = [
        _route(name, model, {SELECTED_MODEL: served})
        for name, model in models.items()
        for served in _names(name, model, models)
    ]
    default = settings.routing.default_model
    if settings.envoy.failure_mode == "open" and default is not None and default in models:
        # Reached only when the router did not answer: pass the request as it came.
        routes.append(_route(default, models[default], {}))
    routes.append(_no_route())
    return {
        "name": "wayside",
        "virtual_hosts": [{"name": "wayside", "domains": ["*"], "routes": routes}],
        "request_headers_to_remove": list(_ENVOY_HEADERS),
        "max_direct_response_body_size_bytes": 4096,
    }


def _names(name: str, model: ModelSettings, models: Mapping[str, ModelSettings]) -> list[str]:
    return [name, *(lora.name for lora in model.loras if lora.name not in models)]


def _route(name: str, model: ModelSettings, headers: Mapping[str, str]) -> Node:
    return {
        "match": {
            "prefix": "/",
            "headers": [
                {"name": key, "string_match": {"exact": value}} for key, value in headers.items()
            ],
        },
        "route": {
            "cluster": cluster_name(name),
            "auto_host_rewrite": True,
            **route_action(model, _typed),
        },
    }


def _no_route() -> Node:
    error = {
        "message": "no backend for this request",
        "type": "server_error",
        "param": None,
        "code": "no_route",
    }
    return {
        "match": {"prefix": "/"},
        "direct_response": {
            "status": 503,
            "body": {"inline_string": json.dumps({"error": error})},
        },
        "response_headers_to_add": _headers(
            {"content-type": "application/json", **_ERROR_HEADERS}, "ADD_IF_ABSENT"
        ),
    }


# --- clusters ----------------------------------------------------------------------------------


def cluster_name(model: str) -> str:
    """The cluster that serves ``model``."""
    return f"model/{model}"


def _served(model: ModelSettings) -> bool:
    return bool(_answering(model))


def _answering(model: ModelSettings) -> list[EndpointSettings]:
    """Those of its servers that requests are sent to, and not only prompts."""
    apart = model.disaggregation
    return [
        endpoint
        for endpoint in model.endpoints
        if endpoint.weight > 0 and (apart is None or decodes(endpoint.labels, apart.label))
    ]


def _extproc_cluster(sockets: Iterable[str]) -> Node:
    endpoints = [{"endpoint": {"address": {"pipe": {"path": path}}}} for path in sockets]
    return {
        "name": "wayside_extproc",
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {
            "cluster_name": "wayside_extproc",
            "endpoints": [{"lb_endpoints": endpoints}],
        },
        "circuit_breakers": no_breakers(),
        "typed_extension_protocol_options": _protocol(
            {
                "http2_protocol_options": {
                    "initial_stream_window_size": 1 << 20,
                    "initial_connection_window_size": 64 << 20,
                }
            }
        ),
    }


def _cluster(name: str, model: ModelSettings, settings: RouterSettings) -> Node:
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
            "endpoints": [{"lb_endpoints": [_endpoint(e, model, heaviest) for e in endpoints]}],
        },
        "circuit_breakers": breakers(model),
        "typed_extension_protocol_options": _protocol({"http_protocol_options": {}}),
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
    found |= _transport(endpoints, model)
    return found


def _as_told() -> Node:
    """The server that our header names, else the less loaded of two."""
    otherwise = _typed(
        "envoy.load_balancing_policies.least_request",
        "extensions.load_balancing_policies.least_request.v3.LeastRequest",
    )
    told = _typed(
        "envoy.load_balancing_policies.override_host",
        "extensions.load_balancing_policies.override_host.v3.OverrideHost",
        override_host_sources=[{"header": HEADER}],
        fallback_policy={"policies": [{"typed_extension_config": otherwise}]},
    )
    return {"policies": [{"typed_extension_config": told}]}


def _endpoint(endpoint: EndpointSettings, model: ModelSettings, heaviest: float) -> Node:
    address = endpoint.address
    found: Node = {
        "endpoint": {
            "address": _tcp(address.host, address.port),
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


def _transport(endpoints: Sequence[EndpointSettings], model: ModelSettings) -> Node:
    """TLS by the name each endpoint must prove; endpoints of one model may differ."""
    keys = dict.fromkeys(_transport_key(endpoint, model) for endpoint in endpoints)
    if list(keys) == ["plain"]:
        return {}
    matches = [
        {"name": key, "match": {"to": key}, "transport_socket": _socket(key, model)}
        for key in keys
    ]
    return {"transport_socket_matches": matches}


def _socket(key: str, model: ModelSettings) -> Node:
    if key == "plain":
        return _typed(
            "envoy.transport_sockets.raw_buffer",
            "extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        )
    name = key.removeprefix("tls:")
    is_ip = _is_ip(name)
    san = {"san_type": "IP_ADDRESS" if is_ip else "DNS", "matcher": {"exact": name}}
    context: Node = {
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "alpn_protocols": ["http/1.1"],
            "validation_context": {
                "trusted_ca": {"filename": model.tls.ca_file or _system_ca_file()},
                "match_typed_subject_alt_names": [san],
            },
        }
    }
    if not is_ip:  # RFC 6066 allows no addresses in SNI
        context["sni"] = name
    return _typed(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        **context,
    )


def _is_ip(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()


def _system_ca_file() -> str:
    default = ssl.get_default_verify_paths().cafile
    for path in (*_CA_FILES, default):
        if path and Path(path).is_file():
            return path
    return _CA_FILES[0]


def _protocol(explicit: Node) -> Node:
    kind = "extensions.upstreams.http.v3.HttpProtocolOptions"
    options = {"@type": _TYPE + kind, "explicit_http_config": explicit}
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}


# --- words -------------------------------------------------------------------------------------


def _typed(name: str, kind: str, **config: Any) -> Node:
    return {"name": name, "typed_config": {"@type": _TYPE + kind, **config}}


def _tcp(host: str, port: int) -> Node:
    return {"socket_address": {"address": host, "port_value": port}}


def _headers(pairs: Mapping[str, str], action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> list[Node]:
    return [
        {"header": {"key": key, "value": value}, "append_action": action}
        for key, value in pairs.items()
    ]
