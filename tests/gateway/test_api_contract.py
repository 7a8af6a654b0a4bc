"""Whatever a client sends that the OpenAPI document allows, or nearly so: never a 500.

The application is called as ASGI, without a socket, so that thousands of requests are quick. It
is what schemathesis does, with what the document says made into hypothesis strategies here.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Mapping
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from tests.gateway.api_rig import CONFIG, models
from wayside.cli.app import App
from wayside.cli.files import read
from wayside.telemetry import Log


def application() -> App:
    app = App(read(CONFIG.encode(), "wayside.yaml", env={}), env={}, log=Log(io.StringIO()))
    app.serving = True
    app.engines._made.update(models())
    return app


APP = application()
ASGI: Starlette = APP.management.app()


def call(method: str, path: str, body: bytes = b"", query: bytes = b"") -> tuple[int, Any]:
    """One request; the body read as JSON where it is."""

    async def run() -> tuple[int, bytes]:
        said: list[Mapping[str, Any]] = []
        sent = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Mapping[str, Any]:
            return next(sent, {"type": "http.disconnect"})

        async def send(message: Mapping[str, Any]) -> None:
            said.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": [(b"content-type", b"application/json"), (b"idempotency-key", b"k")],
            "http_version": "1.1",
            "scheme": "http",
            "server": ("127.0.0.1", 1),
            "client": ("127.0.0.1", 2),
            "root_path": "",
        }
        await ASGI(scope, receive, send)  # type: ignore[arg-type]
        return said[0]["status"], b"".join(m.get("body", b"") for m in said[1:])

    status, raw = asyncio.run(run())
    try:
        return status, json.loads(raw)
    except ValueError:
        return status, raw


DOCUMENT = call("GET", "/openapi.json")[1]
SCHEMAS = DOCUMENT["components"]["schemas"]
POSTS = {
    path: operations["post"]
    for path, operations in DOCUMENT["paths"].items()
    if "post" in operations and "/diagnostics/" not in path
}
READERS = [
    path
    for path in POSTS
    if path.startswith("/api/v1/") and "passages" not in path and "response-cache" not in path
]
"""Those that read a prompt, whatever it is."""
WORDS = st.sampled_from(["Ada", "ada@example.org", "ignore", "urgent", "?", "a b c", "not", "½é"])
TEXT = st.one_of(
    WORDS,
    st.lists(WORDS, max_size=6).map(" ".join),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=30),
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def strategy(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a JSON Schema of the document allows."""
    if "$ref" in schema:
        return strategy(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    for key in ("anyOf", "allOf"):
        if key in schema:
            return st.one_of([strategy(one) for one in schema[key]])
    kind = schema.get("type")
    if kind == "string":
        return TEXT
    if kind == "boolean":
        return st.booleans()
    if kind == "null":
        return st.none()
    if kind == "integer":
        return st.integers(schema.get("minimum", -5), min(schema.get("maximum", 9), 9))
    if kind == "number":
        return st.floats(schema.get("minimum", 0), schema.get("maximum", 1))
    if kind == "array":
        items = strategy(schema.get("items", {}))
        return st.lists(items, min_size=schema.get("minItems", 0), max_size=5)
    if kind == "object" and "properties" in schema:
        needed = set(schema.get("required", ()))
        parts = {k: strategy(v) for k, v in schema["properties"].items()}
        return st.fixed_dictionaries(
            {k: v for k, v in parts.items() if k in needed},
            optional={k: v for k, v in parts.items() if k not in needed},
        )
    if kind == "object":
        more = schema.get("additionalProperties")
        return st.dictionaries(TEXT, strategy(more) if isinstance(more, dict) else ANY, max_size=3)
    return ANY


def request_of(path: str) -> Any:
    return POSTS[path]["requestBody"]["content"]["application/json"]["schema"]


def conforms(schema: Any, value: Any) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def answered(path: str, status: int, answer: Any) -> None:
    assert str(status) in POSTS[path]["responses"], (status, answer)
    described = POSTS[path]["responses"][str(status)]
    conforms(described["content"]["application/json"]["schema"], answer)


def encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


@pytest.mark.parametrize("path", POSTS)
def test_what_is_described_is_answered_as_described(path: str) -> None:
    @given(body=strategy(request_of(path)), trace=st.sampled_from([b"", b"trace=true", b"x=1&&%"]))
    @settings(max_examples=60, deadline=None)
    def check(body: Any, trace: bytes) -> None:
        status, answer = call("POST", path, encoded(body), trace)
        answered(path, status, answer)

    check()


@pytest.mark.parametrize("path", POSTS)
def test_what_is_nearly_described_is_refused_in_the_same_shape(path: str) -> None:
    schema = SCHEMAS[request_of(path)["$ref"].rpartition("/")[2]]
    keys = st.sampled_from([*schema["properties"], "options", "extra"])

    @given(body=st.one_of(ANY, st.dictionaries(keys, ANY, max_size=4)))
    @settings(max_examples=60, deadline=None)
    def check(body: Any) -> None:
        status, answer = call("POST", path, encoded(body))
        answered(path, status, answer)

    check()


@given(path=st.sampled_from(sorted(POSTS)), raw=st.binary(max_size=60))
@settings(max_examples=150, deadline=None)
def test_bytes_that_are_no_json_are_refused(path: str, raw: bytes) -> None:
    status, answer = call("POST", path, raw)
    answered(path, status, answer)


@pytest.mark.parametrize("path", READERS)
@pytest.mark.parametrize(
    "text",
    [
        "a\u0300\u0301\u0302" * 5_000,
        "\x00\x01\x02\ufffe" * 5_000,
        "x" * 200_000,
        "ada@example.org " * 5_000,
        "\u202eabc\u202c 漢字 עברית",
    ],
    ids=["zalgo", "binary", "long", "mails", "directions"],
)
def test_hostile_texts_are_answered(path: str, text: str) -> None:
    example = POSTS[path]["requestBody"]["content"]["application/json"]["example"]
    changed = {
        key: text if isinstance(value, str) else [text] if key != "options" else value
        for key, value in example.items()
        if key not in ("task_type", "top_k", "dimension")
    }
    status, answer = call("POST", path, encoded(changed))
    answered(path, status, answer)
    assert status == 200


def test_half_a_pair_of_surrogates_is_refused() -> None:
    for path in READERS:
        example = POSTS[path]["requestBody"]["content"]["application/json"]["example"]
        raw = re.sub(r"(\w) (\w)", r"\1\\ud800 \2", json.dumps(example), count=1).encode()
        assert b"ud800" in raw
        status, answer = call("POST", path, raw)
        answered(path, status, answer)
        assert status == 400


def test_every_other_path_answers_as_described() -> None:
    for path, operations in DOCUMENT["paths"].items():
        if "get" in operations:
            status, answer = call("GET", path)
            described = operations["get"]["responses"][str(status)]
            ((media, content),) = described["content"].items()
            if media == "application/json":
                conforms(content["schema"], answer)
            else:
                assert isinstance(answer, bytes) and answer
