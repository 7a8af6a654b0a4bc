"""The specs of three kinds of how a model's servers work: InferenceCache, SpeculativeDecoding and
PrefillDecodingDisaggregation.

See :mod:`wayside.manifests.production_stack` for the two forms that are read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    model_validator,
)

from wayside.manifests.fields import Part, core, rules
from wayside.manifests.production_stack import (
    ModelName,
    ShareOrText,
    ref_to,
)

Resources = Annotated[dict[str, Any], core("v1.ResourceRequirements")]
Labels = Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=32)]


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
