"""Any spec that a JSON Schema describes, for hypothesis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from wayside.manifests.fields import CORE

NAMES = ("a", "b", "vllm-small", "vllm-large", "small", "large", "auto", "math", "general")
"""Few, so that what refers to something finds it now and then."""
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.sampled_from(NAMES),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)
    ),
    max_leaves=4,
)
Schema = Mapping[str, Any]


def specs(schema: Schema) -> st.SearchStrategy[Any]:
    """What ``schema`` allows, and a little more: what its rules in other languages forbid."""
    return _of(schema, schema.get("$defs", {}), {})


def _of(
    schema: Schema, known: Schema, made: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in made:
            made[name] = st.deferred(lambda: made[f"{name}!"])
            made[f"{name}!"] = _of(known[name], known, made)
        return made[name]
    if "anyOf" in schema:
        return st.one_of([_of(one, known, made) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    if CORE in schema:
        return st.dictionaries(st.sampled_from(("name", "value", *NAMES)), _JSON, max_size=2)
    return _typed(schema, known, made)


def _typed(
    schema: Schema, known: Schema, made: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[Any]:
    match schema.get("type"):
        case "object" if "properties" in schema:
            needed = set(schema.get("required", ()))
            fields = {k: _of(v, known, made) for k, v in schema["properties"].items()}
            return st.fixed_dictionaries(
                {k: v for k, v in fields.items() if k in needed},
                optional={k: v for k, v in fields.items() if k not in needed},
            )
        case "object":
            inner = schema.get("additionalProperties")
            values = _of(inner, known, made) if isinstance(inner, Mapping) else _JSON
            return st.dictionaries(st.sampled_from(NAMES), values, max_size=2)
        case "array":
            items = _of(schema.get("items", {}), known, made)
            return st.lists(items, min_size=schema.get("minItems", 0), max_size=2)
        case "string":
            return _text(schema)
        case "integer":
            return st.sampled_from(_numbers(schema))
        case "number":
            return st.floats(0, 1)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    return _JSON


def _text(schema: Schema) -> st.SearchStrategy[str]:
    if "pattern" in schema:
        found = st.from_regex(schema["pattern"], fullmatch=True)
        return found.filter(lambda text: len(text) <= schema.get("maxLength", 1000))
    least = schema.get("minLength", 0)
    return st.sampled_from([n for n in ("", *NAMES, "http://a:80/v1") if len(n) >= least])


def _numbers(schema: Schema) -> list[int]:
    low = int(schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1))
    high = int(schema.get("maximum", schema.get("exclusiveMaximum", 2**31) - 1))
    wanted = (low, low + 1, 2, 80, 8080, 8801, 50051, high)
    return [n for n in dict.fromkeys(wanted) if low <= n <= high]
