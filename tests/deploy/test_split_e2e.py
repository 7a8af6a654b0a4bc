"""Requirement 000 from ``./deploy-split.sh`` to cleanup: a genuine API server, pods that are
processes, and stand-ins for ``oc``, OpenShift's router, its image registry and llm-katan.

The commands are the guide's own, as it prints them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import CRDS, Kubectl, serving
from tests.e2e.platform import STORAGE_CLASS, until
from tests.kubelet import Cluster, Image
from tests.kubelet.images import defaults
from tests.kubelet.stand_ins import definitions

from .oc import ROOT, Oc, terminal

HERE = "https://api.this-cluster.example.com:6443"
NEW = "https://new-cluster-api.example.com:6443"
NS = "vllm-semantic-router-system"
FOLDER = ROOT / "deploy" / "openshift"
SPLIT = FOLDER / "single-namespace"
MATHS = "What is the integral of x squared from 0 to 3?"
LAW = "What is the statute of limitations for breach of contract?"
KATAN = f"image-registry.openshift-image-registry.svc:5000/{NS}/llm-katan"
SERVES = """sh -c 'while [ $# -gt 1 ]; do case $1 in \
--served-model-name) model=$2 ;; --port) port=$2 ;; esac; shift 2; done; \
exec wayside sim --model "$model" --host 0.0.0.0 --port "$port" --itl 0.001' llm-katan"""
"""llm-katan, played by our simulator."""


def any_kind(group: str, kind: str) -> dict[str, Any]:
    """A CRD that takes anything: OpenShift's own come with OpenShift alone."""
    made = json.loads(json.dumps(definitions("router")[0]))
    plural = f"{kind.lower()}s"
    made["metadata"]["name"] = f"{plural}.{group}"
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    made["spec"] |= {"group": group, "names": names}
    return dict(made)


def openshift(kubectl: Kubectl) -> None:
    """What of OpenShift's API is needed here."""
    routes = CRDS / "routes.crd.yaml"
    of_routes = (
        list(yaml.safe_load_all(routes.read_text())) if routes.exists() else definitions("router")
    )
    kubectl.apply(
        STORAGE_CLASS,
        *of_routes,
        any_kind("image.openshift.io", "ImageStream"),
        any_kind("build.openshift.io", "BuildConfig"),
    )


def images() -> dict[str, Image]:
    known = defaults()
    router = known["ghcr.io/vllm-project/semantic-router/extproc"]
    small = f"""{sys.executable} -c 'import sys; sys.argv[0] = "curl"; import wayside.cli; \
wayside.cli.main()'"""
    router = dataclasses.replace(router, programs={**router.programs, "curl": small})
    return {"wayside": router, KATAN: Image({**router.programs, "llm-katan": SERVES}, user=1000)}


@dataclass(frozen=True)
class Place:
    """Somebody at a terminal with two clusters, of which only the first has nodes."""

    oc: Oc
    cluster: Cluster

    def read(self, *what: str) -> Any:
        return json.loads(self.oc("-n", NS, "get", *what, "-o", "json"))

    def ask(self, text: str) -> tuple[str, str]:
        """Through Envoy: the model that answered, and the one that was decided for; or why none
        did."""
        url = self.cluster.forward(NS, "semantic-router", 8801)
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], "max_tokens": 4}
        request = urllib.request.Request(
            f"{url}/v1/chat/completions",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                said = json.loads(answer.read())["model"]
                return said, answer.headers["x-vsr-selected-model"]
        except OSError as problem:
            return str(problem), ""

    def pods(self) -> set[str]:
        label = "app.kubernetes.io/name=semantic-router"
        return {p["metadata"]["name"] for p in self.read("pods", "-l", label)["items"]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("terminal")
    with (
        serving(tmp_path_factory.mktemp("here")) as here,
        serving(tmp_path_factory.mktemp("new")) as new,
    ):
        openshift(Kubectl(here.kubeconfig))
        openshift(Kubectl(new.kubeconfig))
        with (
            Cluster(
                here.kubeconfig, namespaces=[NS], images=images(), stand_ins=["router"]
            ) as cluster,
            terminal(
                folder,
                {HERE: here.kubeconfig, NEW: new.kubeconfig},
                kubelets={HERE: cluster},
                password="open sesame",
            ) as oc,
        ):
            yield Place(oc, cluster)


@pytest.mark.timeout(400)
def test_from_deploy_to_cleanup(place: Place) -> None:
    """One deployment, step by step; what each shows is in its own docstring."""
    for step in (
        deployed_by_the_script,
        verified_as_the_guide_does,
        routed_to_the_selected_models_pod,
        run_again_writes_nothing,
        found_well,
        a_config_map_alone_is_enough,
        models_scale_by_themselves,
        restarted,
        taken_away,
    ):
        began = time.monotonic()
        try:
            step(place)
            print(f"{time.monotonic() - began:6.1f} s  {step.__name__}")
        except BaseException as error:
            error.add_note(step.__name__)
            for pod in place.read("pods")["items"]:
                name = pod["metadata"]["name"]
                error.add_note(f"{name}\n{place.cluster.logs(NS, name)[-2000:]}")
            error.add_note(place.cluster.log.read_text()[-2000:])
            raise


def deployed_by_the_script(it: Place) -> None:
    """A0-01, A0-02, A0-03, A0-04, A0-05: the eight steps, in their order."""
    done = it.oc.run("./deploy-split.sh", "--no-observability", cwd=SPLIT)
    text = done.stdout + done.stderr
    titles = [line for line in text.splitlines() if line.isalpha()]
    assert titles == [
        *("namespace", "image", "claims", "models", "configuration", "router", "routes")
    ]
    made = [line.split()[1:] for line in text.splitlines() if line.startswith("  + ")]
    order = [
        made.index([kind, f"{NS}/{name}"])
        for kind, name in (
            ("Service", "vllm-model-a"),
            ("Service", "vllm-model-b"),
            ("ConfigMap", "semantic-router-config"),
            ("Deployment", "semantic-router"),
            ("Route", "semantic-router"),
        )
    ]
    assert order == sorted(order)
    claims = {
        c["metadata"]["name"]: c["spec"]["resources"]["requests"]["storage"]
        for c in it.read("pvc")["items"]
    }
    assert claims == {
        "semantic-router-models": "20Gi",
        "semantic-router-cache": "20Gi",
        "vllm-model-a-cache": "10Gi",
        "vllm-model-b-cache": "10Gi",
    }
    assert it.read("imagestream", "llm-katan") and it.read("buildconfig", "llm-katan")


def verified_as_the_guide_does(it: Place) -> None:
    """A0-06, A0-07, A0-09, A0-10, A0-11, A0-12, A0-13, A0-14, A0-18, A0-19, A0-20, A0-21: the
    guide's own commands, from its sections Verification and Troubleshooting."""
    it.oc.sh("oc get pods -n vllm-semantic-router-system")
    assert it.oc.sh("oc project").strip() == f'Using project "{NS}".'
    spec = it.read("deployment", "semantic-router")["spec"]["template"]["spec"]
    assert [c["name"] for c in spec["containers"]] == ["semantic-router", "envoy-proxy"]
    it.oc.sh("oc get svc -n vllm-semantic-router-system")
    addresses = {}
    for name, container, port in (
        ("vllm-model-a", "model-a", 8000),
        ("vllm-model-b", "model-b", 8001),
    ):
        (found,) = it.read("deployment", name)["spec"]["template"]["spec"]["containers"]
        assert found["name"] == container and "Qwen/Qwen3-0.6B" in found["command"]
        service = it.read("svc", name)["spec"]
        assert service["type"] == "ClusterIP"
        assert [(p["port"], p["protocol"]) for p in service["ports"]] == [(port, "TCP")]
        addresses[name] = service["clusterIP"]
    listed_a = it.oc.sh(
        "oc exec deployment/semantic-router -c semantic-router -- "
        "curl -s http://$(oc get svc vllm-model-a -o jsonpath='{.spec.clusterIP}'):8000/v1/models"
    )
    assert [m["id"] for m in json.loads(listed_a)["data"]] == ["Model-A"]
    listed_b = it.oc.sh(
        "oc exec deployment/semantic-router -c semantic-router -- "
        "curl -s http://$(oc get svc vllm-model-b -o jsonpath='{.spec.clusterIP}'):8001/v1/models"
    )
    assert [m["id"] for m in json.loads(listed_b)["data"]] == ["Model-B"]
    for name, port in (("vllm-model-a", 8000), ("vllm-model-b", 8001)):
        it.oc.sh(
            "oc exec deployment/semantic-router -c semantic-router -- curl -sf "
            f"http://$(oc get svc {name} -o jsonpath='{{.spec.clusterIP}}'):{port}/health"
        )
    said = it.oc.sh("oc get configmap semantic-router-config -o yaml | grep address:")
    assert [line.split()[-1].strip('"') for line in said.splitlines()] == list(addresses.values())
    held = it.read("configmap", "semantic-router-config")["data"]
    assert list(held) == ["dynamic-config.yaml"]
    endpoints = yaml.safe_load(held["dynamic-config.yaml"])["vllm_endpoints"]
    assert [(e["name"], e["address"], e["port"]) for e in endpoints] == [
        ("model-a-endpoint", addresses["vllm-model-a"], 8000),
        ("model-b-endpoint", addresses["vllm-model-b"], 8001),
    ]
    for route in it.read("routes")["items"]:
        assert route["spec"]["tls"]["termination"] == "edge"
        assert route["spec"]["port"]["targetPort"] in ("envoy-http", "api")
        until(lambda route=route: "ingress" in it.read(  # type: ignore[misc]
            "route", route["metadata"]["name"]).get("status", {}))  # fmt: skip


def routed_to_the_selected_models_pod(it: Place) -> None:
    """A0-37: maths to Model-A, law to Model-B, each answered by the pod of that model."""
    assert it.ask(MATHS) == ("Model-A", "Model-A")
    assert it.ask(LAW) == ("Model-B", "Model-B")
    url = it.cluster.forward(NS, "semantic-router", 8801)
    done = it.oc.run(
        *("wayside", "deploy", "verify", "-f", str(SPLIT / "wayside.yaml"), "--url", url)
    )
    assert "Model-B" in done.stdout


def run_again_writes_nothing(it: Place) -> None:
    """A0-02, A0-03: idempotent, and nothing is built a second time."""
    build = it.read("buildconfig", "llm-katan")["metadata"]["resourceVersion"]
    done = it.oc.run("./deploy-split.sh", "--no-observability", cwd=SPLIT)
    assert "0 created, 0 changed, 0 deleted" in done.stdout
    assert it.read("buildconfig", "llm-katan")["metadata"]["resourceVersion"] == build


def found_well(it: Place) -> None:
    """A0-35: all checks, among them `wayside doctor` in the router's pod, which asks every backend
    and fails where one does not answer by its name."""
    done = it.oc.run(str(FOLDER / "validate-deployment.sh"))
    assert "12 passed, 0 failed, 1 skipped" in done.stdout, done.stdout
    for title in ("models answer the router by their names", "Route is admitted"):
        assert f"ok       {title}" in done.stdout, done.stdout


def a_config_map_alone_is_enough(it: Place) -> None:
    """A0-26: nobody restarts anything, and no pod is replaced."""
    before = it.pods()
    held = it.read("configmap", "semantic-router-config")
    document = yaml.safe_load(held["data"]["dynamic-config.yaml"])
    (law,) = [d for d in document["decisions"] if d["name"] == "law_decision"]
    law["modelRefs"][0]["model"] = "Model-A"
    service = it.read("service", "vllm-model-a")["metadata"]
    document["vllm_endpoints"][0]["address"] = f"{service['name']}.{NS}.svc.cluster.local"
    held["data"]["dynamic-config.yaml"] = yaml.safe_dump(document)
    it.oc.run("oc", "replace", "-f", "-", stdin=json.dumps(held))
    until(lambda: it.ask(LAW) == ("Model-A", "Model-A"))
    assert it.pods() == before


def models_scale_by_themselves(it: Place) -> None:
    """A0-17: the router does not notice."""
    router = it.read("deployment", "semantic-router")["metadata"]["generation"]
    before = it.pods()
    it.oc("-n", NS, "scale", "deployment/vllm-model-a", "--replicas=2")
    it.oc("-n", NS, "rollout", "status", "deployment/vllm-model-a", "--timeout=60s")
    assert it.read("deployment", "semantic-router")["metadata"]["generation"] == router
    assert it.pods() == before
    assert it.ask(MATHS)[0] == "Model-A"


def restarted(it: Place) -> None:
    """A0-25: the guide's last resort."""
    before = it.pods()
    it.oc.sh(
        "oc rollout restart deployment/semantic-router -n vllm-semantic-router-system\n"
        "oc rollout status deployment/semantic-router -n vllm-semantic-router-system"
    )
    assert not it.pods() & before
    until(lambda: it.ask(LAW) == ("Model-A", "Model-A"))


def taken_away(it: Place) -> None:
    """A0-38: exactly what was created; claims when that is asked for; a foreign object stays."""
    it.oc("-n", NS, "create", "configmap", "somebody-elses", "--from-literal=a=b")
    clean = str(FOLDER / "cleanup-openshift.sh")
    it.oc.run(clean, "-f")
    kinds = "deployments,services,configmaps,serviceaccounts,networkpolicies,routes,imagestreams"
    ours = "wayside.vllm.ai/deployment=semantic-router"
    left = [o for o in it.read(kinds, "-l", ours)["items"] if "wayside-deployment" not in
            o["metadata"]["name"]]  # fmt: skip
    assert left == []
    assert len(it.read("pvc", "-l", ours)["items"]) == 4
    it.oc.run(clean, "--force", "--level", "namespace")
    assert it.read("pvc", "-l", ours)["items"] == []
    assert it.read("configmap", "somebody-elses")


@pytest.mark.timeout(400)
def test_a_new_cluster_and_the_guides_own_steps(place: Place, tmp_path: Path) -> None:
    """A0-15, A0-22: another cluster has another range of addresses (which its administrator
    plays), and everything there has its own; A0-01, A0-06, A0-08: step by step, as the guide
    prints it; A0-36: its files apply as they are."""
    oc = place.oc
    refused = oc.run("oc", "login", NEW, "-u", "admin", stdin="sesame\n", ok=False)
    assert refused.returncode
    oc.run("oc", "login", NEW, "-u", "admin", stdin="open sesame\n")
    addresses = {"vllm-model-a": "172.30.7.50", "vllm-model-b": "172.30.8.80"}
    documents = list(yaml.safe_load_all((SPLIT / "deployment-split.yaml").read_text()))
    services = [d for d in documents if d["metadata"]["name"] in addresses
                and d["kind"] in ("Service", "Namespace")]  # fmt: skip
    for service in services:
        service["spec"]["clusterIP"] = addresses[service["metadata"]["name"]]
    oc.run("oc", "create", "namespace", NS)
    oc.run("oc", "create", "-f", "-", stdin=yaml.safe_dump_all(services))
    oc("project", NS)

    for name in ("deployment-split.yaml", "config-split.yaml"):
        (tmp_path / name).write_text((SPLIT / name).read_text())
    oc.sh(
        """
# 1. Deploy vLLM model services first
oc apply -f deployment-split.yaml

# 2. Wait for services to get ClusterIPs
MODEL_A_IP=$(oc get svc vllm-model-a -o jsonpath='{.spec.clusterIP}')
MODEL_B_IP=$(oc get svc vllm-model-b -o jsonpath='{.spec.clusterIP}')

# 3. Generate config with actual IPs
sed "s/172.30.64.134/$MODEL_A_IP/g" config-split.yaml > dynamic-config.yaml

# 4. Create ConfigMap with dynamic config
oc create configmap semantic-router-config --from-file=dynamic-config.yaml
""",
        cwd=tmp_path,
    )
    made = tmp_path / "dynamic-config.yaml"
    checked = oc.run("wayside", "config", "check", str(made))
    assert "172.30.116.177 is a placeholder" in checked.stderr + checked.stdout
    found = oc.run(str(FOLDER / "validate-deployment.sh"), ok=False)
    assert found.returncode == 1 and len(found.stdout.splitlines()) >= 13
    assert "FAILED   configuration has no placeholder" in found.stdout
    assert "ok       Services have addresses" in found.stdout

    script = ("./deploy-split.sh", "--no-observability", "--no-wait")
    refused = oc.run(*script, cwd=SPLIT, ok=False)
    assert refused.returncode and "semantic-router-config" in refused.stdout + refused.stderr
    oc.run(*script, "--adopt", "--force-conflicts", cwd=SPLIT)
    said = oc.sh("oc get configmap semantic-router-config -o yaml | grep address:")
    mine = [line for line in said.splitlines() if "f:" not in line]
    assert [line.split()[-1].strip('"') for line in mine] == list(addresses.values())

    calls = [" ".join(call) for call in oc.calls]
    assert not any("sesame" in call for call in calls)
    oc.run(
        *(str(FOLDER / "cleanup-openshift.sh"), "-s", HERE, "--dry-run"),
        env={"OPENSHIFT_PASSWORD": "open sesame"},
    )
    assert ["oc", "login", HERE, "-u", "admin"] in oc.calls
    assert not any("sesame" in " ".join(call) for call in oc.calls)
