"""Targets ``maas-dual-gateway`` and ``maas-single-gateway`` as a whole: what they make of an
intent, in which order, what they need, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.deploy import shipped
from wayside.deploy import Manifest, Object
from wayside.deploy.applying.scene import Offline, rendered
from wayside.deploy.intent import Intent
from wayside.vocab.errors import ConfigError

BOTH = ("maas-dual-gateway", "maas-single-gateway")


def an_intent(name: str, **more: Any) -> Intent:
    example = yaml.safe_load(shipped.entries()[name].example)
    return Intent.model_validate(shipped.merged(example, more))


def manifests(name: str, told: dict[str, str] | None = None, **more: Any) -> list[Manifest]:
    intent = an_intent(name, **more)
    target = shipped.entries()[name].target
    assert not target.problems(intent)
    scene = Offline({"domain": "apps.example.com"} if told is None else told)
    return [m for step in rendered(target, intent, scene) for m in step.manifests]


def objects(made: list[Manifest]) -> dict[tuple[str, str], Object]:
    return {(o["kind"], o["metadata"]["name"]): o for m in made for o in m.objects}


@pytest.mark.parametrize("name", BOTH)
def test_who_may_come_in_is_said_before_anybody_can(name: str) -> None:
    """A2-41, A2-20: rights and policies first, the route last."""
    order = [o["kind"] for m in manifests(name) for o in m.objects]
    last = len(order) - 1 - order[::-1].index("HTTPRoute")
    first = order.index("HTTPRoute")
    for kind in ("RoleBinding", "Deployment", "AuthPolicy", "TokenRateLimitPolicy"):
        assert max(i for i, each in enumerate(order) if each == kind) < first <= last


@pytest.mark.parametrize("name", BOTH)
def test_a2_35_the_router_reviews_tokens_itself(name: str) -> None:
    """A2-35, A2-36: it is told of MaaS, has a token of its own to ask with, and may ask; models
    carry MaaS's annotation, and nobody but the gateway's namespace may connect."""
    made = objects(manifests(name))
    config = next(o for (k, n), o in made.items() if k == "ConfigMap" and n.endswith("-config")
                  and "config.yaml" in o["data"])  # fmt: skip
    maas = yaml.safe_load(config["data"]["config.yaml"])["maas"]
    assert maas["kubernetes"]["models"] == {"Model-A": "model-a", "Model-B": "model-b"}
    assert not any("tokens" in tier for tier in maas["tiers"]), "Kuadrant counts them"
    (pods,) = (o["spec"]["template"]["spec"] for (k, _), o in made.items() if k == "Deployment")
    assert pods["automountServiceAccountToken"] is True
    (binding,) = (o for (k, _), o in made.items() if k == "ClusterRoleBinding")
    assert binding["subjects"][0]["name"] == pods["serviceAccountName"]
    notes = {n: o["metadata"]["annotations"] for (k, n), o in made.items()
             if k == "LLMInferenceService"}  # fmt: skip
    assert notes["model-a"]["alpha.maas.opendatahub.io/tiers"] == "[]"
    assert notes["model-b"]["alpha.maas.opendatahub.io/tiers"] == '["premium", "enterprise"]'
    (policy,) = (o["spec"] for (k, _), o in made.items() if k == "NetworkPolicy")
    assert "openshift-ingress" in str(policy["ingress"][0]["from"])


@pytest.mark.parametrize("name", BOTH)
def test_a2_24_the_hostname_is_told_or_asked_for(name: str) -> None:
    """A2-11, A2-24: nothing is made up, and nothing is left as `${CLUSTER_DOMAIN}`."""
    with pytest.raises(ConfigError, match=r"--set domain=") as caught:
        manifests(name, {})
    assert caught.value.problems[0].where == "gateway.host"
    gateway = {"name": "maas-default-gateway", "host": "maas.my.example.com"}
    for made in (
        manifests(name, {}, gateway=gateway),
        manifests(name, {"domain": "my.example.com"}),
    ):
        (host,) = {h for (k, _), o in objects(made).items() if k == "HTTPRoute"
                   for h in o["spec"]["hostnames"]}  # fmt: skip
        assert host == "maas.my.example.com" and "${" not in str(made)


@pytest.mark.parametrize("name", BOTH)
def test_a2_23_what_is_needed(name: str) -> None:
    target = shipped.entries()[name].target
    found = {need.what: need for need in target.needs(an_intent(name))}
    assert found["OpenShift 4.18"].version == ("status.desired.version", "4.18")
    assert found["MaaS's gateway"].namespace == "openshift-ingress"
    assert {"Kuadrant's AuthPolicy", "Kuadrant's TokenRateLimitPolicy"} <= set(found)
    assert all(need.fix for need in found.values())
    elsewhere = an_intent(name, targets={name: {"platform": "kubernetes", "limits": "router"}})
    less = {need.what for need in target.needs(elsewhere)}
    assert set(found) - less == {
        "OpenShift 4.18", "Kuadrant's TokenRateLimitPolicy", "Kuadrant's RateLimitPolicy",
    }  # fmt: skip


@pytest.mark.parametrize("name", BOTH)
def test_limits_are_the_routers_where_that_is_said(name: str) -> None:
    """A2-32: then the same table is in its configuration."""
    made = objects(manifests(name, targets={name: {"limits": "router"}}))
    assert not [k for k, _ in made if k.endswith("RateLimitPolicy")]
    config = next(
        o for (k, _), o in made.items() if k == "ConfigMap" and "config.yaml" in o["data"]
    )
    free = yaml.safe_load(config["data"]["config.yaml"])["maas"]["tiers"][0]
    assert free["tokens"] == [{"limit": 100, "window": "1m"}]


def test_the_dual_gateways_integration_alone() -> None:
    """A2-20: for a router that is there; models and router are refused then, and so is a name for
    the Service of a router that is made here."""
    name = "maas-dual-gateway"
    only = {name: {"parts": ["integration"], "service": "their-router"}}
    intent = Intent.model_validate({"name": "mine", "targets": only})
    target = shipped.entries()[name].target
    assert not target.problems(intent)
    steps = list(rendered(target, intent, Offline({"domain": "apps.example.com"})))
    made = objects([m for step in steps for m in step.manifests])
    assert {k for k, _ in made} == {
        "ReferenceGrant", "AuthPolicy", "TokenRateLimitPolicy", "RateLimitPolicy", "HTTPRoute",
    }  # fmt: skip
    (rule,) = made["HTTPRoute", "vsr-interim-route"]["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": "their-router", "port": 8801}]
    needed = {need.what: need.name for need in target.needs(intent)}
    assert needed["the router's Service"] == "their-router"
    assert {p.where for p in target.problems(an_intent(name, targets=only))} == {"models"}
    named = an_intent(name, targets={name: {"service": "x"}})
    (problem,) = target.problems(named)
    assert problem.where == f"targets.{name}.service"


def test_the_single_gateway_has_no_proxy_of_its_own() -> None:
    """A2-39: the router serves ext_proc to the gateway, and nothing to clients."""
    made = objects(manifests("maas-single-gateway"))
    service = made["Service", "semantic-router"]["spec"]
    assert [p["port"] for p in service["ports"]] == [50051, 9190]
    (pods,) = (o["spec"]["template"]["spec"] for (k, _), o in made.items() if k == "Deployment")
    assert [c["name"] for c in pods["containers"]] == ["semantic-router"]
    assert (
        made["DestinationRule", "vsr-select"]["spec"]["trafficPolicy"]["tls"]["mode"] == "DISABLE"
    )
    rules = made["HTTPRoute", "vsr-route"]["spec"]["rules"]
    assert [r["backendRefs"][0] for r in rules] == [
        {"name": "model-a-kserve-workload-svc", "port": 8000},
        {"name": "model-b-kserve-workload-svc", "port": 8000},
    ]


def test_the_single_gateway_leads_to_its_own_namespace() -> None:
    name = "maas-single-gateway"
    models = {
        "gpt": {"cloud": {"url": "https://api.openai.com/v1"}},
        "far": {"service": {"name": "far", "namespace": "elsewhere"}},
    }
    found = shipped.entries()[name].target.problems(an_intent(name, models=models))
    assert {p.where for p in found} == {"models.gpt.cloud", "models.far.service.namespace"}
    assert all(p.fix for p in found)
