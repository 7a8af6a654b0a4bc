"""Structural schemas from pydantic classes."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import ConfigDict, Field
from scripts import resource_fields

from tests.crds import known
from wayside.manifests.crd import NotStructural, core_schemas, crd, model_schema
from wayside.manifests.fields import (
    OPTIONAL,
    STORED,
    AnyObject,
    Anything,
    IntOrText,
    Labels,
    Part,
    SnakePart,
    core,
    keyed,
    rules,
)


class Inner(Part):
    """What is
    inside."""

    model_config = ConfigDict(json_schema_extra=rules(("self.port > 1", "too low")))

    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    kind_of_thing: Literal["a", "b"] = "a"


def field(annotation: Any, default: Any = ..., **extra: Any) -> dict[str, Any]:
    """The schema of one field of a class."""
    namespace = {
        "__annotations__": {"field": annotation},
        "field": Field(default, json_schema_extra=extra or None),
        "__module__": __name__,
    }
    return model_schema(type("Model", (Part,), namespace))["properties"]["field"]


PLAIN: list[tuple[Any, Any, dict[str, Any]]] = [
    (str, ..., {"type": "string"}),
    (str, "", {"type": "string"}),
    (str, "x", {"type": "string", "default": "x"}),
    (int, 0, {"type": "integer", "default": 0}),
    (bool, False, {"type": "boolean", "default": False}),
    (str | None, None, {"type": "string"}),
    (Literal["a", "b"] | None, None, {"type": "string", "enum": ["a", "b"]}),
    (Literal["a"], "a", {"type": "string", "enum": ["a"], "default": "a"}),
    (Annotated[str, Field(max_length=3, pattern="^a*$")], ...,
     {"type": "string", "maxLength": 3, "pattern": "^a*$"}),
    (Annotated[float, Field(gt=0, lt=1)], ...,
     {"type": "number", "minimum": 0.0, "exclusiveMinimum": True,
      "maximum": 1.0, "exclusiveMaximum": True}),
    (tuple[str, ...], (), {"type": "array", "items": {"type": "string"}}),
    (Annotated[tuple[int, ...], Field(max_length=2)], (1,),
     {"type": "array", "items": {"type": "integer"}, "maxItems": 2, "default": [1]}),
    (dict[str, int], ..., {"type": "object", "additionalProperties": {"type": "integer"}}),
    (Labels, ...,
     {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 256}),
    (IntOrText, ..., {"x-kubernetes-int-or-string": True}),
    (int | str | None, None, {"x-kubernetes-int-or-string": True}),
    (AnyObject, ..., {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
    (Anything, None, {"x-kubernetes-preserve-unknown-fields": True}),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "default", "expected"), PLAIN)
def test_a_field_becomes_structural(
    annotation: Any, default: Any, expected: dict[str, Any]
) -> None:
    assert field(annotation, default) == expected


def test_a_class_is_written_out_where_it_is_used() -> None:
    assert field(Inner) == {
        "type": "object",
        "description": "What is inside.",
        "properties": {
            "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 8080},
            "kindOfThing": {"type": "string", "enum": ["a", "b"], "default": "a"},
        },
        "x-kubernetes-validations": [{"rule": "self.port > 1", "message": "too low"}],
    }


def test_rules_of_a_field_are_added_to_those_of_its_class() -> None:
    made = field(Inner, **rules(("self.port < 9", "too high")))
    assert [each["message"] for each in made["x-kubernetes-validations"]] == [
        "too low",
        "too high",
    ]


def test_an_object_is_stored_with_its_defaults_only_where_that_is_asked_for() -> None:
    assert "default" not in field(Inner, Inner())
    stored = field(Inner, Inner(), **{STORED: True})
    assert stored["default"] == {"port": 8080, "kindOfThing": "a"}
    assert STORED not in json.dumps(stored)


def test_an_object_whose_default_is_not_that_of_its_fields_is_refused() -> None:
    """The API server would put something else there than our own code."""
    with pytest.raises(TypeError, match=r"Odd\.inner"):
        type("Odd", (Part,), {"__annotations__": {"inner": Inner}, "inner": Inner(port=9)})


def test_a_field_may_be_left_out_in_yaml_that_our_code_always_has() -> None:
    class Model(Part):
        there: str = Field(json_schema_extra={OPTIONAL: True})
        needed: str

    made = model_schema(Model)
    assert made["required"] == ["needed"]
    assert OPTIONAL not in json.dumps(made)


def test_a_list_may_be_a_map() -> None:
    made = field(tuple[Inner, ...], (), **keyed("port"))
    assert made["x-kubernetes-list-type"] == "map"
    assert made["x-kubernetes-list-map-keys"] == ["port"]


def test_fields_may_be_snake_case_in_yaml() -> None:
    class Snake(SnakePart):
        two_words: int = 1

    assert list(model_schema(Snake)["properties"]) == ["two_words"]


def test_kubernetes_own_types_are_typed_to_the_last_field() -> None:
    made = field(Annotated[dict[str, Any], core("v1.ResourceRequirements")] | None, None)
    limits = made["properties"]["limits"]["additionalProperties"]
    assert limits["x-kubernetes-int-or-string"] is True
    assert limits["pattern"].startswith("^")
    handler = field(Annotated[dict[str, Any], core("v1.HTTPGetAction")])
    assert handler["required"] == ["port"]
    assert handler["properties"]["port"] == {"x-kubernetes-int-or-string": True}
    headers = handler["properties"]["httpHeaders"]["items"]["properties"]
    assert sorted(headers) == ["name", "value"]
    assert "$ref" not in json.dumps(made) + json.dumps(handler)


class Loop(Part):
    """Holds itself."""

    again: Loop | None = None


UNSAYABLE: list[tuple[Any, str]] = [
    (str | Inner, "field: a union cannot be said in a CRD"),
    (list[str] | str, "field: a union cannot be said in a CRD"),
    (Loop, "field.again: Loop holds itself"),
    (Any, "field: has no type"),
    (list[Any], r"field.\*: has no type"),
    (dict[str, Any], "field: has no fields"),
    (Annotated[dict[str, Any], core("v1.Nonsense")], "v1.Nonsense is not in core_schemas.json"),
    (set[str], "field: uniqueItems cannot be said in a CRD"),
]


@pytest.mark.parametrize(("annotation", "problem"), UNSAYABLE)
def test_what_a_crd_cannot_say_is_refused_with_its_path(annotation: Any, problem: str) -> None:
    with pytest.raises(NotStructural, match=problem):
        field(annotation)


def test_core_types_are_compact_and_hold_no_descriptions() -> None:
    text = json.dumps(core_schemas())
    assert len(text) < 32_000
    assert '"description"' not in text
    assert '"default"' not in text


KINDS = sorted(known())


@pytest.mark.parametrize("name", KINDS)
def test_a_crd_fits_into_the_annotation_of_kubectl_apply(name: str) -> None:
    """``kubectl apply`` keeps the whole object in an annotation, and annotations may have 262,144
    bytes together."""
    assert len(json.dumps(crd(known()[name]))) < 200_000


@pytest.mark.parametrize("name", KINDS)
def test_a_crd_uses_nothing_newer_than_kubernetes_1_25(name: str) -> None:
    """A1-01: what came later in ``x-kubernetes-validations`` (``messageExpression`` 1.27,
    ``reason`` and ``fieldPath`` 1.28, ``optionalOldSelf`` 1.29), in CRDs (``selectableFields``
    1.30), and in CEL: ``quantity()`` 1.29, ``ip()``, ``cidr()`` and ``format`` 1.30 and later,
    optional fields (``?.``, 1.29), ``sets.`` and two-variable comprehensions (1.30 and later),
    ``authorizer`` (1.27)."""
    made = crd(known()[name])
    assert made["spec"].keys() == {"group", "names", "scope", "versions"}
    assert made["spec"]["versions"][0].keys() == {
        "name",
        "served",
        "storage",
        "subresources",
        "additionalPrinterColumns",
        "schema",
    }
    for rule in every_rule(made):
        assert rule.keys() == {"rule", "message"}
        assert rule["message"] == " ".join(rule["message"].split())
        for newer in NEWER:
            assert newer not in rule["rule"], rule["rule"]


NEWER = (
    "quantity(", "isQuantity(", "ip(", "isIP(", "cidr(", "isCIDR(", "format.", "?.", "[?",
    "optional.", "sets.", "authorizer", "semver(", "transformList", "sortBy", "oldSelf.orValue",
)  # fmt: skip


def every_rule(schema: Any) -> list[dict[str, str]]:
    if isinstance(schema, list):
        return [rule for each in schema for rule in every_rule(each)]
    if not isinstance(schema, dict):
        return []
    own = schema.get("x-kubernetes-validations", [])
    rest = [each for key, each in schema.items() if key != "x-kubernetes-validations"]
    return [*own, *every_rule(rest)]


def test_reference_pages_tell_the_fields_that_there_are() -> None:
    """``python scripts/resource_fields.py`` writes them."""
    assert [path.name for path, _ in resource_fields.stale()] == []
    page = (resource_fields.PAGES / "SemanticRouter.md").read_text("utf-8")
    for name, part in resource_fields.parts(known()["SemanticRouter"]).items():
        assert f"<!-- {name} -->\n{part}\n<!-- /{name} -->" in page
    assert "| `vllmEndpoints[].backend.type` | `kserve`, `llamastack`," in page
    assert "| `config.reasoning_families.NAME.parameter` | text |" in page
