"""Every manifest under ``deploy/``, as shipped: fresh, and without what must not be.

That all are valid to a server is in tests/deploy/test_manifests_valid.py.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from scripts import packaging

import wayside.resources
from tests.cluster import Kubectl
from tests.packaging.standins import loose
from wayside.catalog import discover

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
NO_MANIFESTS = (
    "deploy/helm",
    "/build/",
    "/dist/",
    "deploy/operator/bundle",
    "deploy/operator/catalog",
)
"""Templates have their own tests, and so have the files of OLM, which are no cluster's objects."""
KUSTOMIZATIONS = sorted(
    path.parent
    for name in ("kustomization.yaml", "Kustomization")
    for path in DEPLOY.rglob(name)
    if not {"build", "dist"} & set(path.relative_to(DEPLOY).parts)
)  # fmt: skip


def files() -> Iterator[Path]:
    for path in sorted(DEPLOY.rglob("*.yaml")):
        if (
            not any(part in str(path) for part in NO_MANIFESTS)
            and path.name != "kustomization.yaml"
        ):
            yield path


def objects() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in files():
        for found in yaml.load_all(path.read_bytes(), yaml.CSafeLoader):
            if isinstance(found, dict) and "kind" in found:
                yield path, found


SHIPPED = list(objects())


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


def pods() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every pod that a shipped object makes."""
    for path, found in SHIPPED:
        spec = found.get("spec", {})
        if found["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            yield path, spec["template"]["spec"]
        elif found["kind"] == "Pod":
            yield path, spec


def test_a1_35_what_is_generated_is_fresh() -> None:
    """A1-35: ``make manifests generate`` would change nothing."""
    discover(wayside.resources)
    assert packaging.stale(packaging.files()) == [], "run `make manifests` in deploy/operator"


def test_there_is_something_to_look_at() -> None:
    """D21: a test that finds no file must not pass."""
    kinds = {found["kind"] for _, found in SHIPPED}
    assert {"CustomResourceDefinition", "ClusterRole", "Deployment", "SemanticRouter"} <= kinds
    assert len(KUSTOMIZATIONS) >= 9 and len(list(pods())) >= 3


@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda p: str(p.relative_to(DEPLOY)))
def test_ax_06_every_kustomization_builds(folder: Path, kubectl: Kubectl) -> None:
    """AX-06."""
    built = list(yaml.safe_load_all(kubectl("kustomize", str(folder))))
    assert built and all(o["metadata"]["name"] for o in built)


# --- policy (AX-08) -----------------------------------------------------------------------------


def test_ax_08_no_secret_is_shipped() -> None:
    """AX-08: names of Secrets, never what is in one."""
    for path, found in SHIPPED:
        assert found["kind"] != "Secret" or not {
            k: v
            for field in ("data", "stringData")
            for k, v in found.get(field, {}).items()
            if v and not re.search(r"(?i)\$\{|replace|change|<", str(v))
        }, path
    looks_like_a_key = re.compile(r"\b(sk-[A-Za-z0-9]{16,}|AKIA[A-Z0-9]{16}|ghp_\w{30,}|eyJhbGci)")
    for path in (p for p in DEPLOY.rglob("*") if p.is_file() and "build" not in p.parts):
        if path.suffix in (".yaml", ".json", ".md", ".tpl", "") and path.stat().st_size < 4 << 20:
            assert not looks_like_a_key.search(path.read_text(encoding="utf-8")), path


def test_ax_08_no_address_is_written_down() -> None:
    """AX-08: names, not addresses, but for those that a pod binds to."""
    for path, found in SHIPPED:
        if found["kind"] == "CustomResourceDefinition":
            continue  # descriptions
        for where, value in leaves(found):
            for text in re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", str(value)):
                address = ipaddress.ip_address(text)
                assert address.is_unspecified or address.is_loopback, f"{path}: {where}: {text}"


def test_ax_08_images_have_a_version() -> None:
    """AX-08: no ``:latest``, and nothing that means it."""
    for path, pod in pods():
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            name, _, tag = container["image"].rpartition(":")
            assert name and tag != "latest" and "/" not in tag, f"{path}: {container['image']}"
    for path, found in SHIPPED:
        for where, value in leaves(found):
            if where.endswith(".image") and found["kind"] != "CustomResourceDefinition":
                assert not str(value).endswith(":latest"), f"{path}: {where}"


def test_ax_08_d39_pods_ask_for_no_privilege() -> None:
    """AX-08, D39: nobody is root, nobody sees the node, nobody gains rights. What samples start
    besides, of other projects, is theirs."""
    for path, pod in pods():
        if "samples" in path.parts:
            continue
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}, path
        assert pod["securityContext"]["runAsNonRoot"] is True, path
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", path
        assert not any("hostPath" in v for v in pod.get("volumes", ())), path
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            may = container["securityContext"]
            assert may["allowPrivilegeEscalation"] is False, path
            assert may["capabilities"] == {"drop": ["ALL"]}, path
            assert not may.get("privileged"), path
            assert may["readOnlyRootFilesystem"] is True, path
    for path, found in SHIPPED:
        assert found["kind"] != "SecurityContextConstraints", path
        for where, value in leaves(found):
            assert value not in ("anyuid", "privileged"), f"{path}: {where}"


def test_d18_no_role_reads_secrets_or_everything() -> None:
    """D18, A1-104: nothing on Secrets, no wildcard."""
    for path, found in SHIPPED:
        if found["kind"] in ("Role", "ClusterRole"):
            for rule in found["rules"]:
                assert "secrets" not in rule.get("resources", ()), path
                assert "*" not in [*rule["verbs"], *rule["apiGroups"], *rule["resources"]], path


def test_crds_fit_into_an_annotation() -> None:
    """``kubectl apply`` keeps what it sent in an annotation; all of them may have 256 KiB."""
    for path, found in SHIPPED:
        if found["kind"] == "CustomResourceDefinition":
            size = len(json.dumps(found, separators=(",", ":")))
            assert size < 200_000, f"{path}: {size} bytes"


# --- on a server --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(kubectl: Kubectl) -> Kubectl:
    """A server with all our CRDs, and stand-ins for those of OLM."""
    for part in ("operator", "router-controller"):
        kubectl("apply", "-f", f"{DEPLOY / part}/config/crd/bases/")
    group = "operators.coreos.com"
    versions = {"OperatorGroup": "v1", "CatalogSource": "v1alpha1", "Subscription": "v1alpha1"}
    kubectl.apply(*(loose(group, version, kind) for kind, version in versions.items()))
    kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd", "--all")
    return kubectl


def test_a1_08_the_consoles_examples_can_be_created(installed: Kubectl) -> None:
    """A1-08: ``alm-examples`` of the bundle, strictly; and a picture that is one."""
    (path,) = (DEPLOY / "operator" / "bundle" / "manifests").glob("*.clusterserviceversion.yaml")
    version = yaml.safe_load(path.read_text(encoding="utf-8"))
    examples = json.loads(version["metadata"]["annotations"]["alm-examples"])
    owned = version["spec"]["customresourcedefinitions"]["owned"]
    assert "SemanticRouter" in {e["kind"] for e in examples} <= {o["kind"] for o in owned}
    text = yaml.safe_dump_all(examples)
    done = installed("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    assert done.count("(server dry run)") == len(examples)
    (icon,) = version["spec"]["icon"]
    assert ElementTree.fromstring(base64.b64decode(icon["base64data"])).tag.endswith("svg")
