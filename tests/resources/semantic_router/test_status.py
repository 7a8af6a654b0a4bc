"""Conditions, phase and figures: what they are made of, and what they can never say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.resources.worlds import FakeWorld
from wayside.resources import Condition, Desired, Trouble
from wayside.resources.semantic_router.backends import Backend
from wayside.resources.semantic_router.exposure import Exposure, RouteState, exposure, route
from wayside.resources.semantic_router.gateway import GatewayState, gateway
from wayside.resources.semantic_router.rollout import Rollout
from wayside.resources.semantic_router.spec import SemanticRouterSpec, SemanticRouterStatus
from wayside.resources.semantic_router.status import (
    TYPES,
    Facts,
    Told,
    not_understood,
    phase,
    tell,
    troubled,
)
from wayside.resources.semantic_router.storage import StorageState
from wayside.vocab.resource import GATEWAYS, ROUTES

DONE = Rollout(wanted=2, exists=True, observed=True, replicas=2, updated=2, ready=2)
BOUND = StorageState({"emptyDir": {}}, Condition("StorageReady", "True", "Bound", "It is."))
LLAMA = Backend(name="llama", model="llama3", type="service", url="http://llama:8000", ready=True)
LOST = Backend(
    name="lost",
    model="llama3",
    type="kserve",
    reason="InferenceServiceNotFound",
    message="InferenceService ns/lost not found",
)


def facts(**fields: Any) -> Facts:
    """A router that is well; and what is otherwise."""
    spec = fields.pop("spec", SemanticRouterSpec())
    world = fields.pop("world", FakeWorld())
    whole: dict[str, Any] = {
        "rollout": DONE,
        "backends": (LLAMA,),
        "gateway": gateway(spec, "r", "ns", world),
        "storage": BOUND,
        "route": route(spec, "r", "ns", world),
        "exposure": exposure(spec, "r", "ns", world),
        "digest": "d" * 64,
        "observed_digest": "d" * 64,
    }
    return Facts(spec=spec, name="r", namespace="ns", **{**whole, **fields})


def said(told: Told) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in told.conditions}


def message(told: Told, kind: str) -> str:
    return next(one.message for one in told.conditions if one.type == kind)


BEHIND = SemanticRouterSpec.model_validate(
    {"gateway": {"existingRef": {"name": "g", "namespace": "n"}}}
)
ROUTED = SemanticRouterSpec.model_validate({"openshift": {"routes": {"enabled": True}}})


def test_a_router_that_is_well() -> None:
    """A1-79, A1-80, A1-81."""
    told = tell(facts())
    assert said(told) == {
        "Available": ("True", "AllReplicasReady"),
        "Progressing": ("False", "Complete"),
        "Degraded": ("False", "None"),
        "ConfigValid": ("True", "Valid"),
        "BackendsResolved": ("True", "AllResolved"),
        "GatewayReady": ("True", "Standalone"),
        "StorageReady": ("True", "Bound"),
        "RouteReady": ("True", "Disabled"),
    }
    assert told.status == {
        "phase": "Running",
        "replicas": 2,
        "readyReplicas": 2,
        "gatewayMode": "standalone",
        "openshiftFeatures": None,
        "backends": [LLAMA.told()],
        "configHash": "d" * 64,
        "observedConfigHash": "d" * 64,
        "route": None,
        "endpoints": {
            "api": "http://r.ns.svc:8080",
            "grpc": "r.ns.svc:50051",
            "metrics": "http://r.ns.svc:9190/metrics",
        },
    }
    assert told.again_s == 60


@pytest.mark.parametrize(
    ("otherwise", "kind", "reason", "degraded", "again_s"),
    [
        (
            {"backends": (LLAMA, LOST)},
            "BackendsResolved",
            "PartiallyResolved",
            "BackendUnresolved",
            15,
        ),
        ({"backends": (LOST,)}, "BackendsResolved", "NoneResolved", "BackendUnresolved", 15),
        ({"spec": BEHIND}, "GatewayReady", "GatewayNotFound", "GatewayNotReady", 30),
        (
            {"spec": BEHIND, "world": FakeWorld(states={GATEWAYS: "absent"})},
            "GatewayReady",
            "ApiMissing",
            "GatewayNotReady",
            30,
        ),
        (
            {"storage": replace(BOUND, condition=Condition("StorageReady", "False", "Lost", "x"))},
            "StorageReady",
            "Lost",
            "StorageNotReady",
            30,
        ),
        (
            {"problems": ("config.decisions[0]: no",), "validity": "UnknownModel"},
            "ConfigValid",
            "UnknownModel",
            "ConfigInvalid",
            60,
        ),
        (
            {"exposure": Exposure(problems=("ingress.hosts",))},
            "ConfigValid",
            "Conflict",
            "ConfigInvalid",
            60,
        ),
        (
            {"rollout": replace(DONE, ready=1, stuck="took too long")},
            "Progressing",
            "ProgressDeadlineExceeded",
            "RolloutFailed",
            60,
        ),
    ],
)
def test_what_is_wrong_degrades_and_is_looked_at_again(
    otherwise: dict[str, Any], kind: str, reason: str, degraded: str, again_s: float
) -> None:
    """A1-20, A1-49, A1-65, A1-80: while it goes on serving."""
    told = tell(facts(**otherwise))
    assert said(told)[kind] == ("False", reason)
    assert said(told)["Degraded"] == ("True", degraded)
    assert message(told, kind) in message(told, "Degraded")
    assert told.status["phase"] == "Degraded"
    assert told.again_s == again_s


def test_a_wish_that_other_clusters_grant_degrades_nothing() -> None:
    """A1-59: the same YAML serves on OpenShift and elsewhere."""
    told = tell(facts(spec=ROUTED, world=FakeWorld(states={ROUTES: "absent"})))
    assert said(told)["RouteReady"] == ("False", "NotOpenShift")
    assert said(told)["Degraded"] == ("False", "None")
    assert told.status["phase"] == "Running"


@pytest.mark.parametrize(
    ("rollout", "otherwise", "expected"),
    [
        (Rollout(wanted=2), {}, "Pending"),
        (replace(DONE, ready=0), {}, "Pending"),
        (replace(DONE, ready=1), {}, "Progressing"),
        (replace(DONE, observed=False), {}, "Progressing"),
        (replace(DONE, updated=1), {}, "Progressing"),
        (DONE, {}, "Running"),
        (DONE, {"backends": (LOST,)}, "Degraded"),
        (DONE, {"problems": ("no",)}, "Degraded"),
        (replace(DONE, ready=0), {"problems": ("no",)}, "Failed"),
        (Rollout(wanted=2, blocked="no"), {"problems": ("no",)}, "Failed"),
        (Rollout(wanted=2, blocked="no model"), {"backends": (LOST,)}, "Pending"),
        (Rollout(wanted=0, exists=True, observed=True), {}, "ScaledToZero"),
        (Rollout(wanted=0), {}, "Pending"),
    ],
)
def test_the_phase_is_the_conditions_in_one_word(
    rollout: Rollout, otherwise: dict[str, Any], expected: str
) -> None:
    """A1-79."""
    assert tell(facts(rollout=rollout, **otherwise)).status["phase"] == expected


def test_messages_name_what_and_where() -> None:
    """A1-77."""
    told = tell(facts(backends=(LLAMA, LOST)))
    assert message(told, "BackendsResolved") == (
        "1 of 2 backends are not found: lost: InferenceService ns/lost not found"
    )


def test_many_problems_are_counted_and_not_printed_without_end() -> None:
    """A1-77."""
    told = tell(facts(problems=["p" * 5000] * 300))
    assert message(told, "ConfigValid").endswith("and 295 more")
    assert len(message(told, "Degraded")) < 6000


def test_backends_that_are_found_and_not_ready_are_told() -> None:
    """A1-20: the router leaves them out by itself; nobody has to change the spec."""
    told = tell(facts(backends=(replace(LLAMA, ready=False, reason="NoReadyEndpoints"),)))
    assert said(told)["BackendsResolved"] == ("True", "AllResolved")
    assert "Not ready: llama: NoReadyEndpoints" in message(told, "BackendsResolved")


@pytest.mark.parametrize(
    ("otherwise", "event", "reason"),
    [
        ({}, "Normal", "BackendResolved"),
        ({"backends": (LOST,)}, "Warning", "BackendUnresolved"),
        ({"backends": (replace(LLAMA, warning=True),)}, "Warning", "BackendAmbiguous"),
        ({"problems": ("no",)}, "Warning", "ConfigInvalid"),
        ({}, "Normal", "ConfigApplied"),
        ({"spec": BEHIND}, "Warning", "GatewayNotFound"),
    ],
)
def test_events_have_the_reasons_that_are_promised(
    otherwise: dict[str, Any], event: str, reason: str
) -> None:
    """A1-22, A1-78."""
    events = {(c.event, c.event_reason or c.reason) for c in tell(facts(**otherwise)).conditions}
    assert (event, reason) in events


def test_the_way_in_is_the_route_that_there_is() -> None:
    """A1-57, A1-58: HTTPRoute, then Route, then Ingress."""
    hosts = [{"host": "i.example.com", "paths": [{}]}]
    ingress = SemanticRouterSpec.model_validate({"ingress": {"enabled": True, "hosts": hosts}})
    admitted = {"metadata": {"name": "r", "namespace": "ns"}}
    admitted |= {"status": {"ingress": [{"host": "o.example.com"}]}}
    world = FakeWorld(at={ROUTES: [admitted]})
    assert tell(facts(spec=BEHIND)).status["route"] == {
        "name": "r",
        "hosts": [],
        "accepted": False,
    }
    told = tell(facts(spec=ROUTED, world=world))
    assert told.status["route"] == {"name": "r", "hosts": ["o.example.com"], "accepted": True}
    assert told.status["openshiftFeatures"] == {
        "routesEnabled": True,
        "routeHostname": "o.example.com",
    }
    assert tell(facts(spec=ingress)).status["route"] == {
        "name": "r",
        "hosts": ["i.example.com"],
        "accepted": False,
    }


def test_endpoints_are_those_that_there_are() -> None:
    """A1-41, A1-43, A1-46, A1-50: behind a Gateway only ``api`` is needed."""
    spec = SemanticRouterSpec.model_validate(
        {
            "service": {"api": {"port": 9000}, "metrics": {"enabled": False}},
            "gateway": {"existingRef": {"name": "g", "namespace": "n"}},
        }
    )
    assert tell(facts(spec=spec)).status["endpoints"] == {"api": "http://r.ns.svc:9000"}


def test_a_spec_that_cannot_be_read_says_so_and_nothing_else() -> None:
    """A1-103: what runs goes on."""
    told = not_understood(DONE, ["replicas: not a number"], "ParseError")
    assert said(told)["ConfigValid"] == ("False", "ParseError")
    assert said(told)["GatewayReady"] == ("Unknown", "SpecNotUnderstood")
    assert told.status == {"phase": "Degraded", "replicas": 2, "readyReplicas": 2}


# --- what could not be written


def desired(**fields: Any) -> Desired:
    told = tell(facts(**fields))
    return Desired(conditions=told.conditions, status=told.status, again_s=told.again_s)


def trouble(kind: str) -> Trouble:
    return Trouble(kind, "r", "Refused", "the quota is used up")


@pytest.mark.parametrize(
    ("kind", "told_by"),
    [
        ("Service", None),
        ("HTTPRoute", "GatewayReady"),
        ("PersistentVolumeClaim", "StorageReady"),
        ("Route", "RouteReady"),
    ],
)
def test_what_could_not_be_written_is_told(kind: str, told_by: str | None) -> None:
    """A1-80, defect 14: errors reach the status."""
    after = troubled(desired(), [trouble(kind)])
    by_type = {one.type: one for one in after.conditions}
    assert tuple(by_type) == TYPES
    assert by_type["Degraded"].status == "True"
    assert f"{kind} r cannot be written: the quota is used up" in by_type["Degraded"].message
    assert after.status["phase"] == "Degraded"
    if told_by is None:
        assert by_type["Degraded"].reason == "ReconcileError"
        assert by_type["Degraded"].event == "Warning"
    else:
        assert (by_type[told_by].status, by_type[told_by].reason) == ("False", "Refused")


def test_no_trouble_changes_nothing() -> None:
    wish = desired()
    assert troubled(wish, []) is wish


def test_trouble_makes_nobody_serve_who_does_not() -> None:
    """A1-79."""
    after = troubled(desired(rollout=Rollout(wanted=1)), [trouble("Deployment")])
    assert after.status["phase"] == "Pending"


# --- laws

COUNT = st.integers(0, 3)
ROLLOUTS = st.builds(
    Rollout,
    wanted=COUNT,
    exists=st.booleans(),
    observed=st.booleans(),
    replicas=COUNT,
    updated=COUNT,
    ready=COUNT,
    stuck=st.sampled_from(["", "too long"]),
    failure=st.sampled_from(["", "quota"]),
    blocked=st.sampled_from(["", "no model"]),
)


def ready(kind: str) -> st.SearchStrategy[Condition]:
    status = st.sampled_from(["True", "False", "Unknown"])
    return st.builds(
        Condition, st.just(kind), status, st.sampled_from(["A", "NotOpenShift"]), st.just("why")
    )


FACTS = st.builds(
    Facts,
    spec=st.sampled_from([SemanticRouterSpec(), BEHIND, ROUTED]),
    name=st.just("r"),
    namespace=st.just("ns"),
    rollout=ROLLOUTS,
    backends=st.lists(st.sampled_from([LLAMA, LOST]), max_size=3),
    gateway=st.builds(
        GatewayState,
        st.sampled_from(["standalone", "gateway-integration"]),
        ready("GatewayReady"),
    ),
    storage=st.builds(StorageState, st.just({"emptyDir": {}}), ready("StorageReady")),
    route=st.builds(RouteState, ready("RouteReady")),
    exposure=st.just(Exposure()),
    problems=st.lists(st.text(max_size=5), max_size=2),
)
TROUBLES = st.lists(
    st.builds(
        Trouble,
        st.sampled_from(["Deployment", "HTTPRoute", "Route", "PersistentVolumeClaim"]),
        st.just("r"),
        st.sampled_from(["Refused", "Absent"]),
        st.just("no"),
    ),
    max_size=3,
)


@given(FACTS, TROUBLES)
def test_nothing_that_is_told_contradicts_another(seen: Facts, troubles: list[Trouble]) -> None:
    """A1-79, A1-80: for any facts."""
    first = tell(seen)
    assert tell(seen) == first
    wish = Desired(conditions=first.conditions, status=first.status, again_s=first.again_s)
    told = troubled(wish, troubles)
    by_type = {one.type: one for one in told.conditions}
    assert tuple(one.type for one in told.conditions) == TYPES
    assert all(one.reason and one.message is not None for one in told.conditions)
    # Progressing says Complete exactly when the rollout is.
    progressing = by_type["Progressing"]
    assert (progressing.reason == "Complete") is seen.rollout.complete
    assert (progressing.status == "True") is (progressing.reason in ("Reconciling", "RollingOut"))
    # Available is whether anybody is ready.
    serves = seen.rollout.exists and seen.rollout.ready > 0
    assert (by_type["Available"].status == "True") is serves
    # Degraded is whether anything is.
    wrong = any(
        by_type[kind].status == "False" and by_type[kind].reason != "NotOpenShift"
        for kind in TYPES[3:]
    )
    stuck = progressing.reason in ("RolloutFailed", "ProgressDeadlineExceeded")
    assert (by_type["Degraded"].status == "True") is (wrong or stuck or bool(troubles))
    assert (by_type["Degraded"].reason == "None") is (by_type["Degraded"].status == "False")
    # The phase follows from them, and from no more than the pods that are wanted.
    assert told.status["phase"] == phase(seen.rollout, told.conditions)
    assert (told.status["phase"] == "Running") is (
        serves and seen.rollout.complete and by_type["Degraded"].status == "False"
    )
    assert told.status["phase"] not in ("Running", "Degraded", "Progressing") or serves
    assert told.again_s is not None
    assert 15 <= told.again_s <= 60
    # What is told is what the CRD has fields for.
    SemanticRouterStatus.model_validate(told.status)
