"""Folders of manifests, from kinds that nobody ships, on a genuine API server."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripts.packaging import dumped

from tests.cluster import Kubectl
from tests.packaging.toys import TOYS
from wayside.manifests import olm, packages
from wayside.manifests.install import INSTALLS, OPERATOR, ROUTER_CONTROLLER, Install

RELEASE = olm.Release(
    version="1.2.3",
    image="registry.example.com/operator:1.2.3",
    bundle_image="registry.example.com/bundle:1.2.3",
    catalog_image="registry.example.com/catalog:1.2.3",
    icon=b"<svg/>",
)
SAMPLE = {
    "apiVersion": "toys.vllm.ai/v1alpha1",
    "kind": "Lamp",
    "metadata": {"name": "desk"},
    "spec": {"watts": 40},
}


def written(files: packages.Files, folder: Path) -> Path:
    for path, objects in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(dumped(objects), encoding="utf-8")
    return folder


@pytest.fixture(params=INSTALLS, ids=lambda i: i.program)
def install(request: pytest.FixtureRequest) -> Install:
    found: Install = request.param
    return found


@pytest.fixture
def config(install: Install, tmp_path: Path) -> Path:
    return written(packages.config(install, TOYS, RELEASE.image), tmp_path) / "config"


def everything(kubectl: Kubectl, config: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(kubectl("kustomize", str(config / "default"))))


def test_a3_02_each_folder_can_be_applied_by_itself(
    install: Install, config: Path, kubectl: Kubectl
) -> None:
    """A3-02: ``kubectl apply -f config/crd/bases/``, ``config/rbac/``, ``config/manager/``."""
    for folder in ("crd/bases", "rbac", "manager"):
        kubectl("apply", "-f", f"{config / folder}/")
    kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd/lamps.toys.vllm.ai")
    kubectl("-n", install.namespace, "get", "deployment", install.manager)
    kubectl.apply(SAMPLE, namespace=install.namespace)
    kubectl("delete", "-f", f"{config / 'manager'}/")
    again = kubectl("apply", "-k", str(config / "default"))
    assert f"deployment.apps/{install.manager} created" in again
    assert f"namespace/{install.namespace} unchanged" in again


def test_a_folder_and_its_kustomization_hold_the_same_objects(
    config: Path, kubectl: Kubectl
) -> None:
    def named(found: Iterator[Any]) -> list[tuple[str, str]]:
        return sorted((o["kind"], o["metadata"]["name"]) for o in found)

    for folder in ("crd", "rbac", "manager"):
        files = sorted((config / folder).rglob("*.yaml"))
        loose = (o for f in files for o in yaml.safe_load_all(f.read_text()))
        built = yaml.safe_load_all(kubectl("kustomize", str(config / folder)))
        assert named(iter(loose)) == named(iter(built))


def test_d17_names_are_as_documented(kubectl: Kubectl, tmp_path: Path) -> None:
    """D17, A1-07, A1-76: as people are told to type them."""
    config = written(packages.config(OPERATOR, TOYS, RELEASE.image), tmp_path) / "config"
    objects = everything(kubectl, config)
    (manager,) = [o for o in objects if o["kind"] == "Deployment"]
    assert manager["metadata"]["name"] == "semantic-router-operator-controller-manager"
    assert manager["metadata"]["namespace"] == "semantic-router-operator-system"
    pod = manager["spec"]["template"]
    assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == "semantic-router-operator"
    assert manager["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    (service,) = [o for o in objects if o["kind"] == "Service"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    for found in objects:
        assert found["metadata"]["name"].count("semantic-router-operator") <= 1


def test_a1_87_replicas_of_the_manager_elect_one(install: Install, config: Path) -> None:
    """A1-87: whoever leads holds the Lease that the leader's Role names."""
    (manager,) = yaml.safe_load_all((config / "manager" / "manager.yaml").read_text())
    (container,) = manager["spec"]["template"]["spec"]["containers"]
    env = {e["name"]: e["value"] for e in container.get("env", ())}
    assert "--leader-elect" in container["args"] or env["LEADER_ELECTION_ENABLED"] == "true"
    (role,) = yaml.safe_load_all((config / "rbac" / "leader_election_role.yaml").read_text())
    assert role["rules"][1]["resourceNames"] == [install.lease]
    assert role["metadata"]["namespace"] == install.namespace


def test_a3_17_to_20_the_router_controller_is_told_by_its_environment(tmp_path: Path) -> None:
    """A3-17, A3-18, A3-19, A3-20: the variables of requirement 003, in its Deployment."""
    files = packages.config(ROUTER_CONTROLLER, TOYS, RELEASE.image)
    (manager,) = files["config/manager/manager.yaml"]
    (container,) = manager["spec"]["template"]["spec"]["containers"]
    env = {e["name"]: e["value"] for e in container["env"]}
    assert env == {
        "ROUTER_IMAGE": RELEASE.image,  # of the routers that it starts
        "KUBERNETES_NAMESPACE": "",
        "METRICS_ADDR": ":8080",
        "HEALTH_PROBE_ADDR": ":8081",
        "LEADER_ELECTION_ENABLED": "true",
        "GPU_METRICS_ENDPOINT": "",
    }
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert ports == {"metrics": 8080, "health": 8081}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}


def test_the_pod_security_standard_that_the_namespace_enforces_is_kept(
    install: Install, config: Path
) -> None:
    """A restricted pod, as https://kubernetes.io/docs/concepts/security/pod-security-standards
    has it; the test's server does not enforce it."""
    (space,) = yaml.safe_load_all((config / "rbac" / "00-namespace.yaml").read_text())
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    (manager,) = yaml.safe_load_all((config / "manager" / "manager.yaml").read_text())
    pod = manager["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "volumes" not in pod and not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}


KIND_CRD = "CustomResourceDefinition"


# --- OLM ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle() -> packages.Files:
    return packages.bundle(RELEASE, TOYS, [SAMPLE])


@pytest.fixture(scope="module")
def version(bundle: packages.Files) -> dict[str, Any]:
    (found,) = bundle["bundle/manifests/semantic-router-operator.clusterserviceversion.yaml"]
    return found


def test_a1_08_the_console_can_show_it(version: dict[str, Any]) -> None:
    """A1-08: found as "Semantic Router", with a picture and examples."""
    spec = version["spec"]
    assert spec["displayName"] == "Semantic Router"
    assert "semantic router" in spec["keywords"]
    (icon,) = spec["icon"]
    assert base64.b64decode(icon["base64data"]) == b"<svg/>"
    assert icon["mediatype"] == "image/svg+xml"
    assert json.loads(version["metadata"]["annotations"]["alm-examples"]) == [SAMPLE]


def test_a1_09_the_bundle_owns_the_crds_that_it_holds(
    bundle: packages.Files, version: dict[str, Any]
) -> None:
    """A1-09: what is owned is there, and nothing else is."""
    owned = version["spec"]["customresourcedefinitions"]["owned"]
    crds = [o for files in bundle.values() for o in files if o.get("kind") == KIND_CRD]
    assert {o["name"] for o in owned} == {c["metadata"]["name"] for c in crds}
    (lamp,) = [o for o in owned if o["kind"] == "Lamp"]
    watts, replicas = lamp["specDescriptors"]
    assert watts == {"path": "watts", "displayName": "Watts", "description": "Power, in watts."}
    assert replicas["x-descriptors"] == ["urn:alm:descriptor:com.tectonic.ui:podCount"]
    assert {"kind": "HTTPRoute", "name": "", "version": "gateway.networking.k8s.io/v1"} in lamp[
        "resources"
    ]


def test_a1_09_olm_grants_what_kubectl_would(version: dict[str, Any]) -> None:
    """A1-09: one set of rights, however it is installed; and the pod is the same."""
    version = copy.deepcopy(version)
    files = packages.config(OPERATOR, TOYS, RELEASE.image)
    install = version["spec"]["install"]["spec"]
    (role,), (leader,) = (
        files["config/rbac/role.yaml"],
        files["config/rbac/leader_election_role.yaml"],
    )
    (manager,) = files["config/manager/manager.yaml"]
    assert install["clusterPermissions"] == [
        {"serviceAccountName": OPERATOR.manager, "rules": role["rules"]}
    ]
    assert install["permissions"] == [
        {"serviceAccountName": OPERATOR.manager, "rules": leader["rules"]}
    ]
    (deployment,) = install["deployments"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    watched = container["env"].pop()  # what OLM's OperatorGroup says
    assert watched["name"] == "WATCH_NAMESPACE"
    path = watched["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.annotations['olm.targetNamespaces']"
    assert deployment["spec"] == manager["spec"]


def test_a1_09_the_bundles_annotations(bundle: packages.Files) -> None:
    """A1-09: as `operator-sdk bundle validate` asks for them."""
    (found,) = bundle["bundle/metadata/annotations.yaml"]
    prefix = "operators.operatorframework.io.bundle."
    said = {k.removeprefix(prefix): v for k, v in found["annotations"].items()}
    assert said["mediatype.v1"] == "registry+v1"
    assert said["manifests.v1"] == "manifests/" and said["metadata.v1"] == "metadata/"
    assert said["package.v1"] == "semantic-router-operator"
    assert said["channel.default.v1"] in said["channels.v1"].split(",")


def test_a1_10_the_catalog_leads_to_the_bundle(bundle: packages.Files) -> None:
    """A1-10: a package with a channel, whose only head is the version that is shipped."""
    package, channel, entry = bundle["catalog/semantic-router-operator/catalog.yaml"]
    assert [o["schema"] for o in (package, channel, entry)] == [
        "olm.package",
        "olm.channel",
        "olm.bundle",
    ]
    assert package["defaultChannel"] == channel["name"] == "stable"
    assert channel["package"] == entry["package"] == package["name"]
    assert [e["name"] for e in channel["entries"]] == [entry["name"]]
    assert entry["name"] == "semantic-router-operator.v1.2.3"
    assert entry["image"] == RELEASE.bundle_image
    of: dict[str, list[Any]] = {}
    for found in entry["properties"]:
        of.setdefault(found["type"], []).append(found["value"])
    assert of["olm.package"] == [{"packageName": "semantic-router-operator", "version": "1.2.3"}]
    assert {"group": "toys.vllm.ai", "kind": "Lamp", "version": "v1alpha1"} in of["olm.gvk"]
    (shown,) = of["olm.csv.metadata"]
    assert shown["displayName"] == "Semantic Router"
    assert {m["type"] for m in shown["installModes"] if not m["supported"]} == {"MultiNamespace"}


def test_a1_11_what_subscribes_a_cluster(bundle: packages.Files) -> None:
    """A1-11, D22: Namespace, OperatorGroup, CatalogSource and Subscription, that fit together."""
    folder = "config/openshift/"
    found = {o["kind"]: o for path, (o, *_) in bundle.items() if path.startswith(folder)}
    assert found.keys() == {
        "Namespace",
        "OperatorGroup",
        "CatalogSource",
        "Subscription",
        "Kustomization",
    }
    place = found["Namespace"]["metadata"]["name"]
    assert place == "semantic-router-operator-system"
    assert found["OperatorGroup"]["metadata"]["name"] == "semantic-router-operator-group"
    assert found["OperatorGroup"]["metadata"]["namespace"] == place
    assert "targetNamespaces" not in found["OperatorGroup"]["spec"]
    source, wanted = found["CatalogSource"], found["Subscription"]["spec"]
    assert source["spec"]["image"] == RELEASE.catalog_image
    assert wanted["source"] == source["metadata"]["name"] == "semantic-router-catalog"
    assert wanted["sourceNamespace"] == source["metadata"]["namespace"] == "openshift-marketplace"
    assert wanted["channel"] == "stable" and wanted["name"] == "semantic-router-operator"


def test_the_files_written_are_read_back(bundle: packages.Files, tmp_path: Path) -> None:
    folder = written(bundle, tmp_path)
    for path, objects in bundle.items():
        assert list(yaml.safe_load_all((folder / path).read_text())) == list(objects)
