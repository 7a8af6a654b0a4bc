"""What would have changed the choice: small, true, and found in bounded time."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wayside.decisions import Decider, compile_decision
from wayside.runtime.changes import Alternative, alternatives
from wayside.runtime.limits import limits, number, threshold, written
from wayside.selection import Candidate
from wayside.settings import DecisionSettings, Settings
from wayside.signals import Bounds
from wayside.vocab.verdict import SignalRef, Verdict, Verdicts

A, B, C, D = (SignalRef("s", name) for name in "abcd")


def decider(*decisions: dict[str, Any], strategy: str = "priority") -> Decider:
    made = [DecisionSettings.model_validate({"models": ["m"], **d}) for d in decisions]
    return Decider([compile_decision(d, (Candidate("m"),)) for d in made], strategy)


def said(found: list[Alternative]) -> list[tuple[str | None, list[str]]]:
    return [
        (f.decision.name if f.decision else None, [c.text for c in f.way.values()]) for f in found
    ]


def test_what_was_nearly_so_comes_first_with_its_numbers() -> None:
    found = alternatives(
        decider(
            {"name": "sums", "when": "s:a", "priority": 5},
            {"name": "hurry", "when": {"all": ["s:b", "s:c"]}},
        ),
        {A: Verdict(False, 0.0, "math 0.46", 0.46)},
        {A: {"gte": 0.5}},
    )
    assert said(found) == [
        ("sums", ["s:a at 0.46 needed 0.50"]),
        ("hurry", ["no s of s:b", "no s of s:c"]),
    ]


def test_a_decision_of_lower_rank_also_needs_the_winner_gone() -> None:
    found = alternatives(
        decider({"name": "first", "when": "s:a", "priority": 9}, {"name": "last", "when": "s:b"}),
        {A: Verdict(True, 0.9, "seen")},
        {},
    )
    assert said(found) == [
        (None, ["s:a matched (seen)"]),
        ("last", ["no s of s:b", "s:a matched (seen)"]),
    ]


def test_one_leaf_may_do_for_two_rules() -> None:
    found = alternatives(
        decider(
            {"name": "with", "when": "s:a", "priority": 9},
            {"name": "without", "when": {"not": "s:a"}},
        ),
        {A: Verdict(True)},
        {},
    )
    assert said(found) == [("without", ["s:a matched"])], "no change leads to the default"


def test_what_is_unknown_is_told_as_that() -> None:
    found = alternatives(
        decider({"name": "guard", "when": {"all": ["s:a", "s:b"]}}),
        {A: Verdict(False, 0.0, "timed out", unknown=True), B: Verdict(True)},
        {},
    )
    assert said(found) == [("guard", ["s:a is unknown (timed out)"])]


@pytest.mark.parametrize(
    ("when", "value", "text"),
    [
        ({"signal": "s:a", "gt": 5}, 2.0, "s:a at 2 needed > 5"),
        ({"signal": "s:a", "gte": 2, "lt": 9}, 12.0, "s:a at 12 needed < 9 and ≥ 2"),
        ({"not": {"signal": "s:a", "gte": 0.3}}, 0.6, "s:a at 0.60 needed not ≥ 0.30"),
        ({"signal": "s:a", "eq": 1}, None, "s:a at 0.00 needed = 1.00"),
    ],
)
def test_comparisons_say_what_they_needed(when: Any, value: float | None, text: str) -> None:
    found = alternatives(
        decider({"name": "d", "when": when}), {A: Verdict(False, 0.0, value=value)}, {}
    )
    ((name, (needs,)),) = said(found)
    assert name == "d" and set(needs.split()) == set(text.split())


def test_a_range_is_told_whole() -> None:
    bounds = {"gte": 2000.0, "lte": 8000.0}
    (one,) = alternatives(
        decider({"name": "long", "when": "s:a"}), {A: Verdict(False, 0.0, value=12)}, {A: bounds}
    )
    assert [c.text for c in one.way.values()] == ["s:a at 12 needed ≥ 2000 and ≤ 8000"]


def test_no_set_of_changes_is_no_answer() -> None:
    never = {"name": "never", "when": {"all": ["s:a", {"not": "s:a"}]}}
    assert alternatives(decider(never), {}, {}) == []


refs = st.sampled_from(["s:a", "s:b", "s:c", "s:d"])
conditions = st.recursive(
    refs,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=6,
)
verdicts = st.dictionaries(
    st.sampled_from([A, B, C, D]),
    st.sampled_from([Verdict(True), Verdict(False, 0.0), Verdict(False, 0.0, unknown=True)]),
)


@given(
    rules=st.lists(conditions, min_size=1, max_size=3),
    priorities=st.lists(st.integers(0, 3), min_size=3, max_size=3),
    now=verdicts,
)
@settings(max_examples=200, deadline=None)
@example(rules=[{"all": [{"any": ["s:a", {"not": "s:b"}]}, "s:b"]}], priorities=[0, 0, 0], now={})
def test_it_is_true_and_as_small_as_any(
    rules: list[Any], priorities: list[int], now: Verdicts
) -> None:
    """Against every way of turning four leaves over."""
    made = decider(
        *(
            {"name": f"d{i}", "when": when, "priority": p}
            for i, (when, p) in enumerate(zip(rules, priorities, strict=False))
        )
    )
    found = {f.decision: f.way for f in alternatives(made, now, {})}
    for decision, way in found.items():
        match = made.decide({**now, **{ref: c.verdict for ref, c in way.items()}})
        assert (match.decision if match else None) is decision
    chosen = made.decide(now)
    for other in (*made.decisions, None):
        if other is (chosen.decision if chosen else None):
            continue
        smallest = _smallest(made, now, other)
        assert (other in found) == (smallest is not None)
        if smallest is not None:
            assert len(found[other]) == smallest


def _smallest(made: Decider, now: Verdicts, wanted: Any) -> int | None:
    for size in range(5):
        for refs in itertools.combinations((A, B, C, D), size):
            for truths in itertools.product((True, False), repeat=size):
                turned = {ref: Verdict(t, float(t)) for ref, t in zip(refs, truths, strict=True)}
                match = made.decide({**now, **turned})
                if (match.decision if match else None) is wanted:
                    return size
    return None


def test_many_large_rules_are_answered_in_bounded_time() -> None:
    def rule(i: int) -> Any:
        return {
            "all": [
                {"any": [f"s:{i}-{j}-{k}" for k in range(10)]} if j % 2 else {"not": f"s:{i}-{j}"}
                for j in range(20)
            ]
        }

    many = decider(*({"name": f"d{i}", "when": rule(i), "priority": i} for i in range(200)))
    began = time.perf_counter()
    found = alternatives(many, {}, {})
    assert time.perf_counter() - began < 15  # 1 s on a machine with nothing else to do
    assert found and all(len(f.way) == 10 for f in found)


class Rule(Settings):
    threshold: float = 0.5


class Counted(Settings):
    predicate: Bounds = Bounds(gte=2, lt=4)


def test_the_numbers_of_a_rule_are_known_by_name() -> None:
    assert limits(Rule()) == {"gte": 0.5} and threshold(limits(Rule())) == 0.5
    assert limits(Counted()) == {"gte": 2, "lt": 4} and threshold(limits(Counted())) is None
    assert limits(None) == {} and threshold({}) is None
    assert written({"gte": 2000, "lte": 0.5}) == "≥ 2000 and ≤ 0.50"


@pytest.mark.parametrize(
    ("value", "text"), [(0.4567, "0.46"), (0.0, "0.00"), (0.0012, "0.0012"), (12, "12")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
