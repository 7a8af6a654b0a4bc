"""Conditions that say themselves what it means when their signal is unknown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wayside.decisions import (
    FALSE,
    FATAL,
    Decider,
    Truth,
    compile_decision,
    compile_rule,
    trace,
)
from wayside.selection import Candidate
from wayside.settings import Condition, DecisionSettings
from wayside.vocab.verdict import SignalRef, Verdict, Verdicts

GONE = Verdict(False, 0.0, "timed out", unknown=True)
SEEN = {
    SignalRef("k", "u"): GONE,
    SignalRef("k", "w"): GONE,
    SignalRef("k", "yes"): Verdict(True, 0.6),
}


def truth(when: Any, verdicts: Verdicts = SEEN) -> Truth:
    return compile_rule(Condition.model_validate(when))(verdicts)


def u(on_unknown: str | None, **tests: float) -> dict[str, Any]:
    return {"signal": "k:u", **tests} | ({"on_unknown": on_unknown} if on_unknown else {})


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (u("no_match"), FALSE),
        (u("match"), 1.0),
        (u("fail_request"), FATAL),
        (u(None), None),
        (u("match", gte=0.5), 1.0),
        (u("fail_request", lt=0.5), FATAL),
        ({"not": u("no_match")}, 1.0),
        ({"not": u("match")}, FALSE),
        ({"not": u("fail_request")}, FATAL),
        ({"all": ["k:yes", u("match")]}, 0.8),
        ({"all": ["k:yes", u("fail_request")]}, FATAL),
        ({"all": ["k:no", u("fail_request")]}, FALSE),
        ({"all": [u("fail_request"), "k:no"]}, FALSE),
        ({"all": ["k:w", u("fail_request")]}, FATAL),
        ({"all": ["k:w", u("no_match")]}, FALSE),
        ({"any": ["k:yes", u("fail_request")]}, 0.6),
        ({"any": ["k:no", u("fail_request")]}, FATAL),
        ({"any": ["k:w", u("fail_request")]}, FATAL),
        ({"any": ["k:w", u("no_match")]}, None),
        ({"any": ["k:w", {"all": ["k:no", u("fail_request")]}]}, None),
    ],
)
def test_a_condition_settles_its_own_unknown(when: Any, expected: Truth) -> None:
    assert truth(when) == expected


@pytest.mark.parametrize("policy", ["no_match", "match", "fail_request"])
def test_it_says_nothing_about_what_is_known(policy: str) -> None:
    for name, expected in (("yes", 0.6), ("no", FALSE)):
        assert truth({"signal": f"k:{name}", "on_unknown": policy}) == expected


@pytest.mark.parametrize("decisions", ["no_match", "match", "fail_request"])
@pytest.mark.parametrize(
    ("leaf", "expected"),
    [("no_match", None), ("match", (1.0, False)), ("fail_request", (1.0, True))],
)
def test_it_comes_before_what_the_decision_says(
    decisions: str, leaf: str, expected: tuple[float, bool] | None
) -> None:
    settings = DecisionSettings.model_validate(
        {"name": "guard", "when": u(leaf), "on_unknown": decisions}
    )
    match = Decider([compile_decision(settings, (Candidate("m"),))]).decide(SEEN)
    assert (match and (match.confidence, match.unknown)) == expected


def test_people_are_shown_that_it_is_unknown() -> None:
    node = trace(Condition.model_validate({"not": u("fail_request")}), SEEN)
    assert node.truth is None and node.children[0].truth is None


def test_it_belongs_to_one_signal() -> None:
    with pytest.raises(ValidationError, match="beside signal"):
        Condition.model_validate({"all": ["k:a"], "on_unknown": "match"})
    with pytest.raises(ValidationError, match="no_match"):
        Condition.model_validate({"signal": "k:a", "on_unknown": "maybe"})


_leaf = st.builds(
    lambda name, policy: {"signal": f"k:{name}", "on_unknown": policy},
    st.sampled_from(["u", "w", "yes", "no"]),
    st.sampled_from([None, "fail_request"]),
)
_rules = st.recursive(
    _leaf,
    lambda inner: st.one_of(
        st.builds(lambda c: {"all": c}, st.lists(inner, max_size=3)),
        st.builds(lambda c: {"any": c}, st.lists(inner, max_size=3)),
        st.builds(lambda c: {"not": c}, inner),
    ),
    max_leaves=6,
)


def plain(when: dict[str, Any]) -> dict[str, Any]:
    """The same rule, in which no condition settles anything."""
    if "signal" in when:
        return {"signal": when["signal"]}
    ((form, inside),) = when.items()
    return {form: plain(inside) if isinstance(inside, dict) else [plain(c) for c in inside]}


@given(_rules)
def test_a_request_fails_only_where_the_rule_would_be_unknown(when: dict[str, Any]) -> None:
    held, without = truth(when), truth(plain(when))
    assert (held is None or held == FATAL) == (without is None)
    if without is not None:
        assert held == without
