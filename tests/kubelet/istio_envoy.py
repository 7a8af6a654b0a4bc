"""What Istio's gateway is told: Envoy's listener and clusters, made of objects of the cluster.

A stand-in for istiod's translation, as far as our manifests go. Names of clusters and filters,
processing modes and the order of filters are Istio's (1.28); whatever it is asked and does not do
is an error, never left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.kubelet.world import matches

Object = dict[str, Any]
TYPE = "type.googleapis.com/envoy."
EXT_PROC = "envoy.filters.http.ext_proc"
"""The name of Istio's own filter for InferencePools, by which routes speak of it."""
DESTINATION = "x-gateway-destination-endpoint"
SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"
LISTENS = 8080
"""In the pod; its Service has the listener's port."""
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"


class NotPlayed(Exception):
    """Something that Istio may do, and this does not."""


class Refs(Exception):
    """A reference that leads nowhere: the reason of ``ResolvedRefs: False``."""


@dataclass
class Mesh:
    """Objects by kind, and what their addresses are."""

    services: Sequence[Object]
    entries: Sequence[Object]
    rules: Sequence[Object]
    filters: Sequence[Object]
    pools: Sequence[Object]
    routes: Sequence[Object]
    endpoints: Callable[[Object, Object], Sequence[tuple[str, int]]]
    """Of a port of a Service: the pods that are ready."""
    members: Callable[[Object], Sequence[tuple[str, int]]]
    """Of an InferencePool."""
    secret: Callable[[str, str], Mapping[str, str]] = field(default=lambda *_: {})

    def service(self, namespace: str, name: str) -> Object | None:
        return _named(self.services, namespace, name)

    def pool(self, namespace: str, name: str) -> Object | None:
        return _named(self.pools, namespace, name)


def _named(found: Iterable[Object], namespace: str, name: str) -> Object | None:
    for one in found:
        if (one["metadata"]["namespace"], one["metadata"]["name"]) == (namespace, name):
            return one
    return None


def host_of(service: Object) -> str:
    meta = service["metadata"]
    return f"{meta['name']}.{meta['namespace']}.svc.cluster.local"


def typed(name: str, kind: str, **fields: Any) -> Object:
    return {"name": name, "typed_config": {"@type": TYPE + kind, **fields}}


def tcp(address: str, port: int) -> Object:
    return {"socket_address": {"address": address, "port_value": port}}


# --- clusters ----------------------------------------------------------------------------------


def clusters(mesh: Mesh, namespace: str) -> list[Object]:
    """One for each port of each Service, of each ServiceEntry's host, and of each pool. Rules are
    those of ``namespace``, where the gateway is."""
    made = []
    for service in mesh.services:
        if service["spec"].get("type") == "ExternalName":
            continue  # an alias: routes lead to what it stands for
        for port in service["spec"].get("ports") or []:
            spoken = f"{port.get('appProtocol', '')} {port.get('name', '')}".split()
            http2 = any(s.startswith(("grpc", "http2", "kubernetes.io/h2c")) for s in spoken)
            made.append(
                _cluster(
                    f"outbound|{port['port']}||{host_of(service)}",
                    mesh.endpoints(service, port),
                    tls=_tls(mesh, namespace, host_of(service)),
                    http2=http2,
                )
            )
    for entry in mesh.entries:
        if entry["spec"].get("resolution") != "DNS":
            raise NotPlayed(f"ServiceEntry with resolution {entry['spec'].get('resolution')}")
        for host in entry["spec"]["hosts"]:
            for port in entry["spec"]["ports"]:
                made.append(
                    _cluster(
                        f"outbound|{port['number']}||{host}",
                        [(host, port["number"])],
                        tls=_tls(mesh, namespace, host),
                        kind="STRICT_DNS",
                    )
                )
    for pool in mesh.pools:
        found = _cluster(pool_cluster(pool), mesh.members(pool))
        found["load_balancing_policy"] = {"policies": [{"typed_extension_config": _override()}]}
        made.append(found)
    return made


def pool_cluster(pool: Object) -> str:
    meta = pool["metadata"]
    (port,) = pool["spec"]["targetPorts"]
    return f"outbound|{port['number']}||{meta['name']}-ip.{meta['namespace']}.svc.cluster.local"


def _override() -> Object:
    """To the server that the picker named in the request's metadata."""
    fallback = typed("r", "extensions.load_balancing_policies.round_robin.v3.RoundRobin")
    source = {"metadata": {"key": "envoy.lb", "path": [{"key": DESTINATION}]}}
    return typed(
        "envoy.load_balancing_policies.override_host",
        "extensions.load_balancing_policies.override_host.v3.OverrideHost",
        override_host_sources=[source],
        fallback_policy={"policies": [{"typed_extension_config": fallback}]},
    )


def _cluster(
    name: str,
    hosts: Sequence[tuple[str, int]],
    *,
    tls: Object | None = None,
    http2: bool = False,
    kind: str = "STATIC",
) -> Object:
    endpoints = [{"endpoint": {"address": tcp(*host)}} for host in hosts]
    made: Object = {
        "@type": TYPE + "config.cluster.v3.Cluster",
        "name": name,
        "type": kind,
        "connect_timeout": "10s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }
    if kind == "STRICT_DNS":
        made["dns_lookup_family"] = "V4_ONLY"
    if http2:
        options = "extensions.upstreams.http.v3.HttpProtocolOptions"
        made["typed_extension_protocol_options"] = {
            "envoy." + options: {
                "@type": TYPE + options,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    if tls is not None:
        if http2:
            tls["common_tls_context"]["alpn_protocols"] = ["h2"]
        kind_of = "extensions.transport_sockets.tls.v3.UpstreamTlsContext"
        made["transport_socket"] = typed("envoy.transport_sockets.tls", kind_of, **tls)
    return made


def _tls(mesh: Mesh, namespace: str, host: str) -> Object | None:
    """As the DestinationRule of that host says; without verification only where it says so."""
    for rule in mesh.rules:
        where = rule["metadata"]["namespace"]
        said = rule["spec"]["host"]
        whole = said if "." in said else f"{said}.{where}.svc.cluster.local"
        if where != namespace or whole != host:
            continue
        tls = (rule["spec"].get("trafficPolicy") or {}).get("tls") or {"mode": "DISABLE"}
        if tls["mode"] == "DISABLE":
            return None
        if tls["mode"] != "SIMPLE":
            raise NotPlayed(f"DestinationRule with tls mode {tls['mode']}")
        context: Object = {}
        if not tls.get("insecureSkipVerify"):
            trusted: Object = {"filename": SYSTEM_CAS}
            if secret := tls.get("credentialName"):
                known = mesh.secret(namespace, secret)
                trusted = {"inline_string": known.get("ca.crt") or known["cacert"]}
            names = [
                {"san_type": "DNS", "matcher": {"exact": name}}
                for name in tls.get("subjectAltNames") or []
            ]
            context = {"trusted_ca": trusted}
            if names:
                context["match_typed_subject_alt_names"] = names
        found: Object = {"common_tls_context": {"validation_context": context} if context else {}}
        if tls.get("sni"):
            found["sni"] = tls["sni"]
        return found
    return None


# --- routes ------------------------------------------------------------------------------------


def backend(mesh: Mesh, namespace: str, reference: Object) -> tuple[str, Object | None]:
    """The cluster that a backendRef means, and the pool if it is one. Raises :class:`Refs`."""
    kind, where = reference.get("kind", "Service"), reference.get("namespace", namespace)
    if where != namespace:
        raise Refs("RefNotPermitted")
    if kind == "InferencePool":
        pool = mesh.pool(where, reference["name"])
        if pool is None:
            raise Refs("BackendNotFound")
        return pool_cluster(pool), pool
    service = mesh.service(where, reference["name"])
    ports = service["spec"].get("ports") or [] if service else []
    if service is None or reference["port"] not in [port["port"] for port in ports]:
        raise Refs("BackendNotFound")
    host = host_of(service)
    if service["spec"].get("type") == "ExternalName":
        host = service["spec"]["externalName"]
        if not any(host in entry["spec"]["hosts"] for entry in mesh.entries):
            raise Refs("BackendNotFound")
    return f"outbound|{reference['port']}||{host}", None


def routes_of(mesh: Mesh, route: Object) -> list[Object]:
    """The Envoy routes of one HTTPRoute. Raises :class:`Refs` and :class:`NotPlayed`."""
    namespace = route["metadata"]["namespace"]
    made = []
    for rule in route["spec"]["rules"]:
        (reference,) = rule["backendRefs"]
        cluster, pool = backend(mesh, namespace, reference)
        action: Object = {"cluster": cluster, "timeout": "0s"}
        if timeout := (rule.get("timeouts") or {}).get("request"):
            action["timeout"] = _seconds(timeout)
        headers: list[Object] = []
        removed: list[str] = []
        for one in rule.get("filters") or []:
            if one["type"] == "URLRewrite" and set(one["urlRewrite"]) == {"hostname"}:
                action["host_rewrite_literal"] = one["urlRewrite"]["hostname"]
            elif one["type"] == "RequestHeaderModifier":
                change = one["requestHeaderModifier"]
                for how, does in (
                    ("set", "OVERWRITE_IF_EXISTS_OR_ADD"),
                    ("add", "APPEND_IF_EXISTS_OR_ADD"),
                ):
                    headers += [
                        {"header": {"key": h["name"], "value": h["value"]}, "append_action": does}
                        for h in change.get(how) or []
                    ]
                removed += change.get("remove") or []
            else:
                raise NotPlayed(f"HTTPRoute filter {one['type']}")
        for match in rule["matches"]:
            path = match.get("path") or {"type": "PathPrefix", "value": "/"}
            if path["type"] != "PathPrefix":
                raise NotPlayed(f"path {path['type']}")
            named = [
                {"name": h["name"], "string_match": {"exact": h["value"]}}
                for h in match.get("headers") or []
            ]
            made.append(
                {
                    "match": {"prefix": path["value"], "headers": named},
                    "route": action,
                    "request_headers_to_add": headers,
                    "request_headers_to_remove": removed,
                    "typed_per_filter_config": {EXT_PROC: _per_route(pool)},
                }
            )
    return made


def _seconds(text: str) -> str:
    """A duration as Envoy takes it: the API server writes ``5m0s`` for what was ``300s``."""
    total, number = 0.0, ""
    for sign in text:
        if sign.isdigit() or sign == ".":
            number += sign
        else:
            total += float(number) * {"h": 3600, "m": 60, "s": 1}[sign]
            number = ""
    return f"{total:g}s"


def _per_route(pool: Object | None) -> Object:
    """Istio's word to its filter: ask this pool's picker, or nobody."""
    kind = TYPE + "extensions.filters.http.ext_proc.v3.ExtProcPerRoute"
    if pool is None:
        return {"@type": kind, "disabled": True}
    reference = pool["spec"]["endpointPickerRef"]
    where = pool["metadata"]["namespace"]
    name = f"outbound|{reference['port']['number']}||{reference['name']}.{where}.svc.cluster.local"
    service = {"envoy_grpc": {"cluster_name": name}}
    closed = reference.get("failureMode", "FailClose") == "FailClose"
    return {
        "@type": kind,
        "overrides": {"grpc_service": service, "failure_mode_allow": not closed},
    }


# --- the listener ------------------------------------------------------------------------------


def listener(mesh: Mesh, gateway: Object, routes: Sequence[Object]) -> Object:
    """The listener of a Gateway: Istio's filters, and what EnvoyFilters put before them."""
    namespace = gateway["metadata"]["namespace"]
    untyped = {"untyped": ["envoy.lb"]}
    filters: list[Object] = []
    if mesh.pools:
        picker = typed(
            EXT_PROC,
            "extensions.filters.http.ext_proc.v3.ExternalProcessor",
            grpc_service={"envoy_grpc": {"cluster_name": "dummy"}, "timeout": "10s"},
            message_timeout="1000s",
            processing_mode={
                "request_header_mode": "SEND",
                "request_body_mode": "FULL_DUPLEX_STREAMED",
                "request_trailer_mode": "SEND",
                "response_header_mode": "SEND",
                "response_body_mode": "FULL_DUPLEX_STREAMED",
                "response_trailer_mode": "SEND",
            },
            metadata_options={"forwarding_namespaces": untyped, "receiving_namespaces": untyped},
        )
        filters.append(picker)
    filters.append(typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router"))
    labels = {GATEWAY_NAME: gateway["metadata"]["name"]}
    for one in mesh.filters:
        selector = (one["spec"].get("workloadSelector") or {}).get("labels") or {}
        if one["metadata"]["namespace"] != namespace or not matches(labels, selector):
            continue
        for patch in one["spec"]["configPatches"]:
            what = patch["applyTo"], patch["patch"]["operation"], patch["match"].get("context")
            if what[0] != "HTTP_FILTER" or what[1] != "INSERT_FIRST":
                raise NotPlayed(f"EnvoyFilter {what}")
            if what[2] in ("GATEWAY", "ANY", None):
                filters.insert(0, patch["patch"]["value"])
    off = {"@type": TYPE + "extensions.filters.http.ext_proc.v3.ExtProcPerRoute", "disabled": True}
    nobody = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 404},
        "typed_per_filter_config": {EXT_PROC: off},
    }
    host = {"name": "*:80", "domains": ["*"], "routes": [*routes, nobody]}
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="outbound",
        # A listener may be read before the clusters are: it would be refused, for ever.
        route_config={"name": "http.80", "virtual_hosts": [host], "validate_clusters": False},
        http_filters=filters,
        access_log=[
            typed(
                "envoy.access_loggers.stdout",
                "extensions.access_loggers.stream.v3.StdoutAccessLog",
            )
        ],
    )
    return {
        "@type": TYPE + "config.listener.v3.Listener",
        "name": f"0.0.0.0_{LISTENS}",
        "address": tcp("0.0.0.0", LISTENS),
        "filter_chains": [{"filters": [manager]}],
        "per_connection_buffer_limit_bytes": 32 << 20,
    }


def files(mesh: Mesh, gateway: Object, routes: Sequence[Object], folder: str) -> dict[str, str]:
    """What is mounted into the gateway's pods; Envoy follows all but the first."""

    def watched(name: str) -> Object:
        source = {"path": f"{folder}/{name}", "watched_directory": {"path": folder}}
        return {"resource_api_version": "V3", "path_config_source": source}

    def resources(found: Sequence[Object]) -> str:
        return json.dumps({"resources": list(found)}, indent=1)

    namespace = gateway["metadata"]["namespace"]
    boot = {
        "node": {"id": "gateway", "cluster": gateway["metadata"]["name"]},
        "admin": {"address": tcp("127.0.0.1", 15000)},
        "dynamic_resources": {
            "cds_config": watched("clusters.json"),
            "lds_config": watched("listeners.json"),
        },
    }
    return {
        "envoy.json": json.dumps(boot, indent=1),
        "clusters.json": resources(clusters(mesh, namespace)),
        "listeners.json": resources([listener(mesh, gateway, routes)]),
    }
