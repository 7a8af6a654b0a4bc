"""Target ``openshift-split`` without a cluster: what it makes, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from wayside.cli.app import App
from wayside.cli.files import read
from wayside.deploy import Object, Step
from wayside.deploy.applying.scene import Offline, rendered
from wayside.deploy.intent import Intent
from wayside.deploy.parts import split_config
from wayside.deploy.parts.split_config import Place
from wayside.deploy.targets.openshift_split import EXAMPLE, SIMULATED, OpenShiftSplit
from wayside.settings import RouterSettings
from wayside.translate import translate
from wayside.vocab.errors import ConfigError
from wayside.vocab.resource import SERVICES, Resource

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "openshift"
TARGET = OpenShiftSplit()
NS = "vllm-semantic-router-system"


def intent(text: str = SIMULATED, **more: Any) -> Intent:
    return Intent.model_validate({**yaml.safe_load(text), **more})


def of(**options: Any) -> dict[str, Any]:
    return {"targets": {"openshift-split": options}}


@dataclass
class Seen:
    """A cluster as a test wants it."""

    services: Mapping[str, Any] = field(default_factory=dict)
    """The spec of each Service."""
    openshift: bool = True
    images: Sequence[Object] = ()
    live: bool = True

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        if resource.plural == "imagestreams":
            return next((i for i in self.images if i["metadata"]["name"] == name), None)
        if resource == SERVICES and name in self.services:
            return {"metadata": {"name": name}, "spec": self.services[name]}
        return None

    def all(self, resource: Resource, namespace: str | None = None) -> Sequence[Object]:
        return ()

    def has(self, resource: Resource) -> bool | None:
        return self.openshift or "openshift" not in resource.group

    def told(self, name: str) -> str:
        return ""

    @property
    def cluster(self) -> str:
        return ""


def steps(wanted: Intent, scene: Any = None) -> dict[str, Step]:
    assert not TARGET.problems(wanted), list(map(str, TARGET.problems(wanted)))
    found = rendered(TARGET, wanted, Offline()) if scene is None else TARGET.steps(wanted, scene)
    return {step.title: step for step in found}


def everything(found: Mapping[str, Step]) -> list[Object]:
    return [o for step in found.values() for m in step.manifests for o in m.objects]


def one(found: Mapping[str, Step], kind: str, name: str) -> Object:
    (made,) = [o for o in everything(found) if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return made


def config(found: Mapping[str, Step]) -> Any:
    return yaml.safe_load(
        one(found, "ConfigMap", "semantic-router-config")["data"]["dynamic-config.yaml"]
    )


def ips(a: str, b: str) -> dict[str, Any]:
    return {"vllm-model-a": {"clusterIP": a}, "vllm-model-b": {"clusterIP": b}}


BY_IP = of(discovery="cluster-ip")


def addresses(found: Mapping[str, Step]) -> list[str]:
    return [e["address"] for e in config(found)["vllm_endpoints"]]


# --- discovery ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "found",
    [
        ("10.96.10.50", "10.96.20.80"),
        ("172.30.12.7", "172.30.200.9"),
        ("fd00:10:96::a", "fd00:10:96::b"),
        ("172.30.116.177", "172.30.64.134"),  # the template's own, and the other way round
    ],
)
def test_addresses_are_those_of_this_cluster(found: tuple[str, str]) -> None:
    """A0-06, A0-07, A0-08, A0-15, A0-31: whatever range a cluster has, both are its own, also
    where one of them happens to be a placeholder of the template."""
    made = steps(intent(**BY_IP), Seen(ips(*found)))
    assert tuple(addresses(made)) == found
    guide = translate(config(made), hint="split")
    assert guide is not None
    settings = RouterSettings.model_validate(guide.settings)
    hosts = [m.endpoints[0].address.host for m in settings.models.values()]
    assert tuple(hosts) == found
    assert [m.endpoints[0].address.port for m in settings.models.values()] == [8000, 8001]


def test_names_are_the_default_and_need_no_cluster() -> None:
    """A0-28: no address is in the ConfigMap, so it is the same on every cluster."""
    assert addresses(steps(intent())) == [
        f"vllm-model-a.{NS}.svc.cluster.local",
        f"vllm-model-b.{NS}.svc.cluster.local",
    ]
    assert addresses(steps(intent(), Seen(ips("10.0.0.1", "10.0.0.2")))) == addresses(
        steps(intent())
    )


def test_a_headless_service_is_found_by_its_name() -> None:
    """A0-24: and that is said."""
    made = steps(intent(**BY_IP), Seen(ips("10.96.10.50", "None")))
    assert addresses(made) == ["10.96.10.50", f"vllm-model-b.{NS}.svc.cluster.local"]
    (note,) = made["configuration"].notes
    assert f"Service {NS}/vllm-model-b is headless" in note


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"clusterIP": "", "type": "ExternalName"}, "it is of type ExternalName"),
        ({}, "the cluster gave it none"),
        (None, "is not there"),
    ],
)
def test_a_service_without_an_address_is_an_error_that_names_it(spec: Any, said: str) -> None:
    """A0-23: nothing is made up, and no placeholder is left."""
    services = {"vllm-model-a": {"clusterIP": "10.96.10.50"}}
    if spec is not None:
        services["vllm-model-b"] = spec
    with pytest.raises(ConfigError) as caught:
        steps(intent(**BY_IP), Seen(services))
    assert f"Service {NS}/vllm-model-b" in str(caught.value) and said in str(caught.value)
    assert "vllm-model-a" not in str(caught.value)


def test_discovery_waits_for_the_services_and_no_longer_than_told() -> None:
    """A0-05, A0-23: Services come first, and their addresses are waited for."""
    wanted = intent(**of(discovery="cluster-ip", discovery_timeout_s=7))
    made = steps(wanted, Seen(ips("10.96.10.50", "10.96.20.80")))
    assert list(made).index("models") < list(made).index("configuration")
    assert [(w.name, w.path, w.timeout_s) for w in made["models"].waits] == [
        ("vllm-model-a", "spec.clusterIP", 7),
        ("vllm-model-b", "spec.clusterIP", 7),
    ]
    kinds = [o["kind"] for o in made["models"].manifests[0].objects]
    assert kinds[:2] == ["Service", "Service"]


def test_without_a_cluster_addresses_are_asked_for() -> None:
    """A0-23: rendering makes up none."""
    with pytest.raises(ConfigError, match=r"--set cluster-ip\.vllm-model-a.*oc get svc"):
        steps(intent(**BY_IP))
    told = Offline({"cluster-ip.vllm-model-a": "10.1.0.1", "cluster-ip.vllm-model-b": "10.1.0.2"})
    made = {step.title: step for step in rendered(TARGET, intent(**BY_IP), told)}
    assert addresses(made) == ["10.1.0.1", "10.1.0.2"]


# --- objects -----------------------------------------------------------------------------------


def test_the_pods_are_the_guides() -> None:
    """A0-04, A0-10, A0-11, A0-12, A0-13."""
    made = steps(intent(EXAMPLE))
    spec = one(made, "Deployment", "semantic-router")["spec"]["template"]["spec"]
    assert [c["name"] for c in spec["containers"]] == ["semantic-router", "envoy-proxy"]
    for name, container, port in (
        ("vllm-model-a", "model-a", 8000),
        ("vllm-model-b", "model-b", 8001),
    ):
        (found,) = one(made, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        assert found["name"] == container
        assert found["command"][:3] == ["llm-katan", "--model", "Qwen/Qwen3-0.6B"]
        assert one(made, "Service", name)["spec"]["ports"][0]["port"] == port
    claims = {
        o["metadata"]["name"]: o["spec"]
        for o in everything(made)
        if o["kind"] == "PersistentVolumeClaim"
    }
    assert sorted((n, s["resources"]["requests"]["storage"]) for n, s in claims.items()) == [
        ("semantic-router-cache", "20Gi"),
        ("semantic-router-models", "20Gi"),
        ("vllm-model-a-cache", "10Gi"),
        ("vllm-model-b-cache", "10Gi"),
    ]
    assert not any("storageClassName" in s for s in claims.values())
    chosen = intent(EXAMPLE, router={"storage": "1Gi", "storage_class": "gp3-csi"})
    classes = {
        o["spec"]["storageClassName"]
        for o in everything(steps(chosen))
        if o["kind"] == "PersistentVolumeClaim"
    }
    assert classes == {"gp3-csi"}
    spaces = {o["metadata"].get("namespace", NS) for o in everything(made)}
    assert spaces == {NS}


def test_the_image_is_built_only_where_it_is_missing() -> None:
    """A0-03: by OpenShift, once; one that is there is used; elsewhere one is pulled."""
    wanted = intent(EXAMPLE)
    builds = [o["kind"] for o in everything(steps(wanted, Seen()))][1:3]
    assert builds == ["ImageStream", "BuildConfig"]
    theirs = {"metadata": {"name": "llm-katan", "labels": {}}}
    there = steps(wanted, Seen(images=[theirs]))
    assert "BuildConfig" not in [o["kind"] for o in everything(there)]
    assert "there already" in there["image"].notes[0]
    (container,) = one(there, "Deployment", "vllm-model-a")["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["image"].startswith("image-registry.openshift-image-registry.svc:5000/")
    ours = one(steps(wanted, Seen()), "ImageStream", "llm-katan")
    again = everything(steps(wanted, Seen(images=[ours])))
    assert "BuildConfig" in [o["kind"] for o in again], "ours stays in the inventory"
    elsewhere = intent(EXAMPLE, exposure={"kind": "none"})
    plain = steps(elsewhere, Seen(openshift=False))
    assert "no OpenShift" in plain["image"].notes[0]
    spec = one(plain, "Deployment", "semantic-router")["spec"]["template"]["spec"]
    assert spec["securityContext"]["fsGroup"], "claims are the router's to write"


def test_routes_lead_to_clients_ports_alone() -> None:
    """A0-14: TLS at the edge; nobody gets at metrics, ext_proc or Envoy's admin page."""
    routes = [o for o in everything(steps(intent())) if o["kind"] == "Route"]
    assert [r["metadata"]["name"] for r in routes] == ["semantic-router", "semantic-router-api"]
    for route in routes:
        assert route["spec"]["tls"]["termination"] == "edge"
        assert route["spec"]["port"]["targetPort"] in ("envoy-http", "api")
    closed = steps(intent(exposure={"kind": "none"}))
    assert not [o for o in everything(closed) if o["kind"] == "Route"]


def test_a_new_configuration_brings_new_pods_unless_told() -> None:
    """A0-22, A0-25: the pods' annotation changes with the addresses; with ``rollout: false`` they
    follow the file instead."""

    def template(found: Mapping[str, Step]) -> Any:
        return one(found, "Deployment", "semantic-router")["spec"]["template"]

    here = steps(intent(**BY_IP), Seen(ips("10.96.10.50", "10.96.20.80")))
    there = steps(intent(**BY_IP), Seen(ips("10.97.0.1", "10.97.0.2")))
    assert template(here) != template(there)
    calm = of(discovery="cluster-ip", rollout=False)
    here = steps(intent(**calm), Seen(ips("10.96.10.50", "10.96.20.80")))
    there = steps(intent(**calm), Seen(ips("10.97.0.1", "10.97.0.2")))
    assert template(here) == template(there)


def test_the_router_scales_by_traffic() -> None:
    """A0-33: by a custom metric, where one is told; the Deployment leaves its replicas alone."""
    wanted = intent(
        router={"storage": "20Gi", "autoscale": {"min": 2, "max": 9, "requests_per_second": 50}},
        **of(access_mode="ReadWriteMany"),
    )
    made = steps(wanted)
    assert "replicas" not in one(made, "Deployment", "semantic-router")["spec"]
    scaler = one(made, "HorizontalPodAutoscaler", "semantic-router")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 9)
    pods = [m["pods"] for m in scaler["metrics"] if m["type"] == "Pods"]
    assert pods[0]["metric"]["name"] == "wayside_requests_per_second"
    strategy = one(made, "Deployment", "semantic-router")["spec"]["strategy"]
    assert strategy["type"] == "RollingUpdate"


# --- the configuration -------------------------------------------------------------------------


def test_fifteen_decisions_and_nothing_lost_in_translation() -> None:
    """A0-21, A0-37: the guide's format and our own say the same."""
    guide = config(steps(intent()))
    assert len(guide["decisions"]) == 15
    thinks = {d["name"] for d in guide["decisions"] if d["modelRefs"][0]["use_reasoning"]}
    assert thinks == {f"{s}_decision" for s in ("chemistry", "math", "physics", "engineering")}
    to_b = {d["name"] for d in guide["decisions"] if d["modelRefs"][0]["model"] == "Model-B"}
    subjects = ("business", "law", "psychology", "health", "philosophy")
    assert to_b == {f"{s}_decision" for s in subjects}
    translation = translate(guide, hint="split")
    assert translation is not None
    assert not [
        n for n in translation.notes if n.severity in ("unsupported", "refused", "unknown")
    ]
    urls = {m: f"http://vllm-{m.lower()}.{NS}.svc.cluster.local:800{i}" for i, m in
            enumerate(split_config.MODELS)}  # fmt: skip
    assert translation.settings == split_config.settings(urls)
    own = config(steps(intent(**of(format="wayside"))))
    assert own["routing"] == translation.settings["routing"]
    assert {n: m["reasoning_family"] for n, m in own["models"].items()} == dict.fromkeys(
        ("Model-A", "Model-B"), "qwen3"
    )
    text = yaml.safe_dump(own).encode()
    App(read(text, "own.yaml", env={}), env={})


def test_what_the_guides_format_cannot_say_is_written_in_ours() -> None:
    """Own settings and clouds; asked for in the guide's format, they are refused by their path."""
    models = dict(yaml.safe_load(SIMULATED)["models"])
    models["gpt-4o-mini"] = {
        "cloud": {"url": "https://api.openai.com/v1", "key": {"secret": "o", "key": "KEY"}}
    }
    found = config(steps(intent(models=models)))
    assert set(found["models"]) == {"Model-A", "Model-B", "gpt-4o-mini"}
    assert len(found["routing"]["decisions"]) == 15
    (problem,) = TARGET.problems(intent(models=models, **of(format="guide")))
    assert "models.gpt-4o-mini.cloud" in str(problem)
    own = {"settings": {"routing": {"default_model": "Model-B"}}}
    assert "decisions" not in config(steps(intent(router=own)))["routing"]


def test_several_clusters_share_their_models() -> None:
    """A0-32: each exports its Services, and asks the others' where its own give no answer."""
    wanted = intent(clusters=[{"name": n, "context": n} for n in ("east", "west")])
    assert not TARGET.problems(wanted)
    made = {s.title: s for s in rendered(TARGET, wanted, Offline(None, "east"))}
    exports = [o["metadata"]["name"] for o in everything(made) if o["kind"] == "ServiceExport"]
    assert exports == ["vllm-model-a", "vllm-model-b"]
    own, spare = config(made)["models"]["Model-A"]["endpoints"]
    assert own == f"http://vllm-model-a.{NS}.svc.cluster.local:8000"
    url = f"http://vllm-model-a.{NS}.svc.clusterset.local:8000"
    assert spare == {"url": url, "standby": True}


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"router": {"replicas": 2}}, "router.replicas"),
        ({"tiers": []}, "tiers"),
        ({"gateway": {"name": "g"}}, "gateway"),
        ({"models": {"a": {"kserve": "a"}}}, "models.a.kserve"),
        ({"exposure": {"kind": "gateway"}}, "exposure.kind"),
        (of(format="guide") | {"models": {"a": {"run": "simulator"}}}, "openshift-split.format"),
    ],
)
def test_what_this_target_does_not_do_is_refused_by_its_path(
    more: dict[str, Any], path: str
) -> None:
    assert any(path in str(p) for p in TARGET.problems(intent(**more)))


# --- the files that people apply by hand -------------------------------------------------------


def test_the_printed_files_are_what_the_target_makes() -> None:
    """A0-36: the guide's files are there, and fresh."""
    names = ("deploy-split.sh", "config-split.yaml", "deployment-split.yaml")
    assert all((FOLDER / "single-namespace" / name).is_file() for name in names)
    done = subprocess.run(
        [sys.executable, "scripts/deploy_files.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_template_has_the_guides_placeholders_and_loads_once_they_are_replaced() -> None:
    """A0-08."""
    text = (FOLDER / "single-namespace" / "config-split.yaml").read_text()
    for address in split_config.PLACEHOLDERS.values():
        assert text.count(f'address: "{address}"') == 1
    places = {"Model-A": Place("10.96.10.50", 8000), "Model-B": Place("10.96.20.80", 8001)}
    for name, place in places.items():
        text = text.replace(split_config.PLACEHOLDERS[name], place.address)
    assert yaml.safe_load(text) == split_config.document(places)
    App(read(text.encode(), "dynamic-config.yaml", env={}), env={})


@pytest.mark.parametrize(
    "script",
    [
        "common.sh",
        "deploy-to-openshift.sh",
        "cleanup-openshift.sh",
        "validate-deployment.sh",
        "single-namespace/deploy-split.sh",
    ],
)
def test_scripts_are_shells(script: str) -> None:
    """A0-36: and they teach."""
    path = FOLDER / script
    subprocess.run(["bash", "-n", str(path)], check=True)
    if script != "common.sh":
        done = subprocess.run([str(path), "--help"], capture_output=True, text=True)
        assert done.returncode == 0 and "vllm-semantic-router-system" in done.stdout


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("deploy-to-openshift.sh", "--classifier-gpu"), "use no GPU"),
        (("deploy-to-openshift.sh", "--simulater"), "unknown option"),
        (("deploy-to-openshift.sh", "-n"), "needs a value"),
        (("cleanup-openshift.sh", "-p", "hunter2"), "OPENSHIFT_PASSWORD"),
        (("cleanup-openshift.sh", "--password=hunter2"), "OPENSHIFT_PASSWORD"),
        (("cleanup-openshift.sh", "--no-wait"), "refused"),
        (("cleanup-openshift.sh", "--level", "planet"), "deployment, namespace or all"),
    ],
)
def test_flags_that_do_not_work_here_are_refused_with_a_reason(
    argv: tuple[str, ...], said: str
) -> None:
    """A0-38: passwords are never arguments of ours."""
    done = subprocess.run([str(FOLDER / argv[0]), *argv[1:]], capture_output=True, text=True)
    assert done.returncode == 1 and said in done.stderr and "hunter2" not in done.stderr
    assert json.dumps(done.stdout) == '""'
