"""The settings themselves: frozen, strict, examples that build, a schema that allows them."""

import inspect
import re
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, ValidationError

import wayside.settings
from wayside.catalog import catalog
from wayside.runtime import compile_policy
from wayside.settings import (
    CandidateSettings,
    Condition,
    CredentialSettings,
    DecisionSettings,
    EndpointSettings,
    LoraSettings,
    RouterSettings,
    Settings,
)
from wayside.settings.schema import full_schema

CLASSES = [
    c for _, c in inspect.getmembers(wayside.settings, inspect.isclass) if issubclass(c, BaseModel)
]
_EXAMPLE = re.compile(r"Example: ``(.+?)``", re.DOTALL)
EXAMPLES = [
    pytest.param(c, text, id=c.__name__)
    for c in CLASSES
    for text in _EXAMPLE.findall(c.__doc__ or "")
]
FULL = """
models:
  big: {endpoints: ["http://10.0.0.7:8000", {url: "http://[::1]:8000", weight: 2}], loras: [law]}
  small: {endpoints: [small.models.svc], price: {prompt_per_1m: 0.15}, credential: {env: KEY}}
routing:
  default_model: small
  signals: {keyword: {math: {keywords: [integral]}}}
  decisions:
    - name: sums
      when: keyword:math
      models: [big, {model: small, weight: 3}]
      select: weighted
    - {name: rest, when: {not: {any: ["keyword:math"]}}, models: [small], select: {static: {}}}
recipes: {other: {default_model: big}}
entrypoints: [{names: [other-auto], recipe: other}]
"""


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize(("cls", "text"), EXAMPLES)
def test_every_example_in_a_docstring_builds(cls: type[Settings], text: str) -> None:
    document = yaml.safe_load(text)
    built = cls.model_validate(document)
    assert cls.model_validate(built.model_dump(by_alias=True)) == built
    jsonschema.Draft202012Validator(cls.model_json_schema()).validate(document)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_settings_are_frozen_and_strict(cls: type[Settings]) -> None:
    assert cls.model_config["frozen"]
    assert cls.model_config["extra"] == "forbid"
    assert cls.__doc__


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_schema_is_valid_json_schema(cls: type[Settings]) -> None:
    jsonschema.Draft202012Validator.check_schema(cls.model_json_schema())


@pytest.mark.parametrize(
    ("cls", "text", "settings"),
    [
        (EndpointSettings, "http://a:1", {"url": "http://a:1"}),
        (LoraSettings, "law", {"name": "law"}),
        (Condition, "keyword:urgent", {"signal": "keyword:urgent"}),
        (CandidateSettings, "big", {"model": "big"}),
    ],
)
def test_a_bare_string_is_short_for_the_one_thing_needed(
    cls: type[Settings], text: str, settings: dict[str, Any]
) -> None:
    assert cls.model_validate(text) == cls.model_validate(settings)
    validator = jsonschema.Draft202012Validator(cls.model_json_schema())
    validator.validate(text)
    validator.validate(settings)
    assert not validator.is_valid(5)
    assert not validator.is_valid({**settings, "unknown": 1})


def test_the_full_schema_is_valid_and_allows_what_loads() -> None:
    schema = full_schema(RouterSettings, catalog)
    jsonschema.Draft202012Validator.check_schema(schema)
    document = yaml.safe_load(FULL)
    jsonschema.Draft202012Validator(schema).validate(document)
    compile_policy(RouterSettings.model_validate(document))


@pytest.mark.parametrize(
    "change",
    [
        {"listn": {}},
        {"models": {"a": {"endpoint": []}}},
        {"routing": {"signals": {"keyword": {"a": {"keyword": ["x"]}}}}},
        {"routing": {"signals": {"nonsense": {}}}},
        {"stores": {"shared": {"redis": {"ulr": "redis://here"}}}},
        {"stores": {"shared": {"sqlite": {"path": "a"}, "redis": {"url": "redis://here"}}}},
        {"engines": {"mine": {"nonsense": {}}}},
        {"routing": {"decisions": [{"name": "d", "select": "nonsense"}]}},
    ],
)
def test_the_full_schema_refuses_what_would_not_load(change: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(full_schema(RouterSettings, catalog))
    assert not validator.is_valid(change)


@pytest.mark.parametrize(
    ("select", "selector"),
    [
        ("weighted", ("weighted", {})),
        ({"weighted": {"a": 1}}, ("weighted", {"a": 1})),
        ({"weighted": None}, ("weighted", {})),
    ],
)
def test_a_selector_is_a_name_or_a_name_with_settings(
    select: Any, selector: tuple[str, dict[str, Any]]
) -> None:
    assert DecisionSettings(name="d", select=select).selector == selector


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"env": "A", "file": "/b"},
        {"env": "1A"},
        {"env": ""},
        {"env": "A", "header": "x y"},
        {"env": "A", "header": "host"},
        {"env": "A", "header": "x-vsr-debug"},
        {"env": "A", "prefix": "Bearer\r\nx: y "},
        "sk-abc",
    ],
)
def test_a_credential_is_one_reference_and_one_header(credential: Any) -> None:
    with pytest.raises(ValidationError):
        CredentialSettings.model_validate(credential)


def test_header_names_are_lower_case() -> None:
    assert CredentialSettings(env="A", header="X-Api-Key", prefix="").header == "x-api-key"


def test_nothing_in_the_settings_can_hold_a_key() -> None:
    text = str(RouterSettings.model_validate(yaml.safe_load(FULL)))
    assert "KEY" in text  # the name of a variable, never what it holds


@pytest.mark.parametrize("url", ["http://h/a b", "http://h/caf\u00e9", "http://h/a\r\nx: y"])
def test_a_path_that_no_request_line_can_carry_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="the path has"):
        EndpointSettings(url=url)
