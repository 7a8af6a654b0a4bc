"""What is refused on every target, by its path and with what to write instead. A0-33, AX-08."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from wayside.cli.deploy_intent import Wanted, check, entries, named, parse
from wayside.deploy.applying.files import files
from wayside.deploy.applying.scene import Offline, rendered
from wayside.deploy.parts import adapter, sound
from wayside.manifests import alerts
from wayside.vocab.errors import ConfigError

MODEL = {"A": {"service": {"name": "a"}}}
REDIS = {"stores": {"shared": {"redis": {"url": "redis://redis:6379"}}}}
SHARED = {"limits": {"store": "shared"}, "database": {"file": "/db"}, "kubernetes": {}}


def against(document: dict[str, Any], target: str = "kubernetes") -> dict[str, str]:
    intent = parse({"models": MODEL, **document})
    try:
        check(Wanted(named(target), intent, {}))
    except ConfigError as error:
        return {problem.where: str(problem) for problem in error.problems}
    return {}


@pytest.mark.parametrize("target", ["kubernetes", "helm-values", "openshift-split", "istio"])
@pytest.mark.parametrize("many", [{"replicas": 2}, {"autoscale": {"min": 1, "max": 3}}])
def test_several_routers_never_count_alone(target: str, many: dict[str, Any]) -> None:
    router = {**many, "settings": {"maas": {"oidc": [{"issuer": "https://i", "audience": "a"}]}}}
    told = against({"router": router}, target)
    at = "router.settings.maas"
    for where in (f"{at}.limits.store", f"{at}.database", f"{at}.kubernetes"):
        assert "have one router (router." in told[where]
    router["settings"] = {"maas": {**SHARED}, **REDIS}
    assert not [where for where in against({"router": router}, target) if where.startswith(at)]


def test_one_router_may() -> None:
    settings = {"maas": {"kubernetes": {}}}
    assert not against({"router": {"replicas": 1, "settings": settings}})
    assert not against({"router": {"autoscale": {"min": 1, "max": 1}, "settings": settings}})


@pytest.mark.parametrize(
    "document, where",
    [
        ({"router": {"image": "wayside:latest"}}, "router.image"),
        ({"router": {"image": "localhost:5000/wayside"}}, "router.image"),
        ({"router": {"image": ""}}, "router.image"),
        ({"models": {"A": {"run": "simulator", "image": "sim"}}}, "models.A.image"),
        ({"labels": {"a b": "c"}}, "labels.a b"),
        ({"labels": {"a": "b c"}}, "labels.a"),
        ({"labels": {"app.kubernetes.io/name": "c"}}, "labels.app.kubernetes.io/name"),
        ({"router": {"autoscale": {"min": 5, "max": 2}}}, "router.autoscale.min"),
        ({"router": {"autoscale": {"cpu": None}}}, "router.autoscale.cpu"),
        (
            {"router": {"autoscale": {}, "resources": {"memory": "1Gi"}}},
            "router.autoscale.cpu",
        ),
        (
            {"router": {"autoscale": {"requests_per_second": 9}}},
            "router.autoscale.requests_per_second",
        ),
    ],
)
def test_it_is_refused_with_what_to_write(document: dict[str, Any], where: str) -> None:
    told = against(document)
    assert list(told) == [where] and "; " in told[where]


@pytest.mark.parametrize(
    "image", ["localhost:5000/wayside:1.2", "wayside@sha256:" + "0" * 64, "a/b:v1"]
)
def test_images_with_a_version_are_taken(image: str) -> None:
    assert not against({"router": {"image": image}, "labels": {"example.com/team": "search.1"}})


def test_what_an_autoscaler_asks_for_is_recorded_and_offered() -> None:
    """A0-33: the HPA's metric, the series that Prometheus records and the adapter's rule are one
    name, and the labels by which the adapter finds the pod are those of the series."""
    document = {
        "models": MODEL,
        "monitoring": True,
        "router": {"autoscale": {"requests_per_second": 20}},
    }
    assert not against(document)
    for target in ("kubernetes", "openshift-split"):
        intent = parse({**document, "targets": {"openshift-split": {"cache": None}}})
        entry = named(target).target
        made = files(rendered(entry, intent, Offline()))
        [rule] = yaml.safe_load(made["prometheus-adapter-values.yaml"])["rules"]["custom"]
        assert rule["name"] == {"as": sound.RATE} and rule["seriesQuery"].startswith(sound.RATE)
        assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}
        assert f"name: {sound.RATE}" in "".join(made.values())
        [need] = [n for n in entry.needs(intent) if sound.RATE in n.what]
        assert need.level == "warning" and need.fix
    assert "by (namespace, pod)" in alerts.RECORDED[sound.RATE]


@pytest.mark.parametrize("target", sorted(entries()))
def test_a0_33_an_autoscaler_that_goes_by_requests_can_get_at_them(target: str) -> None:
    """A0-33: wherever that is no error, the adapter's rule is rendered, and its absence told."""
    entry = named(target)
    document = yaml.safe_load(entry.example)
    router = document.setdefault("router", {})
    router["autoscale"] = {"requests_per_second": 9}
    document["monitoring"] = True
    told = against(document, target)
    if any(where.startswith(("router.autoscale", "monitoring")) for where in told):
        return  # refused, with its path
    intent = parse(document)
    scene = Offline({"domain": "apps.example.com"})
    texts = [text.path for step in entry.target.steps(intent, scene) for text in step.texts]
    assert adapter.FILE in texts
    assert adapter.needs(intent)[0] in entry.target.needs(intent)
