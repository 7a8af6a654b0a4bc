"""Labels, heads and digests of the objects that we make."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wayside.manifests.meta import child, digest, instance, labels, selector


def test_labels_are_the_recommended_ones() -> None:
    """A1-20: ``kubectl logs -l app.kubernetes.io/instance=test-router`` finds the pods."""
    found = labels("semantic-router", "test-router", "semantic-router-operator")
    assert found == {
        "app.kubernetes.io/name": "semantic-router",
        "app.kubernetes.io/instance": "test-router",
        "app.kubernetes.io/managed-by": "semantic-router-operator",
    }
    assert selector(found) == {
        "app.kubernetes.io/name": "semantic-router",
        "app.kubernetes.io/instance": "test-router",
    }


def test_others_labels_do_not_replace_ours() -> None:
    found = labels("a", "b", "c", component="d", also={"team": "x", "app.kubernetes.io/name": "y"})
    assert found["team"] == "x"
    assert found["app.kubernetes.io/name"] == "a"
    assert found["app.kubernetes.io/component"] == "d"


def test_long_names_stay_apart_as_labels() -> None:
    one, other = "a" * 200 + "1", "a" * 200 + "2"
    assert instance("a" * 63) == "a" * 63
    assert len(instance(one)) <= 63
    assert instance(one) != instance(other)


def test_a_child_says_only_what_is_given() -> None:
    found = child("v1", "Service", "n", "ns", {"a": "b"}, spec={"x": 1}, data=None)
    assert found == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "n", "namespace": "ns", "labels": {"a": "b"}},
        "spec": {"x": 1},
    }
    assert child("v1", "S", "n", "ns", {}, annotations={"k": "v"})["metadata"]["annotations"] == {
        "k": "v"
    }


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans(), min_size=1))
def test_the_order_of_keys_is_no_part_of_a_digest(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert digest(value) == digest(turned)
    assert digest({**value, "and": "more"}) != digest({**value, "and": "less"})
