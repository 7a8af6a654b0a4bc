"""The six CRDs on a genuine API server, under strict validation (A3-01, A3-04, A3-09, A3-11,
A3-27, A3-28): the README's YAML, the Go types', and what is refused at the door."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import wayside.resources
from tests.cluster import SHARED, Kubectl
from wayside.catalog import discover
from wayside.manifests.crd import crd
from wayside.resources import kinds

GO: dict[str, dict[str, Any]] = {
    "InferenceService": {
        "modelName": "meta-llama/Llama-3.1-70B",
        "backendRef": {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "b",
                       "port": 8000, "weight": 10},
        "inferenceCacheRef": {"apiGroup": "production-stack.vllm.ai",
                              "kind": "InferenceService", "name": "c"},
        "nlpFilters": [{"type": "tokenLimit", "parameters": {"maxTokens": "100"}}],
    },
    "InferenceGateway": {
        "serviceDiscovery": "k8s",
        "routeStrategy": "prefix-hash",
        "modelRoutes": [{"modelName": "m", "serviceRef": {
            "apiGroup": "production-stack.vllm.ai", "kind": "InferenceService", "name": "s"}}],
        "topologyHint": {
            "nodeSelector": {"zone": "a"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "zone"}}]}},
        },
    },
    "InferenceCache": {
        "modelName": "m", "cacheSize": 10_000_000_000, "cacheTTL": "30m", "cacheType": "hybrid",
        "image": "vllm/vllm-openai:v0.10.0", "tensorParallelSize": 2,
        "resources": {"limits": {"nvidia.com/gpu": 2, "memory": "16Gi"}},
        "kvCacheTransferPolicy": {"thresholdHitRate": "0.5", "evictionThreshold": "1"},
        "pddRef": {"apiGroup": "production-stack.vllm.ai", "kind": "InferenceService",
                   "name": "p"},
        "disaggregatedPrefillConfig": {
            "enabled": True, "prefillInstanceType": "prefill", "connectorType": "redis",
            "connectorConfig": {"url": "redis://r:6379"},
            "lookupBufferConfig": {"maxSize": 1000, "evictionPolicy": "fifo"}},
    },
    "SpeculativeDecoding": {
        "speculationType": "draft", "numSpeculativeTokens": 4, "draftModel": "small",
        "draftTensorParallelSize": 1, "draftModelConfig": {"temperature": "0",
                                                           "max_tokens": "2048"},
    },
    "PrefillDecodingDisaggregation": {
        "modelName": "m", "topologyHint": {"nodeSelector": {"zone": "a"}},
        "prefillResources": {"limits": {"nvidia.com/gpu": "1"}},
        "decodeResources": {"requests": {"cpu": "2"}}, "engine": "vllm",
        "engineConfig": {"tensor-parallel-size": "1", "max-num-batched-tokens": "8192",
                         "max-num-seqs": "64"},
    },
    "StaticRoute": {
        "serviceDiscovery": "static", "routingLogic": "least_loaded",
        "staticBackends": "http://a:8000, https://b/base", "staticModels": "m,m",
        "routerRef": {"kind": "Service", "apiVersion": "v1", "name": "r", "uid": "u"},
        "healthCheck": {"timeoutSeconds": 1, "periodSeconds": 1, "successThreshold": 2,
                        "failureThreshold": 1},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def crds(kubectl: Kubectl) -> Iterator[Kubectl]:
    """The API server with the six kinds installed."""
    discover(wayside.resources)
    kubectl.apply(*(crd(kind) for kind in kinds("router-controller")))
    names = [f"crd/{k.resource.plural}.{k.resource.group}" for k in kinds("router-controller")]
    kubectl("wait", "--for=condition=Established", "--timeout=20s", *names)
    yield kubectl


def whole(kind: str, spec: dict[str, Any], name: str = "it") -> dict[str, Any]:
    meta = {"name": name}
    return {"apiVersion": "production-stack.vllm.ai/v1alpha1", "kind": kind,
            "metadata": meta, "spec": spec}  # fmt: skip


def test_the_six_kinds_are_explained(crds: Kubectl) -> None:
    """A3-01."""
    assert {k.kind for k in kinds("router-controller")} == GO.keys()
    for kind in kinds("router-controller"):
        said = crds("explain", f"{kind.resource.plural}.spec")
        for field, about in kind.spec.model_fields.items():
            assert f"{about.alias}\t" in said, (kind.kind, field)


@pytest.mark.parametrize("kind", GO)
def test_the_go_form_is_taken_whole(crds: Kubectl, namespace: str, kind: str) -> None:
    """A3-01: nothing of it is unknown, nothing is pruned, and our own reading takes it, too."""
    crds.apply(whole(kind, GO[kind]), namespace=namespace)
    stored = yaml.safe_load(crds("-n", namespace, "get", kind.lower(), "it", "-o", "yaml"))
    assert _within(GO[kind], stored["spec"])
    spec = next(k.spec for k in kinds("router-controller") if k.kind == kind)
    read = spec.model_validate(stored["spec"])
    assert spec.model_validate(GO[kind]) == read, "what is read has no other defaults"


def _within(part: Any, of: Any) -> bool:
    if isinstance(part, dict):
        return all(key in of and _within(value, of[key]) for key, value in part.items())
    return part == of


@pytest.mark.shared
def test_every_yaml_of_the_requirement_is_taken_as_printed(crds: Kubectl, namespace: str) -> None:
    """A3-01, A3-04, A3-09, A3-11: the README of production-stack's controller."""
    pages = list((SHARED / "requirements").glob("003_*"))
    if not pages:
        pytest.skip(f"{SHARED}/requirements is not here")
    blocks = re.findall(r"```yaml\n(.*?)```", pages[0].read_text(), re.DOTALL)
    found = [one for block in blocks for one in yaml.safe_load_all(block)]
    assert sorted(o["kind"] for o in found) == sorted(GO)
    crds.apply(*found, namespace=namespace)
    by_kind = {k.kind: k for k in kinds("router-controller")}
    for each in found:
        kind = by_kind[each["kind"]]
        name = each["metadata"]["name"]
        stored = yaml.safe_load(
            crds("-n", namespace, "get", kind.kind.lower(), name, "-o", "yaml")
        )
        assert _within(each["spec"], stored["spec"])
        assert kind.spec.model_validate(each["spec"]) == kind.spec.model_validate(stored["spec"])


@pytest.mark.parametrize(
    ("kind", "spec", "said"),
    [
        ("StaticRoute", {"staticBackends": "http://a,http://b", "staticModels": "m"},
         "write the model of each backend at the same place"),
        ("StaticRoute", {"staticBackends": "a:8000", "staticModels": "m"},
         "each with http:// or https://"),
        ("StaticRoute", {"staticBackends": "http://a", "staticModels": "m",
                         "routingLogic": "fastest"}, "Unsupported value: \"fastest\""),
        ("StaticRoute", {"staticBackends": "http://a", "staticModels": "m",
                         "routerRf": {}}, "unknown field"),
        ("StaticRoute", {"staticBackends": "http://a"}, "staticModels: Required value"),
        ("InferenceService", {"modelName": "m"}, "backendRef: Required value"),
        ("InferenceGateway", {"routes": [], "routeStrategy": "PrefixHsh"},
         "Unsupported value: \"PrefixHsh\""),
        ("InferenceGateway", {}, "name at least one model"),
        ("InferenceCache", {"modelName": "m", "cacheTTL": "1 hour"}, "spec.cacheTTL"),
        ("InferenceCache", {"modelName": "m", "cacheType": "l2"}, "Unsupported value"),
        ("SpeculativeDecoding", {"draftModel": "m", "targetModel": "m"},
         "a model cannot draft for itself"),
        ("SpeculativeDecoding", {"speculationType": "ngram", "draftModel": "m"},
         "ngram needs no draft model"),
        ("SpeculativeDecoding", {"targetModel": "m"}, "draft, mlp and eagle need one"),
        ("SpeculativeDecoding", {"draftModel": "m", "numSpeculativeTokens": 33},
         "numSpeculativeTokens"),
        ("PrefillDecodingDisaggregation",
         {"modelName": "m", "engineConfig": {"max-num-seqs": "1", "max-num-batched-tokens": "8"}},
         "vllm needs tensor-parallel-size"),
        ("PrefillDecodingDisaggregation", {"modelName": "m", "engine": "tgi"},
         "Unsupported value"),
    ],
)  # fmt: skip
def test_what_can_be_refused_at_the_door_is(
    crds: Kubectl, namespace: str, kind: str, spec: dict[str, Any], said: str
) -> None:
    """A3-28 and the like: by the schema, or by CEL in words."""
    done = crds.run("-n", namespace, "create", "-f", "-", stdin=yaml.safe_dump(whole(kind, spec)),
                    ok=False)  # fmt: skip
    assert done.returncode != 0 and said in done.stderr, done.stderr


def test_a_gateway_whose_service_could_not_have_its_name_is_refused(
    crds: Kubectl, namespace: str
) -> None:
    routes = [{"model": "m", "inferenceServiceRef": "s"}]
    for name in ("a" * 57, "9gateway", "a.b"):
        text = yaml.safe_dump(whole("InferenceGateway", {"routes": routes}, name))
        done = crds.run("-n", namespace, "create", "-f", "-", stdin=text, ok=False)
        assert "its Service has the same name" in done.stderr


def test_the_columns_show_what_is_there(crds: Kubectl, namespace: str) -> None:
    """The two forms alike: production-stack's columns were of fields that its schema lacks."""
    routes = [{"model": "m", "inferenceServiceRef": "s"}]
    spec = {"schedulingPolicy": "gpu-load-aware", "routeStrategy": "PrefixHash",
            "sessionAffinity": True, "routes": routes}  # fmt: skip
    crds.apply(whole("InferenceGateway", spec), namespace=namespace)
    status = (
        '{"status":{"models":1,"conditions":[{"type":"Ready","status":"True","reason":"Ready",'
    )
    status += '"message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}'
    crds("-n", namespace, "patch", "inferencegateway", "it", "--subresource=status",
         "--type=merge", "-p", status)  # fmt: skip
    head, row = crds("-n", namespace, "get", "inferencegateways").splitlines()
    assert head.split()[1:6] == ["SCHEDULING", "STRATEGY", "AFFINITY", "MODELS", "STATUS"]
    assert row.split()[1:6] == ["gpu-load-aware", "PrefixHash", "true", "1", "True"]


def test_the_samples_that_are_shipped_are_taken(crds: Kubectl, namespace: str) -> None:
    """A3-02: each file of ``deploy/router-controller/config/samples`` is applied as it is."""
    folder = Path(__file__).parents[2] / "deploy" / "router-controller" / "config" / "samples"
    files = sorted(folder.glob("*.yaml"))
    assert {kind for path in files for kind in re.findall(r"(?m)^kind: (\w+)", path.read_text())
            } >= GO.keys()  # fmt: skip
    crds("-n", namespace, "apply", "-f", str(folder))


def test_the_examples_of_the_pages_are_taken(crds: Kubectl, namespace: str) -> None:
    """What people copy."""
    docs = Path(__file__).parents[2] / "docs"
    pages = [docs / "reference" / "resources" / f"{kind}.md" for kind in GO]
    found = []
    for page in [*pages, docs / "how-to" / "route-with-custom-resources.md"]:
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        several = [o for b in blocks for o in yaml.safe_load_all(b) if o["kind"] in GO]
        assert several, page
        found += several
    crds.apply(*found, namespace=namespace)
