"""The JSON Schema of a whole configuration, with every kind of the catalog in its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from wayside.catalog import Catalog, Family
from wayside.settings.problems import suggest
from wayside.vocab.errors import ConfigError

_URI = "https://json-schema.org/draft/2020-12/schema"
_INDEX = re.compile(r"\[[0-9*]*\]")
Schema = dict[str, Any]


def full_schema(model: type[BaseModel], catalog: Catalog) -> Schema:
    """``model``'s schema; the open maps for every family of kinds become closed ones."""
    schema = model.model_json_schema(by_alias=True)
    defs = schema.setdefault("$defs", {})
    routing = defs["RoutingSettings"]["properties"]
    decision = defs["DecisionSettings"]["properties"]
    routing["signals"] = {
        **_map_of(defs, catalog, "signal", named=True),
        "description": "Rules by kind and name: signals.<kind>.<name>.",
    }
    decision["plugins"] = {
        **_map_of(defs, catalog, "plugin", named=False),
        "description": "Steps around the decision by kind, applied in the order written.",
    }
    decision["select"] = {
        "description": "A selection algorithm: its name, or {name: {its settings}}.",
        "default": "static",
        "anyOf": [
            {"enum": list(catalog.names("selector"))},
            {**_map_of(defs, catalog, "selector", named=False), "maxProperties": 1},
        ],
    }
    _picking(defs, catalog)
    top: tuple[tuple[str, Family], ...] = (("engines", "engine"), ("stores", "store"))
    for section, family in top:
        one = {**_map_of(defs, catalog, family, named=False), "minProperties": 1}
        schema["properties"][section]["additionalProperties"] = {**one, "maxProperties": 1}
    return {
        "$schema": _URI,
        "title": "wayside",
        **{k: v for k, v in schema.items() if k != "title"},
    }


def _picking(defs: Schema, catalog: Catalog) -> None:
    """The names of filters, scorers and pickers, each with its settings."""
    properties = defs["PickingSettings"]["properties"]
    for key, family in (("filters", "filter"), ("scorers", "scorer")):
        named: Schema = _map_of(defs, catalog, family, named=False)  # type: ignore[arg-type]
        kinds = named["properties"]
        one: Schema = {"oneOf": [{"required": [name]} for name in kinds]}
        if family == "scorer":
            weight = {"type": "number", "minimum": 0, "default": 1.0}
            one |= {"properties": {**kinds, "weight": weight}, "maxProperties": 2}
        else:
            one |= {"maxProperties": 1}
        properties[key]["items"] = {"anyOf": [{"enum": list(kinds)}, {**named, **one}]}
    named = _map_of(defs, catalog, "picker", named=False)
    one = {**named, "minProperties": 1, "maxProperties": 1}
    properties["picker"]["anyOf"] = [{"enum": list(named["properties"])}, one]


def _map_of(defs: Schema, catalog: Catalog, family: Family, *, named: bool) -> Schema:
    properties: Schema = {}
    for kind in catalog.family(family):
        settings = kind.settings.model_json_schema(ref_template="#/$defs/{model}")
        for name, definition in settings.pop("$defs", {}).items():
            if defs.setdefault(name, definition) != definition:
                raise ValueError(f"{family} {kind.name!r}: another class is called {name}")
        name = f"{family}.{kind.name}"
        defs[name] = {**settings, "description": kind.summary}
        ref = {"$ref": f"#/$defs/{name}"}
        rules = {"type": "object", "additionalProperties": ref, "description": kind.summary}
        properties[kind.name] = rules if named else ref
    for alias, own in catalog.aliases(family).items():
        properties[alias] = properties[own]
    return {"type": "object", "properties": properties, "additionalProperties": False}


# Reading it


def at(key: str, root: Schema) -> Schema:
    """The part of ``root`` about ``key``: a path as error messages write it.

    ``models.*.tls`` and ``models.gpt-4.1.endpoints[0]`` are both understood; list indices may be
    left out. Raises :class:`ConfigError` with the nearest key.
    """
    parts = [p for p in _INDEX.sub("", key).split(".") if p]
    return _walk(root, parts, root, ())


def _walk(node: Schema, parts: list[str], root: Schema, walked: tuple[str, ...]) -> Schema:
    if not parts:
        return node
    inner = properties(node, root)
    head, rest = parts[0], parts[1:]
    if head in inner:
        return _walk(inner[head], rest, root, (*walked, head))
    values = _values(node, root)
    if values is None:
        where = ".".join(walked) or "the configuration"
        what = f"no key {head!r} in {where}"
        if not inner:
            raise ConfigError.one(what, fix=f"it is {type_text(node, root)}")
        raise ConfigError.one(what, fix=suggest(head, inner, "keys here"))
    problem: ConfigError | None = None
    for taken in range(1, len(parts) + 1):  # a name may hold dots: models.gpt-4.1.endpoints
        try:
            return _walk(values, parts[taken:], root, (*walked, ".".join(parts[:taken])))
        except ConfigError as error:
            if error.problems[0].fix.startswith("did you mean"):
                raise
            problem = problem or error
    assert problem is not None
    raise problem


def properties(node: Schema, root: Schema) -> dict[str, Schema]:
    """The keys that ``node`` has, whatever it is wrapped in: a list of it, or it or nothing."""
    found: dict[str, Schema] = {}
    for choice in choices(node, root):
        found |= choice.get("properties", {})
        if choice.get("type") == "array":
            found |= properties(_items(choice), root)
    return found


def _values(node: Schema, root: Schema) -> Schema | None:
    """What stands under the free names of a map; ``None`` if it is no map."""
    for choice in choices(node, root):
        if isinstance(choice.get("additionalProperties"), dict):
            values: Schema = choice["additionalProperties"]
            return values
    return None


def choices(node: Schema, root: Schema) -> Iterator[Schema]:
    """What ``node`` may be, references followed; ``null`` is left out."""
    if "$ref" in node:
        yield from choices(root["$defs"][node["$ref"].rpartition("/")[2]], root)
    elif "anyOf" in node or "oneOf" in node:
        for inner in _options(node):
            yield from choices(inner, root)
    elif node.get("type") != "null":
        yield node


def about(node: Schema, root: Schema) -> str:
    """What the key means: its own text, or that of the settings it holds."""
    found = [node.get("description"), *(c.get("description") for c in choices(node, root))]
    if not any(found):
        values = _values(node, root)
        found += [about(values, root)] if values else []
        items = [_items(c) for c in choices(node, root) if c.get("type") == "array"]
        found += [about(item, root) for item in items]
    return next((text for text in found if text), "")


def type_text(node: Schema, root: Schema, link: Callable[[str], str] | None = None) -> str:
    """``node``'s type in words: ``list of text``, ``map of Model``.

    ``link`` makes a reference out of the name of a settings class.
    """
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if "." in name:
            return "mapping"
        definition = root["$defs"][name]
        if "properties" not in definition:
            return type_text(definition, root, link)
        short = name.removesuffix("Settings")
        return link(name) if link else short
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return " or ".join(f"`{v}`" for v in node["enum"])
    if "anyOf" in node or "oneOf" in node:
        texts = [type_text(p, root, link) for p in _options(node) if p.get("type") != "null"]
        return " or ".join(dict.fromkeys(texts))
    kind: Any = node.get("type", "anything")
    if kind == "array":
        return f"list of {type_text(_items(node), root, link)}"
    if kind == "object" and isinstance(node.get("additionalProperties"), dict):
        return f"map of {type_text(node['additionalProperties'], root, link)}"
    if isinstance(kind, list):
        return " or ".join(_WORDS.get(k, str(k)) for k in kind)
    return _WORDS.get(kind, str(kind)) + _bounds(node)


_WORDS: dict[object, str] = {"string": "text", "object": "mapping", "boolean": "true or false"}


def _options(node: Schema) -> list[Schema]:
    options: list[Schema] = node.get("anyOf") or node.get("oneOf") or []
    return options


def _bounds(node: Schema) -> str:
    above, low, high = (node.get(k) for k in ("exclusiveMinimum", "minimum", "maximum"))
    if above is not None:
        return f" above {_number(above)}"
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    if low is not None:
        return f" from {_number(low)}"
    return "" if high is None else f" up to {_number(high)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _items(node: Schema) -> Schema:
    items: Schema = node.get("items") or (node.get("prefixItems") or [{}])[0]
    return items
