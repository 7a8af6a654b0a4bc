"""InferenceGateway: a router of one's own for some InferenceServices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from wayside.manifests.meta import digest
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
    place,
    read,
    ready,
    resolved,
)
from wayside.manifests.production_stack_chain import Chain, service
from wayside.manifests.production_stack_metrics import (
    GATEWAY_LINES,
    GPU_LINES,
    GPU_METRICS,
    PERIOD_S,
    of_gateway,
    of_gpus,
    page_of,
    page_of_gpus,
    tells_of_gpus,
)
from wayside.manifests.production_stack_pods import IMAGE, IMAGE_SETTING, children
from wayside.manifests.production_stack_servers import Trouble as Wrong
from wayside.manifests.production_stack_services import GATEWAY_RULES, InferenceGatewaySpec
from wayside.manifests.production_stack_settings import Routed, document
from wayside.resources import (
    AGE,
    NOW,
    Column,
    Condition,
    Desired,
    Figure,
    Keeper,
    Object,
    Probe,
    Trouble,
    World,
    resource,
)
from wayside.settings import RouterSettings
from wayside.settings.load import literal
from wayside.settings.problems import problems_from
from wayside.vocab.objects import section, whole
from wayside.vocab.resource import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    SERVICES,
)


class InferenceGatewayStatus(PlainStatus):
    """How an InferenceGateway fares."""

    config_map_ref: Annotated[str, Field(max_length=253)] | None = None
    """The ConfigMap with its router's configuration."""
    config_digest: Annotated[str, Field(max_length=64)] | None = None
    """Of that configuration."""
    address: Annotated[str, Field(max_length=300)] | None = None
    """Where clients in the cluster reach it."""
    models: Annotated[int, Field(ge=0)] | None = None
    """How many of its models have something that serves them."""
    ready_replicas: Annotated[int, Field(ge=0)] | None = None
    """How many of its pods take requests."""


@resource(
    "InferenceGateway",
    resource=INFERENCE_GATEWAYS,
    program="router-controller",
    spec=InferenceGatewaySpec,
    status=InferenceGatewayStatus,
    columns=(
        Column("Scheduling", ".spec.schedulingPolicy"),
        Column("Strategy", ".spec.routeStrategy"),
        Column("Affinity", ".spec.sessionAffinity", "boolean"),
        Column("Models", ".status.models", "integer"),
        Column("Status", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Address", ".status.address", priority=1),
        AGE,
    ),
    rules=(
        *GATEWAY_RULES,
        (
            "size(self.metadata.name) <= 56"
            " && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name: its Service has the same name, so write at most 56 letters, digits and"
            " hyphens, a letter first",
        ),
    ),
    owns=(SERVICE_ACCOUNTS, ROLES, ROLE_BINDINGS, CONFIG_MAPS, SERVICES, DEPLOYMENTS),
    reads=(
        INFERENCE_SERVICES, INFERENCE_CACHES, SPECULATIVE_DECODINGS, PREFILL_DECODINGS,
        ENDPOINT_SLICES, PODS, NODES, ENVOY_BACKENDS,
    ),
)  # fmt: skip
class InferenceGatewayKeeper(Keeper):
    """A router of one's own for some InferenceServices."""

    def desired(self, found: Object, world: World) -> Desired:
        spec, problem = read(InferenceGatewaySpec, found)
        if spec is None:
            return _refused(found, problem)
        namespace, name = place(found)
        routes, troubles = _routes(spec, namespace, world)
        gpus = world.setting(GPU_METRICS) if spec.scheduling_policy == "gpu-load-aware" else ""
        made = literal(document(spec, routes, page_of_gpus(gpus)))
        try:
            RouterSettings.model_validate(made)
        except ValidationError as error:
            several = "; ".join(str(p) for p in problems_from(error, RouterSettings))
            return _refused(found, f"its routes make no configuration: {several}"[:4000])
        content = str(yaml.safe_dump(made, sort_keys=False, allow_unicode=True))
        stores = {c.store.name: c.store for r in routes for c in r.chains if c.store}
        image = spec.image or world.setting(IMAGE_SETTING) or IMAGE
        refs, runs = resolved(troubles), _running(name, namespace, world)
        findings = [accepted(""), refs, *runs]
        figures: list[Figure] = []
        if spec.scheduling_policy == "gpu-load-aware":
            told, numbers = _gpus(page_of_gpus(gpus), world)
            findings.append(told)
            figures += numbers
        figures += _figures(name, namespace, world)
        counted = [f for f in findings if f.type != "GPUMetricsAvailable"]
        deployment = section(world.get(DEPLOYMENTS, name, namespace), "status")
        return Desired(
            children=children(
                name, namespace, spec, content, image=image, stores=list(stores.values())
            ),
            conditions=[Condition(*f) for f in [*findings, ready(counted)]],
            status={
                "configMapRef": f"{name}-config",
                "configDigest": digest(content),
                "address": f"http://{name}.{namespace}.svc:8001/v1",
                "models": sum(bool(route.chains) for route in routes),
                "readyReplicas": whole(deployment.get("readyReplicas"), 0, 2**31) or 0,
                "lastUpdated": NOW,
            },
            figures=figures,
        )

    def troubled(self, desired: Desired, found: Object, troubles: Sequence[Trouble]) -> Desired:
        told = "; ".join(f"{t.kind} {t.name}: {t.message}" for t in troubles)
        wrong = Finding("Programmed", "False", troubles[0].reason, told, "Warning")
        others = [c for c in desired.conditions if c.type not in ("Programmed", "Ready")]
        return Desired(
            children=desired.children,
            conditions=[*others, Condition(*wrong), Condition(*ready([wrong]))],
            status=desired.status,
            prune=desired.prune,
            figures=desired.figures,
            again_s=60.0,
        )


def _refused(found: Object, problem: str) -> Desired:
    """A mistake changes nothing: what runs goes on as it is."""
    wrong = accepted(problem)
    before = section(found, "status")
    kept = {k: v for k, v in before.items() if k in _KEPT}
    return Desired(
        prune=False,
        conditions=[Condition(*wrong), Condition(*ready([wrong]))],
        status={**kept, "lastUpdated": NOW},
    )


_KEPT = frozenset(("configMapRef", "configDigest", "address", "models", "readyReplicas"))


# --- routes ------------------------------------------------------------------------------------


def _routes(
    spec: InferenceGatewaySpec, namespace: str, world: World
) -> tuple[list[Routed], list[tuple[str, str]]]:
    """What can be routed to, and why the rest cannot: a gateway goes on without it."""
    troubles: list[tuple[str, str]] = []
    found: dict[str, list[Chain]] = {}
    for model, name, path in spec.wanted():
        others = found.setdefault(model, [])
        its = service(name, namespace, world)
        if isinstance(its, Wrong):
            troubles.append((its.reason, f"{path}: {its.message}"))
            continue
        troubles += [(t.reason, f"InferenceService {name}: {t.message}") for t in its.troubles]
        if its.backend is None:
            continue
        if wrong := _misfit(its, others):
            troubles.append(("RouteConflict", f"{path}: {wrong}"))
        else:
            others.append(its)
    unique = list(dict.fromkeys(troubles))
    return [Routed(model, tuple(chains)) for model, chains in found.items()], unique


def _misfit(its: Chain, others: Sequence[Chain]) -> str:
    """Why a service cannot share a model's requests with the ones before it."""
    if not others:
        return ""
    first = others[0]
    if its.name in [other.name for other in others]:
        return f"routes to {its.name} a second time; leave it out"
    if its.spec.model_name != first.spec.model_name:
        said = f"{first.name} serves {first.spec.model_name!r}"
        return f"{said}, {its.name} serves {its.spec.model_name!r}; a route has one model"
    if its.servers or first.servers:
        return "prefill and decode are of one service; leave the other one out"
    return ""


# --- how it is ---------------------------------------------------------------------------------


def _running(name: str, namespace: str, world: World) -> list[Finding]:
    """Whether its pods are made, and take requests."""
    kind, found = "Programmed", world.get(DEPLOYMENTS, name, namespace)
    done = Finding(kind, "True", "Programmed", f"ConfigMap {namespace}/{name}-config")
    if found is None:
        return [done, Finding("Available", "Unknown", "Starting", "its Deployment is being made")]
    status = section(found, "status")
    count = whole(status.get("availableReplicas"), 0, 2**31) or 0
    wanted = whole(section(found, "spec").get("replicas"), 0, 2**31)
    if count or wanted == 0:
        said = f"{count} pods take requests" if count else "it is scaled to no pods"
        return [done, Finding("Available", "True", "Available", said, "Normal")]
    said = f"no pod of Deployment {namespace}/{name} takes requests yet"
    return [done, Finding("Available", "False", "NoPods", said)]


def _gpus(page: str, world: World) -> tuple[Finding, list[Figure]]:
    """Whether GPUs can be gone by; where not, requests go by the servers' own load."""
    kind, instead = "GPUMetricsAvailable", "requests go by the servers' queues and KV caches"
    if not page:
        said = f"the controller has no {GPU_METRICS}; {instead}"
        return Finding(kind, "False", "EndpointNotSet", said, "Warning"), []
    answer = world.probe(
        Probe(url=page, period_s=15.0, timeout_s=5.0, keep_body=True, lines=GPU_LINES)
    )
    if answer is None or answer.healthy is None:
        return Finding(kind, "Unknown", "Checking", f"{page} has not answered yet"), []
    if not answer.healthy:
        said = f"{page}: {answer.problem or answer.status}; {instead}"
        return Finding(kind, "False", "EndpointUnreachable", said, "Warning"), []
    if not tells_of_gpus(answer.body):
        said = f"{page} tells of no GPUs (DCGM_FI_DEV_GPU_UTIL); {instead}"
        return Finding(kind, "False", "NoGPUs", said, "Warning"), []
    figures = [Figure(*number) for number in of_gpus(answer.body)]
    return Finding(kind, "True", "GPUMetricsAvailable", page), figures


def _figures(name: str, namespace: str, world: World) -> list[Figure]:
    """What its pods tell of themselves: through its Service, so of one of them at a time."""
    page = page_of(world.get(SERVICES, name, namespace))
    if not page:
        return []
    answer = world.probe(Probe(url=page, period_s=PERIOD_S, keep_body=True, lines=GATEWAY_LINES))
    return [Figure(*n) for n in of_gateway(answer.body)] if answer and answer.healthy else []
