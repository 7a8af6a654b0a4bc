"""Everything of Kubernetes that this repository ships or makes: what the gates look at.

Files under ``deploy/``, what its kustomizations build, the charts with everything switched on, and
what every target of ``wayside deploy`` renders from its example.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import wayside.deploy.targets
from tests.cluster import Kubectl
from wayside import deploy
from wayside.catalog import discover
from wayside.deploy import Entry, Step
from wayside.deploy.applying.scene import Offline
from wayside.deploy.intent import Intent

Object = dict[str, Any]
ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TOLD = {"domain": "apps.example.com", "cluster-domain": "apps.example.com"}
"""What users have to say where nothing can be looked up."""
NO_OBJECTS = {
    "config.yaml": "the router's own configuration",
    "config.yaml.openai": "the router's own configuration",
    "config.yaml.local": "the router's own configuration",
    "config-split.yaml": "the router's own configuration",
    "Chart.yaml": "Helm's, checked by its linter (tests/packaging/test_helm.py)",
    "values.yaml": "Helm's, checked by its linter (tests/packaging/test_helm.py)",
    "annotations.yaml": "metadata of an OLM bundle (tests/packaging/test_packages.py)",
    "catalog.yaml": "a file-based catalogue of OLM (tests/packaging/test_packages.py)",
}
"""Files that are no cluster's objects, and who looks at them."""
_HOLE = re.compile(r"\{\{\s*\w+\s*\}\}|\$\{\w+\}")


@dataclass(frozen=True, slots=True)
class Shipped:
    """One object, and where it came from."""

    where: str
    """A path in the repository, or a command that makes it."""
    body: Object

    def __str__(self) -> str:
        name = self.body.get("metadata", {}).get("name", "?")
        return f"{self.where}: {self.body.get('kind')} {name}"


def paths() -> list[Path]:
    """Files of ours that git would keep, under ``deploy/``."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "deploy"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [ROOT / name for name in sorted(set(listed)) if (ROOT / name).is_file()]


def documents(path: Path) -> Iterator[Any]:
    """The YAML documents of a file; holes such as ``{{NAME}}`` are filled."""
    text = _HOLE.sub("filled-in", path.read_text("utf-8"))
    yield from (each for each in yaml.load_all(text, yaml.CSafeLoader) if each is not None)


def in_files() -> Iterator[Shipped]:
    for path in paths():
        where = str(path.relative_to(ROOT))
        named = path.name.lower()
        if named in ("kustomization.yaml", "kustomization"):
            continue  # what they build is
        if where.startswith("deploy/helm/") and path.parent.name in ("templates", "files"):
            continue  # what the chart makes of them is
        if not re.search(r"\.(ya?ml|template)\b", path.name):
            continue
        for found in documents(path):
            if isinstance(found, dict) and "kind" in found:
                yield from _unpacked(where, found)
            elif not path.name.startswith("wayside"):  # an intent, looked at as rendered
                assert path.name in NO_OBJECTS or "/llmd+public" in where, (
                    f"{where} is neither an object nor one of {sorted(NO_OBJECTS)}"
                )


def _unpacked(where: str, found: Object) -> Iterator[Shipped]:
    if found["kind"] == "List":
        yield from (Shipped(where, each) for each in found["items"])
    else:
        yield Shipped(where, found)


def kustomizations() -> list[Path]:
    return [p.parent for p in paths() if p.name.lower() in ("kustomization.yaml", "kustomization")]


def built(kubectl: Kubectl) -> Iterator[Shipped]:
    """What ``kubectl kustomize`` makes of every folder that can be built."""
    for folder in kustomizations():
        where = f"kubectl kustomize {folder.relative_to(ROOT)}"
        for found in yaml.load_all(kubectl("kustomize", str(folder)), yaml.CSafeLoader):
            if found is not None:
                yield from _unpacked(where, found)


VARIANTS: dict[str, Object] = {
    "": {},
    "monitored": {"monitoring": True},
    "scaled": {"router": {"autoscale": {"min": 2, "max": 4}, "storage": "5Gi"}},
    "exposed by a Route": {"exposure": {"kind": "route", "host": "router.apps.example.com"}},
    "exposed by an Ingress": {
        "exposure": {"kind": "ingress", "host": "router.apps.example.com", "secret": "tls"}
    },
    "exposed by a Gateway": {
        "exposure": {"kind": "gateway", "host": "router.apps.example.com"},
        "gateway": {"name": "front", "class": "istio"},
    },
}
"""What may be added to any intent; targets that cannot do it say so, and are left out."""


@cache
def entries() -> dict[str, Entry]:
    discover(wayside.deploy.targets)
    return dict(deploy.entries())


def merged(base: Object, more: Object) -> Object:
    found = dict(base)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = merged(found[key], value) if both else value
    return found


@cache
def _steps(name: str, variant: str) -> tuple[Step, ...]:
    return steps(name, VARIANTS[variant], whole=not variant)


def steps(
    name: str, said: Object, *, example: Object | None = None, whole: bool = False
) -> tuple[Step, ...]:
    """Of a target's example with more said; empty where the target says that it cannot do that,
    which of a ``whole`` intent it may not say."""
    entry = entries()[name]
    base = yaml.safe_load(entry.example) if example is None else example
    intent = Intent.model_validate(merged(base, said))
    problems = entry.target.problems(intent)
    if problems:
        assert not whole, f"{name}: {said or 'its example'}: {[str(p) for p in problems]}"
        return ()
    return tuple(entry.target.steps(intent, Offline(TOLD, intent.name)))


def rendered() -> Iterator[Shipped]:
    """What targets make of their examples and the variants of those, and of the intents that are
    shipped: ``deploy/**/wayside*.yaml``."""
    for name in entries():
        for variant in VARIANTS:
            suffix = f" ({variant})" if variant else ""
            where = f"wayside deploy render --target {name}{suffix}"
            yield from _of(where, _steps(name, variant))
    for path in paths():
        if path.name.startswith("wayside") and path.suffix == ".yaml":
            said = yaml.load(path.read_bytes(), yaml.CSafeLoader)
            name = said["target"]
            where = f"wayside deploy render -f {path.relative_to(ROOT)}"
            yield from _of(where, steps(name, said, example={}, whole=True))


def _of(where: str, made: Iterable[Step]) -> Iterator[Shipped]:
    for step in made:
        for manifest in step.manifests:
            yield from (Shipped(f"{where}: {manifest.path}", each) for each in manifest.objects)


def charts() -> Iterator[Shipped]:
    """The charts with everything that they have."""
    from tests.packaging import test_helm

    if test_helm.helm is None:
        return
    for mode in ("extproc", "serve"):
        values: Object = {**test_helm.EVERYTHING, "mode": mode}
        values["httpRoute"] = {**values["httpRoute"], "enabled": mode == "serve"}
        yield from _charted(test_helm.rendered(test_helm.ROUTER, values), "semantic-router")
    yield from _charted(test_helm.rendered(test_helm.CONTROLLER), "semantic-router-operator")


def _charted(found: list[Object], name: str) -> Iterator[Shipped]:
    yield from (Shipped(f"helm template deploy/helm/{name}", each) for each in found)


def everything(kubectl: Kubectl) -> Iterator[Shipped]:
    yield from in_files()
    yield from built(kubectl)
    yield from charts()
    yield from rendered()
