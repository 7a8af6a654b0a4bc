"""The specs of five kinds that refer to each other, in the two forms that exist of each.

The README of production-stack's router controller is one form, its Go types the other; where they
contradict each other (a name, or an object that has it), both are read. Fields that one form
demands and the other does not have are optional, with defaults that make the README's complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)

from wayside.manifests.fields import Part, core, rules
from wayside.manifests.production_stack import (
    OPEN,
    ModelName,
    ObjectName,
    Share,
    ShareOrText,
    ref_to,
)
from wayside.settings.problems import suggest
from wayside.vocab.errors import ConfigError
from wayside.vocab.patterns import compile_pattern

Resources = Annotated[dict[str, Any], core("v1.ResourceRequirements")]
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
        kind = entry.get("type") if isinstance(entry, Mapping) else None
        if kind in _MISSING:
            raise ValueError(f"[{i}].type: {kind}: {_MISSING[kind]}")
        parameters = (entry.get("parameters") or {}) if isinstance(entry, Mapping) else None
        if kind not in _LISTED or not isinstance(parameters, Mapping):
            raise ValueError(
                f"[{i}].type: {kind!r:.60} with such parameters is no filter; "
                f"{suggest(str(kind), _LISTED, 'filters')}"
            )
        for name in {str(name) for name in parameters} ^ _LISTED[kind]:
            if name in parameters:
                raise ValueError(
                    f"[{i}].parameters.{name:.60}: unknown; "
                    f"{suggest(name, _LISTED[kind], 'parameters')}"
                )
            raise ValueError(f"[{i}].parameters.{name}: is required by {kind}")
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
    """The gateway's image; the controller's `ROUTER_IMAGE`, or the released one, when empty."""
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


# --- InferenceCache ----------------------------------------------------------------------------


class KvCacheTransferPolicy(Part):
    """When a KV cache is used where it is, and when a server is too full."""

    threshold_hit_rate: ShareOrText = 0.8
    """0 to 1 (a number, or text): the least share of a prompt that a server must be thought to
    have cached for the prompt to follow it there, and to be read there instead of by a prefill
    server."""
    eviction_threshold: ShareOrText = 0.9
    """0 to 1 (a number, or text): a server with more of its KV cache in use takes requests only
    where all have."""


class LookupBuffer(Part):
    """Example: ``{maxSize: 1000000000, evictionPolicy: lru}``"""

    max_size: Annotated[int, Field(ge=1)]
    """Bytes."""
    eviction_policy: Literal["lru", "fifo"] = "lru"
    """What goes first."""


class DisaggregatedPrefill(Part):
    """How engines hand KV caches over."""

    enabled: bool
    """Whether they do."""
    prefill_instance_type: Literal["prefill", "decode"] = "prefill"
    """What the engines that use this cache do."""
    connector_type: Literal["grpc", "redis", "custom"] = "grpc"
    """How caches travel: `grpc` and `custom` from engine to engine (NIXL, or the connector that
    `connectorConfig.kv_connector` names), `redis` through a Redis server
    (`connectorConfig.url`)."""
    connector_config: Annotated[
        dict[str, Annotated[str, Field(max_length=1000)]], Field(max_length=32)
    ] = Field(default_factory=dict)
    """Settings of the connector, handed on as they are (`kv_connector_extra_config`)."""
    lookup_buffer_config: LookupBuffer | None = None
    """The buffer of caches on their way."""


class InferenceCacheSpec(Part):
    """Example: ``{modelName: llama3-70b, kvCacheTransferPolicy: {thresholdHitRate: 0.8}}``"""

    model_name: ModelName
    """The model whose caches these are: that of the InferenceService, or of its route."""
    kv_cache_transfer_policy: KvCacheTransferPolicy = KvCacheTransferPolicy()
    """When a cache is used where it is, and when a server is too full."""
    pdd_ref: ref_to("PrefillDecodingDisaggregation") = None  # type: ignore[valid-type]
    """The name of a PrefillDecodingDisaggregation, or `{apiGroup, kind, name}`."""
    sd_ref: ref_to("SpeculativeDecoding") = None  # type: ignore[valid-type]
    """The name of a SpeculativeDecoding, or `{apiGroup, kind, name}`."""
    cache_type: Literal["kv", "attention", "hybrid"] = "kv"
    """`kv` and `hybrid` keep KV caches in the memory of hosts, too (LMCache); `attention` keeps
    them in the engine alone."""
    cache_size: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """Bytes of each host's memory for caches; LMCache's own default when absent."""
    cache_ttl: Annotated[str, Field(alias="cacheTTL", pattern=r"^[0-9]{1,9}[smhd]$")] = "1h"
    """How long a conversation is taken to be cached where it was, and stays there."""
    tensor_parallel_size: Annotated[int, Field(ge=1, le=8)] = 1
    """GPUs of one engine."""
    image: Annotated[str, Field(max_length=1024)] = ""
    """Of the engine's pods, which are not ours to run: it goes into the patch for yours."""
    resources: Resources = Field(default_factory=dict)
    """Of the engine's container, in the same patch."""
    disaggregated_prefill_config: DisaggregatedPrefill | None = None
    """How engines hand KV caches over."""


# --- SpeculativeDecoding -----------------------------------------------------------------------


class DraftModelConfig(Part):
    """Example: ``{temperature: "0", max_tokens: "64"}``"""

    temperature: Annotated[str, Field(pattern=r"^(0|1|0\.[0-9]+)$")]
    """Of the draft's own sampling; `0` is the one that engines have."""
    max_tokens: Annotated[str, Field(alias="max_tokens", pattern=r"^[0-9]{1,9}$")]
    """The longest context of the draft (`max_model_len`)."""


SPECULATIVE_RULES = (
    (
        "has(self.spec) && ((has(self.spec.speculationType) && self.spec.speculationType =="
        " 'ngram') || (has(self.spec.draftModel) && self.spec.draftModel != ''))",
        "spec.draftModel: speculationType draft, mlp and eagle need one; name it, or write"
        " speculationType: ngram",
    ),
)
"""Of the object as a whole."""
_DRAFTS = "has(self.draftModel) && self.draftModel != ''"


class SpeculativeDecodingSpec(Part):
    """Example: ``{draftModel: llama3-1b, targetModel: llama3-70b}``"""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"self.speculationType != 'ngram' || !({_DRAFTS})",
                "draftModel: ngram needs no draft model; leave it out",
            ),
            (
                "self.speculationType == 'ngram' || !has(self.promptLookupMax)",
                "promptLookupMax: is for speculationType ngram; leave it out",
            ),
            (
                f"!({_DRAFTS}) || !has(self.targetModel) || self.draftModel != self.targetModel",
                "draftModel: a model cannot draft for itself; name a smaller one",
            ),
        )
    )

    speculation_type: Literal["draft", "ngram", "mlp", "eagle"] = "draft"
    """Who proposes tokens: a smaller model, the prompt itself, or heads trained for it."""
    draft_model: Annotated[str, Field(max_length=256)] = ""
    """The smaller model, or the heads; not for `ngram`."""
    target_model: Annotated[str, Field(max_length=256)] = ""
    """The model that decides; that of whoever refers to this when absent."""
    num_speculative_tokens: Annotated[int, Field(ge=1, le=32)] = 5
    """Tokens proposed at once."""
    draft_tensor_parallel_size: Annotated[int, Field(ge=1, le=64)] | None = None
    """GPUs of the draft model; those of the target when absent."""
    prompt_lookup_max: Annotated[int, Field(ge=1, le=8)] | None = None
    """The longest run of tokens looked for in the prompt; for `ngram`."""
    draft_model_config: DraftModelConfig | None = None
    """Settings of the draft model."""

    @model_validator(mode="after")
    def _sound(self) -> SpeculativeDecodingSpec:
        if (self.speculation_type == "ngram") == bool(self.draft_model):
            if self.draft_model:
                raise ValueError("draftModel: ngram needs no draft model; leave it out")
            raise ValueError(f"draftModel: {self.speculation_type} needs one; name it")
        if self.prompt_lookup_max is not None and self.speculation_type != "ngram":
            raise ValueError("promptLookupMax: is for speculationType ngram; leave it out")
        if self.draft_model and self.draft_model == self.target_model:
            raise ValueError("draftModel: a model cannot draft for itself; name a smaller one")
        if self.draft_model_config and float(self.draft_model_config.temperature):
            raise ValueError(
                "draftModelConfig.temperature: engines sample drafts greedily; write '0'"
            )
        return self


# --- PrefillDecodingDisaggregation -------------------------------------------------------------


class TopologyHint(Part):
    """Example: ``{nodeSelector: {gpuType: NVIDIA-A100, zone: rack1}}``"""

    node_selector: Labels = Field(default_factory=dict)
    """Labels: only pods that have them, or ask for nodes that do, or run on one, hand caches over
    to each other."""


_COUNTS = "k in self.engineConfig && self.engineConfig[k].matches('^0*[1-9][0-9]{0,8}$')"


class PrefillDecodingSpec(Part):
    """Example: ``{modelName: llama3-70b, topologyHint: {nodeSelector: {zone: rack1}}}``"""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.engineConfig) || size(self.engineConfig) == 0"
                f" || ['max-num-batched-tokens', 'max-num-seqs'].all(k, {_COUNTS})",
                "engineConfig: max-num-batched-tokens and max-num-seqs are needed, above 0",
            ),
            (
                "!has(self.engineConfig) || size(self.engineConfig) == 0 || self.engine != 'vllm'"
                f" || ['tensor-parallel-size'].all(k, {_COUNTS})",
                "engineConfig: vllm needs tensor-parallel-size, above 0",
            ),
        )
    )

    model_name: ModelName
    """The model: that of the InferenceService, or of its route."""
    topology_hint: TopologyHint = TopologyHint()
    """Which of the backend's pods take part."""
    prefill_resources: Resources = Field(default_factory=dict)
    """Of the containers that read prompts, in the patch for your Deployment."""
    decode_resources: Resources = Field(default_factory=dict)
    """Of the containers that write answers, in the same."""
    engine: Literal["vllm", "sglang"] = "vllm"
    """Whose arguments are written."""
    engine_config: Annotated[
        dict[str, Annotated[str, Field(max_length=1000)]], Field(max_length=64)
    ] = Field(default_factory=dict)
    """Arguments of the engine, without their dashes. Where there are any, vLLM needs
    `tensor-parallel-size`, and both `max-num-batched-tokens` and `max-num-seqs`."""

    @model_validator(mode="after")
    def _engine(self) -> PrefillDecodingSpec:
        if not self.engine_config:
            return self
        needed = ["max-num-batched-tokens", "max-num-seqs"]
        if self.engine == "vllm":
            needed.insert(0, "tensor-parallel-size")
        for name in needed:
            value = self.engine_config.get(name, "")
            if not value.isascii() or not value.isdecimal() or int(value) < 1:
                said = f"{value!r} is no positive number" if value else "is missing"
                raise ValueError(f"engineConfig.{name}: {said}; {self.engine} needs it")
        return self


__all__ = [
    "STRATEGIES",
    "BackendRef",
    "InferenceCacheSpec",
    "InferenceGatewaySpec",
    "InferenceServiceSpec",
    "NlpFilters",
    "PrefillDecodingSpec",
    "Share",
    "SpeculativeDecodingSpec",
    "StoreRef",
]
