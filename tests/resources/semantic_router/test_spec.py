"""The schema of a SemanticRouter, without a server: what it takes, and what others' takes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.cluster import CRDS
from tests.crds import known
from tests.resources.semantic_router.trees import EITHER, OPEN, Schema, children, walk
from wayside.manifests.crd import schema
from wayside.resources.semantic_router.spec import SemanticRouterSpec, SemanticRouterStatus

OURS = schema(known()["SemanticRouter"])
SPEC = OURS["properties"]["spec"]
PUBLISHED = CRDS / "vllm.ai_semanticrouters.yaml"

AMPLE = {"maxLength": 253, "maxItems": 64, "maxProperties": 256, "maximum": 65535}
"""Bounds that the published schema does not have and ours may: an API server wants them to reckon
what CEL rules cost, and an object has 1.5 MB at most anyhow."""

NEGATIVE = "negative numbers mean nothing there"
REFUSED_LATER = "no other value works: what is made from it is refused by Kubernetes"
ONE_LINE_RULE = "a rule of spec 1.13 or 1.8, which its operator only meant to check"
NARROWER: dict[tuple[str, str], str] = {
    # What the operator of vSR had a webhook for that was never registered (D16), or logged.
    ("spec", "rules"): "passthrough and reencrypt never worked: nothing served TLS (A1-55)",
    ("spec.autoscaling", "rules"): ONE_LINE_RULE,
    ("spec.config", "rules"): "both names of the cache: refused at run time",
    ("spec.config.prompt_guard", "rules"): "variant and protocol: refused at run time",
    ("spec.config.complexity_rules.[].composer", "rules"): "NOT of several: refused at run time",
    ("spec.config.decisions.[].rules", "rules"): "NOT of several: refused at run time",
    ("spec.config.observability.tracing.sampling", "rules"): "of a field of ours (probability)",
    ("spec.gateway", "rules"): "of fields of ours (hostnames, timeouts)",
    ("spec.ingress", "rules"): ONE_LINE_RULE,
    ("spec.livenessProbe", "rules"): ONE_LINE_RULE,
    ("spec.readinessProbe", "rules"): ONE_LINE_RULE,
    ("spec.startupProbe", "rules"): ONE_LINE_RULE,
    ("spec.openshift.routes.tls", "rules"): "Allow with passthrough: refused by OpenShift",
    ("spec.persistence", "rules"): ONE_LINE_RULE,
    ("spec.service", "rules"): "two ports of the same number: refused by Kubernetes",
    ("spec.toolsDb.[]", "rules"): "of fields of ours (name, parameters)",
    ("spec.vllmEndpoints.[].backend", "rules"): ONE_LINE_RULE,
    ("spec.vllmEndpoints", "x-kubernetes-list-type"): "names that are not unique hide each other",
    ("status.conditions", "x-kubernetes-list-type"): "only the operator writes there",
    # Values.
    ("spec.ingress.hosts.[].paths.[].pathType", "enum"): "others were taken for Prefix",
    ("spec.ingress.hosts.[].paths.[].servicePort", "minimum"): REFUSED_LATER,
    ("spec.persistence.accessMode", "enum"): REFUSED_LATER,
    ("spec.persistence.size", "pattern"): REFUSED_LATER + "; empty meant 15Gi (D6)",
    ("spec.persistence.size", "maxLength"): REFUSED_LATER,
    ("spec.service.api.protocol", "enum"): "ignored: it was always TCP",
    ("spec.service.grpc.protocol", "enum"): "ignored: it was always TCP",
    ("spec.service.metrics.protocol", "enum"): "ignored: it was always TCP",
    ("spec.vllmEndpoints.[].backend.service.name", "maxLength"): REFUSED_LATER,
    ("spec.vllmEndpoints.[].backend.service.namespace", "maxLength"): REFUSED_LATER,
    ("spec.gateway.existingRef.namespace", "maxLength"): REFUSED_LATER,
    ("spec.autoscaling.maxReplicas", "minimum"): NEGATIVE,
    ("spec.autoscaling.minReplicas", "minimum"): NEGATIVE,
    ("spec.autoscaling.targetCPUUtilizationPercentage", "minimum"): NEGATIVE,
    ("spec.autoscaling.targetMemoryUtilizationPercentage", "minimum"): NEGATIVE,
    ("spec.config.api.batch_classification.concurrency_threshold", "minimum"): NEGATIVE,
    ("spec.config.api.batch_classification.max_batch_size", "minimum"): NEGATIVE,
    ("spec.config.api.batch_classification.max_concurrency", "minimum"): NEGATIVE,
    ("spec.config.api.batch_classification.metrics.size_buckets.[]", "minimum"): NEGATIVE,
    ("spec.config.response_cache.max_entries", "minimum"): NEGATIVE,
    ("spec.config.response_cache.qdrant.connect_timeout", "minimum"): NEGATIVE,
    ("spec.config.response_cache.ttl_seconds", "minimum"): NEGATIVE,
    ("spec.config.tools.top_k", "minimum"): NEGATIVE,
    ("spec.vllmEndpoints.[].weight", "minimum"): NEGATIVE,
    ("status.readyReplicas", "minimum"): NEGATIVE,
    ("status.replicas", "minimum"): NEGATIVE,
    **{
        (f"spec.{probe}Probe.{field}", "minimum"): NEGATIVE
        for probe in ("liveness", "readiness", "startup")
        for field in (
            "failureThreshold", "initialDelaySeconds", "periodSeconds", "timeoutSeconds",
        )
    },
}  # fmt: skip
"""Where our schema takes less than the published one, and why nobody loses by it."""

OTHER_DEFAULTS = {
    "spec": "so that what is left out is stored, too",
    "spec.config.decisions.[].priority": "what was meant by none",
    "spec.ingress.hosts.[].paths.[].path": "what was meant by none",
    "spec.ingress.hosts.[].paths.[].pathType": "what was meant by none",
    "spec.persistence.storageClassName": "the cluster's default class was unreachable (D6)",
    **{
        f"spec.service{rest}": "0 was written to the Service, which Kubernetes refuses (D1)"
        for rest in (
            "", ".api", ".grpc", ".metrics", ".api.port", ".api.targetPort", ".grpc.port",
            ".grpc.targetPort", ".metrics.port", ".metrics.targetPort",
        )
    },
}  # fmt: skip


def published() -> Schema:
    if not PUBLISHED.exists():
        pytest.skip(f"{PUBLISHED} is not here")
    version = yaml.safe_load(PUBLISHED.read_text())["spec"]["versions"][0]
    found: Schema = version["schema"]["openAPIV3Schema"]
    return found


def narrowings(old: Schema, new: Schema, path: str = "") -> dict[tuple[str, str], Any]:
    """Where ``new`` takes less than ``old``: path and keyword."""
    found: dict[tuple[str, str], Any] = {}
    if OPEN in new and "properties" not in new:
        return found
    if OPEN in old and OPEN not in new:
        found[path, OPEN] = True
    if (old.get("type"), old.get(EITHER)) != (new.get("type"), new.get(EITHER)):
        found[path, "type"] = new.get("type")
    if "enum" in new and not set(new["enum"]) >= set(old.get("enum", ("and others",))):
        found[path, "enum"] = new["enum"]
    if new.get("pattern", old.get("pattern")) != old.get("pattern"):
        found[path, "pattern"] = new["pattern"]
    for low in ("minimum", "minLength", "minItems"):
        if new.get(low, -1e9) > old.get(low, -1e9):
            found[path, low] = new[low]
    for high, ample in AMPLE.items():
        if new.get(high, 1e12) < min(old.get(high, 1e12), ample if high not in old else 1e12):
            found[path, high] = new[high]
    if new.get("x-kubernetes-validations") and not old.get("x-kubernetes-validations"):
        found[path, "rules"] = len(new["x-kubernetes-validations"])
    if new.get("x-kubernetes-list-type") == "map" != old.get("x-kubernetes-list-type"):
        found[path, "x-kubernetes-list-type"] = "map"
    for name in set(new.get("required", ())) - set(old.get("required", ())):
        found[f"{path}.{name}", "required"] = True
    there = dict(children(new))
    for name, each in children(old):
        inner = f"{path}.{name}".lstrip(".")
        if name not in there:
            found[inner, "missing"] = True
        else:
            found |= narrowings(each, there[name], inner)
    return found


@pytest.mark.shared
def test_what_the_published_schema_takes_ours_takes_but_for_what_is_listed() -> None:
    """A1-12, D1, D6, D16: nothing is taken away in silence, and nothing is listed that is not
    so. The two names of the cache are one list."""
    found = {
        (path.replace(".semantic_cache", ".response_cache"), keyword)
        for path, keyword in narrowings(published(), OURS)
    }
    assert found - NARROWER.keys() == set()
    assert NARROWER.keys() - found == set()


@pytest.mark.shared
def test_defaults_are_those_of_the_published_schema_but_for_what_is_listed() -> None:
    ours = dict(walk(OURS))
    other = {
        path
        for path, old in walk(published())
        if path in ours
        and old.get("default") != ours[path].get("default")
        # In Kubernetes' own types, and where nothing is the same as an empty text.
        and old.get("default") not in ("", False)
    }
    assert other == OTHER_DEFAULTS.keys()


@pytest.mark.shared
def test_every_default_that_the_published_schema_has_is_a_field_of_ours() -> None:
    theirs = {path for path, each in walk(published()) if "default" in each}
    assert theirs <= dict(walk(OURS)).keys()


# --- the schema and the classes ----------------------------------------------------------------


def test_every_field_says_what_it_is() -> None:
    """``kubectl explain`` has something to say of each; Kubernetes' own types are documented by
    Kubernetes."""
    silent = {
        path
        for path, each in walk(OURS["properties"]["status"])
        if not each.get("description") and not path.endswith(("[]", "*"))
    } | {
        path
        for path, each in walk(SPEC)
        if not each.get("description")
        and not path.endswith(("[]", "*"))
        and not FOREIGN.match(path)
    }
    assert silent <= {""}


FOREIGN = re.compile(
    r"(affinity|tolerations|env|imagePullSecrets|resources|securityContext|podSecurityContext"
    r"|(startup|liveness|readiness)Probe\.(httpGet|tcpSocket|grpc|exec)"
    r"|networkPolicy\.(from|metricsFrom|egress))\."
)


def test_a_spec_may_be_empty() -> None:
    """A1-13, A1-36, A1-90: a bare spec is a standalone router with the defaults."""
    spec = SemanticRouterSpec()
    assert (
        spec
        == SemanticRouterSpec.model_validate({})
        == SemanticRouterSpec.model_validate(SPEC["default"])
    )
    assert (spec.service.grpc.port, spec.service.api.port, spec.service.metrics.port) == (
        50051, 8080, 9190,
    )  # fmt: skip
    assert spec.gateway is None
    assert spec.service_account.create


def test_attributes_are_snake_case_whatever_yaml_says() -> None:
    spec = SemanticRouterSpec.model_validate(
        {
            "service": {"api": {"targetPort": 9000}},
            "autoscaling": {"targetCPUUtilizationPercentage": 50},
            "vllmEndpoints": [
                {
                    "name": "a",
                    "model": "m",
                    "backend": {"type": "kserve", "inferenceServiceName": "i"},
                }
            ],
            "toolsDb": [{"name": "t"}],
            "config": {
                "decisions": [
                    {
                        "name": "d",
                        "rules": {"operator": "AND", "conditions": []},
                        "modelRefs": [{"model": "m"}],
                    }
                ],
                "response_cache": {"redis": {"index": {"params": {"M": 8, "efConstruction": 9}}}},
            },
        }
    )
    assert spec.service.api.target_port == 9000
    assert spec.autoscaling.target_cpu_utilization_percentage == 50
    assert spec.vllm_endpoints[0].backend.inference_service_name == "i"
    assert spec.tools_db[0].name == "t"
    assert spec.config.decisions[0].model_refs[0].model == "m"
    redis = spec.config.response_cache and spec.config.response_cache.redis
    assert redis and redis.index and redis.index.params
    assert (redis.index.params.m, redis.index.params.ef_construction) == (8, 9)


def test_null_is_nothing() -> None:
    """As it is to an API server: a key with only comments under it."""
    given = {"serviceAccount": {"create": True, "annotations": None}, "gateway": None}
    assert SemanticRouterSpec.model_validate(given) == SemanticRouterSpec()


def test_a_gateway_without_a_reference_is_standalone() -> None:
    """A1-36"""
    assert SemanticRouterSpec.model_validate({"gateway": {}}).gateway is None


def test_unknown_fields_are_errors_to_our_code_too() -> None:
    with pytest.raises(ValidationError, match=r"vllmEndpoints.0.modle"):
        SemanticRouterSpec.model_validate({"vllmEndpoints": [{"name": "a", "modle": "m"}]})


def test_a_status_may_be_empty() -> None:
    assert SemanticRouterStatus.model_validate({}) == SemanticRouterStatus()
