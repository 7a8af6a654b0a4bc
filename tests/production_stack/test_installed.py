"""From the printed install commands to a routed answer: the router controller and its gateway as
pods, with the rights of the shipped Role (A3-01, A3-02, A3-08, A3-10, A3-12, A3-22, A3-23)."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import Kubectl, serving
from tests.kubelet import Cluster
from tests.resources.production_stack import made

CONFIG = Path(__file__).parents[2] / "deploy" / "router-controller" / "config"
SYSTEM, NAMESPACE = "router-controller-system", "default"
MODEL = "llama3-70b"


def model_server(role: str) -> dict[str, Any]:
    """A simulated model server as a Deployment of somebody's own."""
    labels = {"app": "llama", "llm-d.ai/role": role, "zone": "rack1"}
    container = {
        "name": "vllm",
        "image": "ghcr.io/llm-d/llm-d-inference-sim:v0.6.1",
        "args": ["--model", MODEL, "--host", "0.0.0.0", "--port", "8000", "--itl", "0.001"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}},
    }
    pod = {"containers": [container], "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"llama-{role}", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "llama", "namespace": NAMESPACE},
    "spec": {"selector": {"app": "llama"}, "ports": [{"port": 8000, "targetPort": "http"}]},
}


def eventually(holds: Callable[[], Any], within_s: float = 40.0) -> Any:
    """The first true answer."""
    ends = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.1)
    return found


def page(url: str, body: Any = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.read().decode())


def test_from_the_printed_commands_to_a_routed_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        kubectl = Kubectl(server.kubeconfig)
        with Cluster(server.kubeconfig, namespaces=[SYSTEM, NAMESPACE]) as cluster:
            for folder in ("crd/bases", "rbac", "manager"):
                kubectl("apply", "-f", f"{CONFIG / folder}/")
            kubectl("-n", SYSTEM, "rollout", "status", "deployment", "--timeout=60s")
            kubectl.apply(SERVICE, model_server("prefill"), model_server("decode"))
            routes = [{"model": MODEL, "inferenceServiceRef": "chatbot"}]
            hint = {"nodeSelector": {"zone": "rack1"}}
            chain = [
                made("InferenceGateway", "door", routes=routes, sessionAffinity=True),
                made("InferenceService", "chatbot", modelName=MODEL, backendRef="llama",
                     inferenceCacheRef="cache"),
                made("InferenceCache", "cache", modelName=MODEL, pddRef="pdd", sdRef="sd"),
                made("SpeculativeDecoding", "sd", draftModel="llama3-1b", targetModel=MODEL),
                made("PrefillDecodingDisaggregation", "pdd", modelName=MODEL, topologyHint=hint),
            ]  # fmt: skip
            for each in chain:
                each["metadata"] = {"name": each["metadata"]["name"]}
            kubectl.apply(*chain, namespace=NAMESPACE)
            for what in ("inferencegateway/door", "inferenceservice/chatbot",
                         "inferencecache/cache", "prefilldecodingdisaggregation/pdd",
                         "speculativedecoding/sd"):  # fmt: skip
                _ready(kubectl, cluster, what)
            _served(cluster)
            _told(cluster)


def _ready(kubectl: Kubectl, cluster: Cluster, what: str) -> None:
    done = kubectl.run("-n", NAMESPACE, "wait", "--for=condition=Ready", what, "--timeout=60s",
                       ok=False)  # fmt: skip
    if done.returncode:
        status = yaml.safe_load(kubectl("-n", NAMESPACE, "get", what, "-o", "yaml"))["status"]
        pods = kubectl("get", "pods", "-A", "-o", "name").split()
        logs = [cluster.logs(NAMESPACE, p.partition("/")[2])[-1500:] for p in pods if "door" in p]
        raise AssertionError(f"{what}: {done.stderr}{yaml.safe_dump(status)}{logs}")


def _served(cluster: Cluster) -> None:
    """A prompt is read by one pod and answered by the other, through the gateway's Service."""
    url = cluster.forward(NAMESPACE, "door", 8001)
    message = [{"role": "user", "content": "Why is the sky blue? " * 100}]

    def remote() -> bool:
        body = {"model": MODEL, "messages": message, "max_tokens": 5}
        answer = json.loads(page(f"{url}/v1/chat/completions", body))
        assert answer["model"] == MODEL
        said = page(f"{url}/metrics")
        return 'wayside_disaggregation_total{decision="remote"' in said

    eventually(remote)
    models = {m["id"]: m for m in json.loads(page(f"{url}/v1/models"))["data"]}
    assert set(models) == {MODEL}
    assert "llama3-1b" in json.dumps(models[MODEL]), "it is told which model drafts"


def _told(cluster: Cluster) -> None:
    """A3-22, A3-23, A3-25, A3-26: the controller's own page has the families that are promised."""
    url = cluster.forward(SYSTEM, "router-controller-manager-metrics-service", 8080)
    said = page(f"{url}/metrics")
    assert 'controller_runtime_reconcile_total{controller="' in said
    assert 'wayside_custom_resources_condition{kind="InferenceGateway"' in said
