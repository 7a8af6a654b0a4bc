"""Write the generated parts of ``docs/reference/resources/KIND.md``: fields, and what is refused.

    python scripts/resource_fields.py            # writes them into the pages that there are
    python scripts/resource_fields.py --check    # only says whether they are fresh

Everything between ``<!-- NAME -->`` and ``<!-- /NAME -->`` is replaced, for the names ``spec``,
``status``, ``rules`` and ``columns``; the rest of a page is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wayside.resources
from wayside.catalog import discover
from wayside.manifests.crd import schema
from wayside.resources import Kind, kinds

PAGES = Path(__file__).parents[1] / "docs" / "reference" / "resources"
_RULES = "x-kubernetes-validations"
_EITHER = "x-kubernetes-int-or-string"
_OPEN = "x-kubernetes-preserve-unknown-fields"
_FOREIGN = "as in Kubernetes"
_SAID = ("description", _RULES)

Schema = dict[str, Any]


def parts(kind: Kind) -> dict[str, str]:
    """The generated parts of a kind's page by name."""
    properties = schema(kind)["properties"]
    return {
        "spec": _table(properties["spec"]),
        "status": _table(properties["status"]),
        "rules": _rules(properties["spec"]),
        "columns": ", ".join(f"{c.name} (`{c.path}`)" for c in kind.columns),
    }


def page(text: str, kind: Kind) -> str:
    """A page with its generated parts anew."""
    for name, part in parts(kind).items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda found, part=part: f"{found[1]}{part}\n{found[2]}", text)
    return text


def stale() -> Iterator[tuple[Path, str]]:
    """Pages that are not as they should be, with what they should be."""
    discover(wayside.resources)
    for kind in kinds():
        path = PAGES / f"{kind.kind}.md"
        if path.exists():
            old = path.read_text(encoding="utf-8")
            if (new := page(old, kind)) != old:
                yield path, new


def _table(root: Schema) -> str:
    rows = ["| field | type | default | |", "|---|---|---|---|"]
    rows += (f"| `{p}` | {t} | {d} | {about} |" for p, t, d, about in _rows(root, "", {}))
    return "\n".join(rows)


def _rows(
    schema: Schema, prefix: str, seen: dict[str, str]
) -> Iterator[tuple[str, str, str, str]]:
    needed = schema.get("required", ())
    for name, each in schema["properties"].items():
        path, inside = f"{prefix}{name}", _inside(each)
        about = each.get("description", "") + _bounds(each)
        if inside is None:
            yield path, _type(each), _default(each, name in needed), about
            continue
        key = json.dumps(_bare(inside), sort_keys=True)
        if key in seen:
            yield path, _type(each), _default(each, name in needed), f"{about} As `{seen[key]}`."
            continue
        seen[key] = path
        yield path, _type(each), _default(each, name in needed), about
        yield from _rows(inside, f"{path}{'[]' * ('items' in each)}.{_star(each)}", seen)


def _bare(schema: Schema) -> Schema:
    """Its fields without what is said of them, to find those that are alike."""
    return {
        name: {k: _bare(v) if k == "items" else v for k, v in each.items() if k not in _SAID}
        | ({"properties": _bare(each)} if "properties" in each else {})
        for name, each in schema.get("properties", {}).items()
    }


def _inside(schema: Schema) -> Schema | None:
    """The object that a field is, or holds, if its fields are ours to tell of: those of
    Kubernetes' own types have no descriptions here."""
    for found in (schema, schema.get("items"), schema.get("additionalProperties")):
        if isinstance(found, dict) and (fields := found.get("properties")):
            return found if any("description" in each for each in fields.values()) else None
    return None


def _star(schema: Schema) -> str:
    return "NAME." if isinstance(schema.get("additionalProperties"), dict) else ""


def _type(schema: Schema) -> str:
    if schema.get(_EITHER):
        return "number or text"
    if "enum" in schema:
        return ", ".join(f"`{each}`" if each != "" else "empty" for each in schema["enum"])
    match schema.get("type"):
        case "array":
            inner = _type(schema["items"])
            return f"list, {inner}" if inner == _FOREIGN else f"list of {inner}"
        case "object" if isinstance(inner := schema.get("additionalProperties"), dict):
            return f"map of {_type(inner)}"
        case "object" if schema.get("properties") and _inside(schema) is None:
            return _FOREIGN
        case "object" if schema.get(_OPEN) and not schema.get("properties"):
            return "any object"
        case "string":
            return "text"
        case None:
            return "anything"
        case other:
            return str(other)


def _default(schema: Schema, needed: bool) -> str:
    if needed:
        return "needed"
    found = schema.get("default")
    return "" if found is None or isinstance(found, dict) else f"`{json.dumps(found)}`"


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("x-kubernetes-list-type") == "map":
        return f" No two with the same `{', '.join(schema['x-kubernetes-list-map-keys'])}`."
    if low is not None and high is not None and high < 2**31 - 1:
        return f" {low} to {high}."
    return f" {low} or more." if low else ""


def _rules(root: Schema) -> str:
    rows = ["| where | told |", "|---|---|"]
    told: dict[str, list[str]] = {}
    for path, message in _told(root, "spec"):
        told.setdefault(message, []).append(path)
    rows += (
        f"| {', '.join(f'`{p}`' for p in where)} | {message} |" for message, where in told.items()
    )
    return "\n".join(rows)


def _told(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get(_RULES, ()):
        yield path, rule["message"]
    for name, each in schema.get("properties", {}).items():
        yield from _told(each, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", ".NAME")):
        if isinstance(schema.get(key), dict):
            yield from _told(schema[key], path + mark)


def main() -> int:
    found = list(stale())
    if "--check" in sys.argv:
        for path, _ in found:
            print(f"{path} is stale: python scripts/resource_fields.py")
        return int(bool(found))
    for path, text in found:
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
