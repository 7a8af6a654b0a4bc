"""Write ``src/wayside/manifests/core_schemas.json``: what Kubernetes' own types are made of.

    python scripts/core_schemas.py            # asks the API server that the tests run
    python scripts/core_schemas.py --check    # only says whether the file is fresh

Taken from an API server's ``/openapi/v3``, without descriptions, for the types that our custom
resources hold (``wayside.manifests.fields.core``) and what those are made of.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "src/wayside/manifests/core_schemas.json"
GROUPS = {"core.v1": "api/v1", "networking.v1": "apis/networking.k8s.io/v1"}
"""Where the types of a group are told of."""
WANTED = (
    "v1.Affinity",
    "v1.EnvVar",
    "v1.ExecAction",
    "v1.GRPCAction",
    "v1.HTTPGetAction",
    "v1.LocalObjectReference",
    "v1.PodSecurityContext",
    "v1.ResourceRequirements",
    "v1.SecurityContext",
    "v1.TCPSocketAction",
    "v1.Toleration",
    "networking.v1.NetworkPolicyEgressRule",
    "networking.v1.NetworkPolicyPeer",
)
QUANTITY = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
"""``k8s.io/apimachinery/pkg/api/resource``, the grammar in the comment of ``Quantity``."""
KEPT = (
    "type",
    "format",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)
"""Defaults stay with those who define them; so do enums, which grow with every release, and are
enforced where pods are made."""
OTHERS: dict[str, dict[str, Any]] = {
    "Quantity": {"pattern": QUANTITY, "x-kubernetes-int-or-string": True},
    "IntOrString": {"x-kubernetes-int-or-string": True},
    "Time": {"type": "string", "format": "date-time"},
}
"""Types that are written in a way of their own."""


def short(name: str) -> str:
    """``v1.EnvVar`` for ``io.k8s.api.core.v1.EnvVar``."""
    parts = name.rsplit("/", 1)[-1].split(".")
    return ".".join(parts[-2:] if parts[-3] in ("core", "meta") else parts[-3:])


def compact(found: dict[str, Any]) -> dict[str, Any]:
    """A schema without what is for people and for other programs."""
    if len(alone := found.get("allOf", ())) == 1:
        found = alone[0]
    if reference := found.get("$ref"):
        name = reference.rsplit(".", 1)[-1]
        return OTHERS.get(name) or {"$ref": short(reference)}
    made = {key: found[key] for key in KEPT if key in found}
    if properties := found.get("properties"):
        made["properties"] = {name: compact(each) for name, each in sorted(properties.items())}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            made[key] = compact(found[key])
    return made


def references(schema: Any) -> Iterable[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference
        for each in schema.values():
            yield from references(each)


def collect(raw: Callable[[str], str]) -> str:
    """The file's text. ``raw`` answers a GET."""
    known: dict[str, dict[str, Any]] = {}
    for path in GROUPS.values():
        for name, schema in json.loads(raw(f"/openapi/v3/{path}"))["components"][
            "schemas"
        ].items():
            known.setdefault(short(name), schema)
    made: dict[str, Any] = {}
    todo = list(WANTED)
    while todo:
        name = todo.pop()
        if name not in made:
            made[name] = compact(known[name])
            todo += references(made[name])
    lines = (
        f"{json.dumps(name)}: {json.dumps(each, separators=(',', ':'))}"
        for name, each in sorted(made.items())
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    sys.path.insert(0, str(ROOT))
    from tests.cluster import Kubectl, serving

    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        kubectl = Kubectl(server.kubeconfig)
        text = collect(lambda path: kubectl("get", "--raw", path))
    if "--check" in sys.argv:
        return int(TARGET.read_text() != text)
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
