"""Values for Helm against what target ``kubernetes`` makes of the same intent: the chart is
rendered by Helm's own code, and the essentials are the same. AX-05, A0-33."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import lacking
from wayside.cli.deploy_intent import Wanted, check, named, parse
from wayside.deploy.applying.scene import Offline, rendered

try:
    import helm_python as helm
except ImportError:  # pragma: no cover - a machine that its wheel is not made for
    helm = None

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "semantic-router"
SERVED = {"A": {"service": {"name": "a", "port": 8000}}, "B": {"service": {"name": "b"}}}
CLOUD = {"gpt": {"cloud": {"url": "https://api.openai.com/v1",
                           "key": {"secret": "openai", "key": "KEY"},
                           "ca": {"secret": "openai", "key": "ca.crt"}}}}  # fmt: skip
LAW = {
    "routing": {
        "signals": {"keyword": {"law": {"keywords": ["contract"]}}},
        "decisions": [{"name": "law", "when": "keyword:law", "models": ["B"]}],
    }
}
Objects = dict[str, dict[str, Any]]


def _by_kind(objects: list[dict[str, Any]]) -> Objects:
    made = {}
    for one in objects:
        data = one.get("data") or {}
        if one["kind"] == "ConfigMap" and "config.yaml" not in data:
            continue  # of the Envoy
        if one["kind"] != "Namespace" and one["metadata"]["name"] != "r-metrics":
            made[one["kind"]] = one
    return made


def both(**more: Any) -> tuple[Objects, Objects]:
    """What the chart makes, and what target kubernetes makes, by kind."""
    models = {**SERVED, **more.pop("models", {})}
    document = {"name": "r", "namespace": "ns", "models": models, "default_model": "A", **more}
    intent = parse({**document, "targets": {"kubernetes": {"gateway": "http"}}})
    for target in ("helm-values", "kubernetes"):
        check(Wanted(named(target), intent, {}))
    [step] = rendered(named("helm-values").target, intent, Offline())
    values = yaml.safe_load(step.texts[0].text)
    chart = helm.Chart.load(CHART)
    chart.validate_schema(values)
    files = chart.render(values, name="r", namespace="ns")
    theirs = [o for p, t in files.items() if p.endswith(".yaml") for o in yaml.safe_load_all(t)]
    steps = rendered(named("kubernetes").target, intent, Offline())
    ours = [o for s in steps for m in s.manifests for o in m.objects]
    return _by_kind([o for o in theirs if o]), _by_kind(ours)


@pytest.fixture(autouse=True)
def _helm() -> None:
    if helm is None:
        lacking("helm-python-sdk is not installed")


def router(found: Objects) -> dict[str, Any]:
    pod = found["Deployment"]["spec"]["template"]["spec"]
    [made] = [c for c in pod["containers"] if c["name"] in ("semantic-router", "router")]
    return dict(made)


def settings(found: Objects) -> Any:
    """But for comments and where listeners are."""
    held = yaml.safe_load(found["ConfigMap"]["data"]["config.yaml"])
    return {k: v for k, v in held.items() if k in ("models", "routing", "maas")}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"router": {"replicas": 3, "settings": LAW, "resources": {"cpu": "2", "memory": "3Gi"}}},
        {"models": CLOUD},
        {"router": {"autoscale": {"min": 2, "max": 7, "cpu": 55}}},
        {"router": {"storage": "5Gi", "storage_class": "fast",
                    "image": "registry.example.com:5000/team/wayside@sha256:" + "a" * 64}},
        {"router": {"network_policy": False}},
        {"exposure": {"kind": "ingress", "host": "r.example.com", "secret": "tls"}},
        {"exposure": {"kind": "ingress", "host": "r.example.com", "tls": "none"}},
        {"exposure": {"kind": "gateway", "host": "r.example.com"},
         "gateway": {"name": "g", "namespace": "gs", "section": "web"}},
    ],
    ids=["least", "replicas", "cloud", "autoscale", "storage", "open", "ingress", "plain",
         "gateway"],
)  # fmt: skip
def test_the_chart_says_what_kubernetes_says(more: dict[str, Any]) -> None:
    theirs, ours = both(**more)
    assert settings(theirs) == settings(ours)
    for found in (theirs, ours):
        assert found["Deployment"]["metadata"]["name"] == "r"
    mine, other = ours["Deployment"]["spec"], theirs["Deployment"]["spec"]
    assert other.get("replicas") == mine.get("replicas")
    assert router(theirs)["image"] == router(ours)["image"]
    assert router(theirs)["resources"] == router(ours)["resources"]
    assert _secrets(theirs) == _secrets(ours)
    assert theirs["Service"]["metadata"]["name"] == ours["Service"]["metadata"]["name"]
    for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "Ingress",
                 "HTTPRoute", "PersistentVolumeClaim"):  # fmt: skip
        assert (kind in theirs) == (kind in ours), kind
    if "HorizontalPodAutoscaler" in ours:
        a, b = (f["HorizontalPodAutoscaler"]["spec"] for f in (theirs, ours))
        for field in ("minReplicas", "maxReplicas", "metrics"):
            assert a[field] == b[field]
    if "PersistentVolumeClaim" in ours:
        a, b = (f["PersistentVolumeClaim"]["spec"] for f in (theirs, ours))
        assert (a["resources"], a["storageClassName"]) == (b["resources"], b["storageClassName"])
    if "Ingress" in ours:
        a, b = (f["Ingress"]["spec"] for f in (theirs, ours))
        assert [r["host"] for r in a["rules"]] == [r["host"] for r in b["rules"]]
        assert a.get("tls") == b.get("tls")
    if "HTTPRoute" in ours:
        a, b = (f["HTTPRoute"]["spec"] for f in (theirs, ours))
        assert a["hostnames"] == b["hostnames"]
        for parent in (*a["parentRefs"], *b["parentRefs"]):
            about = {k: parent[k] for k in ("name", "namespace", "sectionName")}
            assert about == {"name": "g", "namespace": "gs", "sectionName": "web"}


def _secrets(found: Objects) -> set[str]:
    """Every key of a Secret, and the file in the pod that it becomes."""
    pod = found["Deployment"]["spec"]["template"]["spec"]
    made = set()
    for volume in pod["volumes"]:
        for mount in router(found)["volumeMounts"]:
            for source in (volume.get("projected") or {}).get("sources", ()):
                secret = source.get("secret")
                if secret and mount["name"] == volume["name"]:
                    made |= {f"{secret['name']}:{item['key']}={mount['mountPath']}/{item['path']}"
                             for item in secret["items"]}  # fmt: skip
            if "secret" in volume and mount["name"] == volume["name"]:
                secret = volume["secret"]
                made |= {
                    f"{secret['secretName']}:{item['key']}={mount['mountPath']}/{item['path']}"
                    for item in secret.get("items", ())
                }
    return made


def test_a_providers_key_reaches_the_router() -> None:
    theirs, _ = both(models=CLOUD)
    files = {one.partition("=")[2] for one in _secrets(theirs)}
    gpt = settings(theirs)["models"]["gpt"]
    assert gpt["credential"]["file"] in files and gpt["tls"]["ca_file"] in files
