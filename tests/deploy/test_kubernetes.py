"""Targets ``kubernetes`` and ``helm-values``: what they make of an intent, and the command line on
a genuine API server."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from click.testing import CliRunner, Result

from tests.cluster import Kubectl
from wayside.cli import cli
from wayside.cli.deploy_intent import named, parse
from wayside.deploy.applying.scene import Offline, rendered
from wayside.deploy.intent import Intent
from wayside.settings.load import documents
from wayside.vocab.errors import ConfigError

ROOT = Path(__file__).parents[2]
KUBERNETES = named("kubernetes")
HELM = named("helm-values")
DIGEST = "registry.example.com/wayside@sha256:" + "0" * 64


def wanted(**more: Any) -> Intent:
    model = {"run": "simulator", "service": {"name": "vllm-model-a"}}
    return parse({"name": "r", "namespace": "ns", "models": {"Model-A": model}, **more})


def objects(intent: Intent, cluster: str = "") -> dict[str, dict[str, Any]]:
    assert not KUBERNETES.target.problems(intent)
    steps = rendered(KUBERNETES.target, intent, Offline(None, cluster))
    return {
        f"{one['kind']}/{one['metadata']['name']}": one
        for step in steps
        for manifest in step.manifests
        for one in manifest.objects
    }


def config(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return dict(documents(found["ConfigMap/r-config"]["data"]["config.yaml"])[0])


def test_pods_hold_under_restricted_and_have_no_token() -> None:
    """A0-10, AX-08: both containers, no token, no way to more rights."""
    found = objects(wanted())
    pod = found["Deployment/r"]["spec"]["template"]["spec"]
    assert [one["name"] for one in pod["containers"]] == ["semantic-router", "envoy-proxy"]
    for deployment in ("Deployment/r", "Deployment/vllm-model-a"):
        pod = found[deployment]["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for one in pod["containers"]:
            about = one["securityContext"]
            assert about["allowPrivilegeEscalation"] is False
            assert about["capabilities"] == {"drop": ["ALL"]}
            assert about["readOnlyRootFilesystem"] is True
            assert {"readinessProbe", "livenessProbe", "startupProbe"} <= one.keys()


def test_a_providers_key_is_a_file_of_its_secret() -> None:
    """A4: only the reference is anywhere; the configuration names a file."""
    key = {"secret": "openai", "key": "KEY"}
    cloud = {"cloud": {"url": "https://api.openai.com/v1", "key": key}}
    found = objects(wanted(models={"gpt": cloud}))
    credential = config(found)["models"]["gpt"]["credential"]
    assert credential == {"file": "/etc/wayside/credentials/openai/KEY"}
    pod = found["Deployment/r"]["spec"]["template"]["spec"]
    [held] = [one for one in pod["volumes"] if one["name"] == "credentials"]
    assert held["projected"]["sources"] == [
        {"secret": {"name": "openai", "items": [{"key": "KEY", "path": "openai/KEY"}]}}
    ]
    router, envoy = pod["containers"]
    assert "credentials" in [one["name"] for one in router["volumeMounts"]]
    assert "credentials" not in [one["name"] for one in envoy["volumeMounts"]]


def test_vllm_has_a_gpu_its_weights_and_its_token() -> None:
    model = {
        "run": "vllm",
        "source": "Qwen/Qwen3-0.6B",
        "storage": "10Gi",
        "token": {"secret": "hf", "key": "token"},
    }
    found = objects(wanted(models={"Model-A": model}))
    pod = found["Deployment/model-a"]["spec"]["template"]["spec"]
    [one] = pod["containers"]
    assert one["command"][:5] == [
        "vllm", "serve", "Qwen/Qwen3-0.6B", "--served-model-name", "Model-A",
    ]  # fmt: skip
    assert one["resources"]["limits"]["nvidia.com/gpu"] == "1"
    reference = {"secretKeyRef": {"name": "hf", "key": "token"}}
    assert {"name": "HF_TOKEN", "valueFrom": reference} in one["env"]
    assert one["livenessProbe"]["httpGet"]["path"] == "/health"
    claim = found["PersistentVolumeClaim/model-a-cache"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"


def test_an_autoscaler_has_the_replicas() -> None:
    """A0-33: an HPA with a metric of its own, and a Deployment that says no replicas."""
    found = objects(wanted(router={"autoscale": {"requests_per_second": 20}}))
    assert "replicas" not in found["Deployment/r"]["spec"]
    metrics = found["HorizontalPodAutoscaler/r"]["spec"]["metrics"]
    assert metrics[1]["pods"]["metric"] == {"name": "wayside_requests_per_second"}
    assert "PodDisruptionBudget/r" in found


def test_clusters_stand_by_for_each_other() -> None:
    """A0-32: by the set's DNS, or at hosts of their own, in the router and in its Envoy."""
    west = {"name": "west", "context": "w", "zone": "z", "weight": 2,
            "models": {"Model-A": "https://a.west.example.com"}}  # fmt: skip
    intent = wanted(clusters=[{"name": "east", "context": "e"}, west])
    found = objects(intent, "east")
    own, spare = config(found)["models"]["Model-A"]["endpoints"]
    assert own == "http://vllm-model-a.ns.svc.cluster.local:8000"
    assert spare == {"url": "https://a.west.example.com", "standby": True, "weight": 2.0,
                     "labels": {"zone": "z"}}  # fmt: skip
    envoy = json.loads(found["ConfigMap/r-envoy-config"]["data"]["clusters.yaml"])
    levels = envoy["resources"][0]["load_assignment"]["endpoints"]
    assert [level.get("priority", 0) for level in levels] == [0, 1]
    assert "ServiceExport/vllm-model-a" in found
    _, spare = config(objects(intent, "west"))["models"]["Model-A"]["endpoints"]
    assert spare["url"] == "http://vllm-model-a.ns.svc.clusterset.local:8000"


def test_tiers_are_held_by_the_router_itself() -> None:
    limit = [{"limit": 10, "window": "1m"}]
    tiers = [{"name": "free", "groups": ["system:authenticated"], "tokens": limit}]
    maas = {"settings": {"maas": {"kubernetes": {}}}}
    found = objects(wanted(tiers=tiers, router=maas))
    held = config(found)["maas"]
    assert held["tiers"] == tiers and held["folder"] == "/app/models/maas"
    [binding] = [one for key, one in found.items() if key.startswith("ClusterRoleBinding/")]
    assert binding["roleRef"]["name"] == "system:auth-delegator"
    pod = found["Deployment/r"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is True and pod["serviceAccountName"] == "r"
    [problem] = KUBERNETES.target.problems(wanted(tiers=tiers))
    assert problem.where == "router.settings.maas"


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"default_model": "Model-B"}, "default_model"),
        ({"router": {"settings": {"routin": {}}}}, "router.settings.routin"),
        ({"models": {"a": {"run": "simulator", "settings": {"pric": {}}}}},
         "models.a.settings.pric"),
        ({"models": {"a": {"cloud": {"url": "not a url"}}}}, "models.a.cloud.url"),
        ({"router": {"settings": {"default_effort": "${EFFORT}"}}},
         "router.settings.default_effort"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_its_path_in_the_intent(more: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rendered(KUBERNETES.target, wanted(**more), Offline())
    assert caught.value.problems[0].where.startswith(where)


# --- helm-values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"router": {"autoscale": {"min": 2}}, "monitoring": True},
        {"router": {"storage": "5Gi", "storage_class": "fast", "image": DIGEST}},
        {"exposure": {"kind": "route", "host": "r.example.com"}},
        {"exposure": {"kind": "gateway"}, "gateway": {"name": "g", "section": "web"}},
        {"models": {"gpt": {"cloud": {"url": "https://api.openai.com/v1",
                                      "key": {"secret": "s", "key": "K"}}}}},
        {"targets": {"helm-values": {"mode": "extproc"}}},
    ],
)  # fmt: skip
def test_values_are_what_the_charts_schema_takes(more: dict[str, Any]) -> None:
    document = {**documents(HELM.example)[0], "exposure": {"kind": "none"}, **more}
    if "default_model" in document and document["default_model"] not in document["models"]:
        del document["default_model"]
    intent = parse(document)
    assert not HELM.target.problems(intent)
    [step] = rendered(HELM.target, intent, Offline())
    values = yaml.safe_load(step.texts[0].text)
    schema = json.loads((ROOT / "deploy/helm/semantic-router/values.schema.json").read_text())
    jsonschema.Draft7Validator(schema).validate(values)


# --- the command line ----------------------------------------------------------------------------


class Typed:
    """``wayside deploy`` in a folder, against one cluster."""

    def __init__(self, folder: Path, kubeconfig: Path, document: dict[str, Any]) -> None:
        self.file, self.document, self._kubeconfig = folder / "w.yaml", document, kubeconfig

    def __call__(self, *args: str, status: int = 0) -> Result:
        self.file.write_text(yaml.safe_dump(self.document))
        given = [args[0], "-f", str(self.file), *args[1:]]
        if args[0] != "render":
            given += ["--kubeconfig", str(self._kubeconfig)]
        done = CliRunner().invoke(cli, ["deploy", *given])
        assert done.exit_code == status, done.output
        return done


@pytest.fixture
def typed(tmp_path: Path, kubeconfig: Path) -> Typed:
    document = documents(KUBERNETES.example)[0]
    return Typed(tmp_path, kubeconfig, {**document, "namespace": f"c-{uuid.uuid4().hex[:8]}"})


def test_the_life_of_a_deployment_as_it_is_typed(typed: Typed, kubectl: Kubectl) -> None:
    """A0-01, A0-09, A0-26, A0-38 in short: plan, apply, a change, status, destroy."""
    where = typed.document["namespace"]
    assert "to create" in typed("plan", status=2).output
    typed("apply", "--no-wait", status=1)  # nobody can be asked
    assert "created" in typed("apply", "--no-wait", "--yes").output
    assert "0 to create, 0 to change" in typed("plan").output
    found = typed("plan", "--set", "router.replicas=3", "--json", status=2).stdout
    changed = [one for one in json.loads(found)["objects"] if one["action"] == "change"]
    assert changed[0]["changes"] == [{"op": "~", "path": "spec.replicas", "before": 2, "after": 3}]
    typed.document["router"]["settings"]["list_models"] = False
    assert f"~ ConfigMap {where}/semantic-router-config" in typed("plan", status=2).output
    typed("apply", "--no-wait", "--yes")
    assert "list_models: false" in kubectl("-n", where, "get", "cm", "semantic-router-config",
                                            "-o", "yaml")  # fmt: skip
    told = json.loads(typed("status", "--json", status=1).stdout)  # there is no kubelet
    states = {row["what"]: row["state"] for row in told["rows"]}
    assert states[f"Deployment {where}/semantic-router"] == "waiting"
    assert states[f"Service {where}/semantic-router"] == "there"
    assert "deleted" in typed("destroy", "--yes").output
    assert "nothing is there" in typed("destroy", "--yes").output
    assert not kubectl("-n", where, "get", "deploy,svc", "-o", "name").strip()


def test_rendered_files_apply_as_they_are(typed: Typed, kubectl: Kubectl, tmp_path: Path) -> None:
    """What is rendered is what kubectl takes under its strict validation."""
    typed("render", "--out", str(tmp_path / "out"))
    namespace = tmp_path / "out" / "namespaces.yaml"
    kubectl("apply", "-f", str(namespace))
    kubectl("apply", "--dry-run=server", "-R", "-f", str(tmp_path / "out"))


def test_what_is_wrong_is_told_with_what_to_write(typed: Typed) -> None:
    typed.document["router"]["replica"] = 3
    done = typed("render", status=2)
    assert "router.replica: unknown key; did you mean 'replicas'?" in done.output
    assert typed("plan", status=1).output.count("did you mean 'replicas'") == 1
    del typed.document["router"]["replica"]
    typed.document["router"]["settings"]["routing"]["decisions"][0]["models"] = ["Model-C"]
    assert "router.settings.routing.decisions" in typed("render", status=2).output
    done = typed("render", "--target", "kubernets", status=2)
    assert "did you mean 'kubernetes'" in done.output
    missing = CliRunner().invoke(cli, ["deploy", "plan", "-f", "none.yaml"])
    assert missing.exit_code == 1 and "wayside deploy init" in missing.output


def test_help_teaches() -> None:
    done = CliRunner().invoke(cli, ["deploy", "--help"])
    for word in ("init", "plan", "apply", "verify", "destroy", "Exit status"):
        assert word in done.output
