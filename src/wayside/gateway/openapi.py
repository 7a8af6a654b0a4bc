"""The management API as an OpenAPI document, and as a page for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from wayside import __version__
from wayside.gateway.api import Endpoint

_REFUSALS = {
    "400": "The request is wrong; the message names the key.",
    "413": "The body is too large.",
    "415": "The body is compressed, or said to be.",
    "503": "A model did not answer, or there is none.",
}
_TEXTS = {key: {"type": "string"} for key in ("code", "message", "timestamp")}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "object", "required": list(_TEXTS), "properties": _TEXTS}},
}
_REF = "#/components/schemas/{model}"


def document(endpoints: Iterable[Endpoint], path: str = "", method: str = "") -> dict[str, Any]:
    """OpenAPI 3.1 of the endpoints, or of those under ``path`` and ``method`` alone."""
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        for at in endpoint.paths:
            if path in ("", at) and method.upper() in ("", endpoint.method):
                paths.setdefault(at, {})[endpoint.method.lower()] = _operation(
                    endpoint, at, schemas
                )
    return {
        "openapi": "3.1.0",
        "info": {"title": "wayside management API", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(endpoint: Endpoint, path: str, schemas: dict[str, Any]) -> dict[str, Any]:
    name = path.strip("/").replace("/", "_").replace(".", "_").replace("-", "_")
    name = name.replace("{", "by_").replace("}", "") or "root"
    done = _answered("Done.", endpoint.media, _answer_schema(endpoint.answer, schemas))
    operation: dict[str, Any] = {
        "operationId": f"{endpoint.method.lower()}_{name}",
        "summary": endpoint.summary,
        "responses": {"200": done},
    }
    if endpoint.unready:
        operation["responses"]["503"] = {**done, "description": "Starting or draining."}
    parameters = [
        {"name": key, "in": "query", "description": text, "schema": {"type": "string"}}
        for key, text in endpoint.query
    ] + [
        {
            "name": k,
            "in": "header",
            "required": True,
            "description": t,
            "schema": {"type": "string"},
        }
        for k, t in endpoint.headers
    ]
    parameters += [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _IN_PATH.findall(path)
    ]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        schemas |= _model(endpoint.body)
        content: dict[str, Any] = {"schema": {"$ref": _REF.format(model=endpoint.body.__name__)}}
        if endpoint.example is not None:
            content["example"] = dict(endpoint.example)
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    refusals = _REFUSALS if endpoint.body is not None else {}
    error = {"$ref": _REF.format(model="Error")}
    for status, why in {**refusals, **{str(n): why for n, why in endpoint.refusals}}.items():
        operation["responses"][status] = _answered(why, "application/json", error)
    return operation


_IN_PATH = re.compile(r"\{(\w+)(?::\w+)?\}")


def _answered(text: str, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    if media != "application/json":
        schema = {"type": "string"}
    return {"description": text, "content": {media: {"schema": schema}}}


def _answer_schema(answer: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    if answer is None:
        return {"type": "object"}
    found = TypeAdapter(answer).json_schema(ref_template=_REF, mode="serialization")
    schemas |= found.pop("$defs", {})
    schemas[answer.__name__] = found
    return {"$ref": _REF.format(model=answer.__name__)}


def _model(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template=_REF)
    inner: dict[str, Any] = schema.pop("$defs", {})
    return {**inner, model.__name__: schema}


PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: nothing but this API."""


def page(endpoints: Iterable[Endpoint]) -> str:
    """Every endpoint with a form to try it: one file, that asks nobody but this API."""
    items = "\n".join(_item(endpoint) for endpoint in endpoints)
    return _PAGE.replace("ITEMS", items).replace("VERSION", escape(__version__))


def _item(endpoint: Endpoint) -> str:
    method, path = escape(endpoint.method), escape(endpoint.path)
    also = f"<small>also <code>{escape(endpoint.also)}</code></small>" if endpoint.also else ""
    keys = ""
    if endpoint.body is not None:
        schema = endpoint.body.model_json_schema()
        keys = "<ul>" + "".join(_key(k, v, schema) for k, v in _keys(schema)) + "</ul>"
    body = ""
    if endpoint.body is not None:
        example = json.dumps(endpoint.example or {}, indent=2, ensure_ascii=False)
        lines = min(max(example.count("\n") + 1, 3), 16)
        body = (
            f"<label>Body<textarea rows={lines} spellcheck=false>{escape(example)}</textarea>"
            "</label>"
        )
    return (
        f'<details data-method="{method}" data-path="{path}"><summary><b class="{method}">{method}'
        f"</b><span><code>{path}</code> {escape(endpoint.summary)}{also}</span></summary>"
        f'{keys}{body}<button aria-label="Try {method} {path}">Try it</button>'
        '<pre hidden role="status" tabindex=0></pre></details>'
    )


def _keys(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(schema.get("properties", {}).items())


def _key(name: str, schema: dict[str, Any], whole: dict[str, Any]) -> str:
    text = _CODE.sub(r"<code>\1</code>", escape(schema.get("description", "")))
    default = schema.get("default")
    # An object's default is told by its own keys
    none = default in (None, "") or isinstance(default, dict)
    told = "" if none else f" <i>{escape(json.dumps(default))}</i>"
    inner = ""
    ref = schema.get("$ref", "").rpartition("/")[2]
    if ref:
        definition = whole.get("$defs", {}).get(ref, {})
        inner = "<ul>" + "".join(_key(k, v, whole) for k, v in _keys(definition)) + "</ul>"
    return f"<li><code>{escape(name)}</code>{told} {text}{inner}</li>"


_CODE: Final = re.compile("``(.+?)``")  # as descriptions mark it
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>wayside management API</title>
<style>
:root { color-scheme: light dark; --get: #1a5fb4; --post: #1c7a4c; --dim: #5a6270; --line: #8884 }
@media (prefers-color-scheme: dark) { :root { --get: #7db4ff; --post: #57d693; --dim: #a5adbb } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem }
code, pre, textarea { font: 13px/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
details { border-bottom: 1px solid var(--line) }
summary { cursor: pointer; display: flex; gap: .8rem; padding: .5rem 0; list-style: none }
summary::-webkit-details-marker { display: none }
summary::before { content: "\\25B8"; color: var(--dim) }
[open] > summary::before { content: "\\25BE" }
summary b { flex: 0 0 2.8rem } .POST { color: var(--post) } .GET { color: var(--get) }
summary code { font-weight: 600; margin-right: .4rem } small code { font-weight: 400 }
small, i, label { color: var(--dim) } small { display: block }
ul { margin: .2rem 0 .8rem; padding-left: 1.3rem } li > code:first-child { margin-right: .3rem }
label { display: block; font-size: 13px } textarea { width: 100%; display: block; padding: .5rem }
button { margin: .5rem 0 .9rem; padding: .35rem .9rem; font: inherit }
pre { overflow: auto; max-height: 30rem; margin-top: 0; padding: .6rem; background: #8882;
white-space: pre-wrap }
</style></head><body>
<h1>wayside management API</h1>
<p>Version VERSION. As data: <a href="openapi.json">openapi.json</a>, <a href="api/v1">api/v1</a>.
Errors are <code>{"error": {"code", "message", "timestamp"}}</code>.</p>
ITEMS
<script>
document.addEventListener("click", async (event) => {
  if (event.target.tagName !== "BUTTON") return;
  const item = event.target.closest("details"), out = item.querySelector("pre");
  const area = item.querySelector("textarea"), { method, path } = item.dataset;
  const headers = area ? { "content-type": "application/json" } : {};
  out.hidden = false;
  out.textContent = "…";
  try {
    const body = area ? area.value : undefined;
    const answer = await fetch("." + path, { method, headers, body });
    let text = await answer.text();
    try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON */ }
    out.textContent = answer.status + "\\n" + text;
  } catch (error) { out.textContent = String(error); }
});
</script></body></html>
"""
