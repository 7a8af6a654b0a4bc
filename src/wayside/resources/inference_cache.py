"""InferenceCache: when a server's KV cache is used where it is, and when it is too full."""

from __future__ import annotations

from collections.abc import Sequence

from wayside.manifests.fields import Part
from wayside.manifests.production_stack import (
    INFERENCE_CACHES,
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
from wayside.manifests.production_stack_chain import users
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
    Farewell,
    Object,
    Trouble,
    World,
    resource,
)
from wayside.vocab.resource import Resource


class InferenceCacheStatus(PlainStatus):
    """How an InferenceCache fares. How full caches are and how often they are hit, the gateways'
    metrics tell (`wayside_endpoint_kv_usage`, `wayside_pick_cached_tokens_total`)."""


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
        Column("Status", '.status.conditions[?(@.type=="Ready")].status'),
        AGE,
    ),
    reads=(INFERENCE_SERVICES, PREFILL_DECODINGS, SPECULATIVE_DECODINGS),
)
class InferenceCacheKeeper:
    """When a server's KV cache is used where it is, and when it is too full."""

    def desired(self, found: Object, world: World) -> Desired:
        spec, problem = read(InferenceCacheSpec, found)
        wrong = accepted(problem)
        by = users(INFERENCE_SERVICES, "inferenceCacheRef", "InferenceService", found, world)
        findings: list[Finding] = [wrong, in_use(by, "inferenceCacheRef of an InferenceService")]
        counts = [wrong]
        if spec is not None:
            counts.append(resolved(_troubles(found, spec, world)))
            findings.append(counts[-1])
        findings.append(ready(counts))
        return Desired(conditions=[Condition(*f) for f in findings], status={"lastUpdated": NOW})

    def troubled(self, desired: Desired, found: Object, troubles: Sequence[Trouble]) -> Desired:
        return desired

    def farewell(self, found: Object, world: World) -> Farewell:
        return Farewell()


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
