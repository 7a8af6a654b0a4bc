"""A value that fits a JSON schema: arguments for a forced tool call, or structured output.

Covers what tool schemas use in practice: objects, arrays, scalars, enum, const, default, anyOf,
allOf (its first branch), local $ref and lower bounds. Optional properties are left out.
"""

from collections.abc import Mapping
from typing import Any

_DEPTH = 16


def sample_schema(schema: object, text: str = "sample") -> Any:
    """A deterministic instance of `schema`; free strings become `text`."""
    root = schema if isinstance(schema, Mapping) else {}
    return _sample(root, root, text, 0)


def _sample(schema: object, root: Mapping[str, Any], text: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return None
    if isinstance(ref := schema.get("$ref"), str):
        return _sample(_resolve(ref, root), root, text, depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if isinstance(choices := schema.get("enum"), list) and choices:
        return choices[0]
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(branches := schema.get(key), list) and branches:
            return _sample(branches[0], root, text, depth + 1)
    return _sample_type(schema, root, text, depth)


def _sample_type(schema: Mapping[str, Any], root: Mapping[str, Any], text: str, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    match kind:
        case "string":
            return text.ljust(_bound(schema, "minLength"), "x")
        case "integer" | "number":
            low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
            step = 1 if "exclusiveMinimum" in schema and "minimum" not in schema else 0
            return (low if isinstance(low, int | float) else 0) + step
        case "boolean":
            return True
        case "array":
            item = _sample(schema.get("items", {}), root, text, depth + 1)
            return [item] * _bound(schema, "minItems")
        case "object" | None:
            return _sample_object(schema, root, text, depth)
        case _:
            return None


def _sample_object(
    schema: Mapping[str, Any], root: Mapping[str, Any], text: str, depth: int
) -> dict[str, Any]:
    properties = schema.get("properties")
    required = schema.get("required")
    if not isinstance(properties, Mapping) or not isinstance(required, list):
        return {}
    return {
        name: _sample(properties.get(name), root, text, depth + 1)
        for name in required
        if isinstance(name, str)
    }


def _bound(schema: Mapping[str, Any], key: str) -> int:
    bound = schema.get(key, 0)
    return min(bound, 1000) if isinstance(bound, int) and bound > 0 else 0


def _resolve(ref: str, root: Mapping[str, Any]) -> object:
    node: object = root
    for part in ref.removeprefix("#").strip("/").split("/"):
        if part:
            node = node.get(part) if isinstance(node, Mapping) else None
    return node
