"""What every custom resource must keep, asked of whatever is registered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

import wayside.resources
from tests.resources.worlds import FakeWorld
from wayside.catalog import discover
from wayside.manifests.crd import crd
from wayside.resources import Desired, Kind, kinds

discover(wayside.resources)
KINDS = kinds()
ROOT = Path(__file__).parents[2]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.kind)


def page(kind: Kind) -> Path:
    return ROOT / "docs" / "reference" / "resources" / f"{kind.kind}.md"


def example(kind: Kind) -> Any:
    """The ``Example: ``{...}`` `` of the spec's docstring."""
    found = re.search(r"Example: ``(.+?)``", kind.spec.__doc__ or "", re.DOTALL)
    assert found, f"{kind.spec.__name__}: its docstring has no Example: ``{{...}}``"
    return yaml.safe_load(found[1])


def whole(kind: Kind, spec: Any) -> dict[str, Any]:
    meta = {"name": "a", "namespace": "ns", "uid": "u", "generation": 1}
    version = kind.resource.api_version
    return {"apiVersion": version, "kind": kind.kind, "metadata": meta, "spec": spec}


def fields(model: type[BaseModel], seen: frozenset[type] = frozenset()) -> Iterator[str]:
    """Names of fields at any depth, as YAML has them."""
    for name, field in model.model_fields.items():
        yield field.alias or name
        for inner in _models(field.annotation):
            if inner not in seen:
                yield from fields(inner, seen | {inner})


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def test_there_are_nine() -> None:
    assert len(KINDS) == 9


@every_kind
def test_the_summary_is_one_short_sentence(kind: Kind) -> None:
    assert kind.summary.endswith(".") and len(kind.summary) < 100, kind.summary


@every_kind
def test_it_lives_in_a_file_of_its_name_and_has_a_test(kind: Kind) -> None:
    file = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.kind).lower()
    assert kind.module == f"wayside.resources.{file}"
    tests = ROOT / "tests" / "resources"
    assert (tests / f"test_{file}.py").is_file() or (tests / file).is_dir()


@every_kind
def test_its_page_names_every_field(kind: Kind) -> None:
    path = page(kind)
    assert path.is_file(), f"write {path.relative_to(ROOT)}"
    text = path.read_text("utf-8")
    assert text.startswith(f"# {kind.kind}\n")
    missing = [name for name in fields(kind.spec) if not re.search(rf"\b{name}\b", text)]
    assert not missing, f"{path.name} does not mention {', '.join(sorted(set(missing)))}"


@every_kind
def test_its_example_is_understood(kind: Kind) -> None:
    kind.spec.model_validate(example(kind))


@every_kind
def test_a_desired_state_is_the_same_for_the_same_world(kind: Kind) -> None:
    if kind.program == "router":
        pytest.skip("routers look after it themselves")
    found = whole(kind, example(kind))
    first, second = (kind.keeper.desired(found, FakeWorld()) for _ in range(2))
    assert isinstance(first, Desired) and first == second
    types = [condition.type for condition in first.conditions]
    assert types and len(types) == len(set(types))
    for child in first.children:
        assert child["metadata"]["namespace"] == "ns", "a child is in its owner's namespace"


@every_kind
def test_a_spec_that_is_not_understood_is_a_condition(kind: Kind) -> None:
    if kind.program == "router":
        pytest.skip("routers look after it themselves")
    for spec in ({"noSuchField": 1}, {"noSuchField": object()}):
        found = whole(kind, spec)
        desired = kind.keeper.desired(found, FakeWorld())
        assert [c for c in desired.conditions if c.status == "False" and c.message]
        kept = not kind.owns or desired.children or not desired.prune
        assert kept, "a mistake takes nothing away"


@every_kind
def test_its_crd_has_a_status_columns_and_descriptions(kind: Kind) -> None:
    made = crd(kind)
    (version,) = made["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert version["additionalPrinterColumns"][-1]["name"] == "Age"
    properties = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    undescribed = [name for name, part in properties.items() if not part.get("description")]
    assert not undescribed
