"""PrefillDecodingDisaggregation: prompts read by some servers, answers written by others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from wayside.manifests.production_stack import (
    INFERENCE_CACHES,
    INFERENCE_GATEWAYS,
    INFERENCE_SERVICES,
    NODES,
    PREFILL_DECODINGS,
    SPECULATIVE_DECODINGS,
    Finding,
    PlainStatus,
    accepted,
    in_use,
    place,
    read,
    ready,
)
from wayside.manifests.production_stack_chain import Chain, named, service, users
from wayside.manifests.production_stack_servers import Trouble as Wrong
from wayside.manifests.production_stack_servers import parts
from wayside.manifests.production_stack_specs import PrefillDecodingSpec
from wayside.resources import (
    AGE,
    NOW,
    Column,
    Condition,
    Desired,
    Keeper,
    Object,
    World,
    resource,
)
from wayside.vocab.objects import section
from wayside.vocab.resource import ENDPOINT_SLICES, PODS, SERVICES

PodName = Annotated[str, Field(max_length=253)]
Count = Annotated[int, Field(ge=0)]


class PrefillDecodingStatus(PlainStatus):
    """How a PrefillDecodingDisaggregation fares."""

    prefill_pod_name: PodName | None = None
    """One of the pods that read prompts."""
    decode_pod_name: PodName | None = None
    """One of the pods that write answers."""
    prefill_pods: Count | None = None
    """How many read prompts."""
    decode_pods: Count | None = None
    """How many write answers."""
    other_pods: Count | None = None
    """How many are not where the topology hint wants them, and so get no requests."""


@resource(
    "PrefillDecodingDisaggregation",
    resource=PREFILL_DECODINGS,
    program="router-controller",
    spec=PrefillDecodingSpec,
    status=PrefillDecodingStatus,
    columns=(
        Column("Model", ".spec.modelName"),
        Column("Prefill", ".status.prefillPods", "integer"),
        Column("Decode", ".status.decodePods", "integer"),
        Column("Status", '.status.conditions[?(@.type=="Ready")].status'),
        AGE,
    ),
    reads=(
        INFERENCE_SERVICES, INFERENCE_CACHES, INFERENCE_GATEWAYS, SPECULATIVE_DECODINGS, SERVICES,
        ENDPOINT_SLICES, PODS, NODES,
    ),
)  # fmt: skip
class PrefillDecodingKeeper(Keeper):
    """Prompts read by some of a model's servers, answers written by others."""

    def desired(self, found: Object, world: World) -> Desired:
        spec, problem = read(PrefillDecodingSpec, found)
        wrong = accepted(problem)
        by = [
            *users(INFERENCE_SERVICES, "prefillDecodingRef", "InferenceService", found, world),
            *users(INFERENCE_CACHES, "pddRef", "InferenceCache", found, world),
        ]
        findings = [
            wrong,
            in_use(by, "prefillDecodingRef of an InferenceService or pddRef of a cache"),
        ]
        if spec is None:
            findings.append(ready([wrong]))
            return Desired(
                conditions=[Condition(*f) for f in findings], status={"lastUpdated": NOW}
            )
        chains = _chains(found, world)
        pools = _pools(chains)
        prefill, decode = parts([s for c in chains for s in c.servers])
        findings += [pools, ready([wrong, pools])]
        return Desired(
            conditions=[Condition(*f) for f in findings],
            status={
                "prefillPodName": prefill[0].pod if prefill else None,
                "decodePodName": decode[0].pod if decode else None,
                "prefillPods": len(prefill),
                "decodePods": len(decode),
                "otherPods": sum(c.left_out for c in chains),
                "lastUpdated": NOW,
            },
        )


def _chains(found: Object, world: World) -> list[Chain]:
    """The services that use it, directly or through their cache, in the order of their names."""
    namespace, name = place(found)
    chains = []
    for other in world.all(INFERENCE_SERVICES, namespace):
        spec = section(other, "spec")
        ref = named(spec.get("prefillDecodingRef"))
        cache = named(spec.get("inferenceCacheRef"))
        if not ref and cache:
            its = world.get(INFERENCE_CACHES, cache, namespace)
            ref = named(section(its, "spec").get("pddRef"))
        if ref == name:
            resolved = service(place(other)[1], namespace, world)
            if not isinstance(resolved, Wrong):
                chains.append(resolved)
    return chains


def _pools(chains: Sequence[Chain]) -> Finding:
    """Whether there are pods of both parts."""
    kind = "PoolsReady"
    if not chains:
        return Finding(kind, "Unknown", "NotReferenced", "no InferenceService comes to it")
    for chain in chains:
        if not chain.servers:
            said = [t for t in chain.troubles if t.reason.startswith("No")] or chain.troubles
            reason, why = said[0] if said else ("NotUsed", "the service cannot use it")
            return Finding(
                kind, "False", reason, f"InferenceService {chain.name}: {why}", "Warning"
            )
    return Finding(
        kind, "True", "PoolsReady", "pods that read prompts and pods that write answers"
    )
