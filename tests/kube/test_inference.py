"""Resources of both groups, as people write them and as they should not."""

from __future__ import annotations

from typing import Any

import pytest

from wayside.kube.inference import GROUP, OLD_GROUP, read_objective, read_pool, read_rewrite
from wayside.vocab.inference import Objective, PoolRef, RewriteRule, Target

META = {"name": "p", "namespace": "ns"}


def pool(spec: Any, api: str = f"{GROUP}/v1") -> Any:
    return read_pool({"apiVersion": api, "kind": "InferencePool", "metadata": META, "spec": spec})


@pytest.mark.parametrize(
    ("spec", "selector", "ports"),
    [
        (
            {"selector": {"matchLabels": {"b": "2", "a": "1"}}, "targetPorts": [{"number": 8000}]},
            (("a", "1"), ("b", "2")),
            (8000,),
        ),
        (
            {
                "selector": {"matchLabels": {"app": "x"}},
                "targetPorts": [{"number": 8001}, {"number": 8000}, {"number": 8001}],
            },
            (("app", "x"),),
            (8001, 8000),
        ),
        # v1alpha2
        ({"selector": {"app": "x"}, "targetPortNumber": 8000}, (("app", "x"),), (8000,)),
        # a label that is called matchLabels is a label
        (
            {"selector": {"matchLabels": "x"}, "targetPortNumber": 8000},
            (("matchLabels", "x"),),
            (8000,),
        ),
        # more than either version has selects nobody, rather than too many
        (
            {
                "selector": {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b"}]},
                "targetPorts": [{"number": 1}],
            },
            (),
            (1,),
        ),
        ({"selector": {"matchLabels": {"a": 1, "b": "2"}}}, (("b", "2"),), ()),
        (
            {"targetPorts": [{"number": 0}, {"number": 65536}, {"number": True}, "8000", {}]},
            (),
            (),
        ),
        ({"targetPorts": [{"number": 8000.0}]}, (), (8000,)),
        ({"targetPorts": [{"number": n} for n in range(1, 20)]}, (), tuple(range(1, 9))),
        ({"selector": "app=x", "targetPorts": 3}, (), ()),
        (None, (), ()),
        ([], (), ()),
    ],
)
def test_pools(spec: Any, selector: Any, ports: Any) -> None:
    found = pool(spec)

    assert (found.selector, found.ports) == (selector, ports)
    assert (found.name, found.namespace) == ("p", "ns")


def test_a_pool_says_its_group_and_protocol() -> None:
    assert pool({}).group == GROUP
    assert pool({}, f"{OLD_GROUP}/v1alpha2").group == OLD_GROUP
    assert pool({}).app_protocol == "http"
    assert pool({"appProtocol": "kubernetes.io/h2c"}).app_protocol == "kubernetes.io/h2c"


@pytest.mark.parametrize(
    ("spec", "priority"),
    [
        ({"priority": 5}, 5),
        ({"priority": -1}, -1),
        ({}, 0),
        ({"priority": None}, 0),
        ({"priority": "5"}, 0),
        ({"priority": True}, 0),
        ({"priority": 1 << 40}, 0),
        (None, 0),
    ],
)
def test_objectives(spec: Any, priority: int) -> None:
    assert read_objective({"metadata": META, "spec": spec}).priority == priority


def test_an_objective_says_whose_it_is() -> None:
    found = read_objective(
        {"metadata": META, "spec": {"poolRef": {"name": "mine", "group": OLD_GROUP, "kind": "K"}}}
    )

    assert found == Objective(name="p", namespace="ns", pool=PoolRef("mine", OLD_GROUP))


def exact(value: Any, kind: Any = "Exact") -> Any:
    return {"model": {"type": kind, "value": value}}


@pytest.mark.parametrize(
    ("rules", "read"),
    [
        (
            [
                {
                    "matches": [exact("m"), exact("n")],
                    "targets": [
                        {"modelRewrite": "x", "weight": 90},
                        {"modelRewrite": "y", "weight": 10},
                    ],
                }
            ],
            [RewriteRule(("m", "n"), (Target("x", 90), Target("y", 10)))],
        ),
        ([{"targets": [{"modelRewrite": "x"}]}], [RewriteRule(None, (Target("x"),))]),
        (
            [{"matches": [], "targets": [{"modelRewrite": "x"}]}],
            [RewriteRule(None, (Target("x"),))],
        ),
        (
            [{"matches": None, "targets": [{"modelRewrite": "x"}]}],
            [RewriteRule(None, (Target("x"),))],
        ),
        # the type is Exact where it is not said
        (
            [{"matches": [{"model": {"value": "m"}}], "targets": [{"modelRewrite": "x"}]}],
            [RewriteRule(("m",), (Target("x"),))],
        ),
        # matches that cannot be read do not become a rule for every model
        (
            [{"matches": [exact("m.*", "RegularExpression")], "targets": [{"modelRewrite": "x"}]}],
            [RewriteRule((), (Target("x"),))],
        ),
        (
            [{"matches": ["m", {}, exact(3)], "targets": [{"modelRewrite": "x"}]}],
            [RewriteRule((), (Target("x"),))],
        ),
        (
            [{"matches": "m", "targets": [{"modelRewrite": "x"}]}],
            [RewriteRule((), (Target("x"),))],
        ),
        # weights out of bounds are none, rules without targets no rules
        (
            [{"targets": [{"modelRewrite": "x", "weight": 0}, {"modelRewrite": "", "weight": 1}]}],
            [RewriteRule(None, (Target("x"),))],
        ),
        ([{"targets": [{"modelRewrite": 3}]}, {"targets": []}, {}, 7], []),
        (None, []),
        ({}, []),
    ],
)
def test_rewrites(rules: Any, read: list[RewriteRule]) -> None:
    found = read_rewrite({"metadata": META, "spec": {"rules": rules}})

    assert list(found.rules) == read


def test_a_rewrite_says_its_age_and_its_pool() -> None:
    found = read_rewrite(
        {
            "metadata": {**META, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"poolRef": {"name": "mine"}},
        }
    )

    assert (found.created, found.pool) == ("2026-01-01T00:00:00Z", PoolRef("mine", GROUP))
