"""How far a Deployment has come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.resources import Object
from wayside.resources.semantic_router.rollout import rollout


def a_deployment(
    ready: int = 3,
    *,
    of: int = 3,
    updated: int | None = None,
    total: int | None = None,
    seen: int = 2,
    digest: str = "new",
    image: str = "i",
    uid: str = "u",
    conditions: tuple[dict[str, Any], ...] = (),
) -> Object:
    return {
        "metadata": {
            "name": "r",
            "generation": 2,
            "ownerReferences": [{"uid": uid, "controller": True}],
        },
        "spec": {
            "replicas": of,
            "template": {
                "metadata": {"annotations": {"digest": digest}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
        },
        "status": {
            "observedGeneration": seen,
            "replicas": of if total is None else total,
            "updatedReplicas": of if updated is None else updated,
            "readyReplicas": ready,
            "conditions": list(conditions),
        },
    }


MADE = a_deployment()
STUCK = {"type": "Progressing", "status": "False", "message": "took longer than 600s"}
FAILS = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}


@pytest.mark.parametrize(
    ("found", "available", "progressing"),
    [
        (None, "DeploymentNotFound", "Reconciling"),
        (a_deployment(uid="other"), "DeploymentNotFound", "Reconciling"),
        (a_deployment(), "AllReplicasReady", "Complete"),
        (a_deployment(0), "NoReadyReplicas", "RollingOut"),
        (a_deployment(2), "MinimumReplicasAvailable", "RollingOut"),
        (a_deployment(updated=1), "AllReplicasReady", "RollingOut"),
        (a_deployment(total=4), "AllReplicasReady", "RollingOut"),
        (a_deployment(seen=1), "AllReplicasReady", "Reconciling"),
        (a_deployment(digest="old"), "AllReplicasReady", "Reconciling"),
        (a_deployment(image="old"), "AllReplicasReady", "Reconciling"),
        (a_deployment(2, of=2), "MinimumReplicasAvailable", "Reconciling"),
        (
            a_deployment(2, conditions=(STUCK,)),
            "MinimumReplicasAvailable",
            "ProgressDeadlineExceeded",
        ),
        (a_deployment(0, conditions=(FAILS,)), "NoReadyReplicas", "RolloutFailed"),
        (a_deployment(conditions=(STUCK,)), "AllReplicasReady", "Complete"),
    ],
)
def test_figures_become_two_conditions(
    found: Object | None, available: str, progressing: str
) -> None:
    """A1-79, A1-80."""
    state = rollout(found, MADE, 3, "u")
    assert state.available().reason == available
    assert state.progressing().reason == progressing


def test_why_no_pod_can_be_made_is_told() -> None:
    """A1-77: a quota is to be seen where one looks first."""
    state = rollout(a_deployment(0, conditions=(FAILS,)), MADE, 3, "u")
    assert "exceeded quota: pods" in state.available().message
    assert state.progressing().event == "Warning"


def test_nothing_wanted_and_nothing_there_is_complete() -> None:
    """A1-79."""
    none = a_deployment(0, of=0)
    state = rollout(none, none, 0, "u")
    assert state.complete
    assert (state.available().status, state.available().reason) == ("False", "NoReadyReplicas")
    assert "spec.replicas is 0" in state.available().message


def test_a_deployment_that_is_left_alone_counts_as_it_is() -> None:
    """A1-79: a configuration that is refused changes nothing that runs."""
    state = rollout(a_deployment(5, of=5, digest="old"), None, 3, "u", "spec is not valid")
    assert (state.wanted, state.complete) == (5, True)


def test_where_none_is_made_it_is_told_why() -> None:
    state = rollout(None, None, 3, "u", "config.decisions[0]: no model 'x'")
    assert state.progressing().status == "False"
    assert state.progressing().reason == "Blocked"
    assert state.available().message == "config.decisions[0]: no model 'x'"


ANY = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["replicas", "conditions", "type", "uid"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.builds(
        lambda spec, status, meta: {"spec": spec, "status": status, "metadata": meta},
        ANY,
        ANY,
        ANY,
    )
)
def test_a_deployment_of_any_shape_raises_nothing(found: Any) -> None:
    state = rollout(found, found, 1, "u")
    state.available()
    state.progressing()
