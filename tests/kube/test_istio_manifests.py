"""deploy/kubernetes/{istio,llmd-base}: what requirement 004 applies, against a real API server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import SHARED
from wayside.cli.files import read
from wayside.runtime import compile_policy

DEPLOY = Path(__file__).parents[2] / "deploy" / "kubernetes"
OPENAI = DEPLOY / "llmd-base" / "llmd+public-llm" / "config.yaml.openai"
KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")


def kubectl(*args: str, kubeconfig: Path | None = None, stdin: str | None = None) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    if kubeconfig is not None:
        env["KUBECONFIG"] = str(kubeconfig)
    assert KUBECTL is not None
    done = subprocess.run(
        [KUBECTL, *args], env=env, input=stdin, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr}"
    return done.stdout


def built(folder: Path) -> dict[str, dict[str, Any]]:
    """By kind and name."""
    objects = yaml.safe_load_all(kubectl("kustomize", str(folder)))
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in objects}


def the_config(objects: dict[str, dict[str, Any]]) -> tuple[str, str]:
    ((name, found),) = [(k, o) for k, o in objects.items() if k.startswith("ConfigMap/")]
    return name.partition("/")[2], found["data"]["config.yaml"]


@pytest.mark.parametrize(
    "path",
    [
        DEPLOY / "istio" / "config.yaml",
        DEPLOY / "istio-public-llm" / "config.yaml",
        OPENAI,
        SHARED / "data/vsr-configs/deploy/llmd-public/config.yaml.openai",
    ],
    ids=["istio", "istio-public-llm", "openai", "vSR's own"],
)
def test_a4_11_the_guides_configurations_load(path: Path) -> None:
    if not path.exists():
        pytest.skip(f"{path} is not here")
    loaded = read(path.read_bytes(), path.name, env={"OPENAI_API_KEY": "sk-x"})
    policy = compile_policy(
        loaded.settings,
        keys=lambda *_: None,
        needs_endpoints=False,  # type: ignore[arg-type,return-value]
    )
    assert "llama3-8b" in policy.concrete and "auto" in policy.virtual
    if path.name.endswith("openai"):
        assert "gpt-4o-mini" in policy.concrete


@needs_kubectl
def test_a4_12_copying_the_configuration_rolls_the_router_out(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "kubernetes")
    folder = tmp_path / "kubernetes" / "istio"
    before, _ = the_config(built(folder))
    copied = tmp_path / "kubernetes" / "llmd-base" / "llmd+public-llm" / "config.yaml.openai"
    shutil.copy(copied, folder / "config.yaml")
    objects = built(folder)
    after, text = the_config(objects)
    assert before != after and "gpt-4o-mini" in text
    pod = objects["Deployment/semantic-router"]["spec"]["template"]["spec"]
    assert pod["volumes"][0]["configMap"]["name"] == after


@needs_kubectl
def test_a4_13_the_overlay_does_the_same_without_changing_a_file() -> None:
    plain, overlay = built(DEPLOY / "istio"), built(DEPLOY / "istio-public-llm")
    assert the_config(overlay)[1] == OPENAI.read_text("utf-8")
    assert {k for k in plain if "ConfigMap" not in k} == {
        k for k in overlay if "ConfigMap" not in k
    }


@needs_kubectl
@pytest.mark.shared
def test_a4_14_applied_and_waited_for_as_the_guide_says(kubeconfig: Path) -> None:
    kubectl("apply", "-k", str(DEPLOY / "istio"), kubeconfig=kubeconfig)
    name, namespace = "deployment/semantic-router", "vllm-semantic-router-system"
    there = ("-n", namespace)
    condition = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}
    status = {"status": {"conditions": [condition], "replicas": 1, "availableReplicas": 1}}
    kubectl(
        *("patch", name, *there, "--subresource=status", "--type=merge", "-p", json.dumps(status)),
        kubeconfig=kubeconfig,
    )
    kubectl(
        *("wait", "--for=condition=Available", name, *there, "--timeout=10s"),
        kubeconfig=kubeconfig,
    )
    kubectl("delete", "-k", str(DEPLOY / "istio"), "--wait=false", kubeconfig=kubeconfig)


@needs_kubectl
@pytest.mark.shared
def test_a4_31_pool_and_route_are_valid_and_meet(kubeconfig: Path) -> None:
    crds = SHARED / "data" / "crds"
    if not crds.is_dir():
        pytest.skip(f"{crds} is not here")
    for crd in sorted(crds.glob("*networking*.yaml")):
        kubectl("apply", "--server-side", "-f", str(crd), kubeconfig=kubeconfig)
    kubectl("wait", "--for=condition=Established", "crd", "--all", kubeconfig=kubeconfig)
    for name in ("inferencepool-llama.yaml", "httproute-llama-pool.yaml"):
        path = DEPLOY / "llmd-base" / name
        kubectl("apply", "--validate=strict", "-f", str(path), kubeconfig=kubeconfig)
    route = json.loads(
        kubectl("get", "httproute", "vsr-llama8b", "-o", "json", kubeconfig=kubeconfig)
    )
    (rule,) = route["spec"]["rules"]
    (header,) = rule["matches"][0]["headers"]
    assert (header["name"], header["value"]) == ("x-selected-model", "llama3-8b")
    (backend,) = rule["backendRefs"]
    pool = json.loads(
        kubectl("get", "inferencepool", backend["name"], "-o", "json", kubeconfig=kubeconfig)
    )
    picker = pool["spec"]["endpointPickerRef"]
    service = json.loads(
        kubectl("get", "service", picker["name"], "-o", "json", kubeconfig=kubeconfig)
    )
    assert picker["port"]["number"] in [p["port"] for p in service["spec"]["ports"]]
    assert rule["timeouts"]["request"] in ("300s", "5m")


def test_no_manifest_takes_what_it_does_not_need() -> None:
    for path in DEPLOY.rglob("*.yaml"):
        text = path.read_text("utf-8")
        for found in yaml.safe_load_all(text):
            if not isinstance(found, dict) or found.get("kind") != "Deployment":
                continue
            pod = found["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] is True, path
            for container in pod["containers"]:
                assert not container["image"].endswith(":latest") and ":" in container["image"]
                assert container["securityContext"]["readOnlyRootFilesystem"] is True, path
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
