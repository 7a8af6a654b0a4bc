"""InferenceCache: when a server's KV cache is used where it is, and when it is too full."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wayside.manifests.fields import Part
from wayside.manifests.production_stack import (
    INFERENCE_CACHES,
    INFERENCE_GATEWAYS,
    INFERENCE_SERVICES,
    PREFILL_DECODINGS,
    SPECULATIVE_DECODINGS,
    Finding,
    PlainStatus,
    Ref,
    accepted,
    in_use,
    place,
    read,
    ready,
    resolved,
)
from wayside.manifests.production_stack_chain import named, routes, users
from wayside.manifests.production_stack_metrics import GATEWAY_LINES, PERIOD_S, cache_use, page_of
from wayside.manifests.production_stack_specs import (
    InferenceCacheSpec,
    PrefillDecodingSpec,
    SpeculativeDecodingSpec,
)
from wayside.resources import (
    AGE,
    NOW,
    Column,
    Condition,
    Desired,
    Keeper,
    Object,
    Probe,
    World,
    resource,
)
from wayside.vocab.objects import section
from wayside.vocab.resource import SERVICES, Resource

Share = Annotated[str, Field(max_length=32)]


class CacheStats(Part):
    """What the gateways tell of the model's caches, to the hundredth."""

    hit_rate: Share | None = None
    """The share of prompts' tokens that went to a server which was thought to have them cached:
    known where gateways go by prefixes."""
    kv_usage: Share | None = None
    """How full the servers' KV caches are: known where gateways read servers' metrics."""


class InferenceCacheStatus(PlainStatus):
    """How an InferenceCache fares."""

    cache_stats: CacheStats | None = None
    """What the gateways tell of the model's caches."""


@resource(
    "InferenceCache",
    resource=INFERENCE_CACHES,
    program="router-controller",
    spec=InferenceCacheSpec,
    status=InferenceCacheStatus,
    columns=(
        Column("Model", ".spec.modelName"),
        Column("Type", ".spec.cacheType"),
        Column("Size", ".spec.cacheSize", "integer"),
        Column("Hit Rate", ".status.cacheStats.hitRate"),
        Column("KV Usage", ".status.cacheStats.kvUsage"),
        Column("Status", '.status.conditions[?(@.type=="Ready")].status'),
        AGE,
    ),
    reads=(
        INFERENCE_SERVICES, INFERENCE_GATEWAYS, PREFILL_DECODINGS, SPECULATIVE_DECODINGS, SERVICES,
    ),
)  # fmt: skip
class InferenceCacheKeeper(Keeper):
    """When a server's KV cache is used where it is, and when it is too full."""

    def desired(self, found: Object, world: World) -> Desired:
        spec, problem = read(InferenceCacheSpec, found)
        wrong = accepted(problem)
        by = users(INFERENCE_SERVICES, "inferenceCacheRef", "InferenceService", found, world)
        findings: list[Finding] = [wrong, in_use(by, "inferenceCacheRef of an InferenceService")]
        counts = [wrong]
        stats = None
        if spec is not None:
            counts.append(resolved(_troubles(found, spec, world)))
            findings.append(counts[-1])
            stats = _stats(found, spec, world)
        findings.append(ready(counts))
        return Desired(
            conditions=[Condition(*f) for f in findings],
            status={"cacheStats": stats, "lastUpdated": NOW},
        )


def _stats(found: Object, spec: InferenceCacheSpec, world: World) -> dict[str, str] | None:
    """Of all gateways that serve its model, the means."""
    namespace, name = place(found)
    services = {
        place(other)[1]
        for other in world.all(INFERENCE_SERVICES, namespace)
        if named(section(other, "spec").get("inferenceCacheRef")) == name
    }
    told = [
        cache_use(answer.body, model)
        for gateway in world.all(INFERENCE_GATEWAYS, namespace)
        for model, service in routes(gateway)
        if service in services
        and (page := page_of(world.get(SERVICES, place(gateway)[1], namespace)))
        and (
            answer := world.probe(
                Probe(url=page, period_s=PERIOD_S, keep_body=True, lines=GATEWAY_LINES)
            )
        )
    ]
    shares = {
        "hitRate": [use.hit_rate for use in told if use.hit_rate is not None],
        "kvUsage": [use.kv_usage for use in told if use.kv_usage is not None],
    }
    return {k: f"{sum(v) / len(v):.2f}" for k, v in shares.items() if v} or None


def _troubles(found: Object, spec: InferenceCacheSpec, world: World) -> list[tuple[str, str]]:
    """What is wrong with its two references."""
    namespace, _ = place(found)
    troubles = []
    several: tuple[tuple[str, Ref | None, Resource, str], ...] = (
        ("pddRef", spec.pdd_ref, PREFILL_DECODINGS, "PrefillDecodingDisaggregation"),
        ("sdRef", spec.sd_ref, SPECULATIVE_DECODINGS, "SpeculativeDecoding"),
    )
    for field, ref, of, kind in several:
        if ref is None:
            continue
        where = f"spec.{field}: {kind} {namespace}/{ref.name}"
        other = world.get(of, ref.name, namespace)
        if other is None:
            troubles.append(("RefNotFound", f"{where} is not there; create it"))
            continue
        model: type[Part] = PrefillDecodingSpec if field == "pddRef" else SpeculativeDecodingSpec
        its, problem = read(model, other)
        if its is None:
            troubles.append(("RefInvalid", f"{where} is not accepted: {problem}"))
            continue
        said = its.target_model if isinstance(its, SpeculativeDecodingSpec) else ""
        said = its.model_name if isinstance(its, PrefillDecodingSpec) else said
        if said and said != spec.model_name:
            fix = f"this cache is for {spec.model_name!r}"
            troubles.append(("ModelMismatch", f"{where} is for {said!r}; {fix}"))
    return troubles
