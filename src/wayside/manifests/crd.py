"""CustomResourceDefinitions, made from the pydantic classes that read their objects.

An API server takes *structural* schemas only: every type said outright, no references, no unions.
:func:`structural` turns JSON Schema as pydantic writes it into one, and refuses, with the path,
what cannot be said so. The result uses nothing newer than Kubernetes 1.25: CEL rules have a
``rule`` and a ``message``, and call no library that came later.

What it cannot know, because it takes an API server to say so, is whether a CEL rule compiles and
is cheap enough; the tests apply every CRD to a genuine one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from wayside.manifests.fields import CORE, OPTIONAL, STORED

if TYPE_CHECKING:
    from pydantic import BaseModel

    from wayside.resources import Kind

Schema = dict[str, Any]

_RULES = "x-kubernetes-validations"
_OPEN = "x-kubernetes-preserve-unknown-fields"
_EITHER = "x-kubernetes-int-or-string"
_KEPT: Final = frozenset({
    "type", "format", "description", "enum", "default", "minimum", "maximum", "minLength",
    "maxLength", "pattern", "minItems", "maxItems", "minProperties", "maxProperties",
    "multipleOf", _RULES, _OPEN, _EITHER, "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
})  # fmt: skip
"""Keywords that pass as they are."""
_MOVED: Final = frozenset({
    "title", "properties", "required", "items", "additionalProperties", "anyOf", "allOf", "const",
    "exclusiveMinimum", "exclusiveMaximum", "$defs", "deprecated", STORED, OPTIONAL,
})  # fmt: skip
"""Keywords that pass in another form, or mean nothing to an API server."""


class NotStructural(TypeError):
    """A schema that no API server would take: where, and what to write instead."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'the schema'}: {problem}")


def crd(kind: Kind) -> dict[str, Any]:
    """The CRD of a kind, one version, served and stored. Raises :class:`NotStructural`."""
    where = kind.resource
    version = {
        "name": where.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": c.name, "type": c.type, "jsonPath": c.path}
            | ({"priority": c.priority} if c.priority else {})
            for c in kind.columns
        ],
        "schema": {"openAPIV3Schema": schema(kind)},
    }
    names: dict[str, Any] = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": where.plural,
        "singular": kind.kind.lower(),
    }
    if kind.short_names:
        names["shortNames"] = list(kind.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{where.plural}.{where.group}"},
        "spec": {
            "group": where.group,
            "names": names,
            "scope": "Namespaced" if where.namespaced else "Cluster",
            "versions": [version],
        },
    }


def schema(kind: Kind) -> Schema:
    """The schema of a whole object. ``spec`` may be left out where nothing in it has to be
    given."""
    spec, status = model_schema(kind.spec, "spec"), model_schema(kind.status, "status")
    made: Schema = {"type": "object"}
    if kind.summary:
        made["description"] = kind.summary
    made["properties"] = {
        "apiVersion": {"type": "string", "description": "Version of this schema."},
        "kind": {"type": "string", "description": "What sort of object this is."},
        "metadata": {"type": "object"},
        "spec": spec,
        "status": status,
    }
    if "required" in spec:
        made["required"] = ["spec"]
    else:
        fields = spec["properties"].items()
        spec["default"] = {name: each["default"] for name, each in fields if "default" in each}
    if kind.rules:
        made[_RULES] = [{"rule": rule, "message": message} for rule, message in kind.rules]
    return made


def model_schema(model: type[BaseModel], path: str = "") -> Schema:
    """The structural schema of one class."""
    found = model.model_json_schema(by_alias=True, mode="validation")
    return structural(found, found.get("$defs", {}), path)


def structural(
    found: Mapping[str, Any],
    definitions: Mapping[str, Any],
    path: str = "",
    inside: tuple[str, ...] = (),
) -> Schema:
    """JSON Schema made structural. ``definitions`` are those that ``$ref`` names, ``inside`` the
    ones that this is a part of: a schema that holds itself has no end when it is written out."""
    found, inside = _resolved(dict(found), definitions, path, inside)
    made = {key: value for key, value in found.items() if key in _KEPT}
    if strange := found.keys() - _KEPT - _MOVED:
        raise NotStructural(path, f"{', '.join(sorted(strange))} cannot be said in a CRD")
    if "const" in found:
        made["enum"] = [found["const"]]
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in found:
            made[bound], made[exclusive] = found[exclusive], True
    if "description" in made:
        made["description"] = " ".join(made["description"].split())

    def inner(key: str, value: Any) -> Schema:
        return structural(value, definitions, f"{path}.{key}".lstrip("."), inside)

    if "properties" in found:
        properties = found["properties"]
        made["properties"] = {name: inner(name, each) for name, each in properties.items()}
        if needed := [n for n in found.get("required", ()) if not properties[n].get(OPTIONAL)]:
            made["required"] = needed
    elif isinstance(items := found.get("additionalProperties"), dict):
        made["additionalProperties"] = inner("*", items)
    if "items" in found:
        made["items"] = inner("*", found["items"])
    _put_default(made, found.get(STORED, False))
    _check_typed(made, path)
    return made


def _resolved(
    found: Schema, definitions: Mapping[str, Any], path: str, inside: tuple[str, ...]
) -> tuple[Schema, tuple[str, ...]]:
    """A schema with what it refers to put in its place, and ``null`` as an alternative left out:
    to an API server every field may be left out that is not required."""
    while True:
        if CORE in found:
            name = found.pop(CORE)
            if name not in core_schemas():
                raise NotStructural(path, f"{name} is not in core_schemas.json")
            found = _merged(_inlined(core_schemas()[name]), found)
        elif reference := found.pop("$ref", None):
            name = reference.rsplit("/", 1)[-1]
            if name in inside:
                raise NotStructural(path, f"{name} holds itself; say how deep it may go")
            inside = (*inside, name)
            found = _merged(definitions[name], found)
        elif len(found.get("allOf", ())) == 1:
            found = _merged(found.pop("allOf")[0], found)
        elif "anyOf" in found:
            found = _merged(_only(found.pop("anyOf"), path), found)
        else:
            return found, inside


def _only(alternatives: list[Schema], path: str) -> Schema:
    some = [each for each in alternatives if each.get("type") != "null"]
    if len(some) == 1:
        return dict(some[0])
    if {each.get("type") for each in some} == {"integer", "string"}:
        return {_EITHER: True}
    raise NotStructural(
        path,
        "a union cannot be said in a CRD; take one optional field for each alternative and a CEL"
        " rule, or fields.Anything",
    )


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Schema:
    """What a field says of itself goes before what its class says; rules of both hold."""
    made = {**base, **over}
    if _RULES in base and _RULES in over:
        made[_RULES] = [*base[_RULES], *over[_RULES]]
    return made


def _inlined(found: Mapping[str, Any]) -> Schema:
    """One of Kubernetes' own types with those that it is made of in place of their names."""
    made = dict(found)
    if reference := made.pop("$ref", None):
        made = _inlined({**core_schemas()[reference], **made})
    if "properties" in made:
        made["properties"] = {name: _inlined(each) for name, each in made["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _inlined(made[key])
    return made


@cache
def core_schemas() -> dict[str, Schema]:
    """Kubernetes' own types by name, as ``scripts/core_schemas.py`` found them."""
    text = files("wayside.manifests").joinpath("core_schemas.json").read_text("utf-8")
    found: dict[str, Schema] = json.loads(text)
    return found


def _put_default(made: Schema, stored: bool) -> None:
    """Leave out defaults that mean the same as nothing. An object's defaults are those of its
    fields: they are written out where it is to be stored (an API server checks a default against
    the CEL rules before it fills it in further), and left out where it is not."""
    if "properties" in made and isinstance(made.get("default"), dict):
        del made["default"]
        if stored:
            fields = made["properties"].items()
            made["default"] = {n: each["default"] for n, each in fields if "default" in each}
    elif made.get("default", 0) in (None, "", [], {}):
        del made["default"]


def _check_typed(made: Schema, path: str) -> None:
    if "type" not in made and not (made.get(_OPEN) or made.get(_EITHER)):
        raise NotStructural(path, "has no type; for a field that may be anything, fields.Anything")
    if made.get("type") == "object" and not (
        made.keys() & {"properties", "additionalProperties", _OPEN}
    ):
        raise NotStructural(path, "has no fields; for one that may have any, fields.AnyObject")
    if made.get("type") == "array" and "items" not in made:
        raise NotStructural(path, "does not say what it is a list of")
