"""A Gateway's data plane, played by a real Envoy: HTTPRoutes become its routes, and match as
Gateway API says. What is not needed here (weights, redirects, methods) is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wayside.envoy.words import tcp, typed

Object = dict[str, Any]
MANAGER = "envoy.filters.network.http_connection_manager"
ROUTER = typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")


def config(
    routes: Sequence[Object],
    services: Mapping[str, int],
    port: int,
    *,
    filters: Sequence[Object] = (),
    clusters: Sequence[Object] = (),
) -> Object:
    """Envoy's configuration. ``services``: ports of this machine by ``name:port`` of Services;
    ``filters`` stand before the router filter, and ``clusters`` are what they need."""
    manager = typed(
        MANAGER,
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="gateway",
        normalize_path=True,
        http_filters=[*filters, ROUTER],
        route_config={"name": "gateway", "virtual_hosts": list(_hosts(routes))},
    )
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "gateway",
                    "address": tcp("127.0.0.1", port),
                    "filter_chains": [{"filters": [manager]}],
                }
            ],
            "clusters": [*(_cluster(n, p) for n, p in services.items()), *clusters],
        }
    }


def _hosts(routes: Sequence[Object]) -> Iterator[Object]:
    by_host: dict[str, list[Object]] = {}
    for route in routes:
        for host in route["spec"].get("hostnames", ["*"]):
            for rule in route["spec"]["rules"]:
                by_host.setdefault(host, []).extend(_rule(rule))
    for host, found in by_host.items():
        # Gateway API: the longest path first, then who asks for more headers.
        found.sort(key=lambda r: (-len(_path(r)), -len(r["match"].get("headers", []))))
        yield {"name": host, "domains": [host], "routes": found}


def _path(route: Object) -> str:
    match = route["match"]
    return str(match.get("path_separated_prefix") or match.get("path") or "/")


def _rule(rule: Object) -> Iterator[Object]:
    (backend,) = rule["backendRefs"]
    action: Object = {"cluster": f"{backend['name']}:{backend['port']}", "timeout": "0s"}
    made: Object = {}
    for each in rule.get("filters", []):
        if each["type"] == "RequestHeaderModifier":
            (what,) = each["requestHeaderModifier"]
            assert what == "remove", what
            made["request_headers_to_remove"] = each["requestHeaderModifier"]["remove"]
        else:
            assert each["type"] == "URLRewrite", each
            assert each["urlRewrite"]["path"]["replacePrefixMatch"] == "/"
            made["rewrites"] = True
    rewrites = made.pop("rewrites", False)
    for match in rule.get("matches", [{"path": {"type": "PathPrefix", "value": "/"}}]):
        path, value = match["path"]["type"], match["path"]["value"]
        assert path in ("PathPrefix", "Exact"), path
        said: Object = {"path": value} if path == "Exact" else {"path_separated_prefix": value}
        if value == "/":
            said = {"prefix": "/"}
        if "headers" in match:
            said["headers"] = [
                {"name": h["name"], "string_match": {"exact": h["value"]}}
                for h in match["headers"]
            ]
        rewrite = {"regex_rewrite": _without(value)} if rewrites else {}
        yield {"match": said, "route": {**action, **rewrite}, **made}


def _without(prefix: str) -> Object:
    return {"pattern": {"regex": f"^{prefix}/*"}, "substitution": "/"}


def _cluster(name: str, port: int) -> Object:
    endpoint = {"endpoint": {"address": tcp("127.0.0.1", port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def with_patches(chain: Sequence[Object], envoy_filter: Object) -> list[Object]:
    """A chain of HTTP filters after Istio has applied the EnvoyFilter's patches of it, one after
    the other: each INSERT_BEFORE puts its filter directly before the one that it names."""
    found = list(chain)
    for patch in envoy_filter["spec"]["configPatches"]:
        if patch["applyTo"] != "HTTP_FILTER":
            continue
        assert patch["patch"]["operation"] == "INSERT_BEFORE", patch
        anchor = patch["match"]["listener"]["filterChain"]["filter"]["subFilter"]["name"]
        for i, each in enumerate(found):
            if each["name"] == anchor:
                found.insert(i, patch["patch"]["value"])
                break
    return found
