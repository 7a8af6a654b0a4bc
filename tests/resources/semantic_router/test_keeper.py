"""The keeper as a whole: everything that shall be, whatever the spec says."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.cluster import Kubectl
from tests.resources.semantic_router.any_spec import specs
from tests.resources.semantic_router.made import (
    NAME,
    NAMESPACE,
    UID,
    condition,
    desired,
    endpoint,
    keeper,
    named,
    router,
    service_object,
    world,
)
from tests.resources.worlds import FakeWorld
from wayside.resources import FOR, Desired, Object, State, Trouble, kinds
from wayside.resources.semantic_router.spec import SemanticRouterSpec, SemanticRouterStatus
from wayside.resources.semantic_router.status import TYPES
from wayside.vocab.resource import (
    CLAIMS,
    DEPLOYMENTS,
    GATEWAYS,
    HTTP_ROUTES,
    KSERVE_SERVICES,
    ROUTES,
    SERVICES,
    STORAGE_CLASSES,
    resource_of,
)

GATEWAY = {"existingRef": {"name": "ingress", "namespace": "istio-system"}}
EVERYTHING = {
    "persistence": {"enabled": True, "size": "10Gi"},
    "autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 20},
    "ingress": {"enabled": True, "hosts": [{"host": "a.example", "paths": [{"path": "/"}]}]},
    "networkPolicy": {"enabled": True},
    "openshift": {"routes": {"enabled": True}},
}


def kind() -> Any:
    (found,) = (one for one in kinds("operator") if one.kind == "SemanticRouter")
    return found


# --- what there is -----------------------------------------------------------------------------


def test_how_it_is_known() -> None:
    """A1-29: its short name and columns, and whose finalizer it has."""
    found = kind()
    assert found.short_names == ("sr",)
    assert [one.name for one in found.columns] == ["Replicas", "Ready", "Phase", "Age"]
    assert found.finalizer == "semanticrouter.vllm.ai/finalizer"
    assert (found.resource.group, found.resource.version) == ("vllm.ai", "v1alpha1")
    assert found.spec is SemanticRouterSpec


def test_children_come_in_the_order_in_which_they_are_needed() -> None:
    """A1-85, A1-90: whatever a pod names is there before its Deployment."""
    made = desired(router(**EVERYTHING), world(openshift=True))
    listed = [(one["kind"], one["metadata"]["name"]) for one in made.children]
    assert listed == [
        ("ServiceAccount", NAME),
        ("ConfigMap", f"{NAME}-config"),
        ("ConfigMap", f"{NAME}-envoy-config"),
        ("PersistentVolumeClaim", f"{NAME}-models"),
        ("Deployment", NAME),
        ("Service", NAME),
        ("HorizontalPodAutoscaler", NAME),
        ("PodDisruptionBudget", NAME),
        ("Route", NAME),
        ("Ingress", NAME),
        ("NetworkPolicy", NAME),
    ]
    assert {one["metadata"]["namespace"] for one in made.children} == {NAMESPACE}
    assert {resource_of(one) for one in made.children} <= set(kind().owns)


def test_the_config_map() -> None:
    """A1-95: both files, and no secret in them."""
    made = named(desired(router()).children, "ConfigMap", f"{NAME}-config")
    assert made["data"].keys() == {"config.yaml", "tools_db.json"}


def test_modes_are_switched_both_ways() -> None:
    """A1-52: what the other mode has is no longer wanted, so that it is pruned."""
    alone, behind = desired(router()), desired(router(gateway=GATEWAY))
    assert "HTTPRoute" not in [one["kind"] for one in alone.children]
    assert f"{NAME}-envoy-config" not in [one["metadata"]["name"] for one in behind.children]
    assert "HTTPRoute" in [one["kind"] for one in behind.children]
    assert alone.prune and behind.prune
    assert HTTP_ROUTES in kind().owns


def test_features_are_taken_away_again() -> None:
    """A1-60, A1-74: what is disabled is no longer wanted, and only what is owned is pruned."""
    made = desired(router(), world(openshift=True))
    gone = {"HorizontalPodAutoscaler", "Route", "Ingress", "NetworkPolicy"}
    assert gone.isdisjoint(one["kind"] for one in made.children)
    assert made.prune


# --- what is looked at -------------------------------------------------------------------------


def test_a_backend_that_appears_heals_without_an_edit() -> None:
    """A1-20: others are served meanwhile, and the keeper has looked at what it misses."""
    seen = world("vllm-small")
    found = router(endpoint("small"), endpoint("large"))
    before = desired(found, seen)
    assert condition(before, "BackendsResolved")[:2] == ("False", "PartiallyResolved")
    assert "Deployment" in [one["kind"] for one in before.children]
    assert ("get", SERVICES, NAMESPACE, "vllm-large") in seen.looks
    seen.put(SERVICES, service_object("vllm-large"))
    after = desired(found, seen)
    assert condition(after, "BackendsResolved")[0] == "True"
    text = named(after.children, "ConfigMap", f"{NAME}-config")["data"]["config.yaml"]
    assert "vllm-large.apps.svc.cluster.local" in text


def test_no_backend_yet() -> None:
    """A1-62 (D8): pods run, and wait for one without crashing; nobody is told that they serve."""
    seen = FakeWorld(states={ROUTES: "absent"})
    made = desired(router(autoscaling={"enabled": True}), seen)
    kinds = [one["kind"] for one in made.children]
    assert {"Deployment", "HorizontalPodAutoscaler", "Service"} <= set(kinds)
    assert made.prune
    there = {
        **named(made.children, "Deployment", NAME),
        "status": {"readyReplicas": 1, "replicas": 1, "updatedReplicas": 1},
    }
    there["metadata"]["ownerReferences"] = [{"uid": UID, "controller": True}]
    seen.put(DEPLOYMENTS, there)
    made = desired(router(), seen)
    assert condition(made, "Available")[:2] == ("False", "NoBackend")
    assert "no model has a backend yet" in condition(made, "Available")[2]
    assert made.status["phase"] == "Pending"


def test_what_leads_to_an_object_of_ours_is_not_made_while_it_is_somebody_elses() -> None:
    """A1-104 (D12): a Deployment or Service of that name is neither scaled nor exposed."""
    spec: dict[str, Any] = {
        "autoscaling": {"enabled": True},
        "ingress": {"enabled": True, "hosts": [{"host": "a.b", "paths": [{"path": "/"}]}]},
    }
    taken = {"metadata": {"name": NAME, "namespace": NAMESPACE, "uid": "theirs"}}
    for resource, kind in (
        (DEPLOYMENTS, "HorizontalPodAutoscaler"),
        (SERVICES, "Ingress"),
    ):
        seen = world("vllm-small")
        found = router(endpoint("small"), **spec)
        assert kind in [one["kind"] for one in desired(found, seen).children]
        seen.put(resource, taken)
        assert kind not in [one["kind"] for one in desired(found, seen).children]


def test_a_mistake_changes_nothing_that_works() -> None:
    """A1-103: neither does it delete anything."""
    for spec in ({"replicass": 3}, {"replicas": -1}, {"config": {"routing": {"decision": []}}}):
        made = desired(router(**spec))
        assert not made.children
        assert not made.unowned
        assert not made.prune
        assert condition(made, "ConfigValid")[0] == "False"
    message = condition(desired(router(replicass=3)), "ConfigValid")[2]
    assert "replicas" in message


def test_all_conditions_are_always_there() -> None:
    """A1-80."""
    for found in (router(), router(replicass=3), router(**EVERYTHING)):
        assert {one.type for one in desired(found).conditions} == set(TYPES)


def test_the_mode_is_told() -> None:
    """A1-47."""
    assert desired(router()).status["gatewayMode"] == "standalone"
    assert desired(router(gateway=GATEWAY)).status["gatewayMode"] == "gateway-integration"


def test_what_no_config_map_holds_is_told() -> None:
    """D14: the API server would refuse it, and only say that it is too large."""
    many = [{"name": f"an-adapter-of-some-name-{i:04d}"} for i in range(50)]
    names = [f"model-{i}" for i in range(60)]
    listed = []
    for name in names:
        loras = [{"name": f"{name}-{one['name']}"} for one in many]
        listed.append(endpoint(name, loras=loras))
    made = desired(router(*listed), world(*(f"vllm-{name}" for name in names)))
    status, _, message = condition(made, "ConfigValid")
    assert status == "False"
    assert "a ConfigMap holds" in message
    assert not made.children
    assert not made.prune


# --- troubles ----------------------------------------------------------------------------------


def test_what_could_not_be_written_is_told() -> None:
    """A1-80, D14: an object of our name that is somebody else's, or that was refused."""
    made = desired(router())
    refused = Trouble("Deployment", NAME, "Refused", "quota exceeded")
    taken = Trouble("Service", NAME, "NameTaken", "it belongs to Helm")
    told = keeper().troubled(made, router(), [refused, taken])
    status, reason, message = condition(told, "Degraded")
    assert (status, reason) == ("True", "ReconcileError")
    assert "quota exceeded" in message
    assert "it belongs to Helm" in message
    assert told.children == made.children
    assert keeper().troubled(made, router(), []) == made


# --- farewell ----------------------------------------------------------------------------------


def claim(*, owned: bool = True, kept: bool = False) -> Object:
    meta: dict[str, Any] = {"name": f"{NAME}-models", "namespace": NAMESPACE, "uid": "c"}
    if owned:
        meta["ownerReferences"] = [{"uid": UID, "controller": True}]
    if kept:
        meta["annotations"] = {FOR: UID}
    return {"metadata": meta, "spec": {}}


@pytest.mark.parametrize(
    ("retain", "held", "event"),
    [
        (False, claim(), "PVCDeleted"),
        (True, claim(owned=False, kept=True), "PVCRetained"),
        (False, claim(owned=False), ""),
        (False, None, ""),
    ],
)
def test_what_becomes_of_the_claim(retain: bool, held: Object | None, event: str) -> None:
    """A1-69, A1-86: it goes with its owner, or stays where that is wished; what is somebody
    else's is not touched. Each is told."""
    seen = world()
    if held is not None:
        seen.put(CLAIMS, held)
    found = router(persistence={"retainOnDelete": retain})
    told = keeper().farewell(found, seen)
    assert [one[1] for one in told.events] == ([event] if event else [])
    assert not told.delete, "what is owned goes by itself"


def test_a_retained_claim_has_no_owner() -> None:
    """A1-69."""
    made = desired(router(persistence={"retainOnDelete": True}))
    assert [one["kind"] for one in made.unowned] == ["PersistentVolumeClaim"]
    assert "PersistentVolumeClaim" not in [one["kind"] for one in made.children]


def test_a_spec_that_nobody_understands_can_be_deleted() -> None:
    """A1-86."""
    told = keeper().farewell(router(replicass=1), world())
    assert not told.delete


# --- anything ----------------------------------------------------------------------------------

_STATES: list[State] = ["starting", "synced", "forbidden", "absent", "unreachable"]


@st.composite
def worlds(draw: st.DrawFn) -> FakeWorld:
    """Clusters of which much is missing, or cannot be seen."""
    seen = world(*draw(st.sets(st.sampled_from(("a", "b", "vllm-small", "vllm-large")))))
    for resource in (SERVICES, KSERVE_SERVICES, GATEWAYS, ROUTES, STORAGE_CLASSES, CLAIMS):
        seen.states[resource] = draw(st.sampled_from(_STATES))
    if draw(st.booleans()):
        there = {"metadata": {"name": NAME, "namespace": NAMESPACE}}
        seen.put(DEPLOYMENTS, {**there, "spec": draw(st.sampled_from(({}, {"replicas": 2})))})
    return seen


def check(found: Object, seen: FakeWorld) -> Desired:
    before = copy.deepcopy(found)
    made = keeper().desired(found, seen)
    assert found == before, "objects are shared: they are read, never changed"
    assert keeper().desired(found, seen) == made, "the same of the same"
    assert {one.type for one in made.conditions} == set(TYPES)
    for one in (*made.children, *made.unowned):
        assert resource_of(one) in kind().owns
        assert one["metadata"]["namespace"] == NAMESPACE
    heads = [(one["kind"], one["metadata"]["name"]) for one in made.children]
    assert len(set(heads)) == len(heads), "no object is there twice"
    told = {k: v for k, v in made.status.items() if v is not None}
    SemanticRouterStatus.model_validate(told)
    keeper().farewell(found, seen)
    keeper().troubled(made, found, [Trouble("Service", NAME, "Forbidden", "no")])
    return made


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs(SemanticRouterSpec.model_json_schema(by_alias=True)), worlds())
def test_any_spec_in_any_cluster(spec: Any, seen: FakeWorld) -> None:
    """D14: every mistake is a condition, never an exception, and the same spec makes the same
    objects."""
    made = check({**router(), "spec": spec}, seen)
    try:
        SemanticRouterSpec.model_validate(spec)
    except ValidationError:
        assert condition(made, "ConfigValid")[0] == "False"


def _of_the_pod() -> st.SearchStrategy[Any]:
    """Specs whose models and rules are right, whatever else they say."""
    schema = SemanticRouterSpec.model_json_schema(by_alias=True)
    routing = {"vllmEndpoints", "config", "defaultModel", "toolsDb"}
    rest = {k: v for k, v in schema["properties"].items() if k not in routing}
    return specs({**schema, "properties": rest})


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(_of_the_pod())
def test_any_pod(spec: Any) -> None:
    """D14, A1-92: what can be understood has a Deployment, or is told why it cannot work."""
    found = router(**spec)
    made = check(found, world(openshift=True))
    right = condition(made, "ConfigValid")[0] == "True"
    assert right == made.prune
    assert not right or "Deployment" in [one["kind"] for one in made.children]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_is_no_spec_at_all(spec: Any) -> None:
    """An object from before the CRD had a schema."""
    check({**router(), "spec": spec}, world())


# --- an API server's opinion -------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["standalone", "gateway"])
def test_a_real_api_server_takes_what_is_made(kubectl: Kubectl, namespace: str, mode: str) -> None:
    """A1-14, A1-85: under strict validation, and a second time without a change."""
    spec = {**EVERYTHING, **({"gateway": GATEWAY} if mode == "gateway" else {})}
    made = desired(router(**spec))
    of_crds = ("HTTPRoute", "Route", "ServiceMonitor")
    builtin = [copy.deepcopy(one) for one in made.children if one["kind"] not in of_crds]
    for one in builtin:
        one["metadata"]["namespace"] = namespace
    heads = [f"{one['kind']}/{one['metadata']['name']}" for one in builtin]
    apply = ("-n", namespace, "apply", "--server-side", "--field-manager=o", "-f", "-")
    versions = ("-n", namespace, "get", *heads, "-o", "jsonpath={..resourceVersion}")
    said = [kubectl(*apply, stdin=yaml.safe_dump_all(builtin))]
    before = kubectl(*versions).split()
    assert len(before) == len(builtin)
    said.append(kubectl(*apply, stdin=yaml.safe_dump_all(builtin)))
    assert kubectl(*versions).split() == before
    assert all(one.count("serverside-applied") == len(builtin) for one in said)
