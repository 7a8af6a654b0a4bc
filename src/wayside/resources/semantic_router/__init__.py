"""A semantic router, run by the operator: ``SemanticRouter`` of ``vllm.ai/v1alpha1``."""

from __future__ import annotations

from typing import Final

from wayside.resources import (
    AGE,
    Column,
    Desired,
    Farewell,
    Object,
    Trouble,
    World,
    resource,
)
from wayside.resources.semantic_router.spec import SemanticRouterSpec, SemanticRouterStatus
from wayside.vocab.resource import (
    AUTOSCALERS,
    CLAIMS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    GATEWAYS,
    GRANTS,
    HTTP_ROUTES,
    INGRESSES,
    KSERVE_SERVICES,
    NAMESPACES,
    NETWORK_POLICIES,
    ROUTES,
    SERVICE_ACCOUNTS,
    SERVICE_MONITORS,
    SERVICES,
    STORAGE_CLASSES,
    Resource,
)

SEMANTIC_ROUTERS: Final = Resource("vllm.ai", "v1alpha1", "semanticrouters")


@resource(
    "SemanticRouter",
    resource=SEMANTIC_ROUTERS,
    program="operator",
    spec=SemanticRouterSpec,
    status=SemanticRouterStatus,
    columns=(
        Column("Replicas", ".spec.replicas", "integer"),
        Column("Ready", ".status.readyReplicas", "integer"),
        Column("Phase", ".status.phase"),
        AGE,
    ),
    short_names=("sr",),
    owns=(
        SERVICE_ACCOUNTS,
        CONFIG_MAPS,
        CLAIMS,
        DEPLOYMENTS,
        SERVICES,
        AUTOSCALERS,
        DISRUPTION_BUDGETS,
        HTTP_ROUTES,
        ROUTES,
        INGRESSES,
        NETWORK_POLICIES,
        SERVICE_MONITORS,
    ),
    reads=(KSERVE_SERVICES, GATEWAYS, GRANTS, NAMESPACES, STORAGE_CLASSES),
    finalizer="semanticrouter.vllm.ai/finalizer",
)
class SemanticRouter:
    """A semantic router: its pods, how it is reached, where its models are, how it decides."""

    def desired(self, found: Object, world: World) -> Desired:
        """Everything that shall be for one SemanticRouter."""
        return Desired()

    def troubled(
        self, desired: Desired, found: Object, troubles: list[Trouble] | tuple[Trouble, ...]
    ) -> Desired:
        """The same, with what could not be written in its conditions."""
        return desired

    def farewell(self, found: Object, world: World) -> Farewell:
        """What becomes of the claim with the models."""
        return Farewell()
