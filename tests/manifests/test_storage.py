"""Amounts of storage, and claims on it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.manifests.storage import bytes_of, claim


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        ("10Gi", 10 * 1024**3),
        ("500Mi", 500 * 1024**2),
        ("5G", 5 * 10**9),
        ("1.5Ti", 3 * 1024**4 // 2),
        ("1e9", 10**9),
        ("2E", 2 * 10**18),
        ("3E2", 300),
        ("100k", 100_000),
        ("1", 1),
        ("1500m", 2),
        ("0.1", 1),
        (".5Gi", 1024**3 // 2),
    ],
)
def test_a_quantity_is_so_many_bytes(quantity: str, amount: int) -> None:
    """A1-64: sizes are read as Kubernetes reads them, and rounded up."""
    assert bytes_of(quantity) == amount


@pytest.mark.parametrize(
    "quantity",
    [
        "",
        "invalid",
        "10GB",
        "-1Gi",
        "0",
        "0Gi",
        "1Gi ",
        "1,5Gi",
        "9E999",
        "99999999Ei",
        "١Gi",
        ".",
    ],
)
def test_what_is_no_size_is_refused_with_what_would_be_one(quantity: str) -> None:
    with pytest.raises(ValueError, match="write a"):
        bytes_of(quantity)


@given(st.text(max_size=200))
def test_any_text_is_an_amount_or_refused(quantity: str) -> None:
    with suppress(ValueError):
        assert 0 < bytes_of(quantity) < 2**63


@given(st.integers(1, 2**20), st.sampled_from(["", "Ki", "Mi", "Gi"]))
def test_a_thousand_and_twentyfour_are_one_of_the_next(number: int, unit: str) -> None:
    following = {"": "Ki", "Ki": "Mi", "Mi": "Gi", "Gi": "Ti"}[unit]
    assert bytes_of(f"{number * 1024}{unit}") == bytes_of(f"{number}{following}")


def test_a_claim_leaves_the_class_to_the_cluster_where_none_is_named() -> None:
    made = claim("c", "ns", {}, size="1Gi", access_mode="ReadWriteOnce", storage_class=None)
    assert made["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
