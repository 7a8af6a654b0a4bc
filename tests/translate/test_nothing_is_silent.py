"""The law of this package: what is in a document is in the settings, or a note names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.settings import RouterSettings
from wayside.translate import translate_all

from .cases import CASES, GOLDEN, SHARED, changed, covers, documents, named, path_of, walk

_CASES = [p for p in CASES if "config_map" not in str(p)]  # text within text has other paths
_DOCUMENTS = [documents(p) for p in _CASES]
_PLACES = [
    (docs, steps)
    for docs in _DOCUMENTS
    for steps, value in walk(docs)
    if isinstance(value, dict) and steps
]
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["${HOME}", "10.0.0.1", "[::1]:80", "http://u:p@h", "AND", "static"])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(_PLACES), st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=3)
)
def test_an_unknown_key_anywhere_is_named(
    place: tuple[list[Any], tuple[Any, ...]], word: str
) -> None:
    docs, steps = place
    before = translate_all(docs)
    after = translate_all(changed(docs, (*steps, f"zz{word}"), "surprise"))

    assert before is not None
    assert after is not None
    path = path_of((*steps, f"zz{word}"))
    covered = [n for n in before.notes if covers(n, path) and n.severity != "mapped"]
    exact = [n for n in after.notes if n.path == path]
    # In a map whose keys are names (models, headers), a new key is a new thing.
    assert exact or covered or after.settings != before.settings


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_whatever_stands_there_the_result_can_be_loaded(data: st.DataObject) -> None:
    docs = data.draw(st.sampled_from(_DOCUMENTS))
    steps = data.draw(st.sampled_from([s for s, _ in walk(docs) if len(s) > 1]))
    after = translate_all(changed(docs, steps, data.draw(_VALUES)))

    if after is not None:
        RouterSettings.model_validate(after.settings)


def _others(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    # Two numbers: one may keep an order that matters.
    return [value + 1, -1000] if isinstance(value, int | float) else [f"zz{value}"]


def _silent(docs: list[Any]) -> list[str]:
    """Paths of values that could be any other without anybody noticing."""
    before = translate_all(docs)
    assert before is not None
    found = []
    for steps, value in walk(docs):
        if isinstance(value, dict | list) or len(steps) < 2 or value is None:
            continue
        path = path_of(steps)
        if named(before, path) or path in ("apiVersion", "kind"):
            continue
        if path.endswith(".score"):  # scores only order the models
            continue
        if all(translate_all(changed(docs, steps, v)) == before for v in _others(value)):
            found.append(path)
    return found


@pytest.mark.parametrize("case", _CASES, ids=[str(p.parent.relative_to(GOLDEN)) for p in _CASES])
def test_every_value_matters_or_is_named(case: Path) -> None:
    assert _silent(documents(case)) == []


_RECIPES = sorted((SHARED / "data" / "vsr-configs").rglob("config*.yaml*"))


@pytest.mark.shared
@pytest.mark.skipif(not _RECIPES, reason="../shared/data/vsr-configs is not here")
def test_every_value_of_the_public_configurations_matters_or_is_named() -> None:
    for path in _RECIPES:
        docs = documents(path)
        if docs[0].get("kind") != "ConfigMap" and path.stat().st_size < 20_000:
            assert _silent(docs) == [], path
