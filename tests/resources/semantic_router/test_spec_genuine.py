"""The CRD of a SemanticRouter on a genuine API server, with kubectl as people have it."""

from __future__ import annotations

import copy
import json
import re
import uuid
from typing import Any

import pytest
import yaml

from tests.cluster import CRDS, Kubectl
from tests.crds import install, known, semantic_router
from tests.resources.semantic_router.test_spec import SPEC, published
from tests.resources.semantic_router.trees import Schema, make, walk
from wayside.kube.client import Client
from wayside.resources.semantic_router.spec import SemanticRouterSpec

RESOURCE = known()["SemanticRouter"].resource


@pytest.fixture(scope="module")
def cluster(kubectl: Kubectl) -> Kubectl:
    """A cluster that has the CRD."""
    install(kubectl, "SemanticRouter")
    return kubectl


def said(cluster: Kubectl, specs: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What kubectl says of each spec when all are applied in a namespace of their own: the
    refusal, or nothing. (One call, since each costs a quarter of a second.)"""
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    cluster("create", "namespace", namespace)
    names = {key: f"r{i}" for i, key in enumerate(specs)}
    written = [semantic_router(names[key], **spec) for key, spec in specs.items()]
    done = cluster.run(
        *("-n", namespace, "apply", "-f", "-"), stdin=yaml.safe_dump_all(written), ok=False
    )
    _, *parts = re.split(r'SemanticRouter(?:\.vllm\.ai)? "(r[0-9]+)" is invalid', done.stderr)
    told = dict(zip(parts[::2], parts[1::2], strict=True))
    created = set(re.findall(r"semanticrouter.vllm.ai/(\S+) created", done.stdout))
    assert created.isdisjoint(told)
    assert created | set(told) == set(names.values()), done.stderr
    return {key: told.get(name, "") for key, name in names.items()}


# --- what people see ---------------------------------------------------------------------------


def test_the_crd_is_served_and_explained(cluster: Kubectl) -> None:
    """A1-05, A1-29: ``make install`` is ``kubectl apply``; ``explain`` knows every field."""
    assert "cluster's default when absent" in cluster(
        "explain", "semanticrouter.spec.persistence.storageClassName"
    )
    handler = cluster("explain", "sr.spec.livenessProbe.httpGet")
    assert "port\t<Object> -required-" in handler
    assert "enum: kserve, llamastack, service, external" in cluster(
        "explain", "sr.spec.vllmEndpoints.backend"
    )


async def test_get_prints_replicas_ready_phase_and_age(
    cluster: Kubectl, admin: Client, namespace: str
) -> None:
    """A1-29"""
    cluster.apply(semantic_router("test-router", replicas=3), namespace=namespace)
    status = {"readyReplicas": 2, "phase": "Progressing"}
    await admin.merge(RESOURCE, "test-router", {"status": status}, namespace, sub="status")
    for name in ("semanticrouter", "semanticrouters", "sr"):
        header, row = cluster("-n", namespace, "get", name, "test-router").splitlines()
        assert header.split() == ["NAME", "REPLICAS", "READY", "PHASE", "AGE"]
        assert row.split()[:4] == ["test-router", "3", "2", "Progressing"]


UNKNOWN = [
    ({"replica": 1}, "spec.replica"),
    ({"config": {"tools": {"topk": 1}}}, "spec.config.tools.topk"),
    ({"resources": {"limit": {"cpu": 1}}}, "spec.resources.limit"),
    ({"tolerations": [{"ky": "a"}]}, "spec.tolerations[0].ky"),
    ({"livenessProbe": {"httpGet": {"port": 80, "pth": "/"}}}, "spec.livenessProbe.httpGet.pth"),
    (
        {"env": [{"name": "A", "valueFrom": {"secretRef": {"name": "a"}}}]},
        "spec.env[0].valueFrom.secretRef",
    ),
    (
        {"affinity": {"podAntiAffinity": {"preferred": []}}},
        "spec.affinity.podAntiAffinity.preferred",
    ),
    (
        {"networkPolicy": {"from": [{"podSelector": {"labels": {}}}]}},
        "spec.networkPolicy.from[0].podSelector.labels",
    ),
]


def test_an_unknown_field_is_refused_by_its_path(cluster: Kubectl, namespace: str) -> None:
    """A1-103, also inside Kubernetes' own types."""
    written = [semantic_router(f"r{i}", **spec) for i, (spec, _) in enumerate(UNKNOWN)]
    done = cluster.run(
        *("-n", namespace, "apply", "-f", "-"), stdin=yaml.safe_dump_all(written), ok=False
    )
    assert done.stdout == ""
    assert re.findall(r'unknown field "(.*?)"', done.stderr) == [path for _, path in UNKNOWN]


# --- rules -------------------------------------------------------------------------------------


def backend(**backend: Any) -> dict[str, Any]:
    return {"vllmEndpoints": [{"name": "a", "model": "m", "backend": backend}]}


def routes(**tls: Any) -> dict[str, Any]:
    return {"openshift": {"routes": {"enabled": True, "tls": tls}}}


def conditions(count: int) -> list[dict[str, str]]:
    return [{"type": "domain", "name": f"d{i}"} for i in range(count)]


def decision(operator: str, count: int) -> dict[str, Any]:
    rules = {"operator": operator, "conditions": conditions(count)}
    return {"config": {"decisions": [{"name": "d", "rules": rules}]}}


def composer(operator: str, count: int) -> dict[str, Any]:
    sides = {"hard": {"candidates": ["h"]}, "easy": {"candidates": ["e"]}}
    composer = {"operator": operator, "conditions": conditions(count)}
    return {"config": {"complexity_rules": [{"name": "c", **sides, "composer": composer}]}}


def scale(**autoscaling: Any) -> dict[str, Any]:
    return {"autoscaling": {"enabled": True, **autoscaling}}


def ingress(*hosts: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"ingress": {"enabled": True, "hosts": list(hosts), **others}}


def sampling(**sampling: Any) -> dict[str, Any]:
    return {"config": {"observability": {"tracing": {"sampling": sampling}}}}


SERVICE = {"name": "s", "port": 80}
SECRET = {"name": "s", "key": "k"}
PATHS = [{"path": "/"}]
GATEWAY = {"name": "ingress", "namespace": "infra"}
TLS = {"service": {"tls": {"enabled": True}}}

RULES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "inferenceServiceName is required for backend type kserve": (
        backend(type="kserve"), backend(type="kserve", inferenceServiceName="i"),
    ),
    "discoveryLabels are required for backend type llamastack": (
        backend(type="llamastack", discoveryLabels={}),
        backend(type="llamastack", discoveryLabels={"app": "a"}),
    ),
    "service configuration is required for backend type service": (
        backend(type="service"), backend(type="service", service=SERVICE),
    ),
    "external configuration is required for backend type external": (
        backend(type="external"), backend(type="external", external={"provider": "openai"}),
    ),
    "an external backend needs a provider, or the url of its API": (
        backend(type="external", external={"upstreamName": "x"}),
        backend(type="external", external={"url": "https://api.example.com/v1"}),
    ),
    "cannot specify both caSecretRef and caConfigMapRef": (
        backend(type="service", service=SERVICE, caSecretRef=SECRET, caConfigMapRef=SECRET),
        backend(type="service", service=SERVICE, caSecretRef=SECRET),
    ),
    "cannot specify both prompt_guard.variant and prompt_guard.protocol": (
        {"config": {"prompt_guard": {"variant": "candle", "protocol": "http_chat"}}},
        {"config": {"prompt_guard": {"protocol": "http_chat"}}},
    ),
    "config.response_cache conflicts with deprecated config.semantic_cache": (
        {"config": {"response_cache": {}, "semantic_cache": {}}},
        {"config": {"semantic_cache": {}}},
    ),
    "NOT takes exactly one condition": (decision("NOT", 2), decision("NOT", 1)),
    "spec.config.complexity_rules[0].composer: Invalid value": (
        composer("NOT", 0), composer("AND", 0),
    ),
    "sampling.rate and sampling.probability mean the same: give one of them": (
        sampling(rate="0.5", probability="0.1"), sampling(probability="0.1"),
    ),
    "autoscaling.minReplicas must be less than or equal to maxReplicas": (
        scale(minReplicas=5, maxReplicas=4), scale(minReplicas=4, maxReplicas=4),
    ),
    "autoscaling.minReplicas must be at least 1": (scale(minReplicas=0), scale(minReplicas=1)),
    "autoscaling requires at least one metric (targetCPUUtilizationPercentage or"
    " targetMemoryUtilizationPercentage)": (
        scale(targetCPUUtilizationPercentage=0),
        scale(targetCPUUtilizationPercentage=0, targetMemoryUtilizationPercentage=80),
    ),
    "cannot specify both podDisruptionBudget.minAvailable and maxUnavailable": (
        {"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": "25%"}},
        {"podDisruptionBudget": {"maxUnavailable": "25%"}},
    ),
    "cannot specify both persistence.existingClaim and persistence.storageClassName": (
        {"persistence": {"existingClaim": "c", "storageClassName": "fast-ssd"}},
        {"persistence": {"existingClaim": "c"}},
    ),
    **{
        f"{probe}.{field} must be greater than 0": ({probe: {field: 0}}, {probe: {field: 1}})
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        for field in ("timeoutSeconds", "periodSeconds", "failureThreshold")
    },
    "livenessProbe.successThreshold must be 1": (
        {"livenessProbe": {"successThreshold": 2}}, {"readinessProbe": {"successThreshold": 2}},
    ),
    "startupProbe.successThreshold must be 1": (
        {"startupProbe": {"successThreshold": 2}}, {"startupProbe": {"successThreshold": 1}},
    ),
    "a probe has one of httpGet, tcpSocket, grpc and exec": (
        {"livenessProbe": {"httpGet": {"port": 80}, "tcpSocket": {"port": 80}}},
        {"livenessProbe": {"grpc": {"port": 80}}},
    ),
    "ingress.hosts must be specified when ingress is enabled": (
        ingress(), ingress(enabled=False),
    ),
    "ingress.hosts[i].host cannot be empty": (
        ingress({"host": "", "paths": PATHS}), ingress({"host": "a.example", "paths": PATHS}),
    ),
    "ingress.hosts[i].paths must have at least one path": (
        ingress({"host": "a.example"}), ingress({"host": "a.example"}, enabled=False),
    ),
    "openshift.routes.tls.termination passthrough and reencrypt need service.tls": (
        routes(termination="passthrough"), {**routes(termination="passthrough"), **TLS},
    ),
    "tls.insecureEdgeTerminationPolicy Allow cannot be had with passthrough": (
        {**routes(termination="passthrough", insecureEdgeTerminationPolicy="Allow"), **TLS},
        {**routes(termination="reencrypt", insecureEdgeTerminationPolicy="Allow"), **TLS},
    ),
    "tls.destinationCACertificate is for termination reencrypt": (
        routes(destinationCACertificate="PEM"),
        {**routes(termination="reencrypt", destinationCACertificate="PEM"), **TLS},
    ),
    "gateway.hostnames and gateway.timeouts are for a gateway.existingRef": (
        {"gateway": {"hostnames": ["a.example"]}},
        {"gateway": {"existingRef": GATEWAY, "hostnames": ["a.example"]}},
    ),
    "service.api, service.grpc and service.metrics need three different targetPorts": (
        {"service": {"api": {"targetPort": 50051}}}, {"service": {"api": {"targetPort": 50052}}},
    ),
    "service.api, service.grpc and service.metrics need different ports": (
        {"service": {"api": {"port": 9190}}},
        {"service": {"api": {"port": 9190}, "metrics": {"enabled": False}}},
    ),
    "a tool is either tool.function, or name and parameters": (
        {"toolsDb": [{"name": "a", "tool": {"type": "function"}}]}, {"toolsDb": [{"name": "a"}]},
    ),
    'spec.vllmEndpoints[1]: Duplicate value: {"name":"a"}': (
        {"vllmEndpoints": backend(type="service", service=SERVICE)["vllmEndpoints"] * 2},
        backend(type="service", service=SERVICE),
    ),
}  # fmt: skip


def test_a_rule_refuses_with_its_message_and_takes_the_neighbour(cluster: Kubectl) -> None:
    """A1-55, A1-75, A1-96, A1-100, and the other rules of spec 1.13 and Appendix A."""
    refused = said(cluster, {message: wrong for message, (wrong, _) in RULES.items()})
    assert {m: text for m, text in refused.items() if m not in text} == {}
    taken = said(cluster, {message: right for message, (_, right) in RULES.items()})
    assert {m: text for m, text in taken.items() if text} == {}


def test_every_rule_of_the_schema_is_tried() -> None:
    messages = {
        rule["message"] for _, s in walk(SPEC) for rule in s.get("x-kubernetes-validations", ())
    }
    tried = " ".join(RULES)
    assert {message for message in messages if message.partition(":")[0] not in tried} == set()


VALUES = [
    ({"service": {"type": "ExternalName"}}, '"ClusterIP", "NodePort", "LoadBalancer"'),
    ({"service": {"api": {"protocol": "UDP"}}}, 'supported values: "TCP"'),
    ({"service": {"api": {"port": 0}}}, "greater than or equal to 1"),
    (routes(termination="plain"), '"edge", "passthrough", "reencrypt"'),
    (routes(insecureEdgeTerminationPolicy="No"), '"Allow", "Redirect", "None"'),
    ({"replicas": -1}, "greater than or equal to 0"),
    ({"image": {"pullPolicy": "Often"}}, '"Always", "Never", "IfNotPresent"'),
    ({"config": {"tools": {"similarity_threshold": "1.5"}}}, "should match"),
    ({"config": {"tools": {"similarity_threshold": 0.5}}}, "must be of type string"),
    ({"persistence": {"size": "ten"}}, "should match"),
    ({"resources": {"limits": {"cpu": "much"}}}, "should match"),
    (backend(type="pod"), '"kserve", "llamastack", "service", "external"'),
    (backend(type="service", service={"name": "s"}), "service.port: Required value"),
    (backend(type="service", service={**SERVICE, "port": 65536}), "less than or equal to 65535"),
    ({"gateway": {"existingRef": {"name": "g"}}}, "existingRef.namespace: Required value"),
    ({"gateway": {"existingRef": GATEWAY, "timeouts": {"request": "60"}}},
     "should match"),
    ({"livenessProbe": {"httpGet": {"path": "/health"}}}, "httpGet.port: Required value"),
]  # fmt: skip


def test_a_wrong_value_is_refused(cluster: Kubectl) -> None:
    """A1-40, A1-55, A1-56"""
    found = said(cluster, {str(spec): spec for spec, _ in VALUES})
    for spec, problem in VALUES:
        assert problem in found[str(spec)]


def test_every_type_of_service_is_taken(cluster: Kubectl) -> None:
    """A1-40"""
    types = ("ClusterIP", "NodePort", "LoadBalancer")
    found = said(cluster, {each: {"service": {"type": each}} for each in types})
    assert set(found.values()) == {""}


# --- defaults ----------------------------------------------------------------------------------


async def test_defaults_are_stored(cluster: Kubectl, admin: Client, namespace: str) -> None:
    """A1-13, A1-56, A1-66: ports are there without ``service``, and no storage class is."""
    spec = {"persistence": {}, "openshift": {"routes": {"tls": {}}}, "service": {"api": {}}}
    cluster.apply(semantic_router("bare"), semantic_router("some", **spec), namespace=namespace)
    bare = (await admin.get(RESOURCE, "bare", namespace))["spec"]
    assert bare == SPEC["default"]
    assert bare["service"]["grpc"] == {"port": 50051, "targetPort": 50051, "protocol": "TCP"}
    some = (await admin.get(RESOURCE, "some", namespace))["spec"]
    assert some["persistence"] == {
        "enabled": True,
        "accessMode": "ReadWriteOnce",
        "size": "10Gi",
        "retainOnDelete": False,
    }
    tls = {"termination": "edge", "insecureEdgeTerminationPolicy": "Redirect"}
    assert some["openshift"]["routes"] == {"enabled": False, "tls": tls}
    assert some["service"] == bare["service"]


CHOICES = [("semantic_cache", "response_cache"), ("response_cache", "semantic_cache")]


def without(spec: dict[str, Any], dropped: str) -> dict[str, Any]:
    """A spec that has everything, without what excludes each other."""
    spec = copy.deepcopy(spec)
    spec.get("config", {}).pop(dropped, None)
    spec.get("config", {}).get("prompt_guard", {}).pop("protocol", None)
    spec.get("config", {}).get("observability", {}).get("tracing", {}).get("sampling", {}).pop(
        "probability", None
    )
    spec.get("persistence", {}).pop("existingClaim", None)
    spec.get("podDisruptionBudget", {}).pop("minAvailable", None)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        for handler in ("tcpSocket", "grpc", "exec"):
            spec.get(probe, {}).pop(handler, None)
    for tool in spec.get("toolsDb", ()):
        tool.pop("tool", None)
    for endpoint in spec.get("vllmEndpoints", ()):
        endpoint["backend"].pop("caConfigMapRef", None)
    tls = spec.get("openshift", {}).get("routes", {}).get("tls", {})
    tls.pop("destinationCACertificate", None)
    if tls.get("termination") == "reencrypt":
        spec["service"]["tls"] = {"enabled": True}
    for name, port in {"api": 8080, "grpc": 50051, "metrics": 9190}.items():
        for key in ("port", "targetPort"):
            if key in spec.get("service", {}).get(name, {}):
                spec["service"][name][key] = port
    for rule in spec.get("config", {}).get("decisions", ()):
        rule["rules"]["operator"] = "AND"
    return spec


def everything(path: str, schema: Schema) -> bool:
    return not schema.get("properties") and not schema.get("items")


@pytest.mark.parametrize(("dropped", "kept"), CHOICES)
async def test_what_the_server_stores_means_the_same_to_us_as_what_was_written(
    cluster: Kubectl, admin: Client, namespace: str, dropped: str, kept: str
) -> None:
    """Defaults of the CRD and of the classes are the same, wherever there are any: an object
    that has every parent and no field that has a default."""

    def parents(path: str, schema: Schema) -> bool:
        return everything(path, schema) and "default" not in schema and dropped not in path

    written = without(make(SPEC, parents), dropped)
    assert kept in written["config"]
    cluster.apply(semantic_router("law", **written), namespace=namespace)
    stored = (await admin.get(RESOURCE, "law", namespace))["spec"]
    assert len(json.dumps(stored)) > len(json.dumps(written))
    read = SemanticRouterSpec.model_validate(written)
    assert SemanticRouterSpec.model_validate(stored) == read
    assert read.stored() == stored


@pytest.mark.parametrize(("dropped", "kept"), CHOICES)
async def test_an_explicit_false_survives_what_the_operator_writes(
    cluster: Kubectl, admin: Client, namespace: str, dropped: str, kept: str
) -> None:
    """A1-82, D3: every boolean whose default is true, at once."""
    paths = {p for p, s in walk(SPEC) if s.get("default") is True and dropped not in p}
    assert len(paths) >= 20
    assert f"config.{kept}.enabled" in paths

    def falsified(found: Any, schema: Schema, path: str = "") -> Any:
        if path in paths:
            return False
        if isinstance(found, dict):
            inner = schema.get("properties", {})
            return {
                k: falsified(v, inner.get(k, {}), f"{path}.{k}".lstrip("."))
                for k, v in found.items()
            }
        return found

    written = falsified(make(SPEC, lambda path, _: path in paths), SPEC)
    cluster.apply(semantic_router("no", **written), namespace=namespace)
    for patch, sub in (
        ({"metadata": {"finalizers": ["semanticrouter.vllm.ai/finalizer"]}}, ""),
        ({"metadata": {"annotations": {"a": "b"}}}, ""),
        ({"status": {"phase": "Running"}}, "status"),
        ({"metadata": {"finalizers": None}}, ""),
    ):
        await admin.merge(RESOURCE, "no", patch, namespace, sub=sub)
    stored = (await admin.get(RESOURCE, "no", namespace))["spec"]
    for path in paths:
        found = stored
        for key in path.split("."):
            found = found[key]
        assert found is False, path


# --- objects that were written for the published schema ----------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(("dropped", "kept"), CHOICES)
async def test_an_object_with_every_field_of_the_published_schema_is_taken_and_kept(
    cluster: Kubectl, admin: Client, namespace: str, dropped: str, kept: str
) -> None:
    """Strictly, so that nothing is unknown; and every value is stored as it was written."""
    if not CRDS.exists():
        pytest.skip(f"{CRDS} is not here")
    old = published()["properties"]["spec"]
    written = without(make(old, everything), dropped)
    repaired = {
        **written,
        "ingress": {**written["ingress"], "enabled": False},
        "persistence": {**written["persistence"], "accessMode": "ReadWriteMany"},
    }
    for path in repaired["ingress"]["hosts"][0]["paths"]:
        path["pathType"] = "Exact"
    cluster.apply(semantic_router("old", **repaired), namespace=namespace)
    stored = (await admin.get(RESOURCE, "old", namespace))["spec"]
    assert kept in stored["config"]
    assert not lost(repaired, stored)
    SemanticRouterSpec.model_validate(stored)


def lost(written: Any, stored: Any, path: str = "") -> list[str]:
    """What was written and is not stored so."""
    if isinstance(written, dict):
        if not isinstance(stored, dict):
            return [path]
        return [p for k, v in written.items() for p in lost(v, stored.get(k), f"{path}.{k}")]
    if isinstance(written, list) and isinstance(stored, list):
        return [p for a, b in zip(written, stored, strict=True) for p in lost(a, b, f"{path}[]")]
    return [] if written == stored else [path]
