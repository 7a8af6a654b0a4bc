"""Walking through structural schemas, and making objects that they are for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Schema = dict[str, Any]
OPEN = "x-kubernetes-preserve-unknown-fields"
EITHER = "x-kubernetes-int-or-string"


def children(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The parts of a schema: fields by name, ``[]`` and ``*`` for what lists and maps hold."""
    yield from schema.get("properties", {}).items()
    if "items" in schema:
        yield "[]", schema["items"]
    if isinstance(schema.get("additionalProperties"), dict):
        yield "*", schema["additionalProperties"]


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every part of a schema with its path: ``vllmEndpoints.[].name``."""
    yield path, schema
    for name, each in children(schema):
        yield from walk(each, f"{path}.{name}".lstrip("."))


def make(schema: Schema, wanted: Callable[[str, Schema], bool], path: str = "") -> Any:
    """An object that has the fields that are ``wanted``, with what they need around them.
    ``None`` where there is nothing to have."""
    if EITHER in schema:
        return "1"
    if "properties" in schema:
        needed = schema.get("required", ())
        made = {}
        for name, each in schema["properties"].items():
            inner = f"{path}.{name}".lstrip(".")
            if name in needed or any(wanted(p, s) for p, s in walk(each, inner)):
                made[name] = make(each, wanted, inner)
        return made
    if "items" in schema:
        return [make(schema["items"], wanted, f"{path}.[]")]
    if isinstance(schema.get("additionalProperties"), dict):
        return {"key": make(schema["additionalProperties"], wanted, f"{path}.*")}
    return value(schema)


def value(schema: Schema) -> Any:
    """Something that is valid at a leaf."""
    if "enum" in schema:
        return schema["enum"][-1]
    if "default" in schema:
        return schema["default"]
    match schema.get("type"):
        case "string":
            if schema.get("format") == "date-time":
                return "2026-01-01T00:00:00Z"
            return "https://a.example" if "https" in schema.get("pattern", "") else "1"
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
    return {"anything": {"deep": ["inside"]}} if schema.get("type") == "object" else "anything"
