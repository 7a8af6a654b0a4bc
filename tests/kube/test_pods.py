"""Which pods take requests, and where."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wayside.kube.inference import read_objective, read_pool, read_rewrite
from wayside.kube.pods import ACTIVE_PORTS, keeping, places, read_pod
from wayside.kube.services import read_service, read_slice
from wayside.vocab.inference import PoolSpec

POOL = PoolSpec(
    name="p", namespace="ns", group="g", selector=(("app", "x"),), ports=(8000, 8001, 8002)
)


def pod(**changes: Any) -> dict[str, Any]:
    """The API's object of a pod that is ready; ``changes`` by the path of a field."""
    found: dict[str, Any] = {
        "metadata": {"name": "a", "namespace": "ns", "uid": "u", "labels": {"app": "x"}},
        "spec": {"nodeName": "n1"},
        "status": {
            "podIP": "10.0.0.1",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": "True"},
            ],
            "containerStatuses": [{"restartCount": 1}, {"restartCount": 2}],
        },
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = found
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = value
    return found


def test_what_is_kept_of_a_pod() -> None:
    found = read_pod(pod(metadata__annotations={"a": "1", "b": "2"}), ("b", "c"))

    assert (found.name, found.namespace, found.uid, found.ip) == ("a", "ns", "u", "10.0.0.1")
    assert (found.node, found.labels, found.restarts) == ("n1", {"app": "x"}, 3)
    assert found.annotations == {"b": "2"}
    assert keeping(("a",))(pod(metadata__annotations={"a": "1"})).annotations == {"a": "1"}


@pytest.mark.parametrize(
    ("changes", "ready"),
    [
        ({}, True),
        ({"status__conditions": [{"type": "Ready", "status": "False"}]}, False),
        ({"status__conditions": [{"type": "Ready", "status": "Unknown"}]}, False),
        ({"status__conditions": [{"type": "Ready", "status": True}]}, False),
        ({"status__conditions": [{"type": "ContainersReady", "status": "True"}]}, False),
        ({"status__conditions": []}, False),
        ({"status__conditions": None}, False),
        ({"status": {}}, False),
        ({"metadata__deletionTimestamp": "2026-01-01T00:00:00Z"}, False),
        ({"status__podIP": ""}, False),
        ({"status__podIP": None}, False),
    ],
)
def test_ready(changes: dict[str, Any], ready: bool) -> None:
    found = read_pod(pod(**changes))

    assert found.ready == ready
    assert bool(places(found, POOL)) == ready


@pytest.mark.parametrize(
    ("annotation", "ranks"),
    [
        (None, {0: 8000, 1: 8001, 2: 8002}),
        ("8001", {1: 8001}),
        (" 8002 , 8000 ", {0: 8000, 2: 8002}),
        ("9000", {}),
        ("", {}),
        ("8000,nonsense,-1,99999999,8002", {0: 8000, 2: 8002}),
        ("８０００", {}),
        ("8" * 5000, {}),
    ],
)
def test_active_ports(annotation: str | None, ranks: dict[int, int]) -> None:
    noted = {} if annotation is None else {ACTIVE_PORTS: annotation}
    found = places(read_pod(pod(metadata__annotations=noted)), POOL)

    assert {place.rank: place.port for place in found} == ranks
    assert [place.name for place in found] == [f"a-rank-{rank}" for rank in sorted(ranks)]


def test_a_pool_of_one_port_names_ranks_as_well() -> None:
    (place,) = places(
        read_pod(pod()),
        PoolSpec(name="p", namespace="ns", group="g", selector=(("app", "x"),), ports=(8000,)),
    )

    assert (place.name, place.host_port) == ("a-rank-0", "10.0.0.1:8000")


def test_an_address_of_ipv6_is_in_brackets() -> None:
    found = places(read_pod(pod(status__podIP="fd00::1")), POOL)

    assert found[0].host_port == "[fd00::1]:8000"


def test_a_pod_of_another_app_makes_no_endpoint() -> None:
    assert places(read_pod(pod(metadata__labels={"app": "y"})), POOL) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("metadata", "spec", "status", "labels", "annotations", "conditions", "type"),
                    *(
                        "name",
                        "selector",
                        "matchLabels",
                        "targetPorts",
                        "number",
                        "rules",
                        "matches",
                    ),
                    *(
                        "targets",
                        "model",
                        "weight",
                        "modelRewrite",
                        "endpoints",
                        "addresses",
                        "ports",
                    ),
                    *("podIP", "priority", "poolRef", "containerStatuses", "restartCount", "port"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(["metadata", "spec", "status", "endpoints", "ports"]), JSON)
)
def test_any_object_can_be_read(found: dict[str, Any]) -> None:
    pool, read = read_pool(found), read_pod(found)

    assert isinstance(places(read, pool), tuple)
    read_objective(found)
    read_rewrite(found)
    read_service(found)
    read_slice(found)
