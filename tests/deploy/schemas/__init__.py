"""Strict schemas of other projects' kinds whose CRDs are not in ``shared/data/crds``.

Each file is about one project: where its API is documented, and per kind the fields that somebody
may set. They are written in a short notation and become CRDs, so that the tests' API server
enforces them: whatever is not listed is refused. A subset is enough, as long as what is listed is
called and shaped as the project has it; add a field when a manifest needs it, after looking it up.

The notation, within ``spec`` (or ``top`` for kinds that have their fields beside ``metadata``)::

    name: string            # also integer, number, boolean, int-or-string, any
    name: string ~ ^v[0-9]$ # with a pattern, in RE2
    name: A | B | C         # one of these strings
    name: [string]          # a list
    name: {"*": string}     # a map of any keys
    name: {one: string}     # exactly these fields
    name!: string           # required
    name: $other            # as `define` of the file says
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import Kubectl

Object = dict[str, Any]
FOLDER = Path(__file__).parent
_OPEN = "x-kubernetes-preserve-unknown-fields"


def schema(short: Any, defined: dict[str, Any]) -> Object:
    """OpenAPI as a CRD has it, of the short notation."""
    match short:
        case dict() if set(short) == {"*"}:
            return {"type": "object", "additionalProperties": schema(short["*"], defined)}
        case dict():
            inner = {key.rstrip("!"): schema(value, defined) for key, value in short.items()}
            needed = [key[:-1] for key in short if key.endswith("!")]
            found: Object = {"type": "object"}
            return found | ({"properties": inner} if inner else {}) | (
                {"required": needed} if needed else {}
            )  # fmt: skip
        case [item]:
            return {"type": "array", "items": schema(item, defined)}
        case "any":
            return {_OPEN: True}
        case "int-or-string":
            return {"x-kubernetes-int-or-string": True}
        case "string" | "integer" | "number" | "boolean":
            return {"type": short}
        case str() if short.startswith("$"):
            return schema(defined[short[1:]], defined)
        case str() if short.startswith("string ~ "):
            return {"type": "string", "pattern": short.removeprefix("string ~ ")}
        case str() if " | " in short:
            return {"type": "string", "enum": short.split(" | ")}
    raise ValueError(f"no such notation: {short!r}")


def definition(kind: Object, defined: dict[str, Any]) -> Object:
    """One kind's CRD: served in all of its versions, stored in the first."""
    plural = kind.get("plural", f"{kind['kind'].lower()}s")
    fields: Object = {"apiVersion": "string", "kind": "string"} | kind.get("top", {})
    for name in ("spec", "spec!"):
        if name in kind:
            fields[name] = kind[name]
    whole = schema(fields, defined)
    whole["properties"] |= {
        "metadata": {"type": "object"},
        "status": {"type": "object", _OPEN: True},
    }
    if rules := kind.get("rules"):
        whole["properties"]["spec"]["x-kubernetes-validations"] = [
            {"rule": rule, "message": message} for message, rule in rules.items()
        ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{kind['group']}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a test's stand-in"},
        },
        "spec": {
            "group": kind["group"],
            "scope": kind.get("scope", "Namespaced"),
            "names": {
                "kind": kind["kind"],
                "plural": plural,
                "singular": kind["kind"].lower(),
                "listKind": f"{kind['kind']}List",
            },
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": number == 0,
                    "schema": {"openAPIV3Schema": whole},
                    "subresources": {"status": {}},
                }
                for number, version in enumerate(kind["versions"])
            ],
        },
    }


@cache
def _read() -> tuple[tuple[str, str, Object], ...]:
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        page = yaml.safe_load(path.read_text("utf-8"))
        assert re.match(r"https://\S+$", page["source"]), f"{path.name}: say where it is from"
        for kind in page["kinds"]:
            found.append((path.stem, kind["kind"], definition(kind, page.get("define", {}))))
    return tuple(found)


def crds(*names: str) -> Iterator[Object]:
    """CRDs of these projects (``istio``) or kinds (``AuthPolicy``); of all without any."""
    found = [(p, k, each) for p, k, each in _read() if not names or p in names or k in names]
    missing = set(names) - {p for p, _, _ in found} - {k for _, k, _ in found}
    assert not missing, f"tests/deploy/schemas has nothing about {sorted(missing)}"
    for _, _, each in found:
        yield each


def install(kubectl: Kubectl, *names: str) -> None:
    """Apply them and wait until they are served. It may be done again."""
    made = list(crds(*names))
    kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(made))
    said = [f"crd/{each['metadata']['name']}" for each in made]
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *said)
