"""From ``kubectl apply -f simple.yaml`` to a routed answer, and all that may happen after it."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai

from tests.deploy.oc import Oc, terminal

from .platform import NAMESPACE, OPERATOR, SYSTEM, Platform, model_server, served, until, who

SAMPLE = OPERATOR / "samples" / "vllm.ai_v1alpha1_semanticrouter_simple.yaml"
NAME = "semantic-router-simple"
SR = f"sr/{NAME}"
LLAMA = {
    "name": "my-llama-model",
    "model": "llama3-8b",
    "reasoningFamily": "qwen3",
    "backend": {"type": "kserve", "inferenceServiceName": "llama-3-8b"},
}
CODER = {
    "name": "coder",
    "model": "coder-7b",
    "backend": {"type": "service", "service": {"name": "coder", "port": 8000}},
}


def inference_service() -> dict[str, Any]:
    """What KServe is asked for: the stand-in makes a simulated model server of it."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "llama-3-8b", "namespace": NAMESPACE},
        "spec": {"predictor": {"model": {"args": ["--served-model-name=llama3-8b"]}}},
    }


def rules(model: str) -> dict[str, Any]:
    """``spec.config`` that sends what is about tables to ``model``."""
    keywords = [{"name": "tables", "operator": "OR", "keywords": ["SQL", "join"]}]
    decision = {
        "name": "tables",
        "priority": 100,
        "rules": {"operator": "OR", "conditions": [{"type": "keyword", "name": "tables"}]},
        "modelRefs": [{"model": model, "use_reasoning": False}],
    }
    return {"routing": {"signals": {"keywords": keywords}}, "decisions": [decision]}


def test_from_apply_to_an_answer_and_on_to_delete(running: Platform) -> None:
    """With kubectl as the only client of the cluster, and OpenAI's as the only one of the router
    (A1-13, A1-18, A1-20, A1-23, A1-36, A1-37, A1-38, A1-39, A1-63, A1-69, A1-79, A1-84, A1-85)."""
    running.steps(
        SR,
        applied_before_its_model_is_there,
        healed_when_the_model_appears,
        answers,
        looked_at_as_the_guide_says,
        an_edit_reaches_running_pods,
        scaled_up_and_down,
        another_backend,
        its_service_goes_and_comes_back,
        its_pods_go_and_come_back,
        a_mistake_changes_nothing,
        the_backend_is_taken_out,
        deleted,
    )


def applied_before_its_model_is_there(it: Platform) -> None:
    """It says what it lacks, in a condition and an Event."""
    it.kubectl("apply", "-f", str(SAMPLE))
    it.wait(SR, "BackendsResolved=False", "Degraded=True")
    assert "llama-3-8b" in it.condition(SR, "BackendsResolved")["message"]
    until(lambda: [r for t, r, m in it.events() if (t, r) == ("Warning", "BackendUnresolved")])
    assert it.read(SR)["status"]["phase"] != "Running"


def healed_when_the_model_appears(it: Platform) -> None:
    """Nobody touches the SemanticRouter for that."""
    it.kubectl.apply(inference_service())
    it.wait(SR, "BackendsResolved", "Degraded=False", "Available", ".status.phase=Running")
    status = it.read(SR)["status"]
    it.wait(SR, f".status.observedConfigHash={status['configHash']}")
    table = it.kubectl("-n", NAMESPACE, "get", "sr")
    assert table.split()[:4] == ["NAME", "REPLICAS", "READY", "PHASE"]
    assert f"{NAME}   1          1       Running" in table


def answers(it: Platform) -> None:
    answer = served(it, NAME, "Why is the sky blue?")
    assert answer.model == "llama3-8b"
    assert answer.headers["x-vsr-selected-model"] == "llama3-8b"
    assert answer.text
    until(lambda: len(it.pods(NAME)) == 1)  # the one before it had another configuration
    (pod,) = it.pods(NAME)
    with it.client(NAME) as client:
        assert "llama3-8b" in [m.id for m in client.models.list()]
        asked: Any = {"role": "user", "content": "Count to three, slowly"}
        with client.chat.completions.create(model="auto", messages=[asked], stream=True) as chunks:
            texts = [c.choices[0].delta.content for c in chunks if c.choices]
    assert len(texts) > 3
    facts = it.cluster.exec(NAMESPACE, pod, "sh", "-c", "id -u; touch /x 2>&1; true")
    assert facts.splitlines()[0] == "1000"
    assert "Read-only" in facts


def looked_at_as_the_guide_says(it: Platform) -> None:
    """Requirement 001's "Check status" and "Troubleshooting", typed by a user whose logs and
    forwarded ports come from the process kubelet (A1-29..32, A1-76..78)."""
    url, path = "https://here:6443", it.kubectl.kubeconfig
    with (
        tempfile.TemporaryDirectory() as folder,
        terminal(Path(folder) / "t", {url: path}, kubelets={url: it.cluster}, oc=False) as user,
    ):
        assert "Running" in user.sh(f"kubectl get semanticrouter {NAME}")
        assert NAME in user.sh(f"kubectl get deployment {NAME}")
        assert user.sh(f"kubectl logs -l app.kubernetes.io/instance={NAME}").strip()
        said = user.sh(
            f"kubectl logs -n {SYSTEM} -l app.kubernetes.io/name=semantic-router-operator"
        )
        assert said.strip()
        described = user.sh(f"kubectl describe semanticrouter {NAME}")
        assert "BackendsResolved" in described and "Events:" in described
        assert NAME in user.sh("kubectl get events --sort-by='.lastTimestamp'")
        with forwarded(user, "kubectl", "port-forward", f"svc/{NAME}", ":8080") as port:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=10) as page:
                assert "llama3-8b" in page.read().decode()
        with forwarded(user, "kubectl", "port-forward", f"svc/{NAME}", ":50051") as port:
            socket.create_connection(("127.0.0.1", port), 10).close()


@contextmanager
def forwarded(user: Oc, *argv: str) -> Iterator[int]:
    """The port here, while the command runs."""
    with subprocess.Popen(argv, env=user.env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().split("127.0.0.1:")[1].split()[0])
        finally:
            process.terminate()


def an_edit_reaches_running_pods(it: Platform) -> None:
    """Without a new pod."""
    before = it.pods(NAME)
    old = it.read(SR)["status"]["configHash"]
    it.patch(NAME, {"config": rules("llama3-8b")})
    until(lambda: it.read(SR)["status"]["configHash"] != old)

    def decided() -> bool:
        answer = served(it, NAME, "Which SQL finds duplicates in a column?")
        return answer.headers.get("x-vsr-selected-decision") == "tables"

    until(decided)
    assert it.pods(NAME) == before


def scaled_up_and_down(it: Platform) -> None:
    """Two pods answer; then the one that is left."""
    it.patch(NAME, {"replicas": 2})
    it.wait(SR, ".status.readyReplicas=2", "Progressing=False", ".status.phase=Running")
    assert len(it.pods(NAME)) == 2
    it.patch(NAME, {"replicas": 1})
    it.wait(SR, ".status.readyReplicas=1", ".status.phase=Running")
    assert served(it, NAME, "How deep is the sea?").model == "llama3-8b"


def another_backend(it: Platform) -> None:
    """The new one gets what it is for, the old one the rest."""
    it.kubectl.apply(*model_server("coder", "coder-7b"))
    it.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/coder", "--timeout=30s")
    it.patch(NAME, {"vllmEndpoints": [LLAMA, CODER], "config": rules("coder-7b")})
    until(lambda: len(it.read(SR)["status"]["backends"]) == 2)
    it.wait(SR, "BackendsResolved", "Degraded=False")
    until(lambda: who(it, NAME, "Explain a left join of three") == "coder-7b")
    assert served(it, NAME, "What do cats dream of?").model == "llama3-8b"


def its_service_goes_and_comes_back(it: Platform) -> None:
    """Degraded and said so; the other model is served all the time; healed by itself."""
    it.kubectl("-n", NAMESPACE, "delete", "service", "coder")
    it.wait(SR, "Degraded=True", "BackendsResolved=False", ".status.phase=Degraded")
    assert "coder" in it.condition(SR, "BackendsResolved")["message"]
    (bad,) = [b for b in it.read(SR)["status"]["backends"] if b["name"] == "coder"]
    assert not bad["ready"]
    assert served(it, NAME, "Who painted the night watch?").model == "llama3-8b"
    it.wait(SR, "Available")

    it.kubectl.apply(model_server("coder", "coder-7b")[1])
    it.wait(SR, "BackendsResolved", "Degraded=False", ".status.phase=Running")
    until(lambda: who(it, NAME, "Now join four of them") == "coder-7b")


def its_pods_go_and_come_back(it: Platform) -> None:
    """The Service is there with nobody behind it: told, and only its prompts are refused."""
    it.kubectl("-n", NAMESPACE, "patch", "deployment/coder", "-p", '{"spec":{"replicas":0}}')
    until(lambda: "no pod" in it.condition(SR, "BackendsResolved")["message"])
    until(lambda: "503" in who(it, NAME, "Is there a join for nobody?"))
    assert served(it, NAME, "What is the longest river?").model == "llama3-8b"
    it.kubectl("-n", NAMESPACE, "patch", "deployment/coder", "-p", '{"spec":{"replicas":1}}')
    until(lambda: who(it, NAME, "Is there a join for one?") == "coder-7b")


def a_mistake_changes_nothing(it: Platform) -> None:
    """A decision for a model that nobody has: told with its path, and the old rules stay."""
    it.patch(NAME, {"config": rules("coder-8b")})
    it.wait(SR, "ConfigValid=False", "Degraded=True")
    assert "coder-8b" in it.condition(SR, "ConfigValid")["message"]
    assert served(it, NAME, "A join of five, please").model == "coder-7b"
    it.patch(NAME, {"config": rules("coder-7b")})
    it.wait(SR, "ConfigValid", "Degraded=False")


def the_backend_is_taken_out(it: Platform) -> None:
    it.patch(NAME, {"vllmEndpoints": [LLAMA], "config": rules("llama3-8b")})

    def unknown() -> bool:
        try:
            return not served(it, NAME, "A join of six", model="coder-7b")
        except openai.APIStatusError as refused:
            return refused.status_code == 404

    until(unknown)
    it.wait(SR, "Degraded=False", ".status.phase=Running")
    assert [b["name"] for b in it.read(SR)["status"]["backends"]] == ["my-llama-model"]
    assert served(it, NAME, "And a join of seven").model == "llama3-8b"


def deleted(it: Platform) -> None:
    """With everything that was made for it, and nothing else."""
    claim = f"pvc/{NAME}-models"
    assert it.read(claim)
    it.kubectl("-n", NAMESPACE, "delete", "sr", NAME, "--timeout=20s")
    mine = f"app.kubernetes.io/instance={NAME}"
    kinds = "deploy,svc,cm,sa,pvc,pdb,pods,endpointslices"
    until(lambda: not it.read(kinds, "-l", mine)["items"])
    left = {f"{o['kind']}/{o['metadata']['name']}" for o in it.read("deploy,svc,pods")["items"]}
    assert {"Deployment/coder", "Service/coder", "Service/llama-3-8b-predictor"} <= left
