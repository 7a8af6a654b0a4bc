"""Requirement 002's installation on a genuine API server: preflight, the script, a second run,
what is left after ``--uninstall``. The objects of OpenShift, MaaS and Kuadrant are the test's."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.cluster import CRDS, Kubectl, serving
from tests.deploy import schemas, shipped
from tests.kubelet.stand_ins import definitions

from .oc import ROOT, Oc, terminal

HERE = "https://api.this-cluster.example.com:6443"
NS = "vllm-semantic-router-system"
FOLDER = ROOT / "deploy" / "openshift"
INTEGRATION = FOLDER / "maas-integration"
KINDS = (
    "httproutes,referencegrants,authpolicies,tokenratelimitpolicies,ratelimitpolicies,gateways,"
    "services,configmaps,namespaces,clusterroles,clusterrolebindings,roles,rolebindings"
)
Object = dict[str, Any]


def grants() -> list[Object]:
    """The CRD of ReferenceGrants: the project's own where it is at hand."""
    path = CRDS / "gateway.networking.k8s.io_referencegrants.yaml"
    if path.exists():
        return list(yaml.safe_load_all(path.read_text()))
    made = copy.deepcopy(definitions("gateway")[1])
    made["metadata"]["name"] = "referencegrants.gateway.networking.k8s.io"
    names = {"kind": "ReferenceGrant", "plural": "referencegrants", "singular": "referencegrant"}
    made["spec"] |= {"names": names}
    made["spec"]["versions"][0]["name"] = "v1beta1"
    return [made]


def version(number: str) -> Object:
    return {
        "apiVersion": "config.openshift.io/v1",
        "kind": "ClusterVersion",
        "metadata": {"name": "version"},
        "status": {"desired": {"version": number}},
    }


GATEWAY = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "maas-default-gateway", "namespace": "openshift-ingress"},
    "spec": {"gatewayClassName": "openshift-default", "listeners": []},
}
INGRESS = {
    "apiVersion": "config.openshift.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "cluster"},
    "spec": {"domain": "apps.my-cluster.example.com"},
}
ROUTER = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "semantic-router-kserve", "namespace": NS},
    "spec": {"ports": [{"port": 8801}], "selector": {"app": "semantic-router"}},
}


class Place:
    def __init__(self, oc: Oc, kubectl: Kubectl) -> None:
        self.oc, self.kubectl = oc, kubectl

    def script(self, *args: str, ok: bool = True) -> tuple[int, str]:
        done = self.oc.run("./apply-maas-integration.sh", *args, cwd=INTEGRATION, ok=ok)
        return done.returncode, done.stdout + done.stderr

    def everything(self) -> dict[tuple[str, str], str]:
        """What there is, and which version of it."""
        found = json.loads(self.kubectl("get", KINDS, "-A", "-o", "json"))["items"]
        return {
            (o["kind"], f"{o['metadata'].get('namespace', '')}/{o['metadata']['name']}"): o[
                "metadata"
            ]["resourceVersion"]
            for o in found
        }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with serving(tmp_path_factory.mktemp("maas")) as server:
        kubectl = Kubectl(server.kubeconfig)
        kubectl("create", "namespace", NS)
        kubectl("create", "namespace", "openshift-ingress")
        folder = tmp_path_factory.mktemp("terminal")
        with terminal(folder, {HERE: server.kubeconfig}) as oc:
            yield Place(oc, kubectl)


def test_a2_20_the_integration_comes_again_and_goes(place: Place) -> None:
    """One cluster, from nothing installed to uninstalled."""
    for step in (
        a2_20_a2_23_what_is_missing_is_told,
        a2_20_a2_24_three_objects_and_limits,
        a2_20_again_writes_nothing,
        a2_46_uninstalled_without_leftovers,
    ):
        step(place)


def a2_20_a2_23_what_is_missing_is_told(it: Place) -> None:
    """A2-23: each thing that is missing has its line, with what to do; nothing is written."""
    status, said = it.script("--domain", "apps.example.com", ok=False)
    assert status == 1
    for what in ("OpenShift 4.18", "AuthPolicy", "MaaS's gateway", "the router's Service"):
        assert what in said, said
    schemas.install(it.kubectl, "kuadrant", "ClusterVersion", "Ingress")
    it.kubectl.apply(*definitions("gateway"), *grants())
    it.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    it.kubectl.apply(GATEWAY, INGRESS, ROUTER)
    it.kubectl.apply(version("4.17.9"))
    told = json.dumps({"status": version("4.17.9")["status"]})
    patch = ("patch", "clusterversion", "version", "--subresource=status", "--type=merge", "-p")
    it.kubectl(*patch, told)
    before = it.everything()
    status, said = it.script(ok=False)
    assert status == 1 and "4.17.9" in said and "4.18" in said and "lacking Kuadrant" not in said
    assert it.everything() == before
    it.kubectl(*patch, told.replace("4.17.9", "4.20.6"))


def a2_20_a2_24_three_objects_and_limits(it: Place) -> None:
    """A2-11, A2-15, A2-24: the hostname has the domain that OpenShift says."""
    before = set(it.everything())
    it.script()
    made = {(k, n.partition("/")[2]) for k, n in set(it.everything()) - before}
    assert made == {
        ("ReferenceGrant", "allow-maas-gateway-to-vsr"),
        ("AuthPolicy", "vsr-interim-auth-policy"),
        ("TokenRateLimitPolicy", "vsr-token-rate-limits"),
        ("RateLimitPolicy", "vsr-rate-limits"),
        ("HTTPRoute", "vsr-interim-route"),
        ("ConfigMap", "wayside-deployment-vsr-maas-integration"),
    }
    (host,) = json.loads(it.oc("get", "httproute", "vsr-interim-route", "-n", NS, "-o", "json"))[
        "spec"
    ]["hostnames"]
    domain = it.oc(
        "get", "ingresses.config.openshift.io", "cluster", "-o", "jsonpath={.spec.domain}"
    )
    assert host == f"maas.{domain}" == "maas.apps.my-cluster.example.com"


def a2_20_again_writes_nothing(it: Place) -> None:
    before = it.everything()
    it.script()
    assert it.everything() == before


def a2_46_uninstalled_without_leftovers(it: Place) -> None:
    """A2-46: the gateway is as it was, and so is everything else."""
    it.script("--uninstall")
    left = {k for k, n in it.everything() if k not in ("Namespace", "ConfigMap")}
    assert left & {"HTTPRoute", "AuthPolicy", "ReferenceGrant", "RateLimitPolicy"} == set()
    gateway = json.loads(it.oc("get", "gateway", "-n", "openshift-ingress", "-o", "json"))["items"]
    assert [g["spec"] for g in gateway] == [GATEWAY["spec"]]
    assert not [n for k, n in it.everything() if "vsr" in n]


def test_a2_16_a2_19_no_route_and_tokens_of_maas(place: Place) -> None:
    """A2-16, A2-19, A2-35: the guide's step 3, as far as a plan: no Route, the router may ask for
    reviews, and its pods are told of MaaS. `oc` was asked for no more than who is logged in."""
    place.kubectl.apply(*definitions("llms"), *definitions("router"))
    place.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    place.oc.forget()
    flags = ("--kserve", "--simulator", "--no-public-route", "--no-observability", "--plan")
    done = place.oc.run("./deploy-to-openshift.sh", *flags, cwd=FOLDER, ok=False)
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "LLMInferenceService" in said and "RoleBinding" in said and "Route " not in said
    assert {call[1] for call in place.oc.calls} <= {"whoami", "get", "api-resources", "project"}
    behind = {"models": {"Model-A": {"tiers": []}}, "targets": {"kserve": {"maas": {}}}}
    objects = [
        o
        for step in shipped.steps("kserve", behind, whole=True)
        for manifest in step.manifests
        for o in manifest.objects
    ]
    assert not [o for o in objects if o["kind"] in ("Route", "Ingress")]
    config = next(o for o in objects if o["metadata"]["name"] == "semantic-router-kserve-config")
    maas = yaml.safe_load(config["data"]["config.yaml"])["maas"]
    assert maas["kubernetes"] == {
        "audiences": ["maas-default-gateway-sa"],
        "models_namespace": NS,
        "models": {"Model-A": "model-a", "Model-B": "model-b"},
    }
    (policy,) = (o["spec"] for o in objects if o["kind"] == "NetworkPolicy")
    (peer,) = policy["ingress"][0]["from"]
    assert "openshift-ingress" in json.dumps(peer)
    reviews = next(o for o in objects if o["kind"] == "ClusterRole")
    assert {r["resources"][0] for r in reviews["rules"]} == {
        "tokenreviews",
        "subjectaccessreviews",
    }
