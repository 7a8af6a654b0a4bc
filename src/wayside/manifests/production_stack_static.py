"""The spec of a StaticRoute, and the file that a router reads of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import ConfigDict, Field

from wayside.manifests.fields import OPTIONAL, DnsName, Part, rules
from wayside.manifests.production_stack import PlainStatus, Time
from wayside.manifests.production_stack_servers import is_address

FILES = ("static_config.json", "dynamic_config.json")
"""The documentation calls the file one, the code that wrote it the other: it is both."""
MOST = 256
"""Backends of one StaticRoute."""
_URLS = r"'^ *https?://[^, ]+ *(, *https?://[^, ]+ *)*$'"


class HealthCheck(Part):
    """How often and how patiently servers are asked for `/health`.

    Example: ``{periodSeconds: 30, failureThreshold: 2}``
    """

    timeout_seconds: Annotated[int, Field(ge=1, le=300)] = 5
    """No answer in this time is a failure."""
    period_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """From one question to the next."""
    success_threshold: Annotated[int, Field(ge=1, le=100)] = 1
    """Answers in a row before a server counts as healthy."""
    failure_threshold: Annotated[int, Field(ge=1, le=100)] = 3
    """Failures in a row before it counts as ill."""


class RouterRef(Part):
    """The Service of the router that reads the ConfigMap: it is asked how it is, nothing else.

    Example: ``{kind: Service, apiVersion: v1, name: vllm-router, namespace: default}``
    """

    kind: Literal["Service"] = "Service"
    """A Service."""
    api_version: Literal["v1"] = "v1"
    """Of Services."""
    name: Annotated[DnsName, Field(min_length=1)]
    """Its name."""
    namespace: Annotated[str, Field(max_length=63)] = ""
    """Its namespace; that of the StaticRoute when empty."""
    uid: Annotated[str, Field(max_length=128)] = ""
    """Where it is given, a Service of that name with another uid does not count."""
    resource_version: Annotated[str, Field(max_length=128)] = ""
    """Without effect: the Service is looked at as it is."""
    field_path: Annotated[str, Field(max_length=1024)] = ""
    """Without effect: the whole Service is meant."""


class StaticRouteSpec(Part):
    """Example: ``{staticBackends: "http://a:8000,http://b:8000", staticModels: "llama,llama"}``"""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.staticBackends.split(',').size() == self.staticModels.split(',').size()",
                "staticBackends and staticModels go together: write the model of each backend at"
                " the same place",
            ),
            (
                f"self.staticBackends.matches({_URLS})",
                "staticBackends: URLs with commas between, each with http:// or https://",
            ),
        )
    )

    service_discovery: Literal["static"] = "static"
    """`static`: the servers are those that are written here."""
    routing_logic: Literal["roundrobin", "least_loaded"] = "roundrobin"
    """Which of a model's servers takes a request: in turn, or the one with the fewest."""
    static_backends: Annotated[str, Field(min_length=1, max_length=16384)]
    """URLs of servers, with commas between; at most 256."""
    static_models: Annotated[str, Field(min_length=1, max_length=32768)]
    """The model of each, at the same place."""
    router_ref: RouterRef | None = None
    """The router that reads the ConfigMap; it is asked how it is."""
    health_check: Annotated[HealthCheck, Field(json_schema_extra={OPTIONAL: True})] = HealthCheck()
    """How the backends and the router are asked how they are."""
    config_map_name: Annotated[DnsName, Field(max_length=253)] | None = None
    """The ConfigMap that is made; the StaticRoute's name and `-config` when absent."""


class StaticRouteStatus(PlainStatus):
    """How a StaticRoute fares."""

    config_map_ref: Annotated[str, Field(max_length=253)] | None = None
    """The ConfigMap that was made."""
    last_applied_time: Time | None = None
    """When its content last became another one."""
    config_digest: Annotated[str, Field(max_length=64)] | None = None
    """Of that content."""


class Pair(NamedTuple):
    """A server, and the model that it serves."""

    url: str
    model: str


def pairs(spec: StaticRouteSpec) -> tuple[list[Pair], str]:
    """The backends with their models, or what is wrong with the lists: for objects that were
    stored before the API server checked them, and for what it does not check."""
    urls = [url.strip() for url in spec.static_backends.split(",")]
    models = [model.strip() for model in spec.static_models.split(",")]
    if len(urls) != len(models):
        said = f"{len(urls)} backends and {len(models)} models"
        fix = "write the model of each backend at the same place"
        return [], f"spec.staticModels: {said}; {fix}"
    if len(urls) > MOST:
        return [], f"spec.staticBackends: {len(urls)} backends; at most {MOST}, make two of it"
    for i, url in enumerate(urls):
        if wrong := is_address(url):
            return [], f"spec.staticBackends[{i}]: {wrong}"
        if not models[i] or len(models[i]) > 256:
            return [], f"spec.staticModels[{i}]: a model's name has 1 to 256 characters"
    return [Pair(*pair) for pair in zip(urls, models, strict=True)], ""


def document(spec: StaticRouteSpec, backends: Sequence[Pair]) -> str:
    """The file's content: compact, its fields in this order."""
    said = {
        "service_discovery": spec.service_discovery,
        "routing_logic": spec.routing_logic,
        "static_backends": ",".join(pair.url for pair in backends),
        "static_models": ",".join(pair.model for pair in backends),
    }
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False)
