"""The index of one partition: exact while small, a graph when large, bounded without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.stores import vectors as module
from wayside.stores.vectors import Vectors


def rows(count: int, width: int = 32, seed: int = 0) -> Any:
    found = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(params=[True, False], ids=["usearch", "alone"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Thresholds that tests reach, with the library and without."""
    monkeypatch.setattr(module, "EXACT", 50)
    monkeypatch.setattr(module, "EXACT_ALONE", 120)
    if not request.param:
        monkeypatch.setattr(module, "library", lambda: None)
    return bool(request.param)


def test_many_vectors_move_into_a_graph_a_few_at_a_time(small: bool) -> None:
    index, given_rows = Vectors[int](), rows(400)
    for i, row in enumerate(given_rows):
        before = len(index._labels)
        index.add(i, row.tolist())
        assert len(index._labels) - before <= module.MOVED
    assert len(index) == (400 if small else 120)
    assert index.exact is not small
    kept = range(400) if small else range(280, 400)
    for i in kept[::7]:
        ((best, cosine), *_) = index.nearest(given_rows[i].tolist(), 3, 0.5)
        assert best == i and cosine == pytest.approx(1.0, abs=1e-3)
    if not small:
        assert index.nearest(given_rows[0].tolist(), 1, 0.999) == []


def test_what_is_removed_from_a_graph_is_not_found(small: bool) -> None:
    index, given_rows = Vectors[int](), rows(300)
    for i, row in enumerate(given_rows):
        index.add(i, row.tolist())
    for i in range(0, 300, 2):
        index.remove(i)
    found = [index.nearest(row.tolist(), 5, 0.2) for row in given_rows]
    assert not {key for each in found for key, _ in each if key % 2 == 0}
    for i in range(300):
        index.remove(i)
    assert len(index) == 0 and index.exact
    assert index.nbytes < module.BYTES + 1000


def test_a_graph_finds_nearly_all_that_comparing_everything_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("usearch")
    monkeypatch.setattr(module, "EXACT", 100)
    index, given_rows = Vectors[int](), rows(3000, 64)
    for i, row in enumerate(given_rows):
        index.add(i, row.tolist())
    good = 0
    for asked in rows(100, 64, seed=1):
        nearest = set(np.argsort(-(given_rows @ asked))[:5].tolist())
        good += len(nearest & {key for key, _ in index.nearest(asked.tolist(), 5, -1.0)})
    assert good > 0.9 * 500


def test_another_width_begins_anew(small: bool) -> None:
    index = Vectors[str]()
    index.add("a", (1.0, 0.0))
    index.add("b", (1.0, 0.0, 0.0))
    assert index.nearest((1.0, 0.0), 5, 0.0) == []
    assert [key for key, _ in index.nearest((1.0, 0.0, 0.0), 5, 0.0)] == ["b"]
    assert "a" not in index and len(index) == 1


KEYS = st.integers(0, 12)
STEPS = st.lists(st.tuples(st.sampled_from(["add", "remove"]), KEYS, st.integers(0, 30)))


@given(steps=STEPS, most=st.integers(1, 6), threshold=st.floats(-1, 1))
@settings(deadline=None, max_examples=150)
def test_it_finds_what_comparing_everything_finds(
    steps: list[tuple[str, int, int]], most: int, threshold: float
) -> None:
    vectors_of = rows(31, 8, seed=5)
    index, held = Vectors[int](), {}
    for what, key, which in steps:
        if what == "add":
            index.add(key, vectors_of[which].tolist())
            held[key] = vectors_of[which]
        else:
            index.remove(key)
            held.pop(key, None)
        assert len(index) == len(held)
    asked = rows(1, 8, seed=9)[0]
    cosines = sorted((float(row @ asked) for row in held.values()), reverse=True)
    wanted = [c for c in cosines if c >= threshold - 1e-6][:most]
    found = index.nearest(asked.tolist(), most, threshold)
    assert [c for _, c in found] == pytest.approx(wanted, abs=1e-5)
    assert all(float(held[key] @ asked) == pytest.approx(c, abs=1e-5) for key, c in found)
