"""How many pods a router has: who decides it, and how many may be away at once."""

from __future__ import annotations

from typing import Any, Final

from wayside.manifests.meta import child, labels, selector
from wayside.resources import Object
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.vocab.objects import section, sections, whole

MANAGER: Final = "semantic-router-operator"
"""As whom the operator applies."""


def replicas(spec: SemanticRouterSpec, deployment: Object | None) -> int | None:
    """How many pods to write into the Deployment; ``None`` to leave it to others.

    Under an autoscaler the number is the autoscaler's. But giving up a field that nobody else
    owns yet makes the cluster set it to 1, and every pod but one ends. So what is there is
    repeated until somebody has changed it, by which it is theirs. A Deployment that is being
    made begins with as many as the autoscaler would give it at least.
    """
    if not spec.autoscaling.enabled:
        return spec.replicas
    if deployment is None or _owns_replicas(deployment):
        return wanted(spec, deployment)
    return None


def wanted(spec: SemanticRouterSpec, deployment: Object | None) -> int:
    """How many pods there shall be."""
    if not spec.autoscaling.enabled:
        return spec.replicas
    has = whole(section(deployment, "spec").get("replicas"), 0, 2**31 - 1)
    if has is None or (has == 0 and _owns_replicas(deployment)):
        return spec.autoscaling.min_replicas  # at 0 an autoscaler rests
    return has


def _owns_replicas(deployment: Object | None) -> bool:
    return any(
        entry.get("manager") == MANAGER
        and entry.get("operation") == "Apply"
        and "f:replicas" in section(entry, "fieldsV1", "f:spec")
        for entry in sections(section(deployment, "metadata").get("managedFields"))
    )


def autoscaler(spec: SemanticRouterSpec, name: str, namespace: str) -> Object | None:
    """The HorizontalPodAutoscaler, where ``spec.autoscaling`` is enabled."""
    wish = spec.autoscaling
    if not wish.enabled:
        return None
    targets = (
        ("cpu", wish.target_cpu_utilization_percentage),
        ("memory", wish.target_memory_utilization_percentage),
    )
    fields: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": wish.min_replicas,
        "maxReplicas": wish.max_replicas,
        "metrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": resource,
                    "target": {"type": "Utilization", "averageUtilization": percent},
                },
            }
            for resource, percent in targets
            if percent
        ],
    }
    return child(
        "autoscaling/v2", "HorizontalPodAutoscaler", name, namespace, _labels(name), spec=fields
    )


def notes(spec: SemanticRouterSpec) -> tuple[str, ...]:
    """What an autoscaler lacks that counts load as a share of what pods ask for."""
    wish, asked = spec.autoscaling, spec.resources
    if not wish.enabled or not asked:  # ours ask for both
        return ()
    has = {**section(asked, "limits"), **section(asked, "requests")}
    wanted = {
        "cpu": wish.target_cpu_utilization_percentage,
        "memory": wish.target_memory_utilization_percentage,
    }
    return tuple(
        f"spec.autoscaling counts {kind} as a share of what pods ask for, and spec.resources asks "
        f"for none: write resources.requests.{kind}, or nothing is scaled by it"
        for kind, percent in wanted.items()
        if percent and kind not in has
    )


def disruption_budget(spec: SemanticRouterSpec, name: str, namespace: str) -> Object | None:
    """The PodDisruptionBudget, where there are several pods to take turns. With one pod there is
    none: it could only keep nodes from being drained."""
    scaling = spec.autoscaling
    if not scaling.enabled and spec.replicas < 2:
        return None
    wish = spec.pod_disruption_budget
    if not wish.enabled:
        return None
    own = _labels(name)
    fields: dict[str, Any] = {"selector": {"matchLabels": selector(own)}}
    if wish.min_available is not None:
        fields["minAvailable"] = wish.min_available
    else:
        fields["maxUnavailable"] = 1 if wish.max_unavailable is None else wish.max_unavailable
    return child("policy/v1", "PodDisruptionBudget", name, namespace, own, spec=fields)


def _labels(name: str) -> dict[str, str]:
    return labels("semantic-router", name, "semantic-router-operator")
