"""The charts, by Helm's own code: linted, rendered, installed, upgraded, rolled back (AX-05).

That what they render is valid to a server is in tests/deploy/test_manifests_valid.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.cluster import Kubectl, lacking
from wayside.cli.files import read
from wayside.manifests.install import OPERATOR
from wayside.manifests.manager import container
from wayside.resources import Object

try:
    import helm_python as helm
except ImportError:  # pragma: no cover - a machine that its wheel is not made for
    helm = None

CHARTS = Path(__file__).parents[2] / "deploy" / "helm"
ROUTER, CONTROLLER = CHARTS / "semantic-router", CHARTS / "semantic-router-operator"
CONFIG = {"models": {"m": {"endpoints": ["http://m:8000"]}}, "routing": {"default_model": "m"}}
EVERYTHING: Object = {
    "mode": "serve",
    "configOverride": CONFIG,
    "replicaCount": 2,
    "cluster": {"enabled": True},
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
    "service": {"annotations": {"e": "f"}},
    "serviceMonitor": {"enabled": True, "labels": {"g": "h"}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "hosts": [{"host": "r.example.com", "paths": [{"path": "/", "pathType": "Prefix"}]}],
        "tls": [{"secretName": "tls", "hosts": ["r.example.com"]}],
    },
    "route": {"enabled": True, "host": "r.example.com"},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "gw", "namespace": "infra"}]},
    "autoscaling": {"enabled": True, "minReplicas": 2, "targetMemoryUtilizationPercentage": 70},
    "podDisruptionBudget": {"enabled": True, "minAvailable": "50%"},
    "networkPolicy": {"enabled": True, "from": [{"podSelector": {}}]},
    "persistence": {"enabled": True, "accessMode": "ReadWriteMany", "storageClassName": "nfs"},
}


@pytest.fixture(autouse=True)
def _helm() -> None:
    if helm is None:
        lacking("helm-python-sdk is not installed")


def rendered(chart: Path, values: Object | None = None, name: str = "r") -> list[Object]:
    files = helm.Chart.load(chart).render(values or {}, name=name, namespace="ns")
    found = (o for p, t in files.items() if p.endswith(".yaml") for o in yaml.safe_load_all(t))
    return [o for o in found if o]


def one(objects: list[Object], kind: str, suffix: str = "") -> Object:
    (found,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"].endswith(suffix)]
    return found


def pod_of(objects: list[Object]) -> Object:
    found: Object = one(objects, "Deployment")["spec"]["template"]
    return found


@pytest.mark.parametrize("chart", [ROUTER, CONTROLLER], ids=lambda c: c.name)
def test_ax_05_the_linter_has_no_warning(chart: Path) -> None:
    """AX-05: ``helm lint --strict``."""
    found = helm.lint(chart, strict=True)
    assert not found["errors"]
    assert [m for m in found["messages"] if m["severity"] > 1] == []


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicaCount": -1}, "/replicaCount"),
        ({"replicas": 2}, "'replicas' not allowed"),
        ({"mode": "proxy"}, "'extproc', 'serve'"),
        ({"image": {"digest": "sha256:short"}}, "/image/digest"),
        ({"autoscaling": {"targetCPUUtilizationPercentage": 101}}, "/autoscaling/target"),
        ({"ingress": {"hosts": [{"host": "a", "paths": []}]}}, "/ingress/hosts/0/paths"),
        ({"service": {"grpc": {"port": 0}}}, "/service/grpc/port"),
        ({"persistence": {"size": "much"}}, "/persistence/size"),
    ],
)
def test_ax_05_values_that_mean_nothing_are_refused(values: Object, complaint: str) -> None:
    """AX-05: by values.schema.json, with the path."""
    with pytest.raises(helm.HelmValuesError, match=complaint):
        helm.Chart.load(ROUTER).validate_schema(values)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (
            {"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 2}},
            r"minReplicas \(5\) must be at most autoscaling.maxReplicas \(2\)",
        ),
        (
            {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": None}},
            "nothing to go by",
        ),
        ({"replicaCount": 2, "persistence": {"enabled": True}}, "ReadWriteMany"),
        ({"autoscaling": {"enabled": True}, "persistence": {"enabled": True}}, "ReadWriteMany"),
        ({"replicaCount": 2, "config": {"learning": {"enabled": True}}}, "learning.store"),
        ({"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}}, "mode=serve"),
        ({"ingress": {"enabled": True}}, "needs ingress.hosts"),
    ],
)
def test_ax_05_what_cannot_work_is_refused(values: Object, complaint: str) -> None:
    """AX-05, D41: with the way out."""
    with pytest.raises(helm.HelmRenderError, match=complaint):
        rendered(ROUTER, values)


def test_ax_05_what_is_shared_is_no_local_state() -> None:
    shared = {"replicaCount": 2, "config": {"learning": {"store": "redis"}}}
    assert rendered(ROUTER, shared)
    local = {"replicaCount": 2, "config": {"learning": {"enabled": True}}}
    guard = {"safetyGuards": {"rejectMultiReplicaLocalLearningState": False}}
    assert rendered(ROUTER, {**local, **guard})


def test_ax_05_config_override_replaces_everything() -> None:
    """AX-05: nothing of the default configuration leaks into it."""
    text = one(rendered(ROUTER, {"configOverride": CONFIG}), "ConfigMap")["data"]["config.yaml"]
    assert yaml.safe_load(text) == CONFIG
    read(text.encode(), "config.yaml", env={})
    merged = one(rendered(ROUTER, {"config": CONFIG}), "ConfigMap")["data"]["config.yaml"]
    assert yaml.safe_load(merged)["models"].keys() == {"m", "my-model"}  # as Helm merges


def test_the_default_configuration_is_one_that_the_router_takes() -> None:
    text = one(rendered(ROUTER), "ConfigMap")["data"]["config.yaml"]
    loaded = read(text.encode(), "config.yaml", env={})
    assert loaded.format == "wayside" and set(loaded.settings.models) == {"my-model"}


def test_ax_05_a_changed_configuration_changes_the_pods() -> None:
    """AX-05, D5: by a checksum, which nothing else moves."""

    def checksum(values: Object) -> str:
        found: str = pod_of(rendered(ROUTER, values))["metadata"]["annotations"]["checksum/config"]
        return found

    before = checksum({"configOverride": CONFIG})
    assert before == checksum(
        {"configOverride": CONFIG, "replicaCount": 3, "podLabels": {"a": "b"}}
    )
    assert before != checksum({"configOverride": {**CONFIG, "strict_ip": True}})
    assert len(before) == 64


def test_ax_05_replicas_are_the_autoscalers() -> None:
    """AX-05, D4: not said while there is one."""
    assert one(rendered(ROUTER, {"replicaCount": 3}), "Deployment")["spec"]["replicas"] == 3
    objects = rendered(ROUTER, {"replicaCount": 3, "autoscaling": {"enabled": True}})
    assert "replicas" not in one(objects, "Deployment")["spec"]
    scaler = one(objects, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == one(objects, "Deployment")["metadata"]["name"]


@pytest.mark.parametrize(
    ("given", "said"), [("", None), ("-", ""), ("fast-ssd", "fast-ssd")], ids=repr
)
def test_ax_05_storage_classes(given: str, said: str | None) -> None:
    """AX-05: none named is the cluster's default, ``-`` is none at all."""
    values = {"persistence": {"enabled": True, "storageClassName": given}}
    objects = rendered(ROUTER, values)
    claim = one(objects, "PersistentVolumeClaim")
    assert claim["spec"].get("storageClassName") == said
    assert ("storageClassName" in claim["spec"]) == (said is not None)
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    volumes = {v["name"]: v for v in pod_of(objects)["spec"]["volumes"]}
    assert volumes["models"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert one(objects, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_a_claim_of_ones_own_is_used_and_not_made() -> None:
    objects = rendered(ROUTER, {"persistence": {"enabled": True, "existingClaim": "mine"}})
    assert "PersistentVolumeClaim" not in {o["kind"] for o in objects}
    assert "'claimName': 'mine'" in str(pod_of(objects))


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "everything"])
def test_names_and_ports_fit_together(values: Object) -> None:
    """Services select the pods, and what points at a Service names a port that it has."""
    objects = rendered(ROUTER, values)
    pod = pod_of(objects)
    (router,) = pod["spec"]["containers"]
    ports = {p["name"] for p in router["ports"]}
    services = {o["metadata"]["name"]: o for o in objects if o["kind"] == "Service"}
    assert set(services) == ({"r-semantic-router", "r-semantic-router-metrics"} if values else {
        "r-semantic-router", "r-semantic-router-headless", "r-semantic-router-metrics"
    })  # fmt: skip
    for found in services.values():
        assert found["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        assert {p["targetPort"] for p in found["spec"]["ports"]} <= ports
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert router[probe]["httpGet"]["port"] in ports
    main = {p["name"]: p["port"] for p in services["r-semantic-router"]["spec"]["ports"]}
    if values:
        (rule,) = one(objects, "Ingress")["spec"]["rules"]
        backend = rule["http"]["paths"][0]["backend"]["service"]
        assert backend["name"] in services and backend["port"]["name"] in main
        assert one(objects, "Route")["spec"]["port"]["targetPort"] in main
        for rule in one(objects, "HTTPRoute")["spec"]["rules"]:
            (to,) = rule["backendRefs"]
            assert to["name"] == "r-semantic-router" and to["port"] in main.values()
        for kind in ("PodDisruptionBudget",):
            chosen = one(objects, kind)["spec"]["selector"]["matchLabels"]
            assert chosen.items() <= pod["metadata"]["labels"].items()
        monitor = one(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
        watched = services["r-semantic-router-metrics"]["metadata"]["labels"]
        assert monitor.items() <= watched.items()
        assert not monitor.items() <= services["r-semantic-router"]["metadata"]["labels"].items()


def test_the_pod_is_restricted_and_says_what_it_runs() -> None:
    for values, command in (({}, "extproc"), ({"mode": "serve"}, "serve")):
        spec = pod_of(rendered(ROUTER, values))["spec"]
        (router,) = spec["containers"]
        assert router["command"] == ["wayside"] and router["args"][0] == command
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert router["securityContext"]["readOnlyRootFilesystem"] is True
        assert router["image"].endswith(":0.1.0")


def test_what_the_pod_is_told_is_understood() -> None:
    """Options that the command line does not have would end every pod."""
    from click.testing import CliRunner

    from wayside.cli import cli

    for values in ({}, {"mode": "serve"}):
        (router,) = pod_of(rendered(ROUTER, values))["spec"]["containers"]
        command, *options = router["args"]
        helped = CliRunner().invoke(cli, [command, "--help"])
        assert helped.exit_code == 0
        for option in options:
            assert option.partition("=")[0] in helped.output, option


def test_the_operators_chart_is_what_kubectl_installs() -> None:
    """One set of rights and one pod, however it is installed (A1-104)."""
    objects = rendered(CONTROLLER, name="semantic-router-operator")
    assert one(objects, "Deployment")["metadata"]["name"] == OPERATOR.manager
    config = CHARTS.parent / "operator" / "config" / "rbac"
    for kind, name in (("ClusterRole", "role"), ("Role", "leader_election_role")):
        said = yaml.safe_load((config / f"{name}.yaml").read_text())
        assert one(objects, kind)["rules"] == said["rules"]
    (ours,) = pod_of(objects)["spec"]["containers"]
    theirs = container(OPERATOR, f"{OPERATOR.image}:0.1.0")
    assert {k: ours[k] for k in theirs} == theirs
    account = one(objects, "ServiceAccount")["metadata"]["name"]
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        (who,) = one(objects, kind)["subjects"]
        assert who == {"kind": "ServiceAccount", "name": account, "namespace": "ns"}


# --- on a server --------------------------------------------------------------------------------


def installable(chart: Path, folder: Path, version: str = "0.1.0") -> str:
    """A copy without the oldest Kubernetes that it takes: the tests' server says it is v0.0.0."""
    made = folder / version / chart.name
    shutil.copytree(chart, made)
    about = (made / "Chart.yaml").read_text().replace("0.1.0", version)
    kept = [line for line in about.splitlines() if not line.startswith("kubeVersion:")]
    assert len(kept) == len(about.splitlines()) - 1
    (made / "Chart.yaml").write_text("\n".join(kept))
    return str(made)


def test_ax_05_install_upgrade_rollback_uninstall(kubectl: Kubectl, tmp_path: Path) -> None:
    """AX-05: a release through its life, with a newer chart in between."""
    space = ("-n", "default")

    def checksum() -> str:
        path = r"jsonpath={.spec.template.metadata.annotations.checksum/config}"
        return kubectl(*space, "get", "deployment", "r-semantic-router", "-o", path)

    def image() -> str:
        path = "jsonpath={.spec.template.spec.containers[0].image}"
        return kubectl(*space, "get", "deployment", "r-semantic-router", "-o", path)

    chart, newer = installable(ROUTER, tmp_path), installable(ROUTER, tmp_path, "0.2.0")
    with helm.Config(kubeconfig_path=kubectl.kubeconfig, namespace="default") as config:
        made = config.install(chart, "r", {"configOverride": CONFIG})
        assert made["revision"] == 1
        first = checksum()
        assert image().endswith(":0.1.0")
        config.upgrade(newer, "r", {"configOverride": {**CONFIG, "strict_ip": True}})
        assert checksum() != first and image().endswith(":0.2.0")
        config.rollback("r", version=1)
        assert checksum() == first and image().endswith(":0.1.0")
        assert [h["revision"] for h in config.history("r")][-1] == 3
        with pytest.raises(helm.HelmError, match="/replicaCount"):
            config.upgrade(chart, "r", {"replicaCount": -1})
        config.uninstall("r")
    left = kubectl(*space, "get", "deploy,svc,cm,sa", "-l", "app.kubernetes.io/instance=r")
    assert not left


def test_the_operators_chart_brings_its_crds(kubectl: Kubectl, tmp_path: Path) -> None:
    with helm.Config(kubeconfig_path=kubectl.kubeconfig, namespace="default") as config:
        config.install(installable(CONTROLLER, tmp_path), "semantic-router-operator")
        assert kubectl("get", "crd", "semanticrouters.vllm.ai")
        assert kubectl("-n", "default", "get", "deployment", OPERATOR.manager)
        config.uninstall("semantic-router-operator")
    assert kubectl("get", "crd", "semanticrouters.vllm.ai")  # and no router goes with a release
