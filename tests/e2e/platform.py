"""An API server with nothing but what its administrator put there, and a cluster of one node.

The operator is installed as people install it, and runs as a Pod with the rights of its shipped
Role. Everything after that is kubectl's and an OpenAI client's.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import openai

from tests.cluster import Kubectl, serving
from tests.kube.collector import tidied
from tests.kubelet import Cluster
from tests.kubelet.stand_ins import definitions

ROOT = Path(__file__).parents[2]
OPERATOR = ROOT / "deploy" / "operator" / "config"
SYSTEM = "semantic-router-operator-system"
NAMESPACE = "default"
STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "process-kubelet",
}


@contextmanager
def platform(folder: Path, *namespaces: str) -> Iterator[Platform]:
    """KServe and a Gateway's controller (stand-ins), a StorageClass, and our operator."""
    with serving(folder) as server, tidied(server.kubeconfig):
        kubectl = Kubectl(server.kubeconfig)
        kubectl.apply(STORAGE_CLASS, *definitions("kserve"), *definitions("gateway"))
        looked_at = [SYSTEM, NAMESPACE, *namespaces]
        plays = ("kserve", "gateway")
        with Cluster(server.kubeconfig, namespaces=looked_at, stand_ins=plays) as cluster:
            kubectl("apply", "-k", str(OPERATOR / "default"))
            kubectl("-n", SYSTEM, "rollout", "status", "deployment", "--timeout=60s")
            yield Platform(kubectl, cluster)


def model_server(name: str, model: str) -> list[dict[str, Any]]:
    """A Deployment that somebody runs by himself, and its Service on port 8000."""
    labels = {"app": name}
    container = {
        "name": "vllm",
        "image": "ghcr.io/llm-d/llm-d-inference-sim:v0.6.1",
        "args": ["--model", model, "--host", "0.0.0.0", "--port", "8000", "--itl", "0.001"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}},
    }
    pod = {"containers": [container], "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"selector": labels, "ports": [{"port": 8000, "targetPort": "http"}]},
        },
    ]


class Platform:
    """What a platform engineer does, and sees."""

    def __init__(self, kubectl: Kubectl, cluster: Cluster) -> None:
        self.kubectl, self.cluster = kubectl, cluster

    def read(self, *what: str) -> Any:
        return json.loads(self.kubectl("-n", NAMESPACE, "get", *what, "-o", "json"))

    def patch(self, name: str, spec: dict[str, Any]) -> None:
        """``kubectl patch --type=merge`` of a SemanticRouter's spec."""
        body = json.dumps({"spec": spec})
        self.kubectl("-n", NAMESPACE, "patch", "sr", name, "--type=merge", "-p", body)

    def wait(self, what: str, *holds: str, within_s: int = 30) -> None:
        """``kubectl wait`` for conditions (``Available``, ``Degraded=False``) and for fields
        (``.status.phase=Running``)."""
        for one in holds:
            path, _, value = one.partition("=")
            asked = f"jsonpath={{{path}}}={value}" if one.startswith(".") else f"condition={one}"
            done = self.kubectl.run(
                *("-n", NAMESPACE, "wait", what, f"--for={asked}", f"--timeout={within_s}s"),
                ok=False,
            )
            assert done.returncode == 0, f"{what}: {one}: {done.stderr}{self.told(what)}"

    def told(self, what: str) -> str:
        """The object's status, for people."""
        return json.dumps(self.read(what).get("status"), indent=1)

    def condition(self, what: str, kind: str) -> dict[str, Any]:
        found: dict[str, dict[str, Any]] = {
            c["type"]: c for c in self.read(what)["status"]["conditions"]
        }
        return found[kind]

    def events(self) -> list[tuple[str, str, str]]:
        """Type, reason and message of all that was said of SemanticRouters."""
        return [
            (e["type"], e["reason"], e["message"])
            for e in self.read("events")["items"]
            if e["involvedObject"]["kind"] == "SemanticRouter"
        ]

    def pods(self, router: str) -> set[str]:
        label = f"app.kubernetes.io/instance={router}"
        return {p["metadata"]["name"] for p in self.read("pods", "-l", label)["items"]}

    def steps(self, what: str, *steps: Callable[[Platform], None]) -> None:
        """One after another, and how long each took."""
        for step in steps:
            began = time.monotonic()
            with self.explained(what):
                step(self)
            print(f"{time.monotonic() - began:6.1f} s  {step.__name__}")

    @contextmanager
    def explained(self, what: str) -> Iterator[None]:
        """What fails within says how the object and all pods were, and what they wrote."""
        try:
            yield
        except BaseException as error:
            error.add_note(f"{what}: {self.told(what)}")
            error.add_note(self.kubectl("get", "services,endpointslices", "-n", NAMESPACE))
            for pod in self.read("pods")["items"] + self.read("pods", "-n", SYSTEM)["items"]:
                meta, status = pod["metadata"], pod["status"]
                about = {c["name"]: c["state"] for c in status.get("containerStatuses") or []}
                wrote = self.cluster.logs(meta["namespace"], meta["name"])[-3000:]
                error.add_note(f"{meta['name']}: {status['phase']} {about}\n{wrote}")
            error.add_note(self.cluster.log.read_text()[-3000:])
            raise

    def client(self, router: str) -> openai.OpenAI:
        url = self.cluster.forward(NAMESPACE, router, 8080)
        return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=10)


class Traffic:
    """Requests one after another, each on a connection of its own, for as long as it is entered;
    ``failed`` are those that were not answered by a model."""

    def __init__(self, url: str) -> None:
        self._url, self._thread = url, threading.Thread(target=self._run, daemon=True)
        self._over = threading.Event()
        self.answered, self.failed = 0, list[str]()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._over.is_set():
            said = {"role": "user", "content": f"Tell me about the number {self.answered}"}
            body = json.dumps({"model": "auto", "messages": [said], "max_tokens": 5}).encode()
            headers = {"content-type": "application/json"}
            request = urllib.request.Request(self._url, body, headers)
            began = time.strftime("%H:%M:%S")
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    answer.read()
                self.answered += 1
            except urllib.error.HTTPError as refused:
                with refused:
                    self.failed.append(f"{began} {refused.code} {refused.read()[:200]!r}")
            except OSError as problem:
                self.failed.append(f"{began} {problem}")
            time.sleep(0.02)


class Asked:
    """An answer through a router: what of it tells where it came from."""

    def __init__(self, client: openai.OpenAI, text: str, model: str = "auto") -> None:
        message: Any = {"role": "user", "content": text}
        raw = client.chat.completions.with_raw_response.create(model=model, messages=[message])
        self.headers = raw.headers
        completion = raw.parse()
        self.model, self.text = completion.model, completion.choices[0].message.content
        client.close()


def served(platform: Platform, router: str, text: str, model: str = "auto") -> Asked:
    return Asked(platform.client(router), text, model)


def who(platform: Platform, router: str, text: str) -> str:
    """The model that answers, or why none does."""
    try:
        return served(platform, router, text).model
    except openai.OpenAIError as problem:
        return str(problem)


def until(what: Callable[[], Any], within_s: float = 20.0) -> Any:
    """Ask until it holds; what it was."""
    ends = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < ends, f"{what} did not become so in {within_s} s"
        time.sleep(0.1)
    return found
