"""What happens to a router that works: another mode, crashes, another operator."""

from __future__ import annotations

import signal
from typing import Any

from .platform import NAMESPACE, SYSTEM, Platform, Traffic, model_server, served, until

NAME = "gate"
SR = f"sr/{NAME}"
GATEWAY = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "public", "namespace": NAMESPACE},
    "spec": {
        "gatewayClassName": "stand-in",
        "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
    },
}


def router() -> dict[str, Any]:
    backend = {"type": "service", "service": {"name": "small", "port": 8000}}
    return {
        "apiVersion": "vllm.ai/v1alpha1",
        "kind": "SemanticRouter",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "gateway": {"existingRef": {"name": "public", "namespace": NAMESPACE}},
            "vllmEndpoints": [{"name": "small", "model": "small-1b", "backend": backend}],
            "persistence": {"enabled": False},
        },
    }


def test_modes_crashes_and_another_operator(running: Platform) -> None:
    """A1-45, A1-46, A1-47, A1-48, A1-49, A1-52, A1-83: in both modes the router answers
    itself; changing the mode costs nobody an answer; what dies comes back; a new operator writes
    nothing that is not asked for."""
    running.steps(
        SR,
        behind_a_gateway,
        on_its_own_from_now_on,
        its_containers_crash,
        the_operator_is_replaced,
    )
    running.kubectl("-n", NAMESPACE, "delete", "sr", NAME, "--timeout=30s")


def containers(it: Platform) -> set[str]:
    spec = it.read("deployment", NAME)["spec"]["template"]["spec"]
    return {c["name"] for c in spec["containers"]}


def behind_a_gateway(it: Platform) -> None:
    """One that is not there yet; then with an HTTPRoute, and without Envoy."""
    it.kubectl.apply(router(), *model_server("small", "small-1b"))
    it.wait(SR, "GatewayReady=False", "Degraded=True")
    it.kubectl.apply(GATEWAY)
    it.wait(SR, "GatewayReady", "Available", "Degraded=False", ".status.phase=Running")
    assert it.read(SR)["status"]["gatewayMode"] == "gateway-integration"
    assert containers(it) == {"semantic-router"}
    (parent,) = it.read("httproute", NAME)["spec"]["parentRefs"]
    assert parent["name"] == "public"
    assert served(it, NAME, "Who is there?").model == "small-1b"


def on_its_own_from_now_on(it: Platform) -> None:
    """The pods are replaced, with an Envoy; the Service is the same, and nobody is refused."""
    before = it.pods(NAME)
    url = it.cluster.forward(NAMESPACE, NAME, 8080) + "/v1/chat/completions"
    with Traffic(url) as traffic:
        it.patch(NAME, {"gateway": None})
        it.wait(SR, ".status.gatewayMode=standalone")
        it.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{NAME}", "--timeout=40s")
        until(lambda: not it.pods(NAME) & before, within_s=30)
    assert not traffic.failed
    assert traffic.answered
    assert containers(it) == {"semantic-router", "envoy-proxy"}
    until(lambda: not it.read("httproutes")["items"])
    it.wait(SR, ".status.phase=Running", "Degraded=False")


def its_containers_crash(it: Platform) -> None:
    """Each is started again by itself, and answers again."""
    (pod,) = it.pods(NAME)
    for name in ("envoy-proxy", "semantic-router"):
        it.cluster.signal(NAMESPACE, pod, signal.SIGKILL, name)

        def again(of: str = name) -> bool:
            found = it.read("pod", pod)["status"]["containerStatuses"]
            return any(c["name"] == of and c["restartCount"] and c["ready"] for c in found)

        until(again)
    it.wait(SR, "Available", ".status.phase=Running")
    assert served(it, NAME, "Are you back?").model == "small-1b"


def the_operator_is_replaced(it: Platform) -> None:
    """The router does not notice; the new operator leads, and has nothing to write."""
    kinds = "sr,deployments,services,configmaps,serviceaccounts"

    def versions() -> dict[str, str]:
        mine = [o for o in it.read(kinds)["items"] if NAME in o["metadata"]["name"]]
        named = {f"{o['kind']}/{o['metadata']['name']}": o["metadata"] for o in mine}
        return {name: meta["resourceVersion"] for name, meta in named.items()}

    def leader() -> str:
        lease = it.read("lease/semantic-router-operator.vllm.ai", "-n", SYSTEM)
        return str(lease["spec"].get("holderIdentity", ""))

    before, old = versions(), leader()
    it.kubectl("-n", SYSTEM, "rollout", "restart", "deployment")
    it.kubectl("-n", SYSTEM, "rollout", "status", "deployment", "--timeout=40s")
    until(lambda: leader() not in ("", old), within_s=40)
    it.patch(NAME, {"replicas": 0})
    it.wait(SR, ".status.phase=ScaledToZero")
    after = versions()
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {f"SemanticRouter/{NAME}", f"Deployment/{NAME}"}
