"""IntelligentRoute: signals and decisions, for routers that take them from the cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wayside.manifests.conditions import Conditions
from wayside.manifests.fields import AnyObject, Anything, Part
from wayside.resources import AGE, Column, resource
from wayside.vocab.resource import INTELLIGENT_ROUTES

Name = Annotated[str, Field(min_length=1, max_length=100)]
Described = Annotated[str, Field(max_length=500)]
Words = Annotated[list[str], Field(min_length=1, max_length=100)]
Tokens = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?[KMkm]?$", max_length=32)]
Operator = Literal["AND", "OR", "NOT"]


class Open(Part):
    """Rules that have more fields than are named here; routers look at those."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}
    )


class KeywordSpec(Open):
    """Words that a prompt may hold."""

    name: Name
    """What decisions call it."""
    operator: Annotated[str, Field(pattern="^(AND|OR|NOR)$")]
    """Whether all, any or none of the words have to be there."""
    keywords: Words
    """The words."""
    case_sensitive: bool = False
    """Whether `Go` and `go` differ."""


class EmbeddingSpec(Open):
    """Texts that a prompt may mean the same as."""

    name: Name
    """What decisions call it."""
    threshold: Annotated[float, Field(ge=0, le=1)]
    """How like a text a prompt has to be."""
    candidates: Words
    """The texts."""
    aggregation_method: Literal["mean", "max", "any"] = "max"
    """How likenesses to several texts make one."""
    query_modality: Literal["text", "image", "audio"] | None = None
    """What of a prompt is compared."""


class DomainSpec(Open):
    """A subject that a prompt may be about."""

    name: Name
    """What decisions call it: the subject's own name."""
    description: Described | None = None
    """For people."""


class ContextSpec(Open):
    """A range of lengths that a prompt may have."""

    name: Name
    """What decisions call it."""
    min_tokens: Tokens
    """The least: `0`, `8K`."""
    max_tokens: Tokens
    """The most: `8K`, `1M`."""
    description: Described | None = None
    """For people."""


class NamedSpec(Open):
    """A rule of a kind whose other fields only routers know."""

    name: Name
    """What decisions call it."""


Named = Annotated[list[NamedSpec], Field(max_length=100)]


class SignalsSpec(Open):
    """What may be read of a prompt. Beside the kinds that are named here, each kind of signal
    that routers have may stand under its name, as a list of rules."""

    keywords: Annotated[list[KeywordSpec], Field(max_length=100)] | None = None
    """Words and patterns."""
    embeddings: Annotated[list[EmbeddingSpec], Field(max_length=100)] | None = None
    """Meaning, by example."""
    domains: Annotated[list[DomainSpec], Field(max_length=100)] | None = None
    """Subjects."""
    context_rules: Annotated[list[ContextSpec], Field(max_length=100)] | None = None
    """Lengths."""
    fact_check_rules: Named | None = None
    """Whether an answer needs its facts checked."""
    structure: Named | None = None
    """How a prompt is written."""
    conversation: Named | None = None
    """How a conversation went."""
    events: Named | None = None
    """Events of machines."""


class ConditionSpec(Part):
    """A signal by type and name, or rules within the rule."""

    type: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """The kind of signal: `keyword`."""
    name: Name | None = None
    """One of its rules."""
    operator: Operator | None = None
    """Of rules within this one."""
    conditions: Annotated[list[Anything], Field(min_length=1, max_length=50)] | None = None
    """Of rules within this one, to any depth."""


class RulesSpec(Part):
    """How conditions make one."""

    operator: Operator
    """All, any, or none of them."""
    conditions: Annotated[list[ConditionSpec], Field(min_length=1, max_length=50)]
    """What has to be."""


class ModelRefSpec(Part):
    """A model that may answer."""

    model: Name
    """Its name, as the pool has it."""
    lora_name: Annotated[str, Field(max_length=100)] | None = None
    """One of its adapters."""
    use_reasoning: bool = False
    """Whether it is told to reason."""
    reasoning_description: Described | None = None
    """For people: why."""
    reasoning_effort: Literal["low", "medium", "high"] | None = None
    """How much."""
    weight: Annotated[float, Field(ge=0)] | None = None
    """Its share, for algorithms that go by one."""


class PluginSpec(Part):
    """A step around a decision."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """Which: `system_prompt`, `response_cache`."""
    configuration: Anything = None
    """Its settings."""


class DecisionSpec(Part):
    """When which models answer, and what is done around them."""

    name: Name
    """For logs, metrics and headers."""
    priority: Annotated[int, Field(ge=0, le=1000, json_schema_extra={"format": "int32"})] = 0
    """Of two decisions that would both take a prompt, the higher one does."""
    description: Described | None = None
    """For people."""
    signals: RulesSpec
    """When."""
    model_refs: Annotated[list[ModelRefSpec], Field(min_length=1, max_length=50)]
    """Which models; of several the algorithm chooses."""
    algorithm: AnyObject | None = None
    """How one of several models is chosen: `{type: latency_aware, ...}`."""
    plugins: Annotated[list[PluginSpec], Field(max_length=10)] | None = None
    """What is done around them."""


class IntelligentRouteSpec(Part):
    """Signals, and decisions on them.

    Example: ``{decisions: [{name: any, signals: {operator: OR, conditions: [{type: domain, name:
    other}]}, modelRefs: [{model: qwen3-8b}]}], signals: {domains: [{name: other}]}}``
    """

    signals: SignalsSpec | None = None
    """What is read of prompts."""
    decisions: Annotated[list[DecisionSpec], Field(min_length=1, max_length=100)]
    """What follows from it."""


class StatisticsStatus(Part):
    """How much it holds."""

    decisions: int | None = None
    """Decisions."""
    keywords: int | None = None
    """Keyword rules."""
    embeddings: int | None = None
    """Embedding rules."""
    domains: int | None = None
    """Domain rules."""


class IntelligentRouteStatus(Part):
    """What a router made of it."""

    conditions: Conditions = ()
    """`Ready`: in force in the routers that follow this namespace."""
    observed_generation: int | None = None
    """Of the spec that the conditions are about."""
    statistics: StatisticsStatus | None = None
    """How much it holds."""


@resource(
    "IntelligentRoute",
    resource=INTELLIGENT_ROUTES,
    program="router",
    spec=IntelligentRouteSpec,
    status=IntelligentRouteStatus,
    short_names=("iroute",),
    columns=(
        Column("Decisions", ".status.statistics.decisions", "integer"),
        Column("Keywords", ".status.statistics.keywords", "integer"),
        Column("Embeddings", ".status.statistics.embeddings", "integer"),
        Column("Domains", ".status.statistics.domains", "integer"),
        Column("Status", '.status.conditions[?(@.type=="Ready")].status'),
        AGE,
    ),
)
class IntelligentRoute:
    """What routers read of prompts, and which models answer them."""
