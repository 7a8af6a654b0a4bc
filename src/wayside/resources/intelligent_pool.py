"""IntelligentPool: which models there are, for routers that take that from the cluster."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wayside.manifests.conditions import Conditions
from wayside.manifests.fields import Part
from wayside.resources import AGE, Column, resource
from wayside.vocab.resource import INTELLIGENT_POOLS

Name = Annotated[str, Field(min_length=1, max_length=100)]
Price = Annotated[float, Field(ge=0)]


class PricingSpec(Part):
    """What a token costs."""

    currency: Annotated[str, Field(max_length=16)] | None = None
    """Of the prices: `USD`."""
    input_token_price: Price | None = None
    """For each token of a prompt."""
    cached_input_token_price: Price | None = None
    """For each token of a prompt that the provider had kept."""
    cache_write_token_price: Price | None = None
    """For each token of a prompt that the provider keeps."""
    output_token_price: Price | None = None
    """For each token of an answer."""


class LoraSpec(Part):
    """An adapter that the model's servers have loaded."""

    name: Name
    """What clients and servers call it."""
    description: Annotated[str, Field(max_length=500)] | None = None
    """For people."""


class ModelSpec(Part):
    """One model."""

    name: Name
    """What clients call it; the router's own configuration says where it is served."""
    reasoning_family: Annotated[str, Field(max_length=50)] | None = None
    """How it is told to reason."""
    pricing: PricingSpec | None = None
    """What its tokens cost."""
    loras: Annotated[list[LoraSpec], Field(max_length=50)] | None = None
    """Its adapters."""


class IntelligentPoolSpec(Part):
    """The models of a namespace, and which of them answers what no decision takes.

    Example: ``{defaultModel: qwen3-8b, models: [{name: qwen3-8b}, {name: gpt-4o-mini}]}``
    """

    default_model: Name
    """Answers what no decision takes."""
    models: Annotated[list[ModelSpec], Field(min_length=1, max_length=100)]
    """Every model, by name."""


class IntelligentPoolStatus(Part):
    """What a router made of it."""

    conditions: Conditions = ()
    """`Ready`: in force in the routers that follow this namespace."""
    observed_generation: int | None = None
    """Of the spec that the conditions are about."""
    model_count: int | None = None
    """How many models it names."""


@resource(
    "IntelligentPool",
    resource=INTELLIGENT_POOLS,
    program="router",
    spec=IntelligentPoolSpec,
    status=IntelligentPoolStatus,
    short_names=("ipool",),
    columns=(
        Column("Default Model", ".spec.defaultModel"),
        Column("Models", ".status.modelCount", "integer"),
        Column("Status", '.status.conditions[?(@.type=="Ready")].status'),
        AGE,
    ),
)
class IntelligentPool:
    """The models that a router may choose among."""
