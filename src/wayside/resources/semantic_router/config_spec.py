"""``spec.config``: how the router decides. Its fields are vSR's, ``snake_case`` like them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wayside.manifests.fields import AnyObject, Count, Rate, SnakePart, Text, rules
from wayside.resources.semantic_router.cache_spec import CacheSpec

Names = Annotated[tuple[Text, ...], Field(max_length=1024)]
Phrases = Annotated[tuple[Annotated[str, Field(max_length=8192)], ...], Field(max_length=4096)]
Operator = Literal["AND", "OR", "NOT"]
SignalKind = Literal[
    "keyword", "embedding", "domain", "fact_check", "user_feedback", "reask", "preference",
    "language", "context", "structure", "complexity", "modality", "authz", "jailbreak", "pii",
    "kb", "conversation", "event", "projection",
]  # fmt: skip


# --- what turns texts into vectors -------------------------------------------------------------


class EmbeddingOptions(SnakePart):
    """How vectors are made and compared."""

    backend: Literal["candle", "openvino", "openai_compatible"] | None = None
    """What runs the model."""
    model_type: Literal["qwen3", "gemma", "mmbert", "remote"] | None = None
    """Which of the models is meant."""
    preload_embeddings: bool = True
    """Whether the vectors of what is compared with are made at the start."""
    target_dimension: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Numbers of a vector that are used."""
    target_layer: Literal[3, 6, 11, 22] | None = None
    """The layer of mmbert that answers: fewer are faster."""
    enable_soft_matching: bool = True
    """Whether the nearest still counts where nothing is near enough."""
    min_score_threshold: Rate = "0.5"
    """How near the nearest has to be to count."""


class EmbeddingEndpoint(SnakePart):
    """An OpenAI-compatible server of embeddings."""

    base_url: Text = ""
    """Its address."""
    model: Text = ""
    """The model it is asked for."""
    api_key_env: Text = ""
    """The environment variable of the router's container that holds its key (`spec.env` with
    `valueFrom.secretKeyRef`)."""
    timeout_seconds: Count | None = None
    """Seconds until a call is given up."""
    max_retries: Count | None = None
    """How often a call that failed is made again."""
    dimensions: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Numbers of a vector that it is asked for."""


class EmbeddingModels(SnakePart):
    """What turns texts into vectors."""

    qwen3_model_path: Text = ""
    """Where Qwen3-Embedding is."""
    gemma_model_path: Text = ""
    """Where EmbeddingGemma is."""
    mmbert_model_path: Text = ""
    """Where mmBERT is."""
    use_cpu: bool = True
    """Whether they run on the CPU."""
    embedding_config: EmbeddingOptions | None = None
    """How vectors are made and compared."""
    endpoint: EmbeddingEndpoint | None = None
    """A server that makes them instead."""


# --- tools, guard and classifiers --------------------------------------------------------------


class ToolsSpec(SnakePart):
    """Tools that are added to requests that could use them."""

    enabled: bool = True
    """Whether they are."""
    top_k: Count = 3
    """Tools for a request, at most; 0 means 3."""
    similarity_threshold: Rate = "0.2"
    """How near a tool's description has to be."""
    tools_db_path: Text = "config/tools_db.json"
    """The file they are in; the operator writes `toolsDb` there."""
    fallback_to_empty: bool = True
    """Whether a request goes on without tools where choosing them failed."""


class PromptGuardSpec(SnakePart):
    """Finds prompts that try to break the model's rules."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.variant) && has(self.protocol))",
                "cannot specify both prompt_guard.variant and prompt_guard.protocol",
            )
        )
    )

    enabled: bool = True
    """Whether it does."""
    model_id: Text = "models/mmbert32k-jailbreak-detector-merged"
    """What finds them."""
    threshold: Rate = "0.7"
    """How sure it has to be."""
    use_cpu: bool = True
    """Whether it runs on the CPU."""
    variant: Literal["candle", "mmbert32k"] | None = None
    """What sort of model it is; `mmbert32k` where `protocol` is not given either."""
    protocol: Literal["http_chat", "http_classify"] | None = None
    """How a server is asked that finds them instead."""
    jailbreak_mapping_path: Text = ""
    """The file that says what the model's answers mean."""
    positive_labels: Names = ()
    """Answers that mean a find; `jailbreak` when absent."""
    on_error: Literal["", "allow", "block"] = ""
    """What happens to a prompt that could not be looked at; `allow` when absent."""


class CategoryModelSpec(SnakePart):
    """Says what a prompt is about."""

    model_id: Text = ""
    """What says it."""
    use_modernbert: bool | None = None
    """Whether it is a ModernBERT."""
    use_mmbert_32k: bool | None = None
    """Whether it is an mmBERT of 32k tokens."""
    threshold: Rate | None = None
    """How sure it has to be."""
    use_cpu: bool | None = None
    """Whether it runs on the CPU."""
    category_mapping_path: Text = ""
    """The file that says what the model's answers mean."""


class PiiModelSpec(SnakePart):
    """Finds what is personal."""

    model_id: Text = ""
    """What finds it."""
    use_modernbert: bool | None = None
    """Whether it is a ModernBERT."""
    use_mmbert_32k: bool | None = None
    """Whether it is an mmBERT of 32k tokens."""
    threshold: Rate | None = None
    """How sure it has to be."""
    use_cpu: bool | None = None
    """Whether it runs on the CPU."""
    pii_mapping_path: Text = ""
    """The file that says what the model's answers mean."""


class ClassifierSpec(SnakePart):
    """What reads prompts."""

    category_model: CategoryModelSpec | None = None
    """Says what a prompt is about."""
    pii_model: PiiModelSpec | None = None
    """Finds what is personal."""


# --- decisions ---------------------------------------------------------------------------------

_NOT_IS_UNARY = rules(
    (
        "self.operator != 'NOT' || size(self.conditions) == 1",
        "NOT takes exactly one condition",
    )
)


class ComposerCondition(SnakePart):
    """A signal that a complexity rule looks at."""

    type: Text
    """Which sort."""
    name: Text
    """Which one."""


class Composer(SnakePart):
    """Signals that have to be there for a complexity rule to count."""

    model_config = ConfigDict(json_schema_extra=_NOT_IS_UNARY)

    operator: Operator
    """All, any, or not the one."""
    conditions: Annotated[tuple[ComposerCondition, ...], Field(max_length=256)]
    """The signals."""


class Candidates(SnakePart):
    """Examples."""

    candidates: Phrases
    """Prompts of this sort."""


class ComplexityRule(SnakePart):
    """Tells hard prompts from easy ones by examples."""

    name: Text
    """What conditions call it: `NAME:hard`."""
    description: Text = ""
    """For people."""
    threshold: Rate | None = None
    """How much nearer to one side a prompt has to be."""
    hard: Candidates
    """Hard ones."""
    easy: Candidates
    """Easy ones."""
    composer: Composer | None = None
    """Signals that have to be there for it to count."""


class DecisionCondition(SnakePart):
    """One signal."""

    type: SignalKind
    """Which sort."""
    name: Text
    """Which one."""


class DecisionRules(SnakePart):
    """When a decision matches."""

    model_config = ConfigDict(json_schema_extra=_NOT_IS_UNARY)

    operator: Operator
    """All, any, or not the one."""
    conditions: Annotated[tuple[DecisionCondition, ...], Field(max_length=256)]
    """The signals."""


class ModelRef(SnakePart):
    """A model that a decision may choose."""

    model: Annotated[str, Field(max_length=256)]
    """Its name."""
    lora_name: Text = ""
    """The adapter that shall answer."""
    use_reasoning: bool | None = None
    """Whether it shall think."""
    reasoning_effort: Text = ""
    """How much."""


class DecisionSpec(SnakePart):
    """Which models answer which prompts."""

    name: Text
    """What headers, metrics and logs call it."""
    description: Text = ""
    """For people."""
    priority: int = 0
    """The highest that matches decides."""
    rules: DecisionRules
    """When it matches."""
    model_refs: Annotated[tuple[ModelRef, ...], Field(max_length=256)] = Field(
        (), alias="modelRefs"
    )
    """Models that it may choose."""
    preferred_endpoints: Names = ()
    """Names of `vllmEndpoints` that shall answer where they can."""
    plugins: Annotated[tuple[AnyObject, ...], Field(max_length=256)] = ()
    """What is done to the requests: `{type, configuration}`."""
    algorithm: AnyObject | None = None
    """How one of several models is chosen."""


class ReasoningFamilySpec(SnakePart):
    """How the models of a family are told to think."""

    type: Text = ""
    """`chat_template_kwargs` or `reasoning_effort`."""
    parameter: Text = ""
    """The field of the request that says it."""


# --- API and observability ---------------------------------------------------------------------


class BatchMetrics(SnakePart):
    """What is measured of batches."""

    enabled: bool = True
    """Whether anything is."""
    detailed_goroutine_tracking: bool = True
    """A matter of vSR's language; means nothing here."""
    high_resolution_timing: bool = False
    """Whether times are taken to the nanosecond."""
    sample_rate: Rate = "1.0"
    """Share of the batches that is measured."""
    duration_buckets: Names = ()
    """Upper bounds of the histogram of durations, in seconds."""
    size_buckets: Annotated[tuple[Count, ...], Field(max_length=256)] = ()
    """Upper bounds of the histogram of sizes."""


class BatchClassification(SnakePart):
    """Many texts in one request."""

    max_batch_size: Count = 100
    """Texts, at most."""
    concurrency_threshold: Count = 5
    """As many or more are read side by side."""
    max_concurrency: Count = 8
    """Side by side, at most."""
    metrics: BatchMetrics | None = None
    """What is measured of them."""


class ApiSpec(SnakePart):
    """The router's own API."""

    batch_classification: BatchClassification | None = None
    """Many texts in one request."""


class TracingExporter(SnakePart):
    """Where traces go."""

    type: Text = "otlp"
    """In which format."""
    endpoint: Text = "jaeger:4317"
    """Host and port."""
    insecure: bool = True
    """Whether they go unencrypted."""


class TracingSampling(SnakePart):
    """Which requests are traced."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.probability) || self.rate == '1.0'",
                "sampling.rate and sampling.probability mean the same: give one of them",
            )
        )
    )

    type: Text = "always_on"
    """How that is decided."""
    rate: Rate = "1.0"
    """Share of the requests that is traced."""
    probability: Rate | None = None
    """The same by another name."""


class TracingResource(SnakePart):
    """Who it is that traces."""

    service_name: Text = "vllm-semantic-router"
    """What it is called."""
    service_version: Text = "v0.1.0"
    """Which version."""
    deployment_environment: Text = "development"
    """Where it runs."""
    environment: Text = ""
    """The same by another name."""


class TracingSpec(SnakePart):
    """Traces of requests."""

    enabled: bool = False
    """Whether there are any."""
    provider: Text = "opentelemetry"
    """Who makes them."""
    exporter: TracingExporter | None = None
    """Where they go."""
    sampling: TracingSampling | None = None
    """Which requests are traced."""
    resource: TracingResource | None = None
    """Who it is that traces."""


class ObservabilitySpec(SnakePart):
    """What can be seen of the router."""

    tracing: TracingSpec | None = None
    """Traces of requests."""


# --- together ----------------------------------------------------------------------------------


class ConfigSpec(SnakePart):
    """How the router decides."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.response_cache) && has(self.semantic_cache))",
                "config.response_cache conflicts with deprecated config.semantic_cache",
            )
        )
    )

    routing: AnyObject | None = None
    """Routing in vSR's format: `modelCards`, `signals`, `projections` and `decisions`. Looked at
    by the operator, which says in the condition ConfigValid what it does not understand."""
    embedding_models: EmbeddingModels | None = None
    """What turns texts into vectors."""
    response_cache: CacheSpec | None = None
    """Answers that are given again."""
    semantic_cache: CacheSpec | None = None
    """The deprecated name of `response_cache`."""
    tools: ToolsSpec | None = None
    """Tools that are added to requests; `toolsDb` has them."""
    prompt_guard: PromptGuardSpec | None = None
    """Finds prompts that try to break the model's rules."""
    classifier: ClassifierSpec | None = None
    """What reads prompts."""
    complexity_rules: Annotated[tuple[ComplexityRule, ...], Field(max_length=256)] = ()
    """What tells hard prompts from easy ones."""
    strategy: Literal["priority"] | None = None
    """Which decision counts where several match."""
    decisions: Annotated[tuple[DecisionSpec, ...], Field(max_length=1024)] = ()
    """Which models answer which prompts."""
    reasoning_families: dict[str, ReasoningFamilySpec] = Field(default_factory=dict)
    """How the models of a family are told to think, by name of the family."""
    default_reasoning_effort: Literal["low", "medium", "high"] | None = None
    """How much a model thinks where a decision wants it to and does not say."""
    api: ApiSpec | None = None
    """The router's own API."""
    observability: ObservabilitySpec | None = None
    """What can be seen of the router."""
