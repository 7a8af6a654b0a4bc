"""InferenceService: a model, what serves it, and what is done about its prompts and caches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from wayside.manifests.production_stack import (
    ENVOY_BACKENDS,
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
    labels,
    place,
    read,
    ready,
    resolved,
)
from wayside.manifests.production_stack_chain import Chain, chain, routes
from wayside.manifests.production_stack_engine import files
from wayside.manifests.production_stack_services import InferenceServiceSpec
from wayside.manifests.workload import config_map
from wayside.resources import (
    AGE,
    NOW,
    Column,
    Condition,
    Desired,
    Keeper,
    Object,
    Trouble,
    World,
    resource,
)
from wayside.vocab.objects import section
from wayside.vocab.resource import CONFIG_MAPS, ENDPOINT_SLICES, PODS, SERVICES


class InferenceServiceStatus(PlainStatus):
    """How an InferenceService fares."""

    backend: Annotated[str, Field(max_length=300)] | None = None
    """What serves it: `Service/name`, or `Backend/name`."""
    ready_endpoints: Annotated[int, Field(ge=0)] | None = None
    """How many servers take requests."""
    engine_config_ref: Annotated[str, Field(max_length=253)] | None = None
    """The ConfigMap with what the model servers are to be told; none where nothing is said."""


@resource(
    "InferenceService",
    resource=INFERENCE_SERVICES,
    program="router-controller",
    spec=InferenceServiceSpec,
    status=InferenceServiceStatus,
    columns=(
        Column("Model", ".spec.modelName"),
        Column("Backend", ".status.backend"),
        Column("Endpoints", ".status.readyEndpoints", "integer"),
        Column("Status", '.status.conditions[?(@.type=="Ready")].status'),
        AGE,
    ),
    owns=(CONFIG_MAPS,),
    reads=(
        SERVICES, ENDPOINT_SLICES, PODS, NODES, ENVOY_BACKENDS, INFERENCE_GATEWAYS,
        INFERENCE_CACHES, SPECULATIVE_DECODINGS, PREFILL_DECODINGS,
    ),
)  # fmt: skip
class InferenceServiceKeeper(Keeper):
    """A model, what serves it, and what is done about its prompts and caches."""

    def desired(self, found: Object, world: World) -> Desired:
        spec, problem = read(InferenceServiceSpec, found)
        wrong = accepted(problem)
        if spec is None:
            told = [wrong, ready([wrong])]
            return Desired(
                prune=False,
                conditions=[Condition(*f) for f in told],
                status={**_kept(found), "lastUpdated": NOW},
            )
        namespace, name = place(found)
        its = chain(found, spec, world)
        refs = resolved(its.troubles)
        behind = _backend(its)
        used = in_use(_gateways(namespace, name, world), "the routes of an InferenceGateway")
        engine = f"{name}-engine"
        said = files(its, engine)
        children = []
        if said:
            children = [config_map(engine, namespace, labels("inference-service", name), said)]
        told = [wrong, refs, behind, used, ready([wrong, refs, behind])]
        of = its.backend
        return Desired(
            children=children,
            conditions=[Condition(*f) for f in told],
            status={
                "backend": f"{spec.backend_ref.kind}/{spec.backend_ref.name}",
                "readyEndpoints": of.ready if of is not None else 0,
                "engineConfigRef": engine if said else None,
                "lastUpdated": NOW,
            },
        )

    def troubled(self, desired: Desired, found: Object, troubles: Sequence[Trouble]) -> Desired:
        told = "; ".join(f"{t.kind} {t.name}: {t.message}" for t in troubles)
        wrong = Finding("EngineConfig", "False", troubles[0].reason, told, "Warning")
        others = [c for c in desired.conditions if c.type not in ("EngineConfig", "Ready")]
        return Desired(
            children=desired.children,
            conditions=[*others, Condition(*wrong), Condition(*ready([wrong]))],
            status={**desired.status, "engineConfigRef": None},
            prune=desired.prune,
            again_s=60.0,
        )


def _kept(found: Object) -> dict[str, object]:
    before = section(found, "status")
    names = ("backend", "readyEndpoints", "engineConfigRef")
    return {k: before[k] for k in names if k in before}


def _backend(of: Chain) -> Finding:
    """Whether anybody would answer."""
    kind, found = "BackendReady", of.backend
    if found is None:
        return Finding(kind, "False", "BackendNotFound", "what serves it is not there")
    if not found.ready:
        said = f"Service {found.namespace}/{found.name} has no ready endpoint"
        return Finding(kind, "False", "NoReadyEndpoints", said, "Warning")
    return Finding(kind, "True", "BackendReady", f"{found.ready} ready endpoints")


def _gateways(namespace: str, name: str, world: World) -> list[str]:
    """The gateways that route to it."""
    return [
        f"InferenceGateway {place(gateway)[1]}"
        for gateway in world.all(INFERENCE_GATEWAYS, namespace)
        if name in [service for _, service in routes(gateway)]
    ]
