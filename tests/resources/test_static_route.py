"""StaticRoute: what there shall be, and what is told (A3-27 to A3-36)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.resources.production_stack import NAMESPACE, conditions, made, message, service
from tests.resources.worlds import FakeWorld
from wayside.resources import NOW, Object, Probed, Trouble
from wayside.resources.static_route import StaticRouteKeeper, router_url
from wayside.vocab.resource import SERVICES

KEEPER = StaticRouteKeeper()
BACKENDS = [f"http://localhost:{port}" for port in (9001, 9002, 9003)]
MODELS = ["facebook/opt-125m", "meta-llama/Llama-3.1-8B-Instruct", "facebook/opt-125m"]
WELL = {f"{url}/health": Probed(healthy=True, status=200) for url in BACKENDS}
ILL = Probed(healthy=False, problem="connection refused")


def route(**spec: Any) -> Object:
    said = {"staticBackends": ",".join(BACKENDS), "staticModels": ",".join(MODELS), **spec}
    return made("StaticRoute", "sample", **said)


def test_both_files_have_the_same_compact_json_in_a_fixed_order() -> None:
    """A3-31: byte for byte what production-stack's controller wrote; A3-27: the defaults."""
    (child,) = KEEPER.desired(route(), FakeWorld()).children
    golden = (
        '{"service_discovery":"static","routing_logic":"roundrobin",'
        '"static_backends":"http://localhost:9001,http://localhost:9002,http://localhost:9003",'
        '"static_models":"facebook/opt-125m,meta-llama/Llama-3.1-8B-Instruct,facebook/opt-125m"}'
    )
    assert child["kind"] == "ConfigMap"
    assert child["data"] == {"static_config.json": golden, "dynamic_config.json": golden}


@pytest.mark.parametrize(("given", "name"), [({}, "sample-config"),
                                             ({"configMapName": "mine"}, "mine")])  # fmt: skip
def test_the_config_map_has_the_name_that_is_wanted(given: dict[str, str], name: str) -> None:
    """A3-30, A3-33."""
    desired = KEEPER.desired(route(**given), FakeWorld())
    assert desired.children[0]["metadata"]["name"] == name
    assert desired.children[0]["metadata"]["namespace"] == NAMESPACE
    assert desired.status["configMapRef"] == name


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"staticModels": "a,b"}, "spec.staticModels: 3 backends and 2 models"),
        ({"staticBackends": "a:1,b:2,c:3"}, "spec.staticBackends[0]: a URL begins with http"),
        ({"staticBackends": "http://a,http://b c,http://d"}, "spec.staticBackends[1]"),
        ({"staticBackends": "http://a,,http://d"}, "spec.staticBackends[1]"),
        ({"staticBackends": "http://u:p@a,http://b,http://c"}, "spec.staticBackends[0]"),
        ({"staticModels": "a,,b"}, "spec.staticModels[1]"),
        ({"routingLogic": "least_loded"}, "did you mean 'least_loaded'?"),
        ({"routingLogik": "roundrobin"}, "did you mean 'routingLogic'?"),
        ({"healthCheck": {"periodSeconds": 0}}, "spec.healthCheck.periodSeconds"),
        ({"routerRef": {"kind": "Deployment", "name": "r"}}, "spec.routerRef.kind"),
        ({"staticBackends": ",".join(["http://a"] * 257),
          "staticModels": ",".join(["m"] * 257)}, "at most 256"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_path_and_changes_nothing(
    spec: dict[str, Any], said: str
) -> None:
    """A3-28: what was applied stays, and so does the time."""
    before = {"configMapRef": "sample-config", "lastAppliedTime": "2026-01-01T00:00:00Z",
              "configDigest": "x"}  # fmt: skip
    found = {**route(**spec), "status": before}
    desired = KEEPER.desired(found, FakeWorld())
    assert not desired.children and not desired.prune
    assert conditions(desired)["Accepted"] == ("False", "InvalidSpec")
    assert conditions(desired)["Ready"] == ("False", "InvalidSpec")
    assert said in message(desired, "Accepted")
    assert "u:p" not in message(desired, "Accepted")
    assert {**before, "lastUpdated": NOW} == desired.status


def test_a_router_gets_what_the_lists_mean() -> None:
    """A3-27, A3-31: `least_loaded` and lists with spaces are read by our own translator."""
    from wayside.cli.files import read

    found = route(routingLogic="least_loaded", staticBackends=" , ".join(BACKENDS))
    (child,) = KEEPER.desired(found, FakeWorld()).children
    loaded = read(child["data"]["static_config.json"].encode(), "static_config.json")
    assert loaded.settings.picking is not None
    assert loaded.settings.picking.strategy == "least_requests"
    assert [e.url for e in loaded.settings.models[MODELS[0]].endpoints] == BACKENDS[::2]


def test_the_time_of_application_moves_with_the_content_alone() -> None:
    """A3-34."""
    first = KEEPER.desired(route(), FakeWorld())
    assert first.status["lastAppliedTime"] == NOW
    at = "2026-01-01T00:00:00Z"
    found = {**route(), "status": {**first.status, "lastAppliedTime": at, "lastUpdated": at}}
    again = KEEPER.desired(found, FakeWorld(probes=WELL))
    assert again.status["lastAppliedTime"] == at and again.status["lastUpdated"] == NOW
    found["spec"] = {**found["spec"], "healthCheck": {"periodSeconds": 99}}
    assert KEEPER.desired(found, FakeWorld()).status["lastAppliedTime"] == at
    for change in ({"routingLogic": "least_loaded"}, {"configMapName": "other"}):
        changed = {**found, "spec": {**found["spec"], **change}}
        assert KEEPER.desired(changed, FakeWorld()).status["lastAppliedTime"] == NOW


# --- health ------------------------------------------------------------------------------------


def test_each_backend_is_asked_as_documented_and_nobody_waits() -> None:
    """A3-32: every URL once, timeout 5, period 10, once to be well, thrice to be ill."""
    world = FakeWorld()
    thrice = f"{BACKENDS[0]},{BACKENDS[0]}/v1,{BACKENDS[2]}/"
    desired = KEEPER.desired(route(staticBackends=thrice), world)
    assert {p.url for p in world.asked} == {f"{BACKENDS[0]}/health", f"{BACKENDS[2]}/health"}
    assert {(p.timeout_s, p.period_s, p.successes, p.failures) for p in world.asked} == {
        (5, 10, 1, 3)
    }
    assert conditions(desired)["Ready"] == ("Unknown", "Checking")
    own = {"timeoutSeconds": 1, "periodSeconds": 2, "successThreshold": 3, "failureThreshold": 4}
    KEEPER.desired(route(healthCheck=own), world)
    last = world.asked[-1]
    assert (last.timeout_s, last.period_s, last.successes, last.failures) == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("ill", "every", "ready"),
    [
        ([], ("True", "BackendsHealthy"), ("True", "Ready")),
        ([0], ("False", "BackendsUnhealthy"), ("True", "Ready")),  # the third has its model too
        ([1], ("False", "BackendsUnhealthy"), ("False", "BackendsUnhealthy")),
        ([0, 1, 2], ("False", "BackendsUnhealthy"), ("False", "BackendsUnhealthy")),
    ],
)
def test_ready_is_a_route_whose_every_model_has_somebody(
    ill: list[int], every: tuple[str, str], ready: tuple[str, str]
) -> None:
    """A3-35."""
    probes = {**WELL, **{f"{BACKENDS[i]}/health": ILL for i in ill}}
    desired = KEEPER.desired(route(), FakeWorld(probes=probes))
    told = conditions(desired)
    assert told["BackendsHealthy"] == every and told["Ready"] == ready
    assert told["Applied"] == ("True", "Applied")
    if ill:
        assert f"{BACKENDS[ill[0]]}: connection refused" in message(desired, "BackendsHealthy")
        assert "where the controller runs" in message(desired, "BackendsHealthy")


@pytest.mark.parametrize("answers", [{}, WELL, {**WELL, f"{BACKENDS[1]}/health": ILL}])
@pytest.mark.parametrize("ref", [None, {"name": "vllm-router"}])
def test_the_two_old_types_contradict_each_other_never(
    answers: dict[str, Probed], ref: dict[str, str] | None
) -> None:
    """A3-35: production-stack's controller left the one of yesterday beside the one of today."""
    spec = {"routerRef": ref} if ref else {}
    told = conditions(KEEPER.desired(route(**spec), FakeWorld(probes=answers)))
    pair = {told["HealthCheckSucceeded"][0], told["HealthCheckFailed"][0]}
    assert pair in ({"True", "False"}, {"Unknown"})


def test_a_router_that_is_not_there_is_told_and_waited_for() -> None:
    """A3-29: no error, no retry by the clock: it is looked at when the Service appears."""
    ref = {"kind": "Service", "apiVersion": "v1", "name": "vllm-router", "namespace": "default"}
    world = FakeWorld(probes=WELL)
    desired = KEEPER.desired(route(routerRef=ref), world)
    assert conditions(desired)["RouterReady"] == ("False", "RouterNotFound")
    assert "Service default/vllm-router is not there" in message(desired, "RouterReady")
    assert desired.again_s is None and desired.children
    assert ("get", SERVICES, "default", "vllm-router") in world.looks
    there = service("vllm-router", ("http", 80))
    there["metadata"]["namespace"] = "default"
    world.put(SERVICES, there)
    desired = KEEPER.desired(route(routerRef=ref), world)
    assert conditions(desired)["RouterReady"] == ("Unknown", "Checking")
    world.probes["http://10.96.0.7:80/health"] = Probed(healthy=True, status=200)
    desired = KEEPER.desired(route(routerRef=ref), world)
    assert conditions(desired)["Ready"] == ("True", "Ready")
    world.probes["http://10.96.0.7:80/health"] = ILL
    desired = KEEPER.desired(route(routerRef=ref), world)
    assert conditions(desired)["Ready"] == ("False", "RouterUnhealthy")
    assert "Health check failed for service vllm-router" in message(desired, "HealthCheckFailed")


def test_a_router_is_looked_for_in_the_own_namespace_and_by_its_uid() -> None:
    """A3-29."""
    world = FakeWorld(service("vllm-router", ("http", 80)), probes=WELL)
    ref = {"name": "vllm-router", "resourceVersion": "7"}
    desired = KEEPER.desired(route(routerRef=ref), world)
    assert ("get", SERVICES, NAMESPACE, "vllm-router") in world.looks
    assert "spec.routerRef.resourceVersion has no effect" in message(desired, "Accepted")
    other = KEEPER.desired(route(routerRef={**ref, "uid": "another"}), world)
    assert conditions(other)["RouterReady"] == ("False", "RouterNotFound")
    assert "leave uid out" in message(other, "RouterReady")


@pytest.mark.parametrize(
    ("found", "url"),
    [
        (service("r", ("http", 80)), "http://10.96.0.7:80/health"),
        (service("r", ("grpc", 9), ("web", 8000)), "http://10.96.0.7:8000/health"),
        (service("r", ("http", 80), clusterIP="None"), "http://r.models.svc:80/health"),
        (service("r", ("https", 443)), "https://r.models.svc:443/health"),
        (service("r", ("http", 80), clusterIP="fd00::1"), "http://[fd00::1]:80/health"),
        (service("r", ("grpc", 9)), ""),
        (service("r", ("http", 80), type="ExternalName", externalName="a.example"),
         "http://a.example:80/health"),
    ],
)  # fmt: skip
def test_where_a_router_is_asked(found: Object, url: str) -> None:
    """A3-29, A3-32."""
    assert router_url(found) == url


def test_a_router_without_a_port_to_ask_is_not_passed_over_in_silence() -> None:
    world = FakeWorld(service("r", ("grpc", 9)), probes=WELL)
    desired = KEEPER.desired(route(routerRef={"name": "r"}), world)
    assert conditions(desired)["RouterReady"] == ("Unknown", "NoPort")
    assert conditions(desired)["Ready"] == ("Unknown", "NoPort")


def test_a_config_map_of_somebody_else_is_left_alone_and_told() -> None:
    """A3-36."""
    desired = KEEPER.desired(route(), FakeWorld(probes=WELL))
    trouble = Trouble(
        "ConfigMap", "sample-config", "NameTaken", "ConfigMap sample-config is taken"
    )
    found = {**route(), "status": {"lastAppliedTime": "2026-01-01T00:00:00Z"}}
    told = KEEPER.troubled(desired, found, [trouble])
    assert conditions(told)["Applied"] == conditions(told)["Ready"] == ("False", "NameTaken")
    applied = next(c for c in told.conditions if c.type == "Applied")
    assert (applied.event, applied.event_reason) == ("Warning", "FailedReconcileConfigMap")
    assert told.status["configMapRef"] is None
    assert told.status["lastAppliedTime"] == "2026-01-01T00:00:00Z"


def test_the_same_object_and_world_give_the_same() -> None:
    assert KEEPER.desired(route(), FakeWorld()) == KEEPER.desired(route(), FakeWorld())
    json.dumps(KEEPER.desired(route(), FakeWorld()).children)
