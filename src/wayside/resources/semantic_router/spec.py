"""The schema of a SemanticRouter (``vllm.ai/v1alpha1``): ``spec`` and ``status``.

Its fields are those of the operator of vLLM Semantic Router, so that what was written for that
one can be applied as it is, and a few of ours where it has none; ``docs/reference/resources/
SemanticRouter.md`` says which. What the API server puts in for fields that are left out is what
these classes put in, so that both read the same from the same object.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from wayside.manifests.conditions import Conditions
from wayside.manifests.fields import STORED, Count, Labels, Part, Text, core, keyed, rules
from wayside.resources.semantic_router.backend_spec import BackendStatus, VllmEndpoint
from wayside.resources.semantic_router.config_spec import ConfigSpec
from wayside.resources.semantic_router.exposure_spec import (
    GatewaySpec,
    IngressSpec,
    NetworkPolicySpec,
    OpenShiftSpec,
    ServiceMonitorSpec,
    ServiceSpec,
)
from wayside.resources.semantic_router.pod_spec import (
    AutoscalingSpec,
    DisruptionBudgetSpec,
    ImageSpec,
    PersistenceSpec,
    ProbeSpec,
    ServiceAccountSpec,
    ToolSpec,
    probe_rules,
)

__all__ = [
    "AutoscalingSpec",
    "BackendStatus",
    "ConfigSpec",
    "DisruptionBudgetSpec",
    "GatewaySpec",
    "ImageSpec",
    "IngressSpec",
    "NetworkPolicySpec",
    "OpenShiftSpec",
    "PersistenceSpec",
    "ProbeSpec",
    "SemanticRouterSpec",
    "SemanticRouterStatus",
    "ServiceAccountSpec",
    "ServiceMonitorSpec",
    "ServiceSpec",
    "ToolSpec",
    "VllmEndpoint",
]

LocalObjectReference = Annotated[dict[str, Any], core("v1.LocalObjectReference")]
Toleration = Annotated[dict[str, Any], core("v1.Toleration")]
EnvVar = Annotated[dict[str, Any], core("v1.EnvVar")]


class SemanticRouterSpec(Part):
    """A router in front of models: what it runs on, where its models are, how it decides and how
    it is reached.

    Example: ``{vllmEndpoints: [{name: llama, model: llama3-8b, backend: {type: service,
    service: {name: vllm-llama, port: 8000}}}]}``
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.openshift) || !has(self.openshift.routes)"
                " || !self.openshift.routes.enabled || !has(self.openshift.routes.tls)"
                " || self.openshift.routes.tls.termination == 'edge'"
                " || (has(self.service.tls) && self.service.tls.enabled)",
                "openshift.routes.tls.termination passthrough and reencrypt need service.tls: the"
                " router itself has to serve TLS",
            )
        )
    )

    @model_validator(mode="before")
    @classmethod
    def _no_gateway_without_a_name(cls, value: Any) -> Any:
        """``gateway: {}`` says nothing: it is standalone."""
        gateway = value.get("gateway") if isinstance(value, dict) else None
        if isinstance(gateway, dict) and not (gateway.keys() & {"existingRef", "existing_ref"}):
            return {key: each for key, each in value.items() if key != "gateway"}
        return value

    # --- what runs

    image: ImageSpec = ImageSpec()
    """The router's image."""
    replicas: Count = 1
    """Pods; `autoscaling` says it instead where it is enabled."""
    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...], Field(max_length=64)] = ()
    """Secrets that the image is pulled with."""
    service_account: ServiceAccountSpec = ServiceAccountSpec()
    """As whom the pods run."""
    resources: Annotated[dict[str, Any], core("v1.ResourceRequirements")] | None = None
    """Of the router's container."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=1024)] = ()
    """Environment of the router's container."""
    args: Annotated[tuple[Annotated[str, Field(max_length=4096)], ...], Field(max_length=256)] = ()
    """More arguments of the router's command."""
    startup_probe: ProbeSpec | None = Field(None, json_schema_extra=probe_rules("startupProbe"))
    """Whether the router has started."""
    liveness_probe: ProbeSpec | None = Field(None, json_schema_extra=probe_rules("livenessProbe"))
    """Whether it has to be restarted."""
    readiness_probe: ProbeSpec | None = Field(
        None, json_schema_extra=probe_rules("readinessProbe")
    )
    """Whether it may be sent requests."""
    security_context: Annotated[dict[str, Any], core("v1.SecurityContext")] | None = None
    """Of the router's container, in place of ours."""
    pod_security_context: Annotated[dict[str, Any], core("v1.PodSecurityContext")] | None = None
    """Of the pod, in place of ours."""
    pod_annotations: Labels = Field(default_factory=dict)
    """Of the pods."""
    node_selector: Labels = Field(default_factory=dict)
    """Labels of the nodes that pods may run on."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=256)] = ()
    """Taints of nodes that pods tolerate."""
    affinity: Annotated[dict[str, Any], core("v1.Affinity")] | None = None
    """Which nodes and which neighbours pods like."""
    persistence: PersistenceSpec = PersistenceSpec()
    """Where models that were fetched are kept."""
    autoscaling: AutoscalingSpec = AutoscalingSpec()
    """How many pods there are, by load."""
    pod_disruption_budget: DisruptionBudgetSpec = DisruptionBudgetSpec()
    """How many pods may go when nodes are emptied."""

    # --- what it routes to, and how

    vllm_endpoints: Annotated[
        tuple[VllmEndpoint, ...], Field(max_length=1024, json_schema_extra=keyed("name"))
    ] = ()
    """The models, and where they are."""
    default_model: Annotated[str, Field(max_length=256)] = ""
    """The model that answers where no decision matches. While it has no backend, such prompts are
    refused. When absent, it is that of the first of `vllmEndpoints` that has a backend."""
    cross_namespace: Literal["ReferenceGrant", "Allow"] = "ReferenceGrant"
    """What it takes to use a Service of another namespace: a ReferenceGrant there, or nothing."""
    config: ConfigSpec = ConfigSpec()
    """How the router decides."""
    tools_db: Annotated[tuple[ToolSpec, ...], Field(max_length=1024)] = ()
    """Tools that can be added to requests."""

    # --- how it is reached

    service: ServiceSpec = Field(ServiceSpec(), json_schema_extra={STORED: True})
    """The Service in front of the pods."""
    gateway: GatewaySpec | None = None
    """A Gateway of your own in front, in place of the Envoy beside the router."""
    openshift: OpenShiftSpec = OpenShiftSpec()
    """What is done on OpenShift only."""
    ingress: IngressSpec = IngressSpec()
    """An Ingress in front of the Service."""
    network_policy: NetworkPolicySpec = NetworkPolicySpec()
    """Who may reach the pods."""
    service_monitor: ServiceMonitorSpec = ServiceMonitorSpec()
    """How Prometheus finds the metrics."""


# --- status ------------------------------------------------------------------------------------


class OpenShiftFeatures(Part):
    """What is there on OpenShift."""

    routes_enabled: bool
    """Whether there is a Route."""
    route_hostname: Text = ""
    """The host that OpenShift gave it."""


class RouteStatus(Part):
    """The HTTPRoute, Route or Ingress that leads here."""

    name: Text = ""
    """Its name."""
    hosts: Annotated[tuple[Text, ...], Field(max_length=256)] = ()
    """Its hosts."""
    accepted: bool = False
    """Whether whoever serves it has taken it."""


class EndpointsStatus(Part):
    """Where the router is reached inside the cluster."""

    api: Text = ""
    """For clients."""
    grpc: Text = ""
    """For Envoys."""
    metrics: Text = ""
    """For Prometheus."""


class SemanticRouterStatus(Part):
    """How a SemanticRouter fares."""

    observed_generation: Annotated[int, Field(json_schema_extra={"format": "int64"})] | None = None
    """The generation that this tells of."""
    phase: Text = ""
    """Pending, Progressing, Running, Degraded, Failed or ScaledToZero."""
    replicas: Count | None = None
    """Pods there are."""
    ready_replicas: Count | None = None
    """Pods that may be sent requests."""
    gateway_mode: Text = ""
    """`standalone` or `gateway-integration`."""
    conditions: Conditions = ()
    """Available, Progressing, Degraded, ConfigValid, BackendsResolved, GatewayReady, StorageReady
    and RouteReady."""
    openshift_features: OpenShiftFeatures | None = None
    """What is there on OpenShift."""
    backends: Annotated[
        tuple[BackendStatus, ...], Field(max_length=1024, json_schema_extra=keyed("name"))
    ] = ()
    """What became of each of `vllmEndpoints`."""
    config_hash: Text = ""
    """Digest of the configuration that the pods shall have."""
    observed_config_hash: Text = ""
    """Digest of the configuration that they say they have."""
    route: RouteStatus | None = None
    """The HTTPRoute, Route or Ingress that leads here."""
    endpoints: EndpointsStatus | None = None
    """Where the router is reached inside the cluster."""
