"""Samples, and every piece of YAML that people have been shown, apply and mean something."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import SHARED, Kubectl
from tests.crds import install, semantic_router
from tests.docs.pages import PAGES, blocks
from tests.resources.worlds import FakeWorld
from wayside.kube.client import Client
from wayside.resources import Condition, Desired
from wayside.resources.semantic_router import SEMANTIC_ROUTERS, SemanticRouter
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.vocab.resource import SERVICES

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "deploy/operator/config/samples"
NAMED = ("simple", "openshift", "gateway", "llamastack", "route")
"""Those that requirement 001 names."""
OTHERS = ("mmbert", "complexity", "redis", "valkey", "milvus", "qdrant", "hybrid")
NOT_SERVED = ("milvus", "qdrant", "hybrid")
"""Caches that this router does not have: their samples say so, and so does the operator."""
UPSTREAM = SHARED / "data/vsr-configs/operator-samples"
REQUIREMENT = SHARED / "requirements"

Object = dict[str, Any]


def documents(path: Path) -> list[Object]:
    return [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]


def routers(path: Path) -> list[Object]:
    return [each for each in documents(path) if each["kind"] == "SemanticRouter"]


def paths() -> list[Path]:
    return sorted(SAMPLES.glob("*.yaml"))


def desired(found: Object, world: FakeWorld) -> Desired:
    meta = {"namespace": "default", "uid": "1", "generation": 1, **found["metadata"]}
    return SemanticRouter().desired({**found, "metadata": meta}, world)


def conditions(found: Object) -> dict[str, Condition]:
    """What the operator says of an object in a cluster that has nothing else."""
    return {each.type: each for each in desired(found, FakeWorld()).conditions}


def with_services(found: Object) -> FakeWorld:
    """A cluster that has the Services which an object names."""
    world = FakeWorld(settings={"ROUTER_IMAGE": "ours/router:1"})
    for endpoint in found["spec"]["vllmEndpoints"]:
        if named := endpoint["backend"].get("service"):
            meta = {"name": named["name"], "namespace": named.get("namespace", "default")}
            world.put(SERVICES, {"metadata": meta, "spec": {"ports": [{"port": named["port"]}]}})
    return world


@pytest.fixture(scope="module")
def cluster(kubectl: Kubectl) -> Kubectl:
    install(kubectl, "SemanticRouter")
    return kubectl


@pytest.fixture
def place(cluster: Kubectl) -> str:
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster("create", "namespace", name)
    return name


def apply_all(cluster: Kubectl, found: list[Object], namespace: str) -> str:
    """Apply objects, each in this namespace whatever it says itself, under names of their own."""
    moved = []
    for index, each in enumerate(found):
        meta = {**each["metadata"], "namespace": namespace}
        if each["kind"] == "SemanticRouter":
            meta["name"] = f"{meta['name']}-{index}"
        moved.append({**each, "metadata": meta})
    return cluster.apply(*moved)


def test_the_samples_that_people_were_promised_are_there() -> None:
    """A1-12, D21: a test that finds no samples has tested nothing."""
    found = {path.name for path in paths()}
    assert found == {
        *(f"vllm.ai_v1alpha1_semanticrouter_{name}.yaml" for name in (*NAMED, *OTHERS)),
        "vllm_v1alpha1_semanticrouter.yaml",
    }
    assert all(routers(path) for path in paths())


def test_every_sample_applies_under_strict_validation(cluster: Kubectl, place: str) -> None:
    """A1-12, A1-14 to A1-17, K4"""
    found = [each for path in paths() for each in documents(path)]
    said = apply_all(cluster, found, place)
    assert said.count("semanticrouter.vllm.ai/") == len(paths())
    assert said.count(" created") == len(found)


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.stem.rpartition("_")[2])
def test_the_operator_understands_every_sample(path: Path) -> None:
    """A1-12, A1-13, K4: none but those that say so themselves is refused, and every other one
    says which fields it only notes."""
    (found,) = routers(path)
    valid = conditions(found)["ConfigValid"]
    if path.stem.endswith(NOT_SERVED):
        assert (valid.status, valid.reason) == ("False", "Unsupported")
        assert "ConfigValid is False" in path.read_text("utf-8")
    else:
        assert (valid.status, valid.reason) == ("True", "Valid"), valid.message


async def test_what_is_stored_of_a_sample_means_what_was_written(
    cluster: Kubectl, admin: Client, place: str
) -> None:
    """An API server fills in defaults: nobody may take them for a wish."""
    deployments = 0
    for path in paths():
        (found,) = routers(path)
        cluster.apply(found, namespace=place)
        stored = await admin.get(SEMANTIC_ROUTERS, found["metadata"]["name"], place)
        world = with_services(found)
        one, other = (desired({**found, "spec": o["spec"]}, world) for o in (found, stored))
        assert unordered(one.children) == unordered(other.children), path.name
        assert [digestless(c.message) for c in one.conditions] == [
            digestless(c.message) for c in other.conditions
        ]
        deployments += sum(each["kind"] == "Deployment" for each in one.children)
    assert deployments >= 5


def digestless(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{12,64}\b", "DIGEST", text)


def unordered(children: Sequence[Object]) -> list[Object]:
    """An API server sorts keys, and so the lines of a configuration and its digest follow."""
    text = yaml.safe_dump(list(children))
    made: list[Object] = yaml.safe_load(digestless(text))
    for each in made:
        for key, value in each.get("data", {}).items():
            each["data"][key] = yaml.safe_load(value)
    return made


def sample(name: str) -> SemanticRouterSpec:
    (found,) = routers(SAMPLES / f"vllm.ai_v1alpha1_semanticrouter_{name}.yaml")
    return SemanticRouterSpec.model_validate(found["spec"])


def test_the_simple_sample_is_short_and_says_nothing_of_ports() -> None:
    """A1-13"""
    (found,) = routers(SAMPLES / "vllm.ai_v1alpha1_semanticrouter_simple.yaml")
    assert "service" not in found["spec"]
    assert "storageClassName" not in found["spec"]["persistence"]
    assert sample("simple").service.api.port == 8080


def test_samples_show_what_they_are_named_for() -> None:
    """A1-14, A1-15, A1-16, A1-17"""
    full = sample("openshift")
    assert {e.backend.type for e in full.vllm_endpoints} == {"kserve", "llamastack", "service"}
    assert full.openshift.routes.enabled
    assert full.gateway
    assert full.autoscaling.enabled
    assert full.affinity
    assert full.tolerations
    assert [tool.name for tool in full.tools_db] == [
        "get_weather", "search_knowledge_base", "calculate",
    ]  # fmt: skip
    for probe in (full.startup_probe, full.liveness_probe, full.readiness_probe):
        assert probe and probe.http_get
    gateway = sample("gateway")
    assert gateway.gateway and gateway.gateway.existing_ref.name == "istio-ingressgateway"
    assert (gateway.autoscaling.min_replicas, gateway.autoscaling.max_replicas) == (3, 20)
    stacks = [e for e in sample("llamastack").vllm_endpoints if e.backend.type == "llamastack"]
    assert len({tuple(e.backend.discovery_labels.items()) for e in stacks}) == 2
    routes = sample("route").openshift.routes
    assert (routes.enabled, routes.tls.termination) == (True, "edge")


def test_a_volume_that_several_pods_share_can_be_shared() -> None:
    """D41: none of the samples deadlocks."""
    for path in paths():
        (found,) = routers(path)
        spec = SemanticRouterSpec.model_validate(found["spec"])
        if spec.persistence.enabled and (spec.replicas > 1 or spec.autoscaling.enabled):
            assert spec.persistence.access_mode == "ReadWriteMany", path.name


def test_no_sample_says_null() -> None:
    """A comma in a text that has no quotation marks makes one, where the API server looks away
    (the parameters of a tool)."""

    def nulls(found: Any, path: str) -> list[str]:
        if isinstance(found, dict):
            return [p for k, v in found.items() for p in nulls(v, f"{path}.{k}")]
        if isinstance(found, list):
            return [p for each in found for p in nulls(each, path)]
        return [path] if found is None else []

    assert [p for path in paths() for d in documents(path) for p in nulls(d, path.stem)] == []


def test_no_sample_holds_a_secret_but_in_a_secret() -> None:
    """A1-97, D9"""
    for path in paths():
        (found,) = routers(path)
        assert not re.search(r"'(password|api_key)': ", str(found["spec"])), path.name


def test_every_semantic_router_in_the_documentation_applies(cluster: Kubectl, place: str) -> None:
    """A1-103: what people copy from our pages is not refused."""
    found = [
        each
        for page in PAGES
        for block in blocks(page, "yaml")
        for each in yaml.safe_load_all(block.text)
        if isinstance(each, dict) and each.get("kind") == "SemanticRouter"
    ]
    assert found
    assert apply_all(cluster, found, place).count(" created") == len(found)
    for each in found:
        assert conditions(each)["ConfigValid"].status == "True"


# --- what others have written ------------------------------------------------------------------

NOT_APPLIED: dict[str, str] = {}
"""Upstream's samples that ours refuses, and why. There are none."""


@pytest.mark.shared
def test_upstream_samples_apply_as_they_are(cluster: Kubectl, place: str) -> None:
    """A1-12, K4: also the four of which its own CRD refuses fields that they use."""
    found = sorted(UPSTREAM.glob("*.yaml"))
    if not found:
        pytest.skip(f"{UPSTREAM} is not here")
    assert len(found) >= len(NAMED)
    taken = [path for path in found if path.name not in NOT_APPLIED]
    said = apply_all(cluster, [each for path in taken for each in documents(path)], place)
    assert said.count("semanticrouter.vllm.ai/") == len(taken)
    for path in taken:
        for each in routers(path):
            assert conditions(each)["ConfigValid"].status == "True"


# The blocks of requirement 001 in words of our own: what has to apply wherever it is read.
FRAGMENTS: dict[str, str] = {
    "kserve": """
        vllmEndpoints:
          - {name: a, model: llama3-8b, reasoningFamily: qwen3, weight: 1,
             backend: {type: kserve, inferenceServiceName: llama-3-8b}}
        """,
    "llamastack": """
        vllmEndpoints:
          - {name: b, model: llama-3.3-70b-instruct, reasoningFamily: gpt, weight: 1,
             backend: {type: llamastack, discoveryLabels: {app: llama-stack, model: llama-3.3}}}
        """,
    "service": """
        vllmEndpoints:
          - {name: c, model: deepseek-r1-distill-qwen-7b, reasoningFamily: deepseek, weight: 1,
             backend: {type: service,
                       service: {name: vllm-deepseek, namespace: vllm-serving, port: 8000}}}
        """,
    "ports": """
        service:
          type: ClusterIP
          api: {port: 8080, targetPort: 8080}
          grpc: {port: 50051, targetPort: 50051}
        """,
    "gateway": """
        gateway: {existingRef: {name: istio-ingressgateway, namespace: istio-system}}
        service: {type: ClusterIP, api: {port: 8080, targetPort: 8080}}
        """,
    "openshift": """
        openshift:
          routes:
            enabled: true
            hostname: semantic-router.apps.openshift.example.com
            tls: {termination: edge, insecureEdgeTerminationPolicy: Redirect}
        """,
    "persistence": "persistence: {enabled: true, size: 10Gi, storageClassName: fast-ssd}",
    "autoscaling": """
        replicas: 3
        autoscaling:
          {enabled: true, minReplicas: 3, maxReplicas: 20, targetCPUUtilizationPercentage: 70}
        """,
}


def test_every_block_that_is_printed_applies(cluster: Kubectl, place: str) -> None:
    """A1-18, A1-21, A1-23, A1-41, A1-42, A1-44, A1-50, A1-53, A1-64, A1-70, A1-71: the schema's
    side of them."""
    specs = {name: yaml.safe_load(text) for name, text in FRAGMENTS.items()}
    found = [semantic_router(name, **spec) for name, spec in specs.items()]
    assert apply_all(cluster, found, place).count(" created") == len(FRAGMENTS)
    for each in found:
        assert conditions(each)["ConfigValid"].status == "True"


@pytest.mark.shared
def test_every_block_of_requirement_001_applies_as_it_is_printed(
    cluster: Kubectl, place: str
) -> None:
    """The same with the words of the requirement itself."""
    for path in REQUIREMENT.glob("001*"):
        blocks = re.findall(r"```yaml\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
        break
    else:
        pytest.skip(f"{REQUIREMENT} is not here")
    assert len(blocks) >= len(FRAGMENTS)
    parsed = [yaml.safe_load(block) for block in blocks]
    specs = [each.get("spec", each) for each in parsed]
    found = [semantic_router(f"printed-{i}", **spec) for i, spec in enumerate(specs)]
    assert apply_all(cluster, found, place).count(" created") == len(blocks)
    assert {key for spec in specs for key in spec} >= {
        "vllmEndpoints", "service", "gateway", "openshift", "persistence", "autoscaling",
    }  # fmt: skip
    for each in found:
        assert conditions(each)["ConfigValid"].status == "True"
