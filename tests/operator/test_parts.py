"""The queue, who looked at what, whose fields are whose, and the least patch of a status."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.operator.fields import all_ours, digest, without_nulls
from wayside.operator.looks import Lookers
from wayside.operator.queue import FIRST_S, LONGEST_S, Queue
from wayside.operator.status import difference, wanted
from wayside.resources import NOW, Condition, Desired
from wayside.vocab.resource import CONFIG_MAPS, SERVICES

# --- queue -----------------------------------------------------------------------------------


async def test_a_key_is_worked_on_once_for_all_that_happened() -> None:
    queue: Queue[str] = Queue()
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0 and queue.adds == 2


async def test_a_key_is_never_worked_on_twice_at_the_same_time() -> None:
    queue: Queue[str] = Queue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0, "it waits for its work to end"
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_failures_wait_longer_and_longer_and_not_for_ever() -> None:
    queue: Queue[str] = Queue(dice=lambda: 0.0)
    pauses = []
    for _ in range(14):
        queue.retry("a")
        pauses.append(queue._later["a"].when() - asyncio.get_running_loop().time())
        queue._later.pop("a").cancel()
    assert pauses[:4] == pytest.approx([FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S], abs=0.1)
    assert pauses[-1] == pytest.approx(LONGEST_S, abs=0.1)
    queue.succeeded("a")
    assert queue.retry("a", at_least_s=9) == 1
    assert queue._later["a"].when() - asyncio.get_running_loop().time() > 8.9
    queue.clear()


async def test_the_sooner_of_two_counts_and_work_makes_both_void() -> None:
    queue: Queue[str] = Queue()
    queue.after("a", 5)
    queue.after("a", 0.01)
    queue.after("a", 7)
    assert await asyncio.wait_for(queue.get(), 1) == "a"
    queue.after("a", 0.05)
    queue.done("a")
    queue.add("a")
    assert await queue.get() == "a"
    await asyncio.sleep(0.1)
    assert len(queue) == 0 and not queue._later


# --- looks -----------------------------------------------------------------------------------


def test_who_looked_is_told_and_nobody_else() -> None:
    lookers = Lookers()
    a, b = ("Toy", "ns", "a"), ("Toy", "ns", "b")
    lookers.remember(a, [(CONFIG_MAPS, "ns", "x")])
    lookers.remember(b, [(CONFIG_MAPS, "ns", "*"), (SERVICES, "*", "*")])
    assert lookers.of(CONFIG_MAPS, "ns", "x") == {a, b}
    assert lookers.of(CONFIG_MAPS, "ns", "y") == {b}
    assert lookers.of(CONFIG_MAPS, "other", "x") == set()
    assert lookers.of(SERVICES, "other", "x") == {b}
    lookers.remember(a, [(CONFIG_MAPS, "ns", "y")])
    assert lookers.of(CONFIG_MAPS, "ns", "x") == {b}
    lookers.remember(a, [])
    lookers.remember(b, [])
    assert len(lookers) == 0 and not lookers._who, "nothing is kept of who is gone"


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.frozensets(
                st.tuples(st.just(SERVICES), st.sampled_from("mn"), st.sampled_from("xyz*"))
            ),
        )
    )
)
def test_looks_are_what_was_remembered_last(steps: list[tuple[str, Any]]) -> None:
    lookers, last = Lookers(), {}
    for who, looks in steps:
        lookers.remember(("Toy", "", who), looks)
        last[who] = looks
    for namespace in "mn":
        for name in "xyz":
            hits = {(SERVICES, namespace, name), (SERVICES, namespace, "*")}
            assert lookers.of(SERVICES, namespace, name) == {
                ("Toy", "", who) for who, looks in last.items() if hits & looks
            }


# --- fields ----------------------------------------------------------------------------------

OURS = {
    "f:metadata": {"f:labels": {"f:a": {}}},
    "f:spec": {
        "f:selector": {},
        "f:ports": {
            'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:name": {}},
            'k:{"port":80,"protocol":"UDP"}': {".": {}, "f:port": {}},
        },
        "f:finalizers": {'v:"x"': {}},
    },
}


@pytest.mark.parametrize(
    ("desired", "holds"),
    [
        ({"spec": {"selector": {"app": "x", "more": "y"}}}, True),
        ({"spec": {"ports": [{"port": 80, "name": "a"}]}}, True),
        ({"spec": {"ports": [{"port": 80, "name": "a", "protocol": "UDP"}]}}, False),
        ({"spec": {"ports": [{"port": 81}]}}, False),
        ({"spec": {"finalizers": ["x"]}}, True),
        ({"spec": {"finalizers": ["y"]}}, False),
        ({"spec": {"replicas": 1}}, False),
        ({"spec": {"replicas": 0}}, False),
        ({"spec": {"env": [], "volumes": {}}}, True),
        ({"metadata": {"name": "n", "labels": {"a": "1"}}}, True),
        ({"metadata": {"name": "n", "labels": {"b": "1"}}}, False),
        ({"data": {"x": "y"}}, False),
    ],
)
def test_all_of_it_is_ours_or_not(desired: Any, holds: bool) -> None:
    assert all_ours({"apiVersion": "v1", "kind": "Service", **desired}, OURS) is holds


def test_nothing_is_ours_of_what_we_never_applied() -> None:
    assert not all_ours({"metadata": {}}, {})


def test_digests_do_not_depend_on_order() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})
    assert without_nulls({"a": None, "b": [{"c": None, "d": "null"}]}) == {"b": [{"d": "null"}]}


# --- status ----------------------------------------------------------------------------------

json = st.recursive(
    st.booleans() | st.integers(2, 5) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from("xyz"), json), st.dictionaries(st.sampled_from("xyz"), json)
)
def test_the_patch_makes_one_of_the_other(old: Any, new: Any) -> None:
    patch = difference(old, new)
    assert _merged(old, patch) == new
    assert bool(patch) == (not _same(old, new))


def _same(a: Any, b: Any) -> bool:
    """As JSON: true is not 1."""
    return digest({"x": a}) == digest({"x": b})


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = _merged(target.get(name), value)
    return target


def test_conditions_that_are_not_said_any_more_are_taken_away() -> None:
    """A1-80: and one whose status stays keeps its time."""
    old = {"type": "A", "status": "True", "reason": "R", "lastTransitionTime": "t0"}
    found = {
        "metadata": {"generation": 3},
        "status": {"conditions": [old, {**old, "type": "B"}], "kept": 1, "gone": 2},
    }
    desired = Desired(
        conditions=[Condition("A", "True", "Other", "m")], status={"gone": None, "new": (1, 2)}
    )
    status, changed = wanted(found, desired, "t1")
    assert [c["type"] for c in status["conditions"]] == ["A"]
    assert status["conditions"][0]["lastTransitionTime"] == "t0"
    assert [c.type for c in changed] == ["A"]
    assert (status["kept"], status["new"], status["observedGeneration"]) == (1, [1, 2], 3)
    assert "gone" not in status


def test_items_of_a_list_have_times_of_their_own() -> None:
    """Appendix A of the specification: ``status.backends[].lastTransitionTime``."""

    def told(*ready: bool) -> list[Any]:
        return [{"name": f"b{i}", "ready": r, "at": NOW} for i, r in enumerate(ready)]

    first, _ = wanted({}, Desired(status={"backends": told(True, True)}), "2026-01-01T00:00:00Z")
    assert {b["at"] for b in first["backends"]} == {"2026-01-01T00:00:00Z"}
    found = {"status": first}
    again, _ = wanted(
        found, Desired(status={"backends": told(True, True)}), "2026-01-02T00:00:00Z"
    )
    assert difference(first, again) == {}
    moved, _ = wanted(
        found, Desired(status={"backends": told(True, False, True)}), "2026-01-02T00:00:00Z"
    )
    assert [b["at"][8:10] for b in moved["backends"]] == ["01", "02", "02"]
