"""What controllers may do is what their kinds need (A1-104, D18)."""

from __future__ import annotations

import pytest

from tests.packaging.rights import Right, of_rules
from tests.packaging.toys import BELL, LAMP, THIEF, TOYS, kind
from wayside.manifests.install import OPERATOR
from wayside.manifests.rbac import (
    VERBS,
    leader_rules,
    manager_role,
    people_roles,
    rights,
    router_rules,
    rules,
)
from wayside.vocab.resource import DEPLOYMENTS


def test_a1_104_a_kind_that_owns_nothing_is_only_read_and_told() -> None:
    assert rights(OPERATOR, [BELL]) == {
        ("toys.vllm.ai", "bells"): {"get", "list", "watch"},
        ("toys.vllm.ai", "bells/status"): {"patch"},
        ("", "services"): {"list", "watch"},
        ("", "events"): {"get", "create", "patch"},
        ("apiextensions.k8s.io", "customresourcedefinitions"): {"list", "watch"},
    }


def test_a1_104_children_are_written_and_what_is_read_is_not() -> None:
    found = rights(OPERATOR, [LAMP])
    whole = {"get", "list", "watch", "create", "patch", "delete"}
    assert found["apps", "deployments"] == whole
    assert found["", "services"] == whole  # read, too, which changes nothing
    assert found["gateway.networking.k8s.io", "gateways"] == {"list", "watch"}
    assert found["storage.k8s.io", "storageclasses"] == {"list", "watch"}
    assert found["toys.vllm.ai", "lamps"] == {"get", "list", "watch", "patch"}  # its finalizer
    assert found["toys.vllm.ai", "lamps/finalizers"] == {"update"}


def test_what_another_program_looks_after_is_not_the_operators() -> None:
    other = kind("Sign", program="router", owns=(DEPLOYMENTS,))
    assert rights(OPERATOR, [BELL, other]) == rights(OPERATOR, [BELL])
    said = of_rules(router_rules([BELL, other]))
    assert Right("patch", "toys.vllm.ai", "signs/status") in said
    assert Right("watch", "", "pods") in said
    assert {r.verb for r in said if r.resource != "signs/status"} <= {"get", "list", "watch"}
    assert not any(r.resource in ("deployments", "bells", "secrets") for r in said)


def test_nobody_gets_secrets() -> None:
    """D18: who reads every Secret of a cluster is its administrator."""
    with pytest.raises(ValueError, match="name them in the pod"):
        rights(OPERATOR, [LAMP, THIEF])


def test_rules_say_what_rights_say_and_nothing_else() -> None:
    found = rights(OPERATOR, TOYS)
    written = rules(found)
    said = {
        (group, resource): set(rule["verbs"])
        for rule in written
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert said == found
    assert sum(len(r["resources"]) for r in written) == len(found), "something is said twice"
    assert not any("*" in str(rule) for rule in written)
    for rule in written:
        assert rule["verbs"] == [v for v in VERBS if v in rule["verbs"]]


def test_rules_do_not_depend_on_the_order_of_kinds() -> None:
    assert rules(rights(OPERATOR, TOYS)) == rules(rights(OPERATOR, TOYS[::-1]))


def test_a_leader_may_write_its_own_lease_alone() -> None:
    create, own = leader_rules(OPERATOR.lease)
    assert create["verbs"] == ["create"]
    assert own["resourceNames"] == ["semantic-router-operator.vllm.ai"]
    assert own["verbs"] == ["get", "update"]


def test_people_who_may_edit_a_namespace_may_edit_these_objects() -> None:
    editor, viewer = people_roles(OPERATOR, LAMP)
    at = "rbac.authorization.k8s.io/aggregate-to-"
    assert editor["metadata"]["labels"][f"{at}edit"] == "true"
    assert viewer["metadata"]["labels"][f"{at}view"] == "true"
    assert f"{at}edit" not in viewer["metadata"]["labels"]
    assert viewer["rules"][0]["verbs"] == ["get", "list", "watch"]
    assert viewer["rules"][1] == {
        "apiGroups": ["toys.vllm.ai"],
        "resources": ["lamps/status"],
        "verbs": ["get"],
    }


def test_names_are_whole() -> None:
    """D17: nothing puts a prefix before them."""
    role = manager_role(OPERATOR, TOYS)
    assert role["metadata"]["name"] == "semantic-router-operator-manager-role"
    assert "namespace" not in role["metadata"]
