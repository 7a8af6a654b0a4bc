"""How many pods: the autoscaler's word, ours, and how many may be away."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster import Kubectl
from wayside.kube.client import Client
from wayside.manifests.meta import child
from wayside.resources import Object
from wayside.resources.semantic_router.scaling import (
    MANAGER,
    autoscaler,
    disruption_budget,
    notes,
    replicas,
    wanted,
)
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.vocab.resource import DEPLOYMENTS

SCALED = {"enabled": True, "minReplicas": 3, "maxReplicas": 20}


def spec(**fields: Any) -> SemanticRouterSpec:
    return SemanticRouterSpec.model_validate(fields)


def a_deployment(count: int, manager: str) -> Object:
    owner = {"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    return {"metadata": {"managedFields": [owner]}, "spec": {"replicas": count}}


def test_an_autoscaler_that_could_count_nothing_is_told() -> None:
    """A1-71: Kubernetes says so on the autoscaler only, where nobody looks."""
    assert notes(spec(autoscaling=SCALED)) == ()
    assert notes(spec(resources={"requests": {"memory": "1Gi"}})) == ()
    asked = {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    (said,) = notes(spec(autoscaling=SCALED, resources=asked))
    assert "resources.requests.cpu" in said
    assert notes(spec(autoscaling=SCALED, resources={"limits": {"cpu": "2"}})) == ()


def test_the_autoscaler_is_as_it_is_wished() -> None:
    """A1-71, A1-73."""
    made = autoscaler(
        spec(
            autoscaling={
                **SCALED,
                "targetCPUUtilizationPercentage": 70,
                "targetMemoryUtilizationPercentage": 80,
            }
        ),
        "r",
        "ns",
    )
    assert made is not None
    assert made["apiVersion"] == "autoscaling/v2"

    def metric(name: str, percent: int) -> dict[str, Any]:
        target = {"type": "Utilization", "averageUtilization": percent}
        return {"type": "Resource", "resource": {"name": name, "target": target}}

    assert made["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "r"},
        "minReplicas": 3,
        "maxReplicas": 20,
        "metrics": [metric("cpu", 70), metric("memory", 80)],
    }


def test_one_metric_is_enough() -> None:
    """A1-73: CPU is not looked at when its target is 0."""
    made = autoscaler(
        spec(
            autoscaling={
                **SCALED,
                "targetCPUUtilizationPercentage": 0,
                "targetMemoryUtilizationPercentage": 80,
            }
        ),
        "r",
        "ns",
    )
    assert made is not None
    assert [one["resource"]["name"] for one in made["spec"]["metrics"]] == ["memory"]


def test_no_autoscaler_when_it_is_off() -> None:
    """A1-74: what is not wished for is pruned."""
    assert autoscaler(spec(autoscaling={**SCALED, "enabled": False}), "r", "ns") is None


@pytest.mark.parametrize(
    ("fields", "deployment", "written", "shall_be"),
    [
        ({"replicas": 3}, None, 3, 3),
        ({"replicas": 3}, a_deployment(7, MANAGER), 3, 3),
        ({"replicas": 0}, a_deployment(7, "kubectl"), 0, 0),
        ({"autoscaling": SCALED}, None, 3, 3),
        ({"autoscaling": SCALED}, a_deployment(7, MANAGER), 7, 7),
        ({"autoscaling": SCALED}, a_deployment(7, "kube-controller-manager"), None, 7),
        ({"autoscaling": SCALED}, a_deployment(0, MANAGER), 3, 3),
        ({"autoscaling": SCALED}, a_deployment(0, "kubectl"), None, 0),
    ],
)
def test_replicas_are_ours_until_the_autoscaler_has_spoken(
    fields: dict[str, Any], deployment: Object | None, written: int | None, shall_be: int
) -> None:
    """A1-70, A1-72: nothing that is there is changed under an autoscaler."""
    assert replicas(spec(**fields), deployment) == written
    assert wanted(spec(**fields), deployment) == shall_be


async def test_what_an_autoscaler_has_set_is_not_reset(
    kubectl: Kubectl, admin: Client, namespace: str
) -> None:
    """A1-72: with the owners of fields that a genuine API server keeps. From 3 fixed replicas to
    an autoscaler no pod is lost, and what others set afterwards stays."""

    async def apply(wish: SemanticRouterSpec, version: str = "1") -> Object:
        there = await admin.get(DEPLOYMENTS, "r", namespace) if version != "1" else None
        template = {
            "metadata": {"labels": {"a": "b"}, "annotations": {"version": version}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }
        body: dict[str, Any] = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        count = replicas(wish, there)
        if count is not None:
            body["replicas"] = count
        made = child("apps/v1", "Deployment", "r", namespace, {}, spec=body)
        return await admin.apply(DEPLOYMENTS, made, namespace, manager=MANAGER, force=True)

    def others(count: str) -> None:  # this server has no subresource ``scale``
        patch = f'{{"spec": {{"replicas": {count}}}}}'
        kubectl("-n", namespace, "patch", "deployment/r", "--type=merge", "-p", patch)

    assert (await apply(spec(replicas=3)))["spec"]["replicas"] == 3
    scaled = spec(autoscaling={**SCALED, "minReplicas": 2})
    assert (await apply(scaled, "2"))["spec"]["replicas"] == 3
    others("5")
    assert (await apply(scaled, "3"))["spec"]["replicas"] == 5
    others("4")
    assert (await apply(scaled, "4"))["spec"]["replicas"] == 4
    assert (await apply(spec(replicas=3), "5"))["spec"]["replicas"] == 3


@pytest.mark.parametrize(
    ("fields", "budget"),
    [
        ({"replicas": 1}, None),
        ({"replicas": 0}, None),
        ({"replicas": 2}, {"maxUnavailable": 1}),
        ({"autoscaling": SCALED}, {"maxUnavailable": 1}),
        (
            {"replicas": 4, "podDisruptionBudget": {"maxUnavailable": "50%"}},
            {"maxUnavailable": "50%"},
        ),
        ({"replicas": 4, "podDisruptionBudget": {"maxUnavailable": 0}}, {"maxUnavailable": 0}),
        ({"replicas": 4, "podDisruptionBudget": {"minAvailable": 2}}, {"minAvailable": 2}),
        ({"replicas": 4, "podDisruptionBudget": {"enabled": False}}, None),
    ],
)
def test_pods_take_turns_when_nodes_are_emptied(
    fields: dict[str, Any], budget: dict[str, Any] | None
) -> None:
    """A1-70: where there are several, and never so that a node cannot be emptied at all."""
    made = disruption_budget(spec(**fields), "r", "ns")
    assert (made is None) is (budget is None)
    if made is not None and budget is not None:
        selected = made["spec"].pop("selector")["matchLabels"]
        assert selected["app.kubernetes.io/instance"] == "r"
        assert made["spec"] == budget


def test_kubernetes_takes_both(kubectl: Kubectl, namespace: str) -> None:
    """A1-71: under kubectl's strict validation."""
    wish = spec(autoscaling={**SCALED, "targetCPUUtilizationPercentage": 70})
    several = [make(wish, "r", namespace) for make in (autoscaler, disruption_budget)]
    kubectl.apply(*(one for one in several if one is not None))
