"""Which rule is for a model, and which target a rule gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.vocab.inference import (
    Objective,
    PoolSpec,
    Rewrite,
    RewriteRule,
    Rewrites,
    Target,
    new_wins,
)


def rule(models: str | None, target: str) -> RewriteRule:
    return RewriteRule(None if models is None else tuple(models.split()), (Target(target),))


def rewrite(name: str, created: str, *rules: RewriteRule) -> Rewrite:
    return Rewrite(name=name, namespace="ns", created=created, rules=rules)


OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"


@pytest.mark.parametrize(
    ("rewrites", "model", "found"),
    [
        ([], "m", None),
        ([rewrite("a", OLD, rule("m", "x"))], "m", "x"),
        ([rewrite("a", OLD, rule("n m", "x"))], "m", "x"),
        ([rewrite("a", OLD, rule("n", "x"))], "m", None),
        ([rewrite("a", OLD, rule(None, "x"))], "m", "x"),
        # a rule that names the model goes first, however young, and wherever it stands
        ([rewrite("a", OLD, rule(None, "x")), rewrite("b", NEW, rule("m", "y"))], "m", "y"),
        ([rewrite("a", OLD, rule(None, "x"), rule("m", "y"))], "m", "y"),
        # then the oldest
        ([rewrite("a", NEW, rule("m", "x")), rewrite("b", OLD, rule("m", "y"))], "m", "y"),
        ([rewrite("a", NEW, rule(None, "x")), rewrite("b", OLD, rule(None, "y"))], "m", "y"),
        # then the first rule
        ([rewrite("a", OLD, rule("m", "x"), rule("m", "y"))], "m", "x"),
        ([rewrite("a", OLD, rule(None, "x"), rule(None, "y"))], "m", "x"),
        # of two that are as old, by name
        ([rewrite("b", OLD, rule("m", "x")), rewrite("a", OLD, rule("m", "y"))], "m", "y"),
        # an age nobody knows is the youngest
        ([rewrite("a", "", rule("m", "x")), rewrite("b", NEW, rule("m", "y"))], "m", "y"),
        # matches of which none could be read are not a rule for every model
        ([rewrite("a", OLD, rule("", "x"))], "m", None),
        ([rewrite("a", OLD, RewriteRule(None, ())), rewrite("b", NEW, rule(None, "y"))], "m", "y"),
        ([rewrite("a", OLD, rule("M", "x"))], "m", None),
    ],
)
def test_precedence(rewrites: list[Rewrite], model: str, found: str | None) -> None:
    for order in (rewrites, rewrites[::-1]):
        got = Rewrites(order).find(model)
        assert (got and got[0].target(0.0)) == found


def test_a_found_rule_comes_with_the_name_of_its_rewrite() -> None:
    got = Rewrites([rewrite("a", OLD, rule("m", "x"))]).find("m")

    assert got is not None
    assert got[1] == "a"


def test_whether_there_are_rules_at_all() -> None:
    assert not Rewrites()
    assert not Rewrites([rewrite("a", OLD)])
    assert Rewrites([rewrite("a", OLD, rule("m", "x"))])
    assert Rewrites([rewrite("a", OLD, rule(None, "x"))])


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ([None], [1.0]),
        ([None, None], [0.5, 0.5]),
        ([1, 3], [0.25, 0.75]),
        ([1, None, 1], [0.5, 0.0, 0.5]),
        ([1_000_000, 1_000_000, 2_000_000], [0.25, 0.25, 0.5]),
    ],
)
def test_targets_share_by_weight(weights: list[int | None], shares: list[float]) -> None:
    several = RewriteRule(None, tuple(Target(str(i), w) for i, w in enumerate(weights)))
    drawn = [several.target(i / 1000) for i in range(1000)]

    assert [drawn.count(str(i)) / 1000 for i in range(len(weights))] == pytest.approx(shares)


@given(
    st.lists(st.one_of(st.none(), st.integers(1, 1_000_000)), min_size=1, max_size=16),
    st.floats(0, 1, exclude_max=True),
)
def test_every_throw_gives_a_target_that_may_be_given(
    weights: list[int | None], dice: float
) -> None:
    several = RewriteRule(None, tuple(Target(str(i), w) for i, w in enumerate(weights)))
    chosen = int(several.target(dice))

    assert weights[chosen] is not None or not any(weights)


def test_the_newer_group_wins_where_both_have_an_object() -> None:
    old = [Objective(name="a", namespace="ns", priority=1), Objective(name="b", namespace="ns")]
    new = [Objective(name="a", namespace="ns", priority=2), Objective(name="a", namespace="o")]

    assert {(o.namespace, o.name): o.priority for o in new_wins(old, new)} == {
        ("ns", "a"): 2,
        ("ns", "b"): 0,
        ("o", "a"): 0,
    }


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ((("app", "x"),), {"app": "x", "more": "y"}, True),
        ((("app", "x"), ("tier", "gpu")), {"app": "x"}, False),
        ((("app", "x"),), {"app": "y"}, False),
        ((("app", ""),), {}, False),
        ((), {"app": "x"}, False),
    ],
)
def test_a_pool_takes_the_pods_it_names(
    selector: tuple[tuple[str, str], ...], labels: dict[str, str], selected: bool
) -> None:
    pool = PoolSpec(name="p", namespace="ns", group="g", selector=selector)

    assert pool.selects(labels) == selected
