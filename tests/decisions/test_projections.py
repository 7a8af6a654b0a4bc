"""Partitions, scores and bands, with numbers worked out by hand."""

from __future__ import annotations

import re
from itertools import product
from math import exp, inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wayside.decisions import parse_ref
from wayside.decisions.projection_order import compile_projections
from wayside.decisions.projections import NONE, Projections
from wayside.settings import ProjectionSettings
from wayside.settings.projections import BandSettings
from wayside.vocab.errors import Problem
from wayside.vocab.verdict import NO, SignalRef, Verdict

GONE = Verdict(False, 0.0, "nobody home", unknown=True)


def compiled(settings: dict[str, Any], *wanted: str) -> Projections:
    problems: list[Problem] = []
    parsed = ProjectionSettings.model_validate(settings)
    names = wanted or (
        *(f"projection:{s.name}" for s in parsed.scores),
        *(f"projection:{o.name}" for m in parsed.mappings for o in m.outputs),
        *(p.members[0] for p in parsed.partitions),
    )
    found = compile_projections(parsed, map(parse_ref, names), "projections", problems)
    assert not problems, problems
    return found


def verdicts(**said: Verdict | float) -> dict[SignalRef, Verdict]:
    """``domain_math=0.8``: domain:math matched with that confidence."""
    found = {}
    for name, verdict in said.items():
        kind, _, rule = name.partition("_")
        found[SignalRef(kind, rule)] = (
            verdict if isinstance(verdict, Verdict) else Verdict(True, verdict, "seen", verdict)
        )
    return found


# Partitions

FIELD = ("domain:math", "domain:law", "domain:other")


def partitioned(said: dict[SignalRef, Verdict], **more: Any) -> dict[str, Verdict]:
    p = compiled({"partitions": [{"name": "field", "members": FIELD, **more}]})
    found = p.apply(said)
    assert set(said) <= set(found)
    return {str(ref): v for ref, v in found.items()}


def test_the_most_confident_member_stays_matched() -> None:
    found = partitioned(verdicts(domain_math=0.6, domain_law=0.7, keyword_x=0.9))
    assert found["domain:law"] == Verdict(True, 0.7, "seen", 0.7)
    assert found["domain:math"] == Verdict(False, 0.0, "domain:law won field", 0.6)
    assert found["keyword:x"].matched, "what is no member is left alone"


def test_of_equals_the_one_listed_first_wins() -> None:
    found = partitioned(verdicts(domain_other=0.5, domain_law=0.5))
    assert found["domain:law"].matched and not found["domain:other"].matched


def test_softmax_gives_the_winner_its_share() -> None:
    soft = {"semantics": "softmax_exclusive", "temperature": 0.1}
    found = partitioned(verdicts(domain_math=0.6, domain_law=0.7), **soft)
    assert found["domain:law"].confidence == pytest.approx(exp(7) / (exp(7) + exp(6)))
    assert partitioned(verdicts(domain_law=0.7), **soft)["domain:law"].confidence == 0.7
    usual = partitioned(verdicts(domain_math=0.6, domain_law=0.7), semantics="softmax_exclusive")
    assert usual["domain:law"].confidence == found["domain:law"].confidence


def test_the_default_matches_where_no_member_did() -> None:
    found = partitioned(verdicts(), default="domain:other")
    assert found == {"domain:other": Verdict(True, 0.0, "the default of field")}
    near = {SignalRef("domain", "other"): Verdict(False, 0.0, "law 0.4", 0.3)}
    assert partitioned(near, default="domain:other")["domain:other"].value == 0.3
    assert partitioned(verdicts()) == {}


def test_what_is_unknown_takes_no_part_and_stays_unknown() -> None:
    found = partitioned(verdicts(domain_math=GONE, domain_law=0.2), default="domain:other")
    assert found["domain:math"] is GONE
    assert found["domain:law"].matched
    assert "domain:other" not in found


def test_while_a_member_is_unknown_the_default_is_too() -> None:
    found = partitioned(verdicts(domain_math=GONE), default="domain:other")
    assert found["domain:other"].unknown and not found["domain:other"].matched
    assert found["domain:other"].because == "no answer from domain:math"
    itself = partitioned(verdicts(domain_other=GONE), default="domain:other")
    assert itself["domain:other"] is GONE


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.lists(st.sampled_from(["yes", "no", "gone", "silent"]), min_size=3, max_size=3),
    st.sampled_from(["exclusive", "softmax_exclusive"]),
)
def test_at_most_one_member_stays_matched(
    confidence: list[float], states: list[str], semantics: str
) -> None:
    said = {
        parse_ref(name): {"yes": Verdict(True, c), "no": NO, "gone": GONE}[state]
        for name, c, state in zip(FIELD, confidence, states, strict=True)
        if state != "silent"
    }
    found = partitioned(said, semantics=semantics, default="domain:other")
    matched = [v for v in found.values() if v.matched]
    assert len(matched) <= 1
    assert bool(matched) or "gone" in states
    assert all(0.0 <= v.confidence <= 1.0 for v in found.values())


# Scores


def scored(said: dict[SignalRef, Verdict], *inputs: dict[str, Any]) -> Verdict:
    p = compiled({"scores": [{"name": "s", "inputs": inputs}]})
    return p.apply(said)[SignalRef("projection", "s")]


@pytest.mark.parametrize(
    ("rule", "matched", "silent", "near"),
    [
        ({}, 2.0, 0.0, 0.0),
        ({"match": 3.0, "miss": -1.0}, 6.0, -2.0, -2.0),
        ({"value_source": "confidence"}, 1.5, 0.0, 0.0),
        ({"value_source": "confidence", "match": 2.0, "miss": 0.1}, 3.0, 0.2, 0.2),
        ({"value_source": "raw"}, 14.0, 0.0, 6.0),
        ({"value_source": "raw", "match": 0.5, "miss": 4.0}, 7.0, 8.0, 3.0),
        ({"weight": -2.0, "match": 3.0}, -6.0, 0.0, 0.0),
        ({"weight": 0.0}, 0.0, 0.0, 0.0),
    ],
)
def test_an_input_counts_its_weight_times_what_its_signal_says(
    rule: dict[str, Any], matched: float, silent: float, near: float
) -> None:
    given_rule = {"signal": "context:long", "weight": 2.0, **rule}
    cases = (
        (verdicts(context_long=Verdict(True, 0.75, "", 7.0)), matched),
        (verdicts(), silent),
        (verdicts(context_long=Verdict(False, 0.0, "", 3.0)), near),
    )
    for said, expected in cases:
        found = scored(said, given_rule)
        assert found.value == pytest.approx(expected)
        assert not found.matched and not found.unknown, "a score is a number, it never matches"


def test_inputs_are_added_up() -> None:
    found = scored(
        verdicts(keyword_a=0.625, domain_b=0.9),
        {"signal": "keyword:a", "weight": 0.4, "value_source": "confidence"},
        {"signal": "domain:b", "weight": -0.1},
        {"signal": "domain:c", "weight": 5.0, "miss": 0.01},
    )
    assert found.value == pytest.approx(0.25 - 0.1 + 0.05)


@pytest.mark.parametrize(
    ("rule", "low", "high"),
    [
        ({}, 0.0, 2.0),
        ({"weight": -2.0}, -2.0, 0.0),
        ({"match": 1.0, "miss": 0.5}, 1.0, 2.0),
        ({"match": 1.0, "miss": 0.5, "value_source": "confidence"}, 0.0, 2.0),
        ({"value_source": "raw"}, -inf, inf),
        ({"value_source": "raw", "match": 0.0}, 0.0, 0.0),
        ({"weight": 0.0, "value_source": "raw"}, 0.0, 0.0),
        ({"match": 0.5, "miss": 0.5}, 1.0, 1.0),
    ],
)
def test_an_unknown_input_leaves_a_range(rule: dict[str, Any], low: float, high: float) -> None:
    found = scored(verdicts(keyword_a=GONE), {"signal": "keyword:a", "weight": 2.0, **rule})
    if low == high:
        assert found.value == low and not found.unknown
    else:
        assert found.unknown and found.value is None
        between = f"between {low:.4g} and {high:.4g}"
        assert found.because == f"{between}: no answer from keyword:a"


# Bands

LEVEL = {
    "name": "level",
    "source": "s",
    "calibration": {"slope": 10.0},
    "outputs": [
        {"name": "easy", "lt": 0.2},
        {"name": "medium", "gte": 0.2, "lt": 0.5},
        {"name": "hard", "gte": 0.5},
    ],
}


def banded(score: float, mapping: dict[str, Any] = LEVEL, **said: Any) -> dict[str, Verdict]:
    inputs = [
        {"signal": "structure:n", "weight": 1.0, "value_source": "raw"},
        {"signal": "keyword:k", "weight": 0.3},
    ]
    p = compiled({"scores": [{"name": "s", "inputs": inputs}], "mappings": [mapping]})
    n = Verdict(False, 0.0, "", score)
    found = p.apply(verdicts(structure_n=n, **said))
    return {
        ref.name: v for ref, v in found.items() if ref.kind == "projection" and ref.name != "s"
    }


@pytest.mark.parametrize(
    ("score", "band", "distance"),
    [
        (0.1, "easy", 0.1),
        (0.2, "medium", 0.0),
        (0.45, "medium", 0.05),
        (0.5, "hard", 0.0),
        (0.9, "hard", 0.4),
        (-5.0, "easy", 5.2),
    ],
)
def test_one_band_matches_as_surely_as_it_is_far_from_its_bounds(
    score: float, band: str, distance: float
) -> None:
    found = banded(score)
    assert [name for name, v in found.items() if v.matched] == [band]
    assert found[band].confidence == pytest.approx(1 / (1 + exp(-10 * distance)))
    assert found[band].because == f"s {score:.4g}"
    assert not any(v.unknown for v in found.values())


def test_without_calibration_the_slope_is_vsrs() -> None:
    found = banded(0.3, {k: v for k, v in LEVEL.items() if k != "calibration"})
    assert found["medium"].confidence == pytest.approx(1 / (1 + exp(-12 * 0.1)))


OVERLAP = {
    "name": "o",
    "source": "s",
    "outputs": [{"name": "some", "gt": 0.1}, {"name": "much", "gt": 0.5}, {"name": "always"}],
}


@pytest.mark.parametrize(
    ("method", "expected"),
    [("threshold_bands", ["some"]), ("multi_emit", ["some", "much", "always"])],
)
def test_the_first_band_or_all(method: str, expected: list[str]) -> None:
    found = banded(0.7, {**OVERLAP, "method": method})
    assert [name for name, v in found.items() if v.matched] == expected


def test_a_band_without_bounds_always_holds() -> None:
    found = banded(-3.0, {**OVERLAP, "method": "multi_emit"})
    assert found["always"].confidence == pytest.approx(1 / (1 + exp(-12)))


@pytest.mark.parametrize(
    ("score", "states"),
    [  # keyword:k is unknown and adds 0 or 0.3
        (-1.0, {"easy": "yes", "medium": "no", "hard": "no"}),
        (0.1, {"easy": "unknown", "medium": "unknown", "hard": "no"}),
        (0.2, {"easy": "no", "medium": "unknown", "hard": "unknown"}),
        (0.19, {"easy": "unknown", "medium": "unknown", "hard": "no"}),
        (0.6, {"easy": "no", "medium": "no", "hard": "yes"}),
    ],
)
def test_a_score_between_two_bounds_may_still_be_in_one_band(
    score: float, states: dict[str, str]
) -> None:
    found = banded(score, keyword_k=GONE)
    told = {n: "unknown" if v.unknown else "yes" if v.matched else "no" for n, v in found.items()}
    assert told == states
    if told["hard"] == "yes":
        assert found["hard"].confidence == pytest.approx(1 / (1 + exp(-10 * 0.1))), "the least"


@pytest.mark.parametrize(
    ("band", "fine"),
    [
        ({"gte": 0.5, "lte": 0.5}, True),
        ({"gt": 0.5, "lte": 0.5}, False),
        ({"gte": 0.5, "lt": 0.5}, False),
        ({"gt": 0.6, "lt": 0.5}, False),
        ({"gt": 0.5, "gte": 0.1, "lt": 0.6, "lte": 0.9}, True),
        ({}, True),
    ],
)
def test_a_band_that_holds_no_number_is_refused(band: dict[str, float], fine: bool) -> None:
    if fine:
        BandSettings.model_validate({"name": "b", **band})
    else:
        with pytest.raises(ValidationError, match="no number is in it"):
            BandSettings.model_validate({"name": "b", **band})


# The law: what is said of a score with unknown inputs is true whatever they would have said

NUMBER = st.integers(-4, 4).map(lambda n: n / 4)
INPUT = st.fixed_dictionaries(
    {
        "weight": NUMBER,
        "match": NUMBER,
        "miss": NUMBER,
        "value_source": st.sampled_from(["binary", "confidence"]),
    }
)
BOUND = st.fixed_dictionaries(
    {}, optional={"gt": NUMBER, "gte": NUMBER, "lt": NUMBER, "lte": NUMBER}
)
STATE = st.sampled_from([NO, Verdict(True, 0.5), Verdict(True, 1.0), GONE])


def _fine(band: dict[str, float]) -> bool:
    try:
        BandSettings.model_validate({"name": "b", **band})
    except ValidationError:
        return False
    return True


@given(
    st.lists(INPUT, min_size=2, max_size=2),
    st.lists(BOUND.filter(_fine), min_size=1, max_size=3),
    st.lists(STATE, min_size=2, max_size=2),
    st.sampled_from(["threshold_bands", "multi_emit"]),
    INPUT,
)
def test_what_is_known_holds_whatever_the_unknown_would_have_said(
    inputs: list[dict[str, Any]],
    bounds: list[dict[str, float]],
    states: list[Verdict],
    method: str,
    second: dict[str, Any],
) -> None:
    p = compiled(
        {
            "scores": [
                {"name": "t", "inputs": [  # a score of a score and of one of its bands
                    {"signal": "projection:s", "weight": -0.5, "value_source": "raw"},
                    {"signal": "projection:b0", **second},
                ]},
                {"name": "s", "inputs": [
                    {"signal": f"keyword:k{i}", **rule} for i, rule in enumerate(inputs)
                ]},
            ],
            "mappings": [
                {"name": "m", "source": "s", "method": method,
                 "outputs": [{"name": f"b{i}", **b} for i, b in enumerate(bounds)]},
                {"name": "n", "source": "t",
                 "outputs": [{"name": "low", "lt": 0}, {"name": "high", "gte": 0}]},
            ],
        }
    )  # fmt: skip
    refs = [SignalRef("keyword", f"k{i}") for i in range(len(states))]
    told = p.apply(dict(zip(refs, states, strict=True)))
    could = (NO, Verdict(True, 0.0), Verdict(True, 0.3), Verdict(True, 1.0))
    for really in product(*[could if s is GONE else (s,) for s in states]):
        truth = p.apply(dict(zip(refs, really, strict=True)))
        for ref, said in told.items():
            if ref.kind != "projection" or said.unknown:
                continue
            assert said.matched is truth[ref].matched
            assert said.confidence <= truth[ref].confidence + 1e-9
            if said.value is not None:
                assert truth[ref].value == pytest.approx(said.value)


# Names, order, and what is needed


def problems_of(settings: dict[str, Any]) -> list[str]:
    problems: list[Problem] = []
    parsed = ProjectionSettings.model_validate(settings)
    compile_projections(parsed, (), "projections", problems)
    return [str(p) for p in problems]


def test_scores_of_scores_are_worked_out_in_any_order_written() -> None:
    settings = {
        "scores": [
            {
                "name": "total",
                "inputs": [
                    {"signal": "projection:part", "weight": 2.0, "value_source": "raw"},
                    {"signal": "projection:big", "weight": 10.0},
                ],
            },
            {"name": "part", "inputs": [{"signal": "keyword:a", "weight": 0.25}]},
        ],
        "mappings": [{"name": "m", "source": "part", "outputs": [{"name": "big", "gt": 0.2}]}],
    }
    found = compiled(settings).apply(verdicts(keyword_a=1.0))
    assert found[SignalRef("projection", "total")].value == 10.5


def test_a_circle_is_refused_with_the_way_round_it() -> None:
    (problem,) = problems_of(
        {
            "scores": [
                {"name": "a", "inputs": [{"signal": "projection:high", "weight": 1.0}]},
                {
                    "name": "b",
                    "inputs": [{"signal": "projection:a", "weight": 1.0, "value_source": "raw"}],
                },
            ],
            "mappings": [{"name": "m", "source": "b", "outputs": [{"name": "high", "gt": 0}]}],
        }
    )
    assert "needs itself: a -> m -> b -> a" in problem
    assert "projections.scores[0]" in problem


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"mappings": [{"name": "m", "source": "hardnes", "outputs": [{"name": "x"}]}],
             "scores": [{"name": "hardness", "inputs": [{"signal": "a:b", "weight": 1}]}]},
            r"mappings\[0\].source.*did you mean 'hardness'",
        ),
        (
            {"scores": [{"name": "s", "inputs": [{"signal": "projection:x", "weight": 1}]}]},
            r"scores\[0\].inputs\[0\].signal.*no score or band 'x'",
        ),
        (
            {"scores": [{"name": "s", "inputs": [{"signal": "a:b", "weight": 1}]},
                        {"name": "t", "inputs": [{"signal": "projection:s", "weight": 1}]}]},
            r"scores\[1\].inputs\[0\].value_source.*write value_source: raw",
        ),
        (
            {"scores": [{"name": "s", "inputs": [{"signal": "a:b", "weight": 1}]}],
             "mappings": [{"name": "m", "source": "s", "outputs": [{"name": "s"}]}]},
            r"mappings\[0\].outputs\[0\].name.*already names",
        ),
    ],
)  # fmt: skip
def test_names_are_checked(settings: dict[str, Any], message: str) -> None:
    (problem,) = problems_of(settings)
    assert re.search(message, problem), problem


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"partitions": [{"name": "p", "members": ["a:b"]}]}, "at least 2"),
        ({"partitions": [{"name": "p", "members": ["a:b", "a:b"]}]}, "listed twice"),
        ({"partitions": [{"name": "p", "members": ["a:b", "math"]}]}, "write kind:name"),
        ({"partitions": [{"name": "p", "members": ["a:b", "projection:x"]}]}, "after partitions"),
        ({"partitions": [{"name": "p", "members": ["a:b", "a:c"], "default": "a:d"}]}, "add it"),
        (
            {"partitions": [{"name": "p", "members": ["a:b", "a:c"], "temperature": 1}]},
            "softmax_exclusive",
        ),
        ({"scores": [{"name": "s", "inputs": []}]}, "at least 1"),
        ({"scores": [{"name": "s", "inputs": [{"signal": "a:b", "weight": inf}]}]}, "finite"),
        ({"mappings": [{"name": "m", "source": "s", "outputs": []}]}, "at least 1"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ProjectionSettings.model_validate(settings)


EVERYTHING = {
    "partitions": [
        {"name": "one", "members": ["domain:a", "domain:b"]},
        {"name": "two", "members": ["domain:b", "domain:c"]},
        {"name": "three", "members": ["embedding:x", "embedding:y"]},
    ],
    "scores": [
        {"name": "s", "inputs": [{"signal": "keyword:k", "weight": 1}]},
        {"name": "t", "inputs": [{"signal": "pii:p", "weight": 1}]},
    ],
    "mappings": [{"name": "m", "source": "s", "outputs": [{"name": "high", "gt": 0.5}]}],
}


@pytest.mark.parametrize(
    ("wanted", "read"),
    [
        (["language:de"], set()),
        (["projection:high"], {"keyword:k"}),
        (["projection:t"], {"pii:p"}),
        (["domain:a"], {"domain:a", "domain:b", "domain:c"}),
        (["domain:c"], {"domain:a", "domain:b", "domain:c"}),
        (["embedding:y", "projection:s"], {"embedding:x", "embedding:y", "keyword:k"}),
    ],
)
def test_only_what_rules_need_is_read(wanted: list[str], read: set[str]) -> None:
    assert {str(ref) for ref in compiled(EVERYTHING, *wanted).refs} == read


def test_nothing_configured_is_nothing_done() -> None:
    assert compiled({}, "domain:a") is NONE
    assert NONE.refs == ()
