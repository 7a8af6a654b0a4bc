"""``make`` in deploy/operator: each target of requirement 001 does what it says.

Against a genuine API server where one is asked; container engines and OpenShift's ``oc`` are
stubs that write down what they were told.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import Done, Kubectl
from tests.packaging.standins import loose

ROOT = Path(__file__).parents[2]
HERE = ROOT / "deploy" / "operator"
STUB = """#!/bin/sh
for a; do printf '%s\\0' "$a"; done >> "$STUBS/$(basename "$0")"
printf '\\n' >> "$STUBS/$(basename "$0")"
"""
TARGETS = {
    *("build", "run", "test", "manifests", "generate"),
    *("docker-build", "docker-push", "docker-buildx"),
    *("install", "uninstall", "deploy", "undeploy"),
    *("bundle", "bundle-build", "bundle-push", "catalog-build", "catalog-push"),
    *("openshift-deploy", "openshift-undeploy"),
}
Make = Callable[..., Done]


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """A folder for PATH: docker, podman and oc that write their arguments into files beside."""
    for name in ("docker", "podman", "oc", "uv"):
        (tmp_path / "bin" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(STUB)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def told(stubs: Path, name: str) -> list[list[str]]:
    """The calls of a stub."""
    file = stubs / name
    lines = file.read_text().splitlines() if file.exists() else []
    return [line.removesuffix("\0").split("\0") for line in lines]


@pytest.fixture
def make(stubs: Path) -> Make:
    def run(*args: str, ok: bool = True, env: dict[str, str] | None = None) -> Done:
        path = f"{stubs / 'bin'}:{os.environ['PATH']}"
        mine = [f"BIN={Path(sys.executable).parent}", f"DIST={stubs / 'dist'}"]
        done = subprocess.run(
            ["make", "--no-print-directory", "-C", str(HERE), *mine, *args],
            env={**os.environ, "PATH": path, "STUBS": str(stubs), **(env or {})},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert not ok or done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def test_every_target_of_the_requirement_is_there(make: Make) -> None:
    listed = make("help").stdout
    assert {line.split()[1] for line in listed.splitlines()} >= TARGETS


# --- the cluster --------------------------------------------------------------------------------


def test_a1_05_to_07_install_deploy_undeploy_uninstall(make: Make, kubectl: Kubectl) -> None:
    """A1-05, A1-06, A1-07: from an empty cluster to an operator, and back, losing no router."""
    env = {"KUBECONFIG": str(kubectl.kubeconfig)}
    image = "ghcr.io/vllm-project/semantic-router-operator:latest"
    crd, space = "crd/semanticrouters.vllm.ai", "semantic-router-operator-system"
    name = "deployment/semantic-router-operator-controller-manager"

    make("install", env=env)
    assert "condition met" in kubectl("wait", "--for=condition=Established", crd)

    make("deploy", f"IMG={image}", env=env)
    found = json.loads(kubectl("-n", space, "get", name, "-o", "json"))
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert container["image"] == image
    assert container["command"] == ["wayside"] and container["args"][0] == "operator"
    assert container["env"] == [{"name": "ROUTER_IMAGE", "value": image}]  # one image has all

    router = {
        "apiVersion": "vllm.ai/v1alpha1",
        "kind": "SemanticRouter",
        "metadata": {"name": "a"},
        "spec": {},
    }
    kubectl.apply(router, namespace="default")
    make("undeploy", env=env)
    assert kubectl.run("-n", space, "get", name, ok=False).returncode
    assert kubectl("-n", "default", "get", "semanticrouter", "a")

    refused = make("uninstall", ok=False, env=env)
    assert refused.returncode and "there are 1 SemanticRouters" in refused.stderr
    assert kubectl("get", crd)
    make("uninstall", "FORCE=1", env=env)
    assert kubectl.run("get", crd, ok=False).returncode
    make("uninstall", env=env)  # nothing is left to do, and nothing is wrong


def test_an_image_that_is_none_is_refused(make: Make) -> None:
    for bad in ("IMG=", "IMG=a b", "IMG=x$$(id)", 'IMG="', "IMG='; id #"):
        done = make("deploy", bad, ok=False)
        assert done.returncode and "is no image" in done.stderr, bad


def test_a_program_that_is_missing_is_named(make: Make) -> None:
    done = make("install", "KUBECTL=kubectl-that-is-not-here", ok=False)
    assert "kubectl-that-is-not-here is not installed; or say make install KUBECTL=" in done.stderr
    done = make("docker-push", "CONTAINER_TOOL=engine-that-is-not-here", ok=False)
    assert "engine-that-is-not-here is not installed" in done.stderr
    done = make("run", "BIN=/nowhere", ok=False)
    assert done.returncode and "no /nowhere/python" in done.stderr


# --- images -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
def test_a1_03_build_leaves_a_wheel_and_what_it_needs(make: Make, stubs: Path) -> None:
    """A1-03: all that the Containerfile copies, with a hash for everything it installs."""
    uv = shutil.which("uv")
    assert uv is not None
    make("build", f"UV={uv}")
    wheel, requirements = (stubs / "dist").glob("*.whl"), stubs / "dist" / "requirements.txt"
    assert [w.name.split("-")[0] for w in wheel] == ["wayside"]
    text = requirements.read_text()
    names = [line.split("==")[0] for line in text.splitlines() if "==" in line]
    assert {"pydantic", "click", "hiredis", "asyncpg"} <= set(names)
    assert not {"pytest", "mypy", "helm-python-sdk", "wayside"} & set(names)
    assert text.count("==") <= text.count("--hash=sha256:")


def test_a1_04_the_image_is_built_from_the_wheel_and_pushed(make: Make, stubs: Path) -> None:
    """A1-04: ``make docker-build docker-push IMG=``."""
    image = "registry.example.com/me/semantic-router-operator:latest"
    make("docker-build", "docker-push", f"IMG={image}")
    build, push = told(stubs, "docker")
    assert build[0] == "build" and build[-2:] == [image, f"{stubs}/dist"]
    assert build[build.index("-f") + 1] == str(ROOT / "deploy/images/Containerfile")
    assert push == ["push", image]
    assert [call[0] for call in told(stubs, "uv")] == ["build", "export"]


def test_a1_04_podman_does_the_same(make: Make, stubs: Path) -> None:
    image = "registry.example.com/me/operator:1"
    make("podman-build", "podman-push", f"IMG={image}")
    assert [call[0] for call in told(stubs, "podman")] == ["build", "push"]
    assert not told(stubs, "docker")
    make("docker-buildx", f"IMG={image}", "PLATFORMS=linux/arm64")
    (call,) = told(stubs, "docker")
    assert call[:2] == ["buildx", "build"]
    assert "--platform=linux/arm64" in call and "--push" in call


def test_a1_09_a1_10_bundle_and_catalog_name_the_images_that_were_asked_for(
    make: Make, stubs: Path, tmp_path: Path
) -> None:
    """A1-09, A1-10: ``make bundle-build bundle-push BUNDLE_IMG=``, ``make catalog-build
    catalog-push CATALOG_IMG=``: what is built leads from the catalog to the operator."""
    mine = [f"{kind}=r.example.com/me/{kind.lower()}:7" for kind in ("BUNDLE_IMG", "CATALOG_IMG")]
    targets = ("bundle-build", "bundle-push", "catalog-build", "catalog-push")
    make(*targets, "IMG=r.example.com/me/img:7", *mine)
    calls = told(stubs, "docker")
    assert [(c[0], c[-1].rsplit("/", 1)[-1]) for c in calls] == [
        ("build", "bundle"),
        ("push", "bundle_img:7"),
        ("build", "catalog"),
        ("push", "catalog_img:7"),
    ]
    bundle, catalog = Path(calls[0][-1]), Path(calls[2][-1])
    (csv,) = (bundle / "manifests").glob("*.clusterserviceversion.yaml")
    assert "image: r.example.com/me/img:7" in csv.read_text()
    assert (bundle / "metadata" / "annotations.yaml").exists()
    entries = list(
        yaml.safe_load_all((catalog / "semantic-router-operator/catalog.yaml").read_text())
    )
    assert entries[-1]["image"] == "r.example.com/me/bundle_img:7"


# --- OpenShift ----------------------------------------------------------------------------------


def test_a1_11_openshift_deploy_hands_over_what_subscribes(
    make: Make, stubs: Path, kubectl: Kubectl
) -> None:
    """A1-11, D22: what ``oc`` is given holds the objects, with the catalog that was asked for."""
    make("openshift-deploy", "CATALOG_IMG=r.example.com/me/catalog:7")
    ((verb, flag, folder),) = told(stubs, "oc")
    assert (verb, flag) == ("apply", "-k")
    found: dict[str, Any] = {
        o["kind"]: o for o in yaml.safe_load_all(kubectl("kustomize", folder))
    }
    assert found.keys() == {"Namespace", "OperatorGroup", "CatalogSource", "Subscription"}
    assert found["CatalogSource"]["spec"]["image"] == "r.example.com/me/catalog:7"
    assert found["Subscription"]["spec"]["name"] == "semantic-router-operator"
    assert "targetNamespaces" not in found["OperatorGroup"]["spec"]
    make("openshift-deploy", "WATCH_NAMESPACE=semantic-router-operator-system")
    (group,) = (
        o for o in yaml.safe_load_all(kubectl("kustomize", folder)) if o["kind"] == "OperatorGroup"
    )
    assert group["spec"]["targetNamespaces"] == ["semantic-router-operator-system"]


def test_a1_11_openshift_deploy_and_undeploy_on_a_server(make: Make, kubectl: Kubectl) -> None:
    """A1-11: with kubectl in the place of oc, and stand-ins for OLM's kinds."""
    group = "operators.coreos.com"
    kinds = ["OperatorGroup", "CatalogSource", "Subscription", "ClusterServiceVersion"]
    kubectl.apply(
        *(loose(group, "v1" if kind == "OperatorGroup" else "v1alpha1", kind) for kind in kinds),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "openshift-marketplace"}},
    )
    names = [f"crd/{kind.lower()}s.{group}" for kind in kinds]
    kubectl("wait", "--for=condition=Established", "--timeout=20s", *names)
    env = {"KUBECONFIG": str(kubectl.kubeconfig)}
    done = make("openshift-deploy", "OC=kubectl", env=env)
    for kind in ("namespace", "operatorgroup", "catalogsource", "subscription"):
        assert f"{kind}" in done.stdout, done.stdout
    place = ("-n", "semantic-router-operator-system")
    assert kubectl(*place, "get", "subscription", "semantic-router-operator")
    make("openshift-undeploy", "OC=kubectl", env=env)
    gone = kubectl.run(*place, "get", "subscription", "semantic-router-operator", ok=False)
    assert gone.returncode
    assert not kubectl("-n", "openshift-marketplace", "get", "catalogsources", "-o", "name")


# --- development --------------------------------------------------------------------------------


def test_a1_33_a1_34_a1_35_run_test_and_generate_start_what_they_say(stubs: Path) -> None:
    """A1-33, A1-34, A1-35: ``make run`` is ``wayside operator`` with the caller's KUBECONFIG;
    ``make manifests generate`` writes what is generated."""
    for name in ("python", "wayside"):
        program = stubs / "venv" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(STUB.replace("for a;", 'set -- "$@" "$KUBECONFIG"\nfor a;'))
        program.chmod(0o755)
    where = f"BIN={stubs / 'venv'}"
    subprocess.run(
        ["make", "-C", str(HERE), "run", "manifests", "generate", "test", where, "ARGS=-x"],
        env={**os.environ, "STUBS": str(stubs), "KUBECONFIG": "/my/config"},
        check=True,
        capture_output=True,
    )
    assert told(stubs, "wayside") == [["operator", "-x", "/my/config"]]
    packaging, generate, tests = told(stubs, "python")
    assert packaging[0] == str(ROOT / "scripts/packaging.py")
    assert generate[0] == str(ROOT / "scripts/generate.py")
    assert "tests/packaging" in tests


def test_a1_33_make_run_looks_after_the_cluster_of_kubeconfig(kubectl: Kubectl) -> None:
    """A1-33: outside the cluster, with the rights of whoever runs it."""
    kubectl("apply", "-f", f"{HERE}/config/crd/bases/")
    kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd/semanticrouters.vllm.ai")
    kubectl.run("create", "namespace", "made-by-hand", ok=False)
    router = {
        "apiVersion": "vllm.ai/v1alpha1",
        "kind": "SemanticRouter",
        "metadata": {"name": "a"},
        "spec": {"persistence": {"enabled": False}},
    }
    kubectl.apply(router, namespace="made-by-hand")
    options = "--metrics-bind-address=0 --health-probe-bind-address=0"
    process = subprocess.Popen(
        ["make", "-C", str(HERE), "run", f"BIN={Path(sys.executable).parent}", f"ARGS={options}"],
        env={**os.environ, "KUBECONFIG": str(kubectl.kubeconfig)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    here = ("-n", "made-by-hand")
    try:
        kubectl(*here, "wait", "--for=create", "--timeout=30s", "service/a")
        kubectl(*here, "delete", "semanticrouter", "a", "--timeout=30s")  # its finalizer is kept
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def test_the_pages_name_targets_and_folders_that_exist(make: Make) -> None:
    listed = {line.split()[1] for line in make("help").stdout.splitlines()} | {"podman-build"}
    pages = [
        ROOT / "docs" / "how-to" / "install-the-operator.md",
        ROOT / "docs/reference/packaging.md",
    ]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for words in re.findall(r"\bmake ((?:[a-z]+(?:-[a-z]+)*\b ?)+)", text):
            named = [w for w in words.split() if w in listed or "-" in w]
            assert set(named) <= listed, f"{page.name}: make {words}"
        for path in re.findall(r"\bdeploy/[\w./-]*[\w/]", text):
            assert (ROOT / path).exists(), f"{page.name}: {path}"
