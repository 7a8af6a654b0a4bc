"""Which cluster a request goes to: by the model that the router selected, and by nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from wayside.envoy.clusters import ROUTER_API, cluster_name
from wayside.envoy.resilience import route_action
from wayside.envoy.words import TYPE, Node, headers
from wayside.flow.report import header_text
from wayside.settings import ModelSettings, RouterSettings
from wayside.vocab.headers import SELECTED_MODEL

ERROR_HEADERS: Final = {"x-vsr-schema-version": "2", "x-vsr-response-path": "error"}
"""What every error of ours carries."""
EXT_PROC: Final = "envoy.filters.http.ext_proc"
API_EXACT: Final = (
    "/v1/models",
    "/health",
    "/ready",
    "/startup-status",
    "/api/v1",
    "/openapi.json",
    "/docs",
)
API_BELOW: Final = ("/api/v1/", "/info/")
"""What the router answers itself where it stands behind an Envoy; the router, too, has nothing
else on the port that these lead to."""
_ENVOY_HEADERS: Final = (
    "x-envoy-attempt-count",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-envoy-original-dst-host",
    "x-envoy-original-path",
)


def routes(
    settings: RouterSettings, models: Mapping[str, ModelSettings], *, with_api: bool = False
) -> Node:
    """The route configuration. ``with_api``: the router's own paths lead to it, models are asked
    below ``/v1/`` alone, and there is nothing anywhere else."""
    prefix = "/v1/" if with_api else "/"
    found = [_api({"path": path}) for path in API_EXACT] if with_api else []
    found += [_api({"prefix": path}) for path in API_BELOW] if with_api else []
    found += [
        _route(name, model, {SELECTED_MODEL: header_text(served)}, prefix)
        for name, model in models.items()
        for served in _names(name, model, models)
    ]
    default = settings.routing.default_model
    if settings.envoy.failure_mode == "open" and default is not None and default in models:
        # Reached only when the router did not answer: pass the request as it came.
        found.append(_route(default, models[default], {}, prefix))
    found.append(_no_route(prefix))
    if with_api:
        found.append(_nothing())
    return {
        "name": "wayside",
        "virtual_hosts": [{"name": "wayside", "domains": ["*"], "routes": found}],
        "request_headers_to_remove": list(_ENVOY_HEADERS),
        "max_direct_response_body_size_bytes": 4096,
    }


def _names(name: str, model: ModelSettings, models: Mapping[str, ModelSettings]) -> list[str]:
    return [name, *(lora.name for lora in model.loras if lora.name not in models)]


def _route(name: str, model: ModelSettings, wanted: Mapping[str, str], prefix: str) -> Node:
    return {
        "match": {
            "prefix": prefix,
            "headers": [
                {"name": key, "string_match": {"exact": value}} for key, value in wanted.items()
            ],
        },
        "route": {
            "cluster": cluster_name(name),
            "auto_host_rewrite": True,
            **route_action(model),
        },
    }


def _api(match: Node) -> Node:
    return {
        "match": match,
        "route": {"cluster": ROUTER_API, "timeout": "300s"},
        **_without_ext_proc(),
    }


def _without_ext_proc() -> Node:
    kind = TYPE + "extensions.filters.http.ext_proc.v3.ExtProcPerRoute"
    return {"typed_per_filter_config": {EXT_PROC: {"@type": kind, "disabled": True}}}


def _no_route(prefix: str) -> Node:
    return _error(prefix, 503, "no backend for this request", "server_error", "no_route")


def _nothing() -> Node:
    found = _error("/", 404, "there is nothing at this path", "invalid_request_error", "not_found")
    return {**found, **_without_ext_proc()}


def _error(prefix: str, status: int, message: str, type: str, code: str) -> Node:
    error = {"message": message, "type": type, "param": None, "code": code}
    body = {"inline_string": json.dumps({"error": error})}
    return {
        "match": {"prefix": prefix},
        "direct_response": {"status": status, "body": body},
        "response_headers_to_add": headers(
            {"content-type": "application/json", **ERROR_HEADERS}, "ADD_IF_ABSENT"
        ),
    }
