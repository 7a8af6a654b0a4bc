"""The target ``kserve``: from its script to an answer, and what it makes of an intent.

A genuine API server; pods are processes; stand-ins play KServe's LLMInferenceService controller,
``oc`` and OpenShift's router.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.cluster import Kubectl, serving
from tests.kubelet import Cluster
from tests.kubelet.images import defaults
from tests.kubelet.stand_ins import definitions
from wayside.deploy import Object, Scene
from wayside.deploy.intent import Intent
from wayside.deploy.parts import kserve as parts
from wayside.deploy.parts.options import options
from wayside.deploy.targets.kserve import EXAMPLE, Kserve, KserveOptions
from wayside.vocab.errors import ConfigError
from wayside.vocab.resource import KSERVE_LLMS, Resource

from .oc import ROOT, Oc, terminal

HERE = "https://api.this-cluster.example.com:6443"
NS = "vllm-semantic-router-system"
SCRIPT = ROOT / "deploy" / "kserve" / "deploy.sh"
OPENSHIFT = ROOT / "deploy" / "openshift"
MATHS = "What is the integral of x squared from 0 to 3?"
LAW = "What is the statute of limitations for breach of contract?"


# --- what it makes of an intent ----------------------------------------------------------------


class Found:
    """A cluster that has these objects, and serves these kinds; or none to look at."""

    def __init__(
        self, *objects: Object, live: bool = True, serves: Sequence[Resource] = (parts.NEWER,)
    ) -> None:
        self.live, self._serves = live, serves
        self._found = {(o["kind"], o["metadata"]["name"]): o for o in objects}

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        kinds = {"services": "Service", "llminferenceservices": "LLMInferenceService"}
        return self._found.get((kinds.get(resource.plural, ""), name))

    def all(self, resource: Resource, namespace: str | None = None) -> Sequence[Object]:
        return ()

    def has(self, resource: Resource) -> bool | None:
        return resource in self._serves if self.live else None

    def told(self, name: str) -> str:
        return {"domain": "apps.example.com"}.get(name, "")


def an_intent(**more: Any) -> Intent:
    return Intent.model_validate({**yaml.safe_load(EXAMPLE), **more})


def rendered(intent: Intent, scene: Scene | None = None) -> dict[tuple[str, str], Object]:
    target = Kserve()
    assert not target.problems(intent)
    steps = target.steps(intent, scene or Found(live=False))
    made = [o for step in steps for manifest in step.manifests for o in manifest.objects]
    return {(o["kind"], o["metadata"]["name"]): o for o in made}


def test_a2_17_a2_18_a2_22_models_are_inference_services_that_need_no_gpu() -> None:
    """A2-17, A2-18, A2-22: LLMInferenceServices of simulators that ask for no GPU, and whose pods
    hold under `restricted`: no user of their own, no root, nothing privileged."""
    made = rendered(an_intent())
    for name, served in (("model-a", "Model-A"), ("model-b", "Model-B")):
        found = made["LLMInferenceService", name]
        assert found["spec"]["model"]["name"] == served
        pod = found["spec"]["template"]
        (container,) = pod["containers"]
        assert container["name"] == "main" and served in container["command"]
        assert "nvidia" not in json.dumps(found)
        assert pod["securityContext"]["runAsNonRoot"] and "runAsUser" not in str(pod)
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["readinessProbe"]["httpGet"]["scheme"] == "HTTP"
    assert not [kind for kind, _ in made if "SecurityContextConstraints" in kind]


def test_a2_21_a2_28_the_router_is_called_and_reached_as_documented() -> None:
    """A2-21, A2-28, A2-02, A2-03: 500m, the documented ports, no admin page; an Envoy of its own
    beside the stock image, and no ext_proc in anybody else's gateway."""
    made = rendered(an_intent())
    service = made["Service", "semantic-router-kserve"]["spec"]
    assert [(p["port"], p["targetPort"]) for p in service["ports"]] == [
        (80, 8801), (8801, 8801), (50051, 50051), (9190, 9190), (8080, 8801),
    ]  # fmt: skip
    deployment = made["Deployment", "semantic-router-kserve"]
    assert deployment["metadata"]["labels"]["app"] == "semantic-router"
    pod = deployment["spec"]["template"]["spec"]
    router, envoy = pod["containers"]
    assert (router["name"], envoy["name"]) == ("semantic-router", "envoy-proxy")
    assert router["resources"]["requests"]["cpu"] == "500m"
    assert router["image"] == Intent().router.image
    assert service["selector"].items() <= (
        deployment["spec"]["template"]["metadata"]["labels"].items()
    )
    assert not [kind for kind, _ in made if kind in ("EnvoyFilter", "Route", "HTTPRoute")]


def test_a2_19_a_route_only_where_it_is_asked_for() -> None:
    assert not [kind for kind, _ in rendered(an_intent()) if kind == "Route"]
    made = rendered(an_intent(exposure={"kind": "route"}))
    assert made["Route", "semantic-router-kserve"]["spec"]["tls"]["termination"] == "edge"


def endpoints(made: Mapping[tuple[str, str], Object]) -> dict[str, list[str]]:
    said = made["ConfigMap", "semantic-router-kserve-config"]["data"]["config.yaml"]
    models = yaml.safe_load(said)["models"]
    return {name: model["endpoints"] for name, model in models.items()}


def service(name: str, *ports: Object) -> Object:
    return {"kind": "Service", "metadata": {"name": name}, "spec": {"ports": list(ports)}}


def llm(name: str, **status: Any) -> Object:
    return {"kind": "LLMInferenceService", "metadata": {"name": name}, "status": status}


THEIRS = {"models": {"M": {"kserve": "m"}}, "default_model": "M", "router": {}}


@pytest.mark.parametrize(
    ("found", "url"),
    [
        (
            [service("m-kserve-workload-svc", {"port": 8000, "appProtocol": "https"})],
            f"https://m-kserve-workload-svc.{NS}.svc.cluster.local:8000",
        ),
        (
            [service("m-kserve-workload-svc", {"port": 9000, "name": "http"})],
            f"http://m-kserve-workload-svc.{NS}.svc.cluster.local:9000",
        ),
        (
            [llm("m", url="https://m.example.com", addresses=[{"url": "http://m.n.svc:80/n/m"}])],
            "http://m.n.svc:80/n/m",
        ),
        ([llm("m", url="https://m.example.com/n/m")], "https://m.example.com/n/m"),
    ],
)
def test_a2_27_addresses_are_what_the_cluster_says(found: list[Object], url: str) -> None:
    """A2-27: the workload's Service by name, else the status; no ClusterIP is looked up."""
    assert endpoints(rendered(an_intent(**THEIRS), Found(*found))) == {"M": [url]}


def test_a2_27_no_address_is_ever_made_up() -> None:
    """D30: a model that is served nowhere is an error that names it."""
    for found in ([], [llm("m")], [llm("m", url="10.0.0.1")]):
        with pytest.raises(ConfigError, match="says nowhere where it is served") as caught:
            rendered(an_intent(**THEIRS), Found(*found))
        assert caught.value.problems[0].where == "models.M.kserve"
    assert endpoints(rendered(an_intent(**THEIRS))) == {
        "M": [f"http://m-kserve-workload-svc.{NS}.svc.cluster.local:8000"]
    }


def test_a2_23_the_version_is_one_that_the_cluster_serves() -> None:
    """A2-23 and D32: KServe 0.16 is spoken to in v1alpha1; 0.15 has none, and that is said."""
    services = [service(f"model-{m}-kserve-workload-svc", {"port": 8000}) for m in "ab"]
    made = rendered(an_intent(), Found(*services, serves=[KSERVE_LLMS]))
    assert made["LLMInferenceService", "model-a"]["apiVersion"].endswith("v1alpha1")
    made = rendered(an_intent(), Found(*services, serves=[KSERVE_LLMS, parts.NEWER]))
    assert made["LLMInferenceService", "model-a"]["apiVersion"].endswith("v1alpha2")
    with pytest.raises(ConfigError, match=r"0\.15 has neither"):
        rendered(an_intent(), Found(*services, serves=[]))
    (need,) = Kserve().needs(an_intent())
    assert need.name == "llminferenceservices.serving.kserve.io" and "0.16" in need.fix


def test_what_kserve_cannot_do_is_told() -> None:
    models = {
        "A": {"run": "llm-katan", "source": "x/y"},
        "B": {"run": "simulator", "kserve": "B", "tiers": []},
    }
    found = Kserve().problems(an_intent(models=models, tiers=[], router={}))
    assert {p.where for p in found} == {
        "models.A.run",
        "models.B.kserve",
        "models.B.tiers",
        "tiers",
    }
    assert "did you mean 'b'?" in " ".join(map(str, found))
    bad = an_intent(targets={"kserve": {"api": "v1"}})
    with pytest.raises(ConfigError, match=r"targets\.kserve\.api"):
        options(bad, "kserve", KserveOptions)


# --- its script --------------------------------------------------------------------------------


def deploy_sh(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(SCRIPT), *args], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "--namespace: is required"),
        (("-n", "x"), "--inferenceservice: is required, or --simulator"),
        (("-n", "x", "-i", "m"), "--model: is required"),
        (("-n",), "-n: needs a value"),
        (("-n", "x", "--simulator", "-i", "m"), "leave out -i and -m"),
        (("-n", "x", "--simulator", "--sim-model-a", 'a"b'), "is no name"),
        (("-n", "x", "--classifier-gpu"), "on the CPU"),
        (("-n", "x", "--embedding-model", "mom-embedding-pro"), "router.settings.engines"),
        (("-n", "x", "--cache-pvc-size", "5Gi"), "never on a claim"),
        (("-n", "x", "--skip-validation"), "always checked"),
        (("-n", "x", "--maas-gateway-endpoint", "h:80"), "--no-public-route"),
        (("-n", "x", "--what"), "no such option"),
    ],
)
def test_flags_that_cannot_be_had_are_refused_with_the_reason(
    args: tuple[str, ...], said: str
) -> None:
    """Every flag of upstream's script works, or says why it does not and what to do."""
    done = deploy_sh(*args)
    assert done.returncode == 1 and said in done.stderr


def test_dry_run_asks_no_cluster() -> None:
    """`--dry-run` prints manifests, with no kubeconfig and no `oc` in sight."""
    done = subprocess.run(
        [str(SCRIPT), "-n", "x", "-i", "my-llm", "-m", "My-LLM", "-s", "fast", "--dry-run"],
        env={"PATH": "/usr/bin:/bin", "KUBECONFIG": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    made = {o["kind"]: o for o in yaml.safe_load_all(done.stdout)}
    assert made["PersistentVolumeClaim"]["spec"]["storageClassName"] == "fast"
    assert "Route" in made and "LLMInferenceService" not in made
    assert "my-llm-kserve-workload-svc" in done.stdout and "usage" not in done.stderr


def test_help_teaches() -> None:
    done = deploy_sh("--help")
    assert done.returncode == 0 and "--sim-inferenceservice-a" in done.stdout


def test_files_that_people_apply_are_fresh() -> None:
    """A2-21, A2-22: `deploy/kserve` and `maas-integration` are what the targets make."""
    done = subprocess.run(
        [str(ROOT / ".venv/bin/python"), "scripts/maas_files.py", "--check"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


# --- on a cluster ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    oc: Oc
    cluster: Cluster
    kubectl: Kubectl

    def ask(self, text: str, *, stream: bool = False) -> tuple[int, Mapping[str, str], bytes]:
        url = self.cluster.forward(NS, "semantic-router-kserve", 8801)
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], "max_tokens": 4}
        request = urllib.request.Request(
            f"{url}/v1/chat/completions",
            json.dumps({**body, "stream": stream}).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.headers, refused.read()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    known = defaults()
    images = {"wayside": known["ghcr.io/vllm-project/semantic-router/extproc"]}
    with serving(tmp_path_factory.mktemp("kserve")) as server:
        kubectl = Kubectl(server.kubeconfig)
        kubectl.apply(*definitions("llms"), *definitions("router"))
        kubelet = Cluster(
            server.kubeconfig, namespaces=[NS], images=images, stand_ins=["llms", "router"]
        )
        folder = tmp_path_factory.mktemp("terminal")
        with (
            kubelet as cluster,
            terminal(folder, {HERE: server.kubeconfig}, kubelets={HERE: cluster}) as oc,
        ):
            yield Place(oc, cluster, kubectl)
            # Routers would take their whole grace to end; nobody is here to be answered.
            assert cluster.process is not None
            cluster.process.kill()


def test_a2_16_from_the_script_to_an_answer(place: Place) -> None:
    """A2-16, A2-17, A2-25, A2-29, A2-30: `deploy-to-openshift.sh --kserve --simulator` as far as
    an answer; maths goes to Model-A and law to Model-B, streamed or not; and everything is listed
    by the guide's own commands."""
    script = "./deploy-to-openshift.sh"
    done = place.oc.run(script, "--kserve", "--simulator", "--no-observability", cwd=OPENSHIFT)
    assert "Route" in done.stdout + done.stderr
    listed = place.oc.sh(
        "oc get pods -n vllm-semantic-router-system\n"
        "oc get llminferenceservices -n vllm-semantic-router-system"
    )
    assert "semantic-router-kserve-" in listed and "model-a" in listed and "model-b" in listed
    for text, model in ((MATHS, "Model-A"), (LAW, "Model-B")):
        status, headers, body = place.ask(text)
        assert status == 200, body
        assert json.loads(body)["model"] == model == headers["x-vsr-selected-model"]
    status, _, body = place.ask(LAW, stream=True)
    assert status == 200 and body.rstrip().endswith(b"data: [DONE]") and b"Model-B" in body
