"""The router's Service, and what pods say of the configuration that they have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.resources.semantic_router.made import (
    NAME,
    NAMESPACE,
    condition,
    desired,
    named,
    router,
    world,
)
from wayside.resources import Object, Probed
from wayside.resources.semantic_router import service
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.vocab.resource import DEPLOYMENTS, ROUTES

GATEWAY = {"existingRef": {"name": "ingress", "namespace": "istio-system"}}
URL = f"http://{NAME}.{NAMESPACE}.svc:9190/info/config"


def made(**spec: Any) -> Object:
    return named(desired(router(**spec)).children, "Service")


def ports(**spec: Any) -> dict[str, tuple[int, int]]:
    return {p["name"]: (p["port"], p["targetPort"]) for p in made(**spec)["spec"]["ports"]}


def test_ports_without_being_asked_for() -> None:
    """A1-13, A1-32, A1-39, K1: 8080 and 8801 lead to Envoy, 50051 to ext_proc."""
    assert ports() == {
        "grpc": (50051, 50051),
        "api": (8080, 8080),
        "metrics": (9190, 9190),
        "envoy-http": (8801, 8801),
    }


def test_behind_a_gateway() -> None:
    """A1-46, A1-50: no ext_proc and no Envoy, so no ports for them."""
    assert ports(gateway=GATEWAY) == {"api": (8080, 8080), "metrics": (9190, 9190)}


def test_custom_ports() -> None:
    """A1-41, A1-42, A1-43."""
    assert ports(
        service={
            "api": {"port": 80, "targetPort": 9001},
            "grpc": {"port": 50061},
            "metrics": {"enabled": False},
        }
    ) == {"grpc": (50061, 50051), "api": (80, 9001), "envoy-http": (8801, 8801)}


@pytest.mark.parametrize("wish", [{"port": 8801}, {"targetPort": 8801}])
def test_the_alias_gives_way(wish: dict[str, int]) -> None:
    """A1-41: no port is there twice, in the Service or in the pod."""
    found = ports(service={"api": wish})
    assert len({port for port, _ in found.values()}) == len(found)
    if "envoy-http" in found:
        assert found["envoy-http"] == (8801, 8801)
    pod = service.ports(SemanticRouterSpec.model_validate({"service": {"api": wish}}), world())
    taken = [pod.api, pod.alias, pod.grpc, pod.metrics, pod.management, pod.router_api, pod.admin]
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("type", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_type(type: str) -> None:
    """A1-40."""
    assert made(service={"type": type})["spec"]["type"] == type


def test_it_selects_the_pods() -> None:
    """A1-31."""
    children = desired(router()).children
    template = named(children, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert named(children, "Service")["spec"]["selector"].items() <= template.items()
    assert named(children, "Service")["metadata"]["name"] == NAME


def test_protocols_are_told_to_meshes() -> None:
    spoken = {p["name"]: p["appProtocol"] for p in made()["spec"]["ports"]}
    assert spoken == {"grpc": "grpc", "api": "http", "metrics": "http", "envoy-http": "http"}


def test_tls_is_envoys() -> None:
    """A1-55: clients' connections end at Envoy; its certificate is followed when renewed."""
    found = desired(router(service={"tls": {"enabled": True, "secretName": "cert"}}))
    spoken = {
        p["name"]: p["appProtocol"] for p in named(found.children, "Service")["spec"]["ports"]
    }
    assert spoken["api"] == "https"
    assert spoken["envoy-http"] == "https"
    files = named(found.children, "ConfigMap", f"{NAME}-envoy-config")["data"]
    assert "watched_directory" in files["secrets.yaml"]
    spec = named(found.children, "Deployment")["spec"]["template"]["spec"]
    envoy = spec["containers"][1]
    assert envoy["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"
    volumes = {v["name"]: v for v in spec["volumes"]}
    assert volumes["serving-certificate"]["secret"]["secretName"] == "cert"
    assert "serving-certificate" not in str(spec["containers"][0])


def test_openshift_makes_the_certificate() -> None:
    """A1-55, A1-02."""
    spec = {"service": {"tls": {"enabled": True}}}
    found = named(desired(router(**spec), world(openshift=True)).children, "Service")
    key = "service.beta.openshift.io/serving-cert-secret-name"
    assert found["metadata"]["annotations"] == {key: f"{NAME}-tls"}
    assert "annotations" not in made(**spec)["metadata"]
    unknown = world()
    unknown.states[ROUTES] = "unreachable"
    found = named(desired(router(**spec), unknown).children, "Service")
    assert found["metadata"]["annotations"] == {key: f"{NAME}-tls"}


@pytest.mark.parametrize("name", ["my.router", "7b-router", "r" * 64])
def test_a_name_that_no_service_can_have_is_told(name: str) -> None:
    """A1-41: and nothing is begun that an API server would refuse half of."""
    found = desired(router(name=name))
    assert condition(found, "ConfigValid")[:2] == ("False", "Unsupported")
    assert "metadata.name" in condition(found, "ConfigValid")[2]
    assert not found.children
    assert desired(router(name="r" * 63)).children


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"service": {"api": {"targetPort": 50051}}}, "service.grpc.targetPort: 50051"),
        ({"service": {"api": {"port": 9190}}}, "service.metrics.port: 9190"),
        ({"service": {"tls": {"enabled": True}}, "gateway": GATEWAY}, "service.tls"),
    ],
)
def test_what_cannot_work_is_told_and_not_written(spec: dict[str, Any], said: str) -> None:
    """A1-41: the API server's CEL says the first two already; the operator does not rely on it."""
    found = desired(router(**spec))
    status, reason, message = condition(found, "ConfigValid")
    assert (status, reason) == ("False", "Conflict")
    assert said in message
    assert not found.children
    assert not found.prune


# --- what pods have ----------------------------------------------------------------------------


def observed(body: bytes | None, **spec: Any) -> Any:
    seen = world()
    there = {
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "status": {"readyReplicas": 1},
    }
    seen.put(DEPLOYMENTS, there)
    if body is not None:
        seen.probes[URL] = Probed(healthy=True, status=200, body=body)
    return desired(router(**spec), seen).status["observedConfigHash"]


def test_pods_tell_which_configuration_they_have() -> None:
    """A1-81, A1-84: ``status.configHash`` is what they shall have."""
    wanted = desired(router()).status["configHash"]
    assert observed(json.dumps({"digest": wanted}).encode()) == wanted
    assert observed(b'{"digest": "of an older one"}') == "of an older one"


@pytest.mark.parametrize("body", [None, b"", b"[]", b"<html>", b'{"digest": 5}', b"\xff"])
def test_nonsense_is_no_answer(body: bytes | None) -> None:
    assert observed(body) is None


def test_nobody_is_asked_where_nobody_listens() -> None:
    """No Deployment, no pods that are ready, or no port to ask at."""
    for spec in ({}, {"service": {"metrics": {"enabled": False}}}):
        seen = world()
        desired(router(**spec), seen)
        assert seen.asked == []
