"""The specs of InferenceService and InferenceGateway: what answers, and where clients ask.

See :mod:`wayside.manifests.production_stack` for the two forms that are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)

from wayside.manifests.fields import Part, core
from wayside.manifests.production_stack import (
    OPEN,
    ModelName,
    ObjectName,
    ref_to,
)
from wayside.settings.problems import suggest
from wayside.vocab.errors import ConfigError
from wayside.vocab.objects import text
from wayside.vocab.patterns import compile_pattern

Labels = Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=32)]


# --- InferenceService --------------------------------------------------------------------------


class BackendRef(Part):
    """What serves a model: a Service, or a Backend of Envoy Gateway."""

    group: Literal["", "gateway.envoyproxy.io"] = ""
    kind: Literal["Service", "Backend"] = "Service"
    name: ObjectName
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    weight: Annotated[int, Field(ge=0, le=100)] = 1

    @model_validator(mode="after")
    def _known(self) -> BackendRef:
        if (self.group == "") != (self.kind == "Service"):
            raise ValueError("a Service is of group '', a Backend of group gateway.envoyproxy.io")
        return self


class SecretKey(Part):
    """A key of a Secret."""

    name: ObjectName
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] = (
        "password"
    )


class StoreRef(Part):
    """The Service of a Redis or Valkey server, and where its password is."""

    name: ObjectName
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    database: Annotated[int, Field(ge=0, le=9999)] = 0
    password_secret_ref: SecretKey | None = None


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


StoreRefField = Annotated[StoreRef | None, BeforeValidator(_by_name), OPEN]


class SemanticCache(Part):
    """Answers from earlier answers to the same question, or one that means the same."""

    store_ref: StoreRefField = None
    """Where answers are kept: the name of the Service of a Redis or Valkey server, or `{name,
    port, database, passwordSecretRef: {name, key}}`. Absent: in the memory of each gateway."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.85
    """The least likeness (cosine) of two questions that may share an answer."""
    ttl_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 3600
    """How long an answer is kept."""


class PromptGuard(Part):
    """Prompts that are refused."""

    blocked_patterns: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...],
        Field(min_length=1, max_length=100),
    ]
    """RE2 patterns; a prompt in which one is found anywhere is answered 403."""

    @field_validator("blocked_patterns")
    @classmethod
    def _compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                compile_pattern(pattern)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return value


class NlpFilters(Part):
    """What is done about prompts and answers of this service, wherever a gateway routes to it."""

    semantic_cache: SemanticCache | None = None
    prompt_guard: PromptGuard | None = None
    max_tokens: PositiveInt | None = None


_LISTED = {"tokenLimit": {"maxTokens"}, "contentFilter": {"blockedPatterns"}}
_MISSING = {
    "sentimentAnalysis": "the router reads no sentiments; take it out, and use a classifier of "
    "your own in a SemanticRouter"
}


def _filters(value: Any) -> Any:
    """The Go form, a list of ``{type, parameters}``, as the README's."""
    if not isinstance(value, list):
        return value
    found: dict[str, Any] = {}
    for i, entry in enumerate(value):
        kind = text(entry.get("type")) if isinstance(entry, Mapping) else ""
        if kind in _MISSING:
            raise ValueError(f"[{i}].type: {kind}: {_MISSING[kind]}")
        parameters = (entry.get("parameters") or {}) if isinstance(entry, Mapping) else None
        if kind not in _LISTED or not isinstance(parameters, Mapping):
            raise ValueError(
                f"[{i}].type: {kind!r:.60} with such parameters is no filter; "
                f"{suggest(kind, _LISTED, 'filters')}"
            )
        for name in sorted({str(name) for name in parameters} ^ _LISTED[kind]):
            if name in parameters:
                raise ValueError(
                    f"[{i}].parameters.{name:.60}: unknown; "
                    f"{suggest(name, _LISTED[kind], 'parameters')}"
                )
            raise ValueError(f"[{i}].parameters.{name}: is required by {kind}")
        if kind in [text(other.get("type")) for other in value[:i]]:
            raise ValueError(f"[{i}].type: {kind} is there twice; put it into one")
        if kind == "tokenLimit":
            found["maxTokens"] = parameters["maxTokens"]
        else:
            patterns = str(parameters["blockedPatterns"]).splitlines()
            found["promptGuard"] = {"blockedPatterns": [p for p in patterns if p.strip()]}
    return found


class InferenceServiceSpec(Part):
    """Example: ``{modelName: llama3-8b, backendRef: llama3}``"""

    model_name: ModelName
    """What the servers behind `backendRef` call the model."""
    backend_ref: Annotated[BackendRef, BeforeValidator(_by_name), OPEN]
    """What serves it: the name of a Service, or `{group, kind, name, port, weight}` of a Service
    or of a Backend of `gateway.envoyproxy.io`. Nothing is deployed: it names what is there."""
    inference_cache_ref: ref_to("InferenceCache") = None  # type: ignore[valid-type]
    """How KV caches are used: the name of an InferenceCache, or `{apiGroup, kind, name}`."""
    prefill_decoding_ref: ref_to("PrefillDecodingDisaggregation") = None  # type: ignore[valid-type]
    """Prompts read by some of the servers, answers written by others: the name of a
    PrefillDecodingDisaggregation; that of the cache's `pddRef` when absent."""
    speculative_decoding_ref: ref_to("SpeculativeDecoding") = None  # type: ignore[valid-type]
    """The draft model: the name of a SpeculativeDecoding; that of the cache's `sdRef` when
    absent."""
    nlp_filters: Annotated[NlpFilters | None, BeforeValidator(_filters), OPEN] = None
    """`{semanticCache: {storeRef, threshold, ttlSeconds}, promptGuard: {blockedPatterns},
    maxTokens}`, or the list `[{type: tokenLimit | contentFilter, parameters}]`."""


# --- InferenceGateway --------------------------------------------------------------------------

Strategy = Literal[
    "PrefixHash", "prefix-hash", "RoundRobin", "round-robin", "roundrobin", "SessionAffinity",
    "session-affinity",
]  # fmt: skip
STRATEGIES: Mapping[str, str] = {
    "PrefixHash": "prefix",
    "prefix-hash": "prefix",
    "RoundRobin": "turns",
    "round-robin": "turns",
    "roundrobin": "turns",
    "SessionAffinity": "session",
    "session-affinity": "session",
}


class Route(Part):
    """A model that clients may ask for, and what answers.

    Example: ``{model: llama3-70b, inferenceServiceRef: llama3-chatbot-service}``
    """

    model: ModelName
    """The name that clients ask for."""
    inference_service_ref: ref_to("InferenceService", required=True)  # type: ignore[valid-type]
    """The name of an InferenceService of the same namespace."""


class ModelRoute(Part):
    """A route in the form of the Go types.

    Example: ``{modelName: llama3-70b, serviceRef: {kind: InferenceService, name: llama3}}``
    """

    model_name: ModelName
    """The name that clients ask for."""
    service_ref: ref_to("InferenceService", required=True)  # type: ignore[valid-type]
    """`{apiGroup, kind, name}` of an InferenceService of the same namespace, or its name."""


class PodPlace(Part):
    """Which nodes the gateway's own pods run on."""

    node_selector: Labels = Field(default_factory=dict)
    """Labels that the nodes must have."""
    affinity: Annotated[dict[str, Any], core("v1.Affinity")] = Field(default_factory=dict)
    """A pod's `affinity`."""
    tolerations: Annotated[
        tuple[Annotated[dict[str, Any], core("v1.Toleration")], ...], Field(max_length=32)
    ] = ()
    """A pod's `tolerations`."""


GATEWAY_RULES = (
    (
        "has(self.spec) && ((has(self.spec.routes) && size(self.spec.routes) > 0)"
        " || (has(self.spec.modelRoutes) && size(self.spec.modelRoutes) > 0))",
        "spec.routes: name at least one model and its inferenceServiceRef",
    ),
)
"""Of the object as a whole, since ``spec: {}`` is what the API server puts there."""


class InferenceGatewaySpec(Part):
    """Example: ``{routes: [{model: llama3-70b, inferenceServiceRef: llama3}]}``"""

    scheduling_policy: Literal["gpu-load-aware", "load-aware"] | None = None
    """What makes a server better than others: how busy its GPUs are (`gpu-load-aware`, from the
    exporter that the controller's GPU_METRICS_ENDPOINT names; without one as `load-aware`), or its
    queue and KV cache (`load-aware`)."""
    route_strategy: Strategy | None = None
    """How prompts find a server: those that begin alike go to the same one (`PrefixHash`), each
    conversation stays with one (`SessionAffinity`), or in turn (`RoundRobin`)."""
    session_affinity: bool = False
    """Whether a conversation stays with the server that it began with, while that is well."""
    service_discovery: Literal["k8s", "static"] = "k8s"
    """`k8s`: the gateway follows each Service's endpoints and chooses among them. `static`: it
    sends requests to the Service, and the cluster chooses."""
    routes: Annotated[tuple[Route, ...], Field(max_length=256)] = ()
    """The models, in the README's form."""
    model_routes: Annotated[tuple[ModelRoute, ...], Field(max_length=256)] = ()
    """The models, in the form of the Go types; the two add up."""
    topology_hint: PodPlace | None = None
    """Which nodes the gateway's own pods run on."""
    image: Annotated[str, Field(max_length=1024)] = ""
    """The gateway's image; that of the controller's variable `ROUTER_IMAGE` when empty."""
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Pods of the gateway; 1 at first, and then whoever scales it says, when absent."""

    def wanted(self) -> list[tuple[str, str, str]]:
        """The routes of both forms: model, name of the InferenceService, path in the spec."""
        return [
            (r.model, r.inference_service_ref.name, f"spec.routes[{i}]")
            for i, r in enumerate(self.routes)
        ] + [
            (r.model_name, r.service_ref.name, f"spec.modelRoutes[{i}]")
            for i, r in enumerate(self.model_routes)
        ]

    @model_validator(mode="after")
    def _routes(self) -> InferenceGatewaySpec:
        if not self.routes and not self.model_routes:
            raise ValueError("routes: name at least one model and its inferenceServiceRef")
        return self
