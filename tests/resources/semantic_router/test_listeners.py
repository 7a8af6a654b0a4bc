"""Which listeners of a Gateway would take a route, and why the others would not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.resources.semantic_router.listeners import listeners, meet, selects


def gateway(**listener: Any) -> dict[str, Any]:
    whole = {"name": "http", "port": 80, "protocol": "HTTP", **listener}
    return {"metadata": {"name": "g", "namespace": "infra"}, "spec": {"listeners": [whole]}}


def namespaces(**fields: Any) -> dict[str, Any]:
    return {"namespaces": fields}


TEAM = {"matchLabels": {"team": "ai"}}


@pytest.mark.parametrize(
    ("listener", "namespace", "labels", "takes", "why"),
    [
        ({}, "infra", {}, True, ""),
        ({}, "apps", {}, False, "takes routes of namespace infra only"),
        ({"allowedRoutes": namespaces(**{"from": "Same"})}, "apps", {}, False, "infra only"),
        ({"allowedRoutes": namespaces(**{"from": "All"})}, "apps", {}, True, ""),
        ({"allowedRoutes": namespaces(**{"from": "All"})}, "apps", None, True, ""),
        ({"allowedRoutes": namespaces(**{"from": "None"})}, "infra", {}, False, "is None"),
        (
            {"allowedRoutes": namespaces(**{"from": "Selector", "selector": TEAM})},
            "apps",
            {"team": "ai"},
            True,
            "",
        ),
        (
            {"allowedRoutes": namespaces(**{"from": "Selector", "selector": TEAM})},
            "apps",
            {"team": "web"},
            False,
            "it wants team=ai",
        ),
        (
            {"allowedRoutes": namespaces(**{"from": "Selector", "selector": TEAM})},
            "apps",
            None,
            None,
            "cannot be read",
        ),
        ({"protocol": "TLS"}, "infra", {}, False, "protocol is TLS"),
        ({"allowedRoutes": {"kinds": [{"kind": "GRPCRoute"}]}}, "infra", {}, False, "HTTPRoute"),
        ({"allowedRoutes": {"kinds": [{"kind": "HTTPRoute"}]}}, "infra", {}, True, ""),
        (
            {"allowedRoutes": {"kinds": [{"group": "x.io", "kind": "HTTPRoute"}]}},
            "infra",
            {},
            False,
            "HTTPRoute",
        ),
    ],
)
def test_a_listener_says_whether_it_takes_a_route_and_why_not(
    listener: dict[str, Any],
    namespace: str,
    labels: dict[str, str] | None,
    takes: bool | None,
    why: str,
) -> None:
    """A1-49: which namespaces, kinds and protocols."""
    (found,) = listeners(gateway(**listener), namespace, labels)
    assert found.takes is takes
    assert why in found.why
    assert bool(found.why) is (takes is not True)


@pytest.mark.parametrize(
    ("hostname", "wanted", "takes"),
    [
        ("", ["a.com"], True),
        ("a.com", [], True),
        ("a.com", ["b.com"], False),
        ("*.a.com", ["x.a.com"], True),
        ("*.a.com", ["b.com", "x.y.a.com"], True),
    ],
)
def test_a_listener_for_other_hosts_takes_nothing(
    hostname: str, wanted: list[str], takes: bool
) -> None:
    (found,) = listeners(gateway(hostname=hostname), "infra", {}, wanted)
    assert found.takes is takes
    assert takes or hostname in found.why


def test_a_route_that_names_a_listener_asks_that_one_only() -> None:
    two = gateway()
    two["spec"]["listeners"].append({"name": "https", "protocol": "HTTPS"})
    assert [one.name for one in listeners(two, "infra", {}, (), "https")] == ["https"]
    assert listeners(two, "infra", {}, (), "other") == ()


@pytest.mark.parametrize(
    ("one", "other", "have_a_host_in_common"),
    [
        ("a.com", "A.com", True),
        ("*.a.com", "a.com", False),
        ("*.a.com", "b.a.com", True),
        ("*.a.com", "c.b.a.com", True),
        ("*.a.com", "ba.com", False),
        ("*.a.com", "*.b.a.com", True),
        ("*.a.com", "*.b.com", False),
        ("*.a.com", "*.ba.com", False),
    ],
)
def test_hostnames_meet_both_ways(one: str, other: str, have_a_host_in_common: bool) -> None:
    assert meet(one, other) is have_a_host_in_common
    assert meet(other, one) is have_a_host_in_common


@pytest.mark.parametrize(
    ("expression", "labels", "selected"),
    [
        ({"key": "a", "operator": "In", "values": ["1", "2"]}, {"a": "2"}, True),
        ({"key": "a", "operator": "In", "values": ["1"]}, {}, False),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, {}, True),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, {"a": "1"}, False),
        ({"key": "a", "operator": "Exists"}, {"a": ""}, True),
        ({"key": "a", "operator": "DoesNotExist"}, {"a": ""}, False),
        ({"key": "a", "operator": "Later"}, {"a": ""}, False),
    ],
)
def test_selectors_select_as_kubernetes_has_it(
    expression: dict[str, Any], labels: dict[str, str], selected: bool
) -> None:
    assert selects({"matchExpressions": [expression]}, labels) is selected


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["spec", "listeners", "allowedRoutes", "namespaces", "from", "selector", "kinds"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(ANYTHING)
def test_a_gateway_of_any_shape_raises_nothing(found: Any) -> None:
    listeners({"metadata": {}, "spec": found}, "ns", {}, ("a.com",))
    listeners({"spec": {"listeners": [{"name": "x", "allowedRoutes": found}]}}, "ns", None)
