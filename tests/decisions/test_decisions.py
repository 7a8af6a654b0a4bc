"""Rules, three-valued logic and the order of decisions (spec: vSR 4)."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.decisions import (
    FALSE,
    Decider,
    Decision,
    Match,
    Truth,
    compile_decision,
    compile_rule,
    leaves,
    parse_ref,
    trace,
)
from wayside.selection import Candidate
from wayside.settings import Condition, DecisionSettings
from wayside.vocab.verdict import SignalRef, Verdict, Verdicts

UNKNOWN = Verdict(False, 0.0, "timed out", unknown=True)


def seen(**signals: Verdict | float) -> dict[SignalRef, Verdict]:
    """Verdicts of the kind ``k``; a number is the confidence of a match."""
    return {
        SignalRef("k", name): v if isinstance(v, Verdict) else Verdict(True, v)
        for name, v in signals.items()
    }


def truth(when: Any, verdicts: Verdicts) -> Truth:
    return compile_rule(None if when is None else Condition.model_validate(when))(verdicts)


def decision(name: str, when: Any = None, **settings: Any) -> Decision:
    return compile_decision(
        DecisionSettings.model_validate({"name": name, "when": when, **settings}),
        (Candidate("big"),),
    )


def winner(decisions: Sequence[Decision], verdicts: Verdicts, strategy: str = "priority") -> str:
    """The name of the decision that wins, whatever order they are written in."""
    names = set()
    for written in itertools.permutations(decisions):
        match = Decider(written, strategy).decide(verdicts)
        names.add(match.decision.name if match else "")
    (name,) = names
    return name


@pytest.mark.parametrize(
    ("when", "verdicts", "expected"),
    [
        # a leaf has its signal's confidence
        ("k:a", seen(a=0.7), 0.7),
        ("k:a", seen(), FALSE),
        ("k:a", seen(b=1.0), FALSE),
        ("k:a", seen(a=Verdict(False, 0.9)), FALSE),
        ("k:a", {SignalRef("other", "a"): Verdict(True)}, FALSE),
        ("k:a:b", {SignalRef("k", "a:b"): Verdict(True, 0.5)}, 0.5),
        # AND: all children; the mean
        ({"all": ["k:a", "k:b"]}, seen(a=0.8, b=0.6), 0.7),
        ({"all": ["k:a", "k:b"]}, seen(a=0.8), FALSE),
        ({"all": ["k:a"]}, seen(a=0.4), 0.4),
        ({"all": []}, seen(), 0.0),
        # OR: any child; the best
        ({"any": ["k:a", "k:b"]}, seen(a=0.4, b=0.9), 0.9),
        ({"any": ["k:a", "k:b"]}, seen(a=0.4), 0.4),
        ({"any": ["k:a", "k:b"]}, seen(), FALSE),
        ({"any": []}, seen(a=1.0), FALSE),
        ({"any": [{"all": []}]}, seen(), 0.0),
        # NOT: 1.0
        ({"not": "k:a"}, seen(), 1.0),
        ({"not": "k:a"}, seen(a=0.2), FALSE),
        ({"not": {"not": "k:a"}}, seen(a=0.2), 1.0),
        ({"not": {"all": []}}, seen(), FALSE),
        # nested (upstream's contract matrix: nested/all-any-not)
        ({"all": [{"any": ["k:a", "k:b"]}, {"not": "k:c"}]}, seen(b=0.8), 0.9),
        ({"all": [{"any": ["k:a", "k:b"]}, {"not": "k:c"}]}, seen(b=0.8, c=0.1), FALSE),
        # no rule at all
        (None, seen(), 0.0),
    ],
)
def test_a_rule_holds_with_the_confidence_vsr_gives_it(
    when: Any, verdicts: Verdicts, expected: Truth
) -> None:
    assert truth(when, verdicts) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("k:u", None),
        ({"not": "k:u"}, None),
        ({"all": ["k:no", "k:u"]}, FALSE),
        ({"all": ["k:u", "k:no"]}, FALSE),
        ({"all": ["k:yes", "k:u"]}, None),
        ({"any": ["k:yes", "k:u"]}, 0.6),
        ({"any": ["k:u", "k:yes"]}, 0.6),
        ({"any": ["k:no", "k:u"]}, None),
        ({"not": {"any": ["k:u", "k:yes"]}}, FALSE),
        ({"not": {"all": ["k:u", "k:no"]}}, 1.0),
        ({"signal": "k:u", "gte": 0.5}, None),
        ({"signal": "k:u", "lt": 0.5}, None),
        ({"all": [{"not": "k:u"}, {"any": ["k:u", "k:yes"]}]}, None),
    ],
)
def test_unknown_spreads_only_where_it_matters(when: Any, expected: Truth) -> None:
    assert truth(when, seen(u=UNKNOWN, yes=0.6)) == expected


def valued(value: float | None, matched: bool = False, confidence: float = 0.0) -> Verdicts:
    return seen(count=Verdict(matched, confidence, value=value))


@pytest.mark.parametrize(
    ("tests", "verdicts", "expected"),
    [
        ({"gte": 3}, valued(3), 1.0),
        ({"gt": 3}, valued(3), FALSE),
        ({"gt": 3}, valued(3.5), 1.0),
        ({"lte": 0}, valued(0), 1.0),
        ({"lt": 0}, valued(0), FALSE),
        ({"eq": 2}, valued(2), 1.0),
        ({"eq": 2}, valued(2.5), FALSE),
        ({"gt": 0, "lt": 1}, valued(0.5), 1.0),
        ({"gt": 0, "lt": 1}, valued(1.5), FALSE),
        ({"eq": 0}, valued(0), 1.0),
        # a signal that matched keeps its confidence; without a value its confidence is compared
        ({"gte": 3}, valued(4, matched=True, confidence=0.4), 0.4),
        ({"gte": 0.5}, valued(None, matched=True, confidence=0.7), 0.7),
        ({"gte": 0.5}, valued(None, matched=True, confidence=0.3), FALSE),
        # silence is zero
        ({"gte": 0.5}, {}, FALSE),
        ({"lt": 0.5}, {}, 1.0),
    ],
)
def test_a_comparison_reads_the_signals_value(
    tests: dict[str, float], verdicts: Verdicts, expected: Truth
) -> None:
    assert truth({"signal": "k:count", **tests}, verdicts) == expected


def test_a_comparison_below_can_hold_although_nothing_matched() -> None:
    small = decision("small", {"signal": "k:count", "lt": 100})
    assert not small.needs_a_match
    assert winner([small], {}) == "small"


# Which decision wins (spec: vSR 4, "Selecting among matched decisions")


@pytest.mark.parametrize(
    ("strategy", "decisions", "verdicts", "wins"),
    [
        (
            "priority",
            [decision("low", "k:a", priority=1), decision("high", "k:a", priority=2)],
            seen(a=0.3),
            "high",
        ),
        (
            "priority",
            [decision("sure", "k:a", priority=1), decision("first", "k:b", priority=2)],
            seen(a=0.9, b=0.1),
            "first",
        ),
        ("priority", [decision("x", "k:a"), decision("y", "k:b")], seen(a=0.3, b=0.8), "y"),
        ("priority", [decision("beta", "k:a"), decision("alpha", "k:a")], seen(a=1.0), "alpha"),
        ("priority", [decision("any", priority=9), decision("a", "k:a")], seen(a=1.0), "any"),
        (
            "confidence",
            [decision("low", "k:a", priority=9), decision("high", "k:b")],
            seen(a=0.3, b=0.8),
            "high",
        ),
        (
            "confidence",
            [decision("a", "k:a", priority=1), decision("b", "k:b", priority=2)],
            seen(a=0.8, b=0.8),
            "b",
        ),
        ("confidence", [decision("beta", "k:a"), decision("alpha", "k:a")], seen(a=1.0), "alpha"),
        (
            "confidence",
            [decision("specific", "k:a", priority=1), decision("fallback", priority=100)],
            seen(a=0.72),
            "specific",
        ),
        # tiers: the lower one first, then confidence, whatever the strategy says
        (
            "priority",
            [decision("two", "k:a", priority=100, tier=2), decision("one", "k:b", tier=1)],
            seen(a=0.9, b=0.2),
            "one",
        ),
        (
            "priority",
            [
                decision("math", "k:a", priority=200, tier=2),
                decision("science", "k:b", priority=100, tier=2),
            ],
            seen(a=0.52, b=0.89),
            "science",
        ),
        (
            "priority",
            [
                decision("math", "k:a", priority=200, tier=2),
                decision("science", "k:b", priority=100, tier=2),
            ],
            seen(a=0.89, b=0.89),
            "math",
        ),
        # upstream: TestUntieredDecisionOutranksTieredDecision
        (
            "priority",
            [
                decision("untiered", "k:law", priority=10),
                decision("tiered", "k:business", priority=900, tier=1),
            ],
            seen(law=0.60, business=0.95),
            "untiered",
        ),
        # upstream: TestMatchedTieredDecisionSwitchesUntieredPoolToConfidence
        (
            "priority",
            [
                decision("high_priority", "k:terse", priority=160),
                decision("high_confidence", "k:es", priority=135),
                decision("tiered_fallback", "k:business", priority=200, tier=2),
            ],
            seen(terse=0.70, es=0.99, business=0.80),
            "high_confidence",
        ),
        # ... but a tier that did not match changes nothing
        (
            "priority",
            [
                decision("high_priority", "k:terse", priority=160),
                decision("high_confidence", "k:es", priority=135),
                decision("tiered_fallback", "k:business", priority=200, tier=2),
            ],
            seen(terse=0.70, es=0.99),
            "high_priority",
        ),
        ("priority", [decision("missing", "k:a")], seen(b=1.0), ""),
        ("priority", [decision("only", {"any": []})], seen(b=1.0), ""),
    ],
)
def test_the_decision_vsr_would_take_wins(
    strategy: str, decisions: list[Decision], verdicts: Verdicts, wins: str
) -> None:
    assert winner(decisions, verdicts, strategy) == wins


def test_nothing_configured_decides_nothing() -> None:
    assert Decider(()).decide(seen(a=1.0)) is None


# What unknown means


@pytest.mark.parametrize("when", ["k:u", {"not": "k:u"}, {"all": ["k:yes", "k:u"]}])
@pytest.mark.parametrize(
    ("on_unknown", "expected"),
    [("no_match", None), ("match", (1.0, False)), ("fail_request", (1.0, True))],
)
def test_the_decision_says_what_unknown_means(
    when: Any, on_unknown: str, expected: tuple[float, bool] | None
) -> None:
    decider = Decider([decision("guard", when, on_unknown=on_unknown)])
    match = decider.decide(seen(u=UNKNOWN, yes=0.5))
    assert (match and (match.confidence, match.unknown)) == expected


def test_a_guard_that_fails_closed_wins_by_confidence_too() -> None:
    guard = decision("guard", "k:u", on_unknown="match")
    assert winner([guard, decision("a", "k:a")], seen(u=UNKNOWN, a=0.99), "confidence") == "guard"


def test_a_known_rule_never_asks_what_unknown_means() -> None:
    guard = decision("guard", {"any": ["k:u", "k:yes"]}, on_unknown="fail_request")
    match = Decider([guard]).decide(seen(u=UNKNOWN, yes=0.5))
    assert match == Match(guard, 0.5)


def test_a_request_fails_only_if_the_unknown_decision_could_have_won() -> None:
    guard = decision("guard", "k:u", on_unknown="fail_request", priority=5)
    above, below = decision("above", "k:a", priority=9), decision("below", "k:a", priority=1)
    assert winner([guard, above], seen(u=UNKNOWN, a=0.4)) == "above"
    assert winner([guard, below], seen(u=UNKNOWN, a=0.4)) == "guard"


# Compiling


def test_a_decision_knows_the_signals_it_reads_each_once() -> None:
    when = {"all": ["k:b", {"any": ["k:a", {"not": "k:b"}]}, {"signal": "k:c", "gt": 1}]}
    compiled = decision("d", when)
    assert compiled.refs == (SignalRef("k", "b"), SignalRef("k", "a"), SignalRef("k", "c"))
    assert [leaf.signal for leaf in leaves(Condition.model_validate(when))] == [
        "k:b",
        "k:a",
        "k:b",
        "k:c",
    ]
    assert list(leaves(None)) == []


@pytest.mark.parametrize(
    ("when", "needs"),
    [
        ("k:a", True),
        ({"all": ["k:a", {"not": "k:b"}]}, True),
        ({"any": ["k:a", {"not": "k:b"}]}, False),
        ({"not": "k:a"}, False),
        ({"all": []}, False),
        ({"any": []}, True),
        (None, False),
        ({"signal": "k:a", "gte": 0}, False),
        ({"signal": "k:a", "gt": 0}, False),
    ],
)
def test_a_decision_knows_whether_it_can_hold_in_silence(when: Any, needs: bool) -> None:
    assert decision("d", when).needs_a_match is needs


@pytest.mark.parametrize(
    ("text", "ref"),
    [("keyword:urgent", ("keyword", "urgent")), ("kb:a:b", ("kb", "a:b"))],
)
def test_a_reference_is_a_kind_and_a_name(text: str, ref: tuple[str, str]) -> None:
    assert parse_ref(text) == ref
    assert str(parse_ref(text)) == text


# Laws

_NAMES = "abc"
_tests = st.fixed_dictionaries(
    {}, optional={t: st.sampled_from([0, 0.5, 1]) for t in ("gt", "gte", "lt", "lte", "eq")}
)
_leaf = st.builds(
    lambda name, tests: {"signal": f"k:{name}", **tests}, st.sampled_from(_NAMES), _tests
)
_conditions = st.recursive(
    _leaf,
    lambda inner: st.one_of(
        st.builds(lambda c: {"all": c}, st.lists(inner, max_size=3)),
        st.builds(lambda c: {"any": c}, st.lists(inner, max_size=3)),
        st.builds(lambda c: {"not": c}, inner),
    ),
    max_leaves=6,
)
_verdict = st.builds(
    Verdict,
    matched=st.booleans(),
    confidence=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    value=st.sampled_from([None, 0.0, 0.5, 1.0]),
) | st.just(UNKNOWN)
_verdicts = st.dictionaries(st.sampled_from(_NAMES).map(lambda n: SignalRef("k", n)), _verdict)
_settings = st.fixed_dictionaries(
    {
        "when": st.none() | _conditions,
        "priority": st.integers(0, 2),
        "tier": st.integers(0, 2),
        "on_unknown": st.sampled_from(["no_match", "match", "fail_request"]),
    }
)
_decisions = st.lists(_settings, max_size=5).map(
    lambda many: [decision(f"d{i}", **settings) for i, settings in enumerate(many)]
)


def plainly(decisions: Sequence[Decision], verdicts: Verdicts) -> list[tuple[str, float, bool]]:
    """Every decision evaluated one by one, without an index."""
    found = []
    for d in decisions:
        truth = d.rule(verdicts)
        if truth is None and d.on_unknown != "no_match":
            found.append((d.name, 1.0, d.on_unknown == "fail_request"))
        elif truth is not None and truth >= 0:
            found.append((d.name, truth, False))
    return sorted(found)


@given(_decisions, _verdicts)
def test_looking_only_at_what_could_hold_misses_nothing(
    decisions: list[Decision], verdicts: dict[SignalRef, Verdict]
) -> None:
    matches = Decider(decisions).matches(verdicts)
    assert sorted((m.decision.name, m.confidence, m.unknown) for m in matches) == plainly(
        decisions, verdicts
    )


@given(_decisions, _verdicts, st.sampled_from(["priority", "confidence"]), st.randoms())
def test_the_order_of_declaration_never_matters(
    decisions: list[Decision], verdicts: dict[SignalRef, Verdict], strategy: str, random: Any
) -> None:
    shuffled = decisions[:]
    random.shuffle(shuffled)
    shaken = list(verdicts.items())
    random.shuffle(shaken)
    assert Decider(decisions, strategy).decide(verdicts) == Decider(shuffled, strategy).decide(
        dict(shaken)
    )


@given(_conditions, _verdicts)
def test_a_rule_is_unknown_only_if_some_answer_could_turn_it(
    when: Any, verdicts: dict[SignalRef, Verdict]
) -> None:
    """Filling in what is unknown never contradicts a rule that is already known."""
    known = truth(when, verdicts)
    if known is None:
        return
    missing = [ref for ref, verdict in verdicts.items() if verdict.unknown]
    for answers in itertools.product(
        (Verdict(True, 1.0), Verdict(False, 0.0)), repeat=len(missing)
    ):
        filled = truth(when, {**verdicts, **dict(zip(missing, answers, strict=True))})
        assert filled is not None
        assert (filled >= 0) == (known >= 0)


@given(_conditions, _verdicts)
def test_confidence_is_a_share_and_the_trace_agrees(
    when: Any, verdicts: dict[SignalRef, Verdict]
) -> None:
    held = truth(when, verdicts)
    assert held is None or held == FALSE or 0 <= held <= 1
    assert trace(Condition.model_validate(when), verdicts).truth == held


def test_a_trace_shows_every_node_and_why() -> None:
    when = Condition.model_validate(
        {"all": ["k:a", {"not": {"any": ["k:b"]}}, {"signal": "k:c", "gte": 1, "lt": 5}]}
    )
    tree = trace(when, seen(a=Verdict(True, 0.5, "said urgent"), c=Verdict(False, 0.0, value=2)))
    assert tree.text == "all"
    assert tree.truth == pytest.approx((0.5 + 1.0 + 1.0) / 3)
    assert [c.text for c in tree.children] == ["k:a", "not", "k:c >= 1.0 < 5.0"]
    assert tree.children[0].because == "said urgent"
    assert tree.children[1].children[0].text == "any"
    assert trace(None, {}).text == "always"
