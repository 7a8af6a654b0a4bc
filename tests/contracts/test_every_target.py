"""What every target of ``wayside deploy`` must keep, asked of whatever is registered."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from tests.deploy.goldens import told
from wayside.cli.deploy_intent import Wanted, check, entries, parse
from wayside.deploy import DEPLOYMENT, MANAGER, Entry, Step
from wayside.deploy.applying.files import files
from wayside.deploy.applying.scene import Offline, rendered
from wayside.deploy.intent import Intent
from wayside.manifests.meta import INSTANCE, MANAGED_BY, NAME
from wayside.settings.base import Settings
from wayside.settings.described import descriptions
from wayside.settings.load import documents
from wayside.vocab.errors import ConfigError

ROOT = Path(__file__).parents[2]
ENTRIES = entries()
every_target = pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda e: e.name)
CLUSTER_KINDS = ("Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition",
                 "GatewayClass")  # fmt: skip


def example(entry: Entry) -> dict[str, Any]:
    return documents(entry.example)[0]


def steps(entry: Entry, intent: Intent) -> list[Step]:
    names = [cluster.name for cluster in intent.clusters] or [""]
    made: list[Step] = []
    for name in names:
        made += rendered(entry.target, intent, Offline(told(entry.name), name))
    return made


def whole(entry: Entry, intent: Intent) -> str:
    """Everything that a target says of an intent, as one text."""
    found = []
    for step in steps(entry, intent):
        found.append([[files([step]), step.title, [str(asdict(w)) for w in step.waits],
                       step.notes]])  # fmt: skip
    needs = [str(need) for need in entry.target.needs(intent)]
    checks = [str(one) for one in entry.target.checks(intent)]
    return json.dumps([found, needs, checks], indent=1)


def test_the_issues_targets_are_there() -> None:
    """AX-09 in small: each target by the name that the guides use."""
    wanted = {"local", "kubernetes", "openshift-split", "kserve", "maas-dual-gateway",
              "maas-single-gateway", "istio", "istio-llmd-public", "helm-values"}  # fmt: skip
    assert wanted <= set(ENTRIES)


@every_target
def test_it_is_described(entry: Entry) -> None:
    assert 20 <= len(entry.summary) <= 100 and entry.summary.endswith(".")
    module = entry.module.rpartition(".")[2]
    assert module == entry.name.replace("-", "_"), "one file each, called as the target"
    page = ROOT / "docs" / "reference" / "deploy" / f"{entry.name}.md"
    assert page.exists(), f"write {page.relative_to(ROOT)}"
    assert f"`{entry.name}`" in page.read_text()
    assert any(
        entry.name in path.read_text()
        for path in (ROOT / "tests" / "deploy").glob("*.py")
        if path.name not in ("goldens.py",)
    ), "no test names it"
    assert issubclass(entry.options, Settings)
    for name in entry.options.model_fields:
        described = name in descriptions(entry.options)
        assert described, f"{entry.options.__name__}.{name} has no docstring"


@every_target
def test_its_example_is_whole(entry: Entry) -> None:
    intent = parse(example(entry))
    assert intent.target == entry.name
    check(Wanted(entry, intent, {}))
    assert steps(entry, intent)


@every_target
def test_it_renders_the_same_twice(entry: Entry) -> None:
    first, second = (whole(entry, parse(example(entry))) for _ in range(2))
    assert first == second


def objects(entry: Entry, intent: Intent) -> Iterator[dict[str, Any]]:
    for step in steps(entry, intent):
        for manifest in step.manifests:
            yield from manifest.objects


@every_target
def test_its_objects_are_labelled_and_placed(entry: Entry) -> None:
    """A0-12, A0-38: what ``destroy`` knows them by, and no object without a namespace that needs
    one. A namespace that is named is the deployment's, or one that the intent names."""
    document = {**example(entry), "name": "another", "namespace": "some-where"}
    intent = parse(document)
    said = set(re.findall(r"[a-z0-9][-a-z0-9]*", json.dumps(document)))
    for found in objects(entry, intent):
        labels = found["metadata"]["labels"]
        what = f"{found['kind']} {found['metadata']['name']}"
        assert labels[DEPLOYMENT] == "another", what
        assert labels[MANAGED_BY] == MANAGER, what
        assert labels[NAME] and labels[INSTANCE], what
        namespace = found["metadata"].get("namespace")
        assert (namespace is None) == (found["kind"] in CLUSTER_KINDS), what
        assert namespace is None or namespace in said or namespace in _KNOWN_SPACES, what


_KNOWN_SPACES = ("maas-api", "istio-system", "openshift-ingress", "kuadrant-system", "default",
                 "llm", "knative-serving", "opendatahub")  # fmt: skip
"""Namespaces that belong to what a target builds upon."""


@every_target
def test_it_writes_no_secret_no_latest_and_no_address(entry: Entry) -> None:
    """AX-08: no Secret, nothing that looks like a key, no image without a version, no literal
    address of a cluster."""
    text = "".join(files(steps(entry, parse(example(entry)))).values())
    assert "kind: Secret\n" not in text
    assert not re.search(r"sk-[A-Za-z0-9]{16}|Bearer [A-Za-z0-9._-]{16}|-----BEGIN", text)
    for image in re.findall(r"^\s*(?:- )?image: (.+)$", text, re.MULTILINE):
        assert "@sha256:" in image or re.search(r":[^/:]*\d[^/:]*$", image.strip("'\"")), image
    addresses = set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text))
    assert all(a in ("0.0.0.0", "127.0.0.1", "127.0.0.0") for a in addresses), addresses


@every_target
def test_it_tells_of_unknown_options(entry: Entry) -> None:
    document = {**example(entry), "targets": {entry.name: {"no_such_option": 1}}}
    with pytest.raises(ConfigError, match=rf"targets\.{entry.name}\.no_such_option: unknown key"):
        check(Wanted(entry, parse(document), {}))


# --- no field is taken and left aside ------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """One field turned to something else. ``base`` is laid under it, and is no part of it; ``M``
    in a path is the first model that has what ``of`` says."""

    path: str
    value: Any
    base: Mapping[str, Any] = field(default_factory=dict)
    of: str = ""


_TIERS = [{"name": "free", "level": 0, "groups": ["system:authenticated"],
           "tokens": [{"limit": 10, "window": "1m"}]}]  # fmt: skip
_MAAS = {"tiers": _TIERS, "router": {"settings": {"maas": {"kubernetes": {}}}}}
_CLOUD = {"url": "https://api.openai.com/v1", "key": {"secret": "a", "key": "K"}}
_CLUSTERS = [{"name": "a", "context": "a"}, {"name": "b", "context": "b"},
             {"name": "c", "context": "c"}]  # fmt: skip
_X = {"models": {"X": {"cloud": _CLOUD}}}
_INGRESS = {"exposure": {"kind": "ingress", "host": "a.example.com", "secret": "s"}}
_GATEWAY = {"gateway": {"name": "g", "namespace": "gs"}, "exposure": {"kind": "gateway"}}

TURNS = (
    Turn("name", "other"),
    Turn("namespace", "other"),
    Turn("models.X", {"cloud": _CLOUD}),
    Turn("models.M", {"run": "vllm", "source": "Qwen/Other"}, of="service"),
    Turn("models.M.run", "llm-katan"),
    Turn("models.M.run", "vllm"),
    Turn("models.M.source", "Qwen/Other"),
    Turn("models.M.service.name", "other", of="service"),
    Turn("models.M.service.namespace", "other", of="service"),
    Turn("models.M.service.port", 8123, of="service"),
    Turn("models.M.service.target_port", 8124, of="service"),
    Turn("models.M.kserve", "other", of="kserve"),
    Turn("models.M.pool", "a-pool"),
    Turn("models.X.cloud.url", "https://eu.api.openai.com/v1", _X),
    Turn("models.X.cloud.provider", "groq", _X),
    Turn("models.X.cloud.key", {"secret": "b", "key": "L"}, _X),
    Turn("models.X.cloud.ca", {"secret": "b", "key": "L"}, _X),
    Turn("models.M.replicas", 3),
    Turn("models.M.image", "registry.example.com/servers:1.2"),
    Turn("models.M.args", ["--seed", "7"]),
    Turn("models.M.token", {"secret": "hf", "key": "HF_TOKEN"}),
    Turn("models.M.storage", "7Gi"),
    Turn("models.M.resources", {"cpu": "3"}),
    Turn("models.M.resources", {"memory": "13Gi"}),
    Turn("models.M.resources", {"gpus": 2}),
    Turn("models.M.tiers", ["free"], _MAAS),
    Turn("models.M.settings", {"description": "the other one"}),
    Turn("default_model", "X", _X),
    Turn("router.image", "registry.example.com/wayside:9"),
    Turn("router.replicas", 4),
    Turn("router.autoscale", {"min": 3, "max": 8}),
    Turn("router.autoscale", {"requests_per_second": 20}),
    Turn("router.autoscale", {"cpu": 33}),
    Turn("router.resources", {"cpu": "2", "memory": "5Gi"}),
    Turn("router.storage", "9Gi"),
    Turn("router.storage_class", "fast", {"router": {"storage": "9Gi"}}),
    Turn("router.settings", {"list_models": False}),
    Turn("router.network_policy", False),
    Turn("gateway", {"name": "other-gateway"}),
    Turn("gateway.namespace", "other", _GATEWAY),
    Turn("gateway.class", "other", _GATEWAY),
    Turn("gateway.section", "other", _GATEWAY),
    Turn("gateway.host", "other.example.com", _GATEWAY),
    Turn("exposure", {"kind": "route", "host": "x.example.com"}),
    Turn("exposure", {"kind": "gateway"}, {"gateway": {"name": "g"}}),
    Turn("exposure", {"kind": "ingress", "host": "other.example.com", "tls": "none"}),
    Turn("exposure.host", "other.example.com", _INGRESS),
    Turn("exposure.tls", "none", {"exposure": {"kind": "route", "host": "r.example.com"}}),
    Turn("exposure.secret", "other", _INGRESS),
    Turn("tiers", _TIERS, {"router": {"settings": {"maas": {"kubernetes": {}}}}}),
    Turn("clusters", _CLUSTERS),
    Turn("clusters", [{**_CLUSTERS[0], "zone": "z"}, _CLUSTERS[1], {**_CLUSTERS[2], "zone": "z",
         "models": {"M": "https://m.c.example.com"}}], {"clusters": _CLUSTERS}),
    Turn("monitoring", True),
    Turn("labels", {"team": "search"}),
)  # fmt: skip
ELSEWHERE = {
    "target", "targets",  # of the command line
    "router.config",  # read by the command line, below router.settings
}  # fmt: skip


def test_every_field_is_turned() -> None:
    """Whoever adds a field to the intent adds what it does here."""
    turned = {re.sub(r"\.[MX]\b", ".*", turn.path) for turn in TURNS}
    for path in _paths(Intent):
        near = path in turned or any(t.startswith(f"{path}.") for t in turned)
        above = any(path.startswith(f"{t}.") for t in turned)
        assert near or above or path in ELSEWHERE, f"{path} is not in TURNS"


def _paths(model: type[BaseModel], at: str = "") -> Iterator[str]:
    for name, about in model.model_fields.items():
        path = f"{at}{about.alias or name}"
        inner = list(_models(about.annotation))
        star = ".*" if "dict[" in str(about.annotation) and inner else ""
        yield f"{path}{star}"
        for one in inner:
            if one.__module__ == Intent.__module__:
                yield from _paths(one, f"{path}{star}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def laid(base: Any, over: Any) -> Any:
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {**base, **{k: laid(base.get(k), v) for k, v in over.items()}}
    return copy.deepcopy(over)


def put(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    inner = value
    for part in reversed(path.split(".")):
        inner = {part: inner}
    made: dict[str, Any] = laid(document, inner)
    return made


@cache
def said_of(name: str, text: str) -> tuple[str, str]:
    return said(ENTRIES[name], json.loads(text))


def said(entry: Entry, document: dict[str, Any]) -> tuple[str, str]:
    """What a target makes of a document, and what it has against it."""
    try:
        intent = parse(document)
        problems = list(entry.target.problems(intent))
        if problems:
            return "", "\n".join(map(str, problems))
        return whole(entry, intent), ""
    except ConfigError as error:
        return "", str(error)


@every_target
@pytest.mark.parametrize("turn", TURNS, ids=lambda t: f"{t.path}={json.dumps(t.value)[:24]}")
def test_no_field_is_left_aside(entry: Entry, turn: Turn) -> None:
    """Each field of an intent changes what is rendered, or is refused with its path."""
    document = laid(example(entry), turn.base)
    path = turn.path
    if ".M" in path:
        models = document["models"]
        name = next((n for n, m in models.items() if turn.of in m or (
            not turn.of and "run" in m)), None)  # fmt: skip
        if name is None and turn.of:
            pytest.skip(f"no model of its example has {turn.of}")
        path = path.replace(".M", f".{name or next(iter(models))}", 1)
    value = turn.value
    if path == "clusters":
        names = next(iter(document["models"]))
        value = json.loads(json.dumps(value).replace('"M"', json.dumps(names)))
    turned = put(document, path, value)
    if turned == document:
        pytest.skip("its example says so already")
    before, against = said_of(entry.name, json.dumps(document))
    after, problems = said(entry, turned)
    if against:
        return  # what it stands on is refused
    if problems:
        parts = path.split(".")
        assert any(part in problems for part in (path, ".".join(parts[:2]), parts[-1])), problems
        assert "; " in problems, f"says no fix: {problems}"
        return
    assert after != before, f"{path} is taken and does nothing"


def test_an_intent_says_where_it_is_wrong() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(yaml.safe_load("{models: {A: {run: simulater}}, routr: {}}"))
    told_of = {problem.where: str(problem) for problem in caught.value.problems}
    assert "did you mean 'simulator'" in told_of["models.A.run"]
    assert "did you mean 'router'" in told_of["routr"]
