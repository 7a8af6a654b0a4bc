"""The router's pods: image, probes, models' storage, tools and how many there are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from wayside.manifests.fields import (
    AnyObject,
    Count,
    IntOrText,
    Labels,
    Part,
    Quantity,
    Text,
    core,
    rules,
)


class ImageSpec(Part):
    """The router's image: `[imageRegistry/]repository[:tag]`."""

    repository: Text = "ghcr.io/vllm-project/semantic-router/extproc"
    """Its name."""
    tag: Text = "latest"
    """Its tag, or `sha256:...`."""
    pull_policy: Literal["Always", "Never", "IfNotPresent"] = "IfNotPresent"
    """When it is pulled."""
    image_registry: Text = ""
    """What stands before its name: a mirror."""


class ServiceAccountSpec(Part):
    """As whom the pods run."""

    create: bool = True
    """Whether the operator makes the ServiceAccount."""
    name: Annotated[str, Field(max_length=253)] = ""
    """Its name; that of the SemanticRouter when absent."""
    annotations: Labels = Field(default_factory=dict)
    """Of the ServiceAccount."""


# --- storage -----------------------------------------------------------------------------------


class PersistenceSpec(Part):
    """Where models that were fetched are kept."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!self.enabled || !(has(self.existingClaim) && size(self.existingClaim) > 0"
                " && has(self.storageClassName) && size(self.storageClassName) > 0)",
                "cannot specify both persistence.existingClaim and persistence.storageClassName",
            )
        )
    )

    enabled: bool = True
    """Whether on a volume that outlives the pod."""
    storage_class_name: Annotated[str, Field(max_length=253)] = ""
    """Which sort of volume; the cluster's default when absent."""
    access_mode: Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"] = (
        "ReadWriteOnce"
    )
    """Who may mount it: several replicas on several nodes need ReadWriteMany."""
    size: Quantity = "10Gi"
    """How large. It may grow, where its class allows it, and never shrinks."""
    existing_claim: Annotated[str, Field(max_length=253)] = ""
    """A PersistentVolumeClaim that is there already. It is never deleted."""
    annotations: Labels = Field(default_factory=dict)
    """Of the claim that is made."""
    retain_on_delete: bool = False
    """Whether the claim stays when the SemanticRouter is deleted."""


# --- how many ----------------------------------------------------------------------------------


class AutoscalingSpec(Part):
    """A HorizontalPodAutoscaler, which says how many pods there are in place of `replicas`."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!self.enabled || self.minReplicas >= 1",
                "autoscaling.minReplicas must be at least 1",
            ),
            (
                "!self.enabled || self.minReplicas <= self.maxReplicas",
                "autoscaling.minReplicas must be less than or equal to maxReplicas",
            ),
            (
                "!self.enabled || self.targetCPUUtilizationPercentage > 0"
                " || (has(self.targetMemoryUtilizationPercentage)"
                " && self.targetMemoryUtilizationPercentage > 0)",
                "autoscaling requires at least one metric (targetCPUUtilizationPercentage or"
                " targetMemoryUtilizationPercentage)",
            ),
        )
    )

    enabled: bool = False
    """Whether there is one."""
    min_replicas: Count = 1
    """Pods, at least."""
    max_replicas: Count = 10
    """Pods, at most."""
    target_cpu_utilization_percentage: Count = Field(80, alias="targetCPUUtilizationPercentage")
    """Share of the requested CPU at which there are enough; 0 does not look at the CPU."""
    target_memory_utilization_percentage: Count | None = None
    """Share of the requested memory at which there are enough; not looked at when absent or 0."""


class DisruptionBudgetSpec(Part):
    """A PodDisruptionBudget, where there can be more than one pod."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.minAvailable) && has(self.maxUnavailable))",
                "cannot specify both podDisruptionBudget.minAvailable and maxUnavailable",
            )
        )
    )

    enabled: bool = True
    """Whether there is one."""
    min_available: IntOrText | None = None
    """Pods that have to stay when nodes are emptied: a number, or a share (`50%`)."""
    max_unavailable: IntOrText | None = None
    """Pods that may go; 1 where neither is given."""


# --- probes ------------------------------------------------------------------------------------


class ProbeSpec(Part):
    """How the kubelet asks whether the router is well. Without a handler it is the default one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.httpGet), has(self.tcpSocket), has(self.grpc), has(self.exec)]"
                ".filter(h, h).size() <= 1",
                "a probe has one of httpGet, tcpSocket, grpc and exec",
            )
        )
    )

    enabled: bool = True
    """Whether it asks at all."""
    http_get: Annotated[dict[str, Any], core("v1.HTTPGetAction")] | None = None
    """A request that has to be answered with 200 to 399."""
    tcp_socket: Annotated[dict[str, Any], core("v1.TCPSocketAction")] | None = None
    """A connection that has to come about."""
    grpc: Annotated[dict[str, Any], core("v1.GRPCAction")] | None = None
    """A call of grpc.health.v1."""
    exec: Annotated[dict[str, Any], core("v1.ExecAction")] | None = None
    """A command that has to exit with 0."""
    initial_delay_seconds: Count | None = None
    """Seconds until it asks first."""
    period_seconds: Count | None = None
    """Seconds between two times."""
    timeout_seconds: Count | None = None
    """Seconds until no answer is one."""
    failure_threshold: Count | None = None
    """Bad answers in a row that count."""
    success_threshold: Count | None = None
    """Good answers in a row that count; only readiness may want more than 1."""


def probe_rules(probe: str) -> dict[str, Any]:
    """Rules whose messages name the probe."""
    return rules(
        *(
            (
                f"!self.enabled || !has(self.{field}) || self.{field} > 0",
                f"{probe}.{field} must be greater than 0",
            )
            for field in ("timeoutSeconds", "periodSeconds", "failureThreshold")
        ),
        *(
            ()
            if probe == "readinessProbe"
            else (
                (
                    "!self.enabled || !has(self.successThreshold) || self.successThreshold == 1",
                    f"{probe}.successThreshold must be 1",
                ),
            )
        ),
    )


# --- tools -------------------------------------------------------------------------------------


class ToolParameters(Part):
    """JSON Schema of a function's arguments."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}
    )

    type: Text = ""
    """`object`."""
    properties: AnyObject | None = None
    """The arguments by name."""
    required: Annotated[tuple[Text, ...], Field(max_length=1024)] = ()
    """Those that have to be there."""


class ToolFunction(Part):
    """A function that a model may call."""

    name: Text = ""
    """What models call it."""
    description: Annotated[str, Field(max_length=16384)] = ""
    """What it does."""
    parameters: ToolParameters | None = None
    """Its arguments."""


class ToolDefinition(Part):
    """A tool as OpenAI's API has it."""

    type: Literal["function"] | None = None
    """The only sort there is."""
    function: ToolFunction | None = None
    """The function."""


class ToolSpec(Part):
    """A tool: OpenAI's form in `tool`, or its `name`, `description` and `parameters` here."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.tool) && (has(self.name) || has(self.parameters)))",
                "a tool is either tool.function, or name and parameters",
            )
        )
    )

    tool: ToolDefinition | None = None
    """OpenAI's form."""
    name: Text = ""
    """What models call it."""
    parameters: ToolParameters | None = None
    """Its arguments."""
    description: Annotated[str, Field(max_length=16384)] = ""
    """What requests are compared with; the function's own description when absent."""
    category: Text = ""
    """For people, and for filters."""
    tags: Annotated[tuple[Text, ...], Field(max_length=256)] = ()
    """For people, and for filters."""
