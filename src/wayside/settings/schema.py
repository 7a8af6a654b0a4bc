"""The JSON Schema of a whole configuration, with every kind of the catalog in its place."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from wayside.catalog import Catalog, Family

_URI = "https://json-schema.org/draft/2020-12/schema"


def full_schema(model: type[BaseModel], catalog: Catalog) -> dict[str, Any]:
    """``model``'s schema; the open maps for signals, selectors and plugins become closed ones."""
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
    return {
        "$schema": _URI,
        "title": "wayside",
        **{k: v for k, v in schema.items() if k != "title"},
    }


def _map_of(defs: dict[str, Any], catalog: Catalog, family: Family, *, named: bool) -> Any:
    properties: dict[str, Any] = {}
    for kind in catalog.family(family):
        settings = kind.settings.model_json_schema(ref_template="#/$defs/{model}")
        defs.update(settings.pop("$defs", {}))
        name = f"{family}.{kind.name}"
        defs[name] = {**settings, "description": kind.summary}
        ref = {"$ref": f"#/$defs/{name}"}
        rules = {"type": "object", "additionalProperties": ref, "description": kind.summary}
        properties[kind.name] = rules if named else ref
    return {"type": "object", "properties": properties, "additionalProperties": False}
