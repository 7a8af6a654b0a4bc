"""Windows over long texts, and how answers to them are combined."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.engines.windows import mean, shares, spread, windows, worst


@pytest.mark.parametrize(
    ("length", "size", "overlap", "most", "expected"),
    [
        (0, 4, 1, 8, ((0, 0),)),
        (4, 4, 1, 8, ((0, 4),)),
        (5, 4, 1, 8, ((0, 4), (1, 5))),
        (10, 4, 1, 8, ((0, 4), (3, 7), (6, 10))),
        (10, 4, 0, 8, ((0, 4), (4, 8), (6, 10))),
        (100, 10, 0, 3, ((0, 10), (40, 50), (90, 100))),
        (100, 10, 0, 1, ((0, 10),)),
        (100, 10, 0, 2, ((0, 10), (90, 100))),
    ],
)
def test_windows(
    length: int, size: int, overlap: int, most: int, expected: tuple[tuple[int, int], ...]
) -> None:
    assert windows(length, size, overlap, most) == expected


@given(st.integers(0, 5000), st.integers(1, 600), st.data(), st.integers(1, 20))
def test_windows_keep_both_ends_and_their_bound(
    length: int, size: int, data: st.DataObject, most: int
) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    found = windows(length, size, overlap, most)
    assert 1 <= len(found) <= most
    assert found[0][0] == 0 and all(0 <= a <= b <= length and b - a <= size for a, b in found)
    if most > 1:
        assert found[-1][1] == length
    if len(found) < most:  # nothing had to be left out
        covered = {i for a, b in found for i in range(a, b)}
        assert covered == set(range(length))
    parts = shares(found)
    assert all(a <= p <= q <= b for (a, b), (p, q) in zip(found, parts, strict=True))
    assert all(first[1] <= then[0] for first, then in pairwise(parts))
    told = {i for a, b in parts for i in range(a, b)}
    assert told == {i for a, b in found for i in range(a, b)}, "every position has one owner"


@pytest.mark.parametrize("bad", [(10, 4, 4, 1), (10, 4, -1, 1), (10, 4, 0, 0), (10, 0, 0, 1)])
def test_impossible_windows_are_refused(bad: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no windows"):
        windows(*bad)


def test_overlaps_are_shared_at_their_middle() -> None:
    assert shares(((0, 10), (6, 16), (20, 30))) == ((0, 8), (8, 16), (20, 30))


def test_spread_takes_the_ends_and_the_middle() -> None:
    assert spread(3, 5) == (0, 1, 2)
    assert spread(101, 5) == (0, 25, 50, 75, 100)
    assert spread(9, 1) == (0,)


def test_the_mean_weighs_windows_by_their_length() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert mean(rows, np.array([3, 1], np.float32)).tolist() == [0.75, 0.25]
    assert mean(rows, np.array([0, 0], np.float32)).tolist() == [0.5, 0.5]


def test_the_worst_window_decides_for_a_guard() -> None:
    rows = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5], [0.3, 0.6, 0.1]], np.float32)
    assert np.allclose(worst(rows, np.array([False, True, True])), [0.2, 0.3, 0.5])
